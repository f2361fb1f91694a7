//! Turns at something that has one owner and that others may only close.
//!
//! # Protocol
//!
//! `taken` is the turn. The owner takes it for each piece of work, and waits for a stranger who has
//! it, which is as long as a close. A stranger who wants a ticket closed writes it into `wanted` and
//! then tries to take the turn; who ends a turn gives it back and then looks at `wanted`. Between the
//! write and the look there is a `SeqCst` fence on either side, so one of the two sees the other: the
//! stranger finds the turn free, or the one who gives it back finds the ticket. So a ticket that is
//! wanted is closed by the end of the turn that is under way, and nobody waits for the owner to come
//! back. Giving back is `Release` and taking is `Acquire`, so turns see what earlier ones did; `closed`
//! is raised in a turn with `Release`, and who reads a ticket there with `Acquire` comes after its
//! close.

use crate::sync::{
    UnsafeCell,
    atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        fence,
    },
    hint, thread,
};
use std::fmt;

/// What is worked at in turns.
pub trait Close {
    /// Closes what is open, if anything is.
    fn close(&mut self);

    /// The number of the last ticket that is closed.
    fn closed(&self) -> u64;
}

/// Something to work at, one at a time.
pub struct Turn<T> {
    taken: AtomicBool,
    /// The last ticket that somebody wants closed.
    wanted: AtomicU64,
    /// The last ticket that is closed.
    closed: AtomicU64,
    inner: UnsafeCell<T>,
}

// SAFETY: `inner` is touched only by the one who has taken the turn; it passes from thread to thread
// by `Release` and `Acquire` on `taken`.
unsafe impl<T: Send> Sync for Turn<T> {}
// SAFETY: it owns what it holds.
unsafe impl<T: Send> Send for Turn<T> {}

/// Gives the turn back, on unwinding too.
struct Taken<'a, T>(&'a Turn<T>);

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        self.0.taken.store(false, Release);
        fence(SeqCst);
    }
}

impl<T: Close> Turn<T> {
    /// Turns at `inner`, of which nothing is closed.
    pub fn new(inner: T) -> Turn<T> {
        Turn {
            taken: AtomicBool::new(false),
            wanted: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            inner: UnsafeCell::new(inner),
        }
    }

    /// The last ticket that is closed.
    pub fn closed(&self) -> u64 {
        self.closed.load(Acquire)
    }

    /// The owner's turn. `work` must not wait for anybody.
    pub fn work<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut tries = 0;
        let taken = loop {
            if let Some(taken) = self.take() {
                break taken;
            }
            // A stranger closes, which is short; unless he was interrupted.
            pause(&mut tries);
        };
        let result = self.touch(&taken, work);
        drop(taken);
        self.serve();
        result
    }

    /// Sees to it that `ticket`, which was given out, is closed: now, or by whoever has the turn when
    /// it ends. Whether it is closed already.
    pub fn ask(&self, ticket: u64) -> bool {
        if self.closed() < ticket {
            self.wanted.fetch_max(ticket, Relaxed);
            fence(SeqCst);
            self.serve();
        }
        self.closed() >= ticket
    }

    /// Returns when `ticket`, which was given out, is closed: at once, or when the turn that is under
    /// way ends.
    pub fn insist(&self, ticket: u64) {
        let mut tries = 0;
        while !self.ask(ticket) {
            pause(&mut tries);
        }
    }

    /// Closes as long as something is wanted and the turn is free.
    fn serve(&self) {
        while self.wanted.load(Relaxed) > self.closed.load(Relaxed) {
            let Some(taken) = self.take() else {
                return;
            };
            let wanted = self.wanted.load(Relaxed);
            self.touch(&taken, T::close);
            drop(taken);
            if self.closed.load(Relaxed) < wanted {
                // It was never given out: nobody can close it.
                return;
            }
        }
    }

    fn take(&self) -> Option<Taken<'_, T>> {
        let taken = self.taken.compare_exchange(false, true, Acquire, Relaxed);
        taken.ok().map(|_| Taken(self))
    }

    /// Runs `work` in a turn, and notes what it has closed.
    fn touch<R>(&self, _: &Taken<'_, T>, work: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: `Taken` proves that this thread has the turn, and nobody else then touches it.
        self.inner.with_mut(|inner| unsafe {
            let result = work(&mut *inner);
            self.closed.store((*inner).closed(), Release);
            result
        })
    }
}

fn pause(tries: &mut u32) {
    *tries += 1;
    if *tries < 64 && !cfg!(loom) {
        hint::spin_loop();
    } else {
        thread::yield_now();
    }
}

impl<T> fmt::Debug for Turn<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("wanted", &self.wanted)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
