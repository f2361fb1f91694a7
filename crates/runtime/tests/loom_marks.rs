#![cfg(loom)]
//! Who places a mark, under every interleaving.

// The CUDA backend itself is not built for loom; this file of it needs no driver.
#[path = "../src/backend/cuda/marks.rs"]
mod marks;
// Where that file looks for it.
use wootz_runtime::sync;

use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread,
};
use marks::Marks;

/// A CUDA stream as marks meet it: work, and behind it the marks that speak for it.
struct Lane {
    marks: Marks,
    /// The last ticket issued, after its work was enqueued.
    issued: AtomicU64,
    /// Work that was enqueued; one cell a ticket, so that loom sees who may know of it.
    work: [UnsafeCell<bool>; 2],
    /// The tickets of the marks. Whoever places one has it alone, or loom reports a race.
    placed: UnsafeCell<Vec<u64>>,
    /// What the device would write once it has come to the last mark.
    word: AtomicU64,
    /// The next mark fails.
    refuses: AtomicBool,
}

// SAFETY: loom checks each access to the cells.
unsafe impl Sync for Lane {}

impl Lane {
    fn new() -> Arc<Lane> {
        Arc::new(Lane {
            marks: Marks::new(),
            issued: AtomicU64::new(0),
            work: [UnsafeCell::new(false), UnsafeCell::new(false)],
            placed: UnsafeCell::new(vec![]),
            word: AtomicU64::new(0),
            refuses: AtomicBool::new(false),
        })
    }

    /// The owner's part: enqueues the work of `ticket`, then issues it.
    fn submit(&self, ticket: u64) {
        let work = &self.work[ticket as usize - 1];
        // SAFETY: the one owner writes it, before the ticket is known to anybody.
        work.with_mut(|work| unsafe { *work = true });
        self.issued.store(ticket, Release);
    }

    fn ensure(&self, ticket: u64) -> Result<(), &'static str> {
        self.marks.ensure(
            ticket,
            || self.issued.load(Acquire),
            |last| {
                if self.refuses.swap(false, Relaxed) {
                    return Err("full");
                }
                for work in &self.work[..last as usize] {
                    // SAFETY: the work of issued tickets is not written any more.
                    assert!(work.with(|work| unsafe { *work }), "a mark before its work");
                }
                // SAFETY: marks are placed one at a time.
                self.placed
                    .with_mut(|placed| unsafe { (*placed).push(last) });
                self.word.store(last, Release);
                Ok(())
            },
        )
    }

    /// A waiter's part, once: it may find another placing a mark, and then it would look again.
    fn look(&self, ticket: u64) {
        if self.word.load(Acquire) < ticket && self.issued.load(Acquire) >= ticket {
            // Who is refused looks again, like everybody.
            let _ = self.ensure(ticket);
        }
    }

    /// The marks, when every thread has ended.
    fn placed(&self) -> Vec<u64> {
        // SAFETY: nobody else is left.
        self.placed.with(|placed| unsafe { (*placed).clone() })
    }
}

fn waiter(lane: &Arc<Lane>, ticket: u64) -> thread::JoinHandle<()> {
    let lane = lane.clone();
    thread::spawn(move || lane.look(ticket))
}

/// Whatever happened meanwhile, a waiter that looks when the others have left finds its ticket
/// marked or marks it; and the word has only grown.
#[test]
fn every_ticket_is_marked_and_marks_only_ascend() {
    loom::model(|| {
        let lane = Lane::new();
        let waiters = [waiter(&lane, 1), waiter(&lane, 2)];
        lane.submit(1);
        lane.submit(2);
        waiters
            .into_iter()
            .for_each(|waiter| waiter.join().unwrap());
        lane.look(2);
        let placed = lane.placed();
        assert!(placed == [2] || placed == [1, 2], "{placed:?}");
    });
}

#[test]
fn those_who_wait_for_one_ticket_share_a_mark() {
    loom::model(|| {
        let lane = Lane::new();
        lane.submit(1);
        let waiters = [waiter(&lane, 1), waiter(&lane, 1)];
        waiters
            .into_iter()
            .for_each(|waiter| waiter.join().unwrap());
        // The first to come placed it: nobody has to look again.
        assert_eq!(lane.placed(), [1]);
    });
}

#[test]
fn a_mark_that_failed_is_placed_by_the_next_who_looks() {
    loom::model(|| {
        let lane = Lane::new();
        lane.refuses.store(true, Relaxed);
        lane.submit(1);
        let waiters = [waiter(&lane, 1), waiter(&lane, 1)];
        waiters
            .into_iter()
            .for_each(|waiter| waiter.join().unwrap());
        lane.look(1);
        assert_eq!(lane.placed(), [1]);
    });
}
