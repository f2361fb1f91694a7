#![cfg(loom)]
//! Timelines under every interleaving. A lost wake-up shows as a deadlock.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};
use wootz_runtime::timeline::{Fault, Ready, Ticket, Timeline};

/// A result that the stream's work writes and waiters read; loom reports it if they race.
struct Work {
    timeline: Timeline,
    result: UnsafeCell<u64>,
    told: AtomicBool,
}

// SAFETY: written before `complete`, read after `wait`: what the models are here to prove.
unsafe impl Sync for Work {}
// SAFETY: as above.
unsafe impl Send for Work {}

impl Work {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            timeline: Timeline::new(),
            result: UnsafeCell::new(0),
            told: AtomicBool::new(false),
        })
    }

    fn write(&self, value: u64) {
        // SAFETY: see `Sync`.
        self.result.with_mut(|result| unsafe { *result = value });
    }

    fn read(&self) -> u64 {
        // SAFETY: see `Sync`.
        self.result.with(|result| unsafe { *result })
    }
}

fn spawn_waiter(work: &Arc<Work>, ticket: Ticket) -> thread::JoinHandle<Result<u64, Fault>> {
    let work = work.clone();
    thread::spawn(move || work.timeline.wait(ticket).map(|()| work.read()))
}

#[test]
fn a_waiter_wakes_and_sees_the_result() {
    loom::model(|| {
        let work = Work::new();
        let ticket = work.timeline.issue();
        let waiter = spawn_waiter(&work, ticket);
        work.write(7);
        work.timeline.complete(ticket);
        assert_eq!(waiter.join().unwrap(), Ok(7));
    });
}

#[test]
fn two_waiters_both_wake() {
    loom::model(|| {
        let work = Work::new();
        let ticket = work.timeline.issue();
        let waiters = [spawn_waiter(&work, ticket), spawn_waiter(&work, ticket)];
        work.write(7);
        work.timeline.complete(ticket);
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Ok(7));
        }
    });
}

#[test]
fn completers_that_race_wake_the_waiter_once_its_ticket_is_done() {
    loom::model(|| {
        let work = Work::new();
        let (first, second) = (work.timeline.issue(), work.timeline.issue());
        let waiter = spawn_waiter(&work, second);
        let other = {
            let work = work.clone();
            thread::spawn(move || work.timeline.complete(first))
        };
        work.write(7);
        work.timeline.complete(second);
        assert_eq!(waiter.join().unwrap(), Ok(7));
        other.join().unwrap();
        assert_eq!(work.timeline.completed(), second);
    });
}

/// Somebody may wait for whatever was submitted last, with no other word from the owner.
#[test]
fn advance_needs_no_waking_even_of_those_who_look_by_themselves() {
    loom::model(|| {
        let work = Work::new();
        let waiter = {
            let work = work.clone();
            thread::spawn(move || {
                let ticket = work.timeline.submitted();
                work.timeline.wait(ticket).unwrap();
                (ticket.number() == 1).then(|| work.read())
            })
        };
        work.write(7);
        work.timeline.advance();
        let seen = waiter.join().unwrap();
        assert!(seen.is_none_or(|result| result == 7));
    });
}

/// What one thread completed is seen through the owner's later `advance`, though the owner
/// learned only that it was completed and nothing of what was done.
#[test]
fn advance_passes_on_what_others_completed() {
    loom::model(|| {
        let work = Work::new();
        let open = work.timeline.issue();
        let completer = {
            let work = work.clone();
            thread::spawn(move || {
                work.write(7);
                work.timeline.complete(open);
                work.told.store(true, Relaxed);
            })
        };
        let reader = {
            let work = work.clone();
            thread::spawn(move || {
                let done = work.timeline.completed();
                (done.number() == 2).then(|| work.read())
            })
        };
        if work.told.load(Relaxed) {
            work.timeline.advance();
        }
        completer.join().unwrap();
        assert!(reader.join().unwrap().is_none_or(|result| result == 7));
    });
}

#[test]
fn a_fault_wakes_and_the_waiter_reads_it() {
    loom::model(|| {
        let work = Work::new();
        let ticket = work.timeline.issue();
        let waiter = spawn_waiter(&work, ticket);
        work.timeline.fail(Fault::new("lost"));
        assert_eq!(waiter.join().unwrap(), Err(Fault::new("lost")));
    });
}

/// What failed work left behind is no result, though its ticket is completed: who sees that
/// sees the fault.
#[test]
fn no_waiter_takes_failed_work_for_done() {
    loom::model(|| {
        let work = Work::new();
        let ticket = work.timeline.issue();
        let waiter = spawn_waiter(&work, ticket);
        work.timeline.fail(Fault::new("lost"));
        work.timeline.complete(ticket);
        assert_eq!(waiter.join().unwrap(), Err(Fault::new("lost")));
    });
}

#[test]
fn a_task_cancelled_while_it_is_woken_hurts_nobody() {
    loom::model(|| {
        let work = Work::new();
        let ticket = work.timeline.issue();
        let waiter = spawn_waiter(&work, ticket);
        let canceller = {
            let work = work.clone();
            thread::spawn(move || {
                let mut ready = pin!(Ready::new(&work.timeline, ticket));
                let mut context = Context::from_waker(Waker::noop());
                matches!(
                    ready.as_mut().poll(&mut context),
                    Poll::Pending | Poll::Ready(Ok(()))
                )
            })
        };
        work.write(7);
        work.timeline.complete(ticket);
        assert!(canceller.join().unwrap());
        assert_eq!(waiter.join().unwrap(), Ok(7));
    });
}
