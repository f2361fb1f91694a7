#![cfg(loom)]
//! The crew's publish, claim and finish under every interleaving.

use std::num::NonZeroUsize;

use loom::{cell::UnsafeCell, sync::Arc, thread};
use wootz_runtime::crew::Crew;

/// A value for each unit, which loom reports if two threads touch it without order.
struct Units([UnsafeCell<usize>; 2]);

// SAFETY: each unit is done by one thread, and read when the job is done.
unsafe impl Sync for Units {}

impl Units {
    fn new() -> Self {
        Self([UnsafeCell::new(0), UnsafeCell::new(0)])
    }

    fn bump(&self, unit: usize) {
        // SAFETY: see `Sync`.
        self.0[unit].with_mut(|value| unsafe { *value += 1 });
    }

    fn values(&self) -> [usize; 2] {
        // SAFETY: see `Sync`.
        [0, 1].map(|unit| self.0[unit].with(|value| unsafe { *value }))
    }
}

fn crew(threads: usize) -> Crew {
    Crew::new(NonZeroUsize::new(threads).unwrap())
}

fn bump_all(crew: &Crew, units: &Units) {
    let work = |range: std::ops::Range<usize>, _: usize| range.for_each(|unit| units.bump(unit));
    assert_eq!(crew.run(2, 2, &work), Ok(()));
}

#[test]
fn every_unit_is_done_once_and_seen_by_the_caller_job_after_job() {
    loom::model(|| {
        let (crew, units) = (crew(2), Units::new());
        bump_all(&crew, &units);
        assert_eq!(units.values(), [1, 1]);
        bump_all(&crew, &units);
        assert_eq!(units.values(), [2, 2]);
    });
}

#[test]
fn two_callers_share_the_helper_or_work_alone() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let crew = Arc::new(crew(2));
        let other = {
            let crew = crew.clone();
            thread::spawn(move || {
                let units = Units::new();
                bump_all(&crew, &units);
                assert_eq!(units.values(), [1, 1]);
            })
        };
        let units = Units::new();
        bump_all(&crew, &units);
        assert_eq!(units.values(), [1, 1]);
        other.join().unwrap();
    });
}

#[test]
fn a_panic_in_either_worker_reaches_the_caller() {
    std::panic::set_hook(Box::new(|_| {}));
    loom::model(|| {
        let crew = crew(2);
        let told = crew.run(2, 2, &|range, _| {
            if range.contains(&1) {
                std::panic::panic_any("unit 1");
            }
        });
        assert_eq!(
            told.unwrap_err().to_string(),
            "a unit of work panicked: unit 1"
        );
        bump_all(&crew, &Units::new());
    });
    drop(std::panic::take_hook());
}
