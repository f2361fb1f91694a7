//! Who places a mark, and for which ticket: the part of the protocol in `mod.rs` that threads share.

use crate::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// The marks of one lane.
#[derive(Debug)]
pub(super) struct Marks {
    /// The last ticket that a mark stands for.
    placed: AtomicU64,
    /// Held while a mark is placed; taken by trying, never waited for.
    placing: AtomicBool,
}

impl Marks {
    pub(super) fn new() -> Marks {
        Marks {
            placed: AtomicU64::new(0),
            placing: AtomicBool::new(false),
        }
    }

    /// Sees to a mark for `ticket`: if none stands for it, and nobody is placing one, calls `place`
    /// with the ticket that `last` says was issued last. When somebody is, nothing happens, and the
    /// caller looks again later.
    ///
    /// # Errors
    /// What `place` says; then no mark was placed.
    pub(super) fn ensure<E>(
        &self,
        ticket: u64,
        last: impl FnOnce() -> u64,
        place: impl FnOnce(u64) -> Result<(), E>,
    ) -> Result<(), E> {
        // Acquire and Release on the flag: marks are placed one after the other, so the tickets,
        // read inside, ascend in the order of the CUDA stream.
        let take = || self.placing.compare_exchange(false, true, Acquire, Relaxed);
        if self.stands_for(ticket) || take().is_err() {
            return Ok(());
        }
        let outcome = if self.stands_for(ticket) {
            Ok(())
        } else {
            let last = last();
            place(last).map(|()| self.placed.store(last, Release))
        };
        self.placing.store(false, Release);
        outcome
    }

    fn stands_for(&self, ticket: u64) -> bool {
        self.placed.load(Acquire) >= ticket
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::{convert::Infallible, sync::mpsc, thread};

    #[test]
    fn one_mark_stands_for_all_that_was_issued() {
        let marks = Marks::new();
        let mut placed = vec![];
        let mut ensure = |ticket, last| {
            let place = |ticket| {
                placed.push(ticket);
                Ok::<_, Infallible>(())
            };
            let Ok(()) = marks.ensure(ticket, || last, place);
        };
        ensure(1, 3);
        ensure(2, 5);
        ensure(3, 5);
        ensure(4, 5);
        assert_eq!(placed, [3, 5]);
    }

    #[test]
    fn a_mark_that_failed_is_placed_again() {
        let marks = Marks::new();
        assert_eq!(marks.ensure(1, || 1, |_| Err("full")), Err("full"));
        let mut placed = false;
        let place = |_| {
            placed = true;
            Ok::<_, Infallible>(())
        };
        let Ok(()) = marks.ensure(1, || 1, place);
        assert!(placed);
    }

    /// Waiters on several threads, an owner that issues, and a device that writes the word in the
    /// order of its queue: every waiter ends, and the word never goes back.
    #[test]
    fn every_waiter_ends_and_the_word_only_grows() {
        const TICKETS: u64 = 20_000;
        const WAITERS: u64 = 3;
        let (marks, issued, word) = (Marks::new(), AtomicU64::new(0), AtomicU64::new(0));
        let (queue, device) = mpsc::channel::<u64>();
        let mut ascending = true;
        thread::scope(|scope| {
            let (marks, issued, word) = (&marks, &issued, &word);
            for waiter in 0..WAITERS {
                let queue = queue.clone();
                scope.spawn(move || {
                    for ticket in (waiter + 1..=TICKETS).step_by(WAITERS as usize) {
                        while word.load(Acquire) < ticket {
                            if issued.load(Acquire) >= ticket {
                                let last = || issued.load(Acquire);
                                let placed = marks.ensure(ticket, last, |last| queue.send(last));
                                placed.expect("the device listens");
                            }
                            thread::yield_now();
                        }
                    }
                });
            }
            drop(queue);
            scope.spawn(move || {
                for ticket in 1..=TICKETS {
                    issued.store(ticket, Release);
                    if ticket % 16 == 0 {
                        thread::yield_now();
                    }
                }
            });
            for mark in device {
                // The waiters must end for the test to fail.
                ascending &= word.fetch_max(mark, Release) < mark;
            }
        });
        assert!(ascending, "the word went back");
        assert_eq!(word.into_inner(), TICKETS);
    }
}
