#![cfg(not(loom))]
//! The crew with real threads.

use std::{
    num::NonZeroUsize,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use proptest::prelude::*;
use wootz_runtime::crew::Crew;

fn crew(threads: usize) -> Crew {
    Crew::new(NonZeroUsize::new(threads).unwrap())
}

/// Runs `units` units and says how often each was done.
fn counts(crew: &Crew, units: usize, width: usize) -> Vec<usize> {
    let done: Vec<_> = (0..units).map(|_| AtomicUsize::new(0)).collect();
    crew.run(units, width, &|range, worker| {
        assert!(worker < width.max(1));
        range.for_each(|unit| _ = done[unit].fetch_add(1, SeqCst));
    })
    .unwrap();
    done.into_iter().map(AtomicUsize::into_inner).collect()
}

proptest! {
    #[test]
    fn every_unit_is_done_once(threads in 1..5_usize, units in 0..300_usize, width in 0..7_usize) {
        prop_assert_eq!(counts(&crew(threads), units, width), vec![1; units]);
    }
}

#[test]
fn a_helper_takes_part_and_workers_have_their_own_index() {
    let crew = crew(3);
    let all = Barrier::new(3);
    for _ in 0..2 {
        let seen: [AtomicBool; 3] = Default::default();
        // Each of three units waits for the other two, so three threads must share them. A helper
        // that is slow to come finds no unit left; but no unit ends before it has come.
        crew.run(3, 3, &|range, worker| {
            assert_eq!(range.len(), 1);
            assert!(!seen[worker].swap(true, SeqCst));
            all.wait();
        })
        .unwrap();
        assert!(seen.iter().all(|seen| seen.load(SeqCst)));
        // The second time they sleep, most likely, and must be woken.
        thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_unit_that_asks_for_helpers_works_alone() {
    let crew = crew(2);
    let inner = AtomicUsize::new(0);
    crew.run(8, 2, &|range, _| {
        for _ in range {
            let me = thread::current().id();
            crew.run(4, 2, &|range, worker| {
                assert_eq!((thread::current().id(), worker, range), (me, 0, 0..4));
                inner.fetch_add(4, SeqCst);
            })
            .unwrap();
        }
    })
    .unwrap();
    assert_eq!(inner.load(SeqCst), 32);
}

#[test]
fn callers_that_meet_all_get_their_work_done() {
    let crew = crew(3);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for round in 0..500 {
                    let units = 1 + round % 17;
                    assert_eq!(counts(&crew, units, 3), vec![1; units]);
                }
            });
        }
    });
}

#[test]
fn a_panic_is_told_to_its_caller_and_hurts_nobody_else() {
    let crew = crew(3);
    for bad in [0, 7, 99] {
        let told = crew.run(100, 3, &|range, _| {
            assert!(!range.contains(&bad), "unit {bad} is bad");
        });
        let expected = format!("a unit of work panicked: unit {bad} is bad");
        assert_eq!(told.unwrap_err().to_string(), expected);
        assert_eq!(counts(&crew, 100, 3), vec![1; 100]);
    }
}

#[test]
fn panics_without_words_and_while_alone_are_told_too() {
    let crew = crew(1);
    let told = |work: fn()| crew.run(1, 1, &|_, _| work()).unwrap_err().to_string();
    assert_eq!(
        told(|| std::panic::panic_any(3)),
        "a unit of work panicked: no message"
    );
    assert_eq!(told(|| panic!("plain")), "a unit of work panicked: plain");
    assert_eq!(
        told(|| panic!("number {}", 4)),
        "a unit of work panicked: number 4"
    );
}

/// A fork copies the crew's words and none of its helpers.
#[cfg(unix)]
#[test]
fn a_forked_child_works_alone() {
    let (crew, before) = (crew(3), Barrier::new(3));
    let done = [const { AtomicUsize::new(0) }; 64];
    crew.run(3, 3, &|_, _| _ = before.wait()).unwrap();
    // SAFETY: the child allocates nothing, takes no lock, and ends without a destructor.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: no arguments to get wrong. A child that hangs is killed.
        unsafe { libc::alarm(60) };
        let told = crew.run(done.len(), 3, &|range, _| {
            range.for_each(|unit| _ = done[unit].fetch_add(1, SeqCst));
        });
        let all = told.is_ok() && done.iter().all(|done| done.load(SeqCst) == 1);
        // SAFETY: as above.
        unsafe { libc::_exit(i32::from(!all)) };
    }
    let mut status = -1;
    // SAFETY: `status` is this test's own, and `child` is its child.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!((waited, status), (child, 0));
}

#[test]
fn what_a_job_borrows_is_free_after_it() {
    let crew = crew(4);
    for round in 0..2_000 {
        let mut values = vec![0_usize; 64];
        let cells: Vec<_> = values
            .iter_mut()
            .map(|value| AtomicPtr::new(value))
            .collect();
        crew.run(cells.len(), 4, &|range, _| {
            for unit in range {
                // SAFETY: each unit is done once, so this is the only use of its value.
                unsafe { *cells[unit].load(SeqCst) = round + unit };
            }
        })
        .unwrap();
        drop(cells);
        assert!(values.iter().copied().eq(round..round + 64));
    }
}
