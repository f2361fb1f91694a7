//! Those who wait on a [`Timeline`](crate::timeline::Timeline): wakers that are found
//! without a lock and leave nothing behind.
//!
//! # Protocol
//!
//! Waiting is where a wake-up could be lost. The waiter writes its waker and then looks
//! whether its ticket is done; the completer writes that it is done and then looks for
//! wakers. [`register`](Waiters::register) and [`wake`](Waiters::wake) each put a `SeqCst`
//! fence between the write and the look, so at least one of the two sees the other: the
//! waiter finds its ticket done, or the completer finds the waker. (`Release` and `Acquire`
//! alone allow both to miss.) All that a completer reads after its fence, `waiting`, the slot
//! and its ticket, the waiter wrote before its own; so relaxed accesses will do.
//!
//! `waiting` counts the waiters, so a completer that has none pays one load for its look.
//!
//! A waker is a boxed pointer in its waiter's slot, and whoever swaps it out owns it: the
//! completer, to wake it, or the waiter, to replace or remove it. The swaps are `AcqRel`:
//! the box is passed on whole. A slot may pass to another waiter while a completer looks at
//! it; that wakes somebody too early, which every waiter must allow for.
//!
//! A waker is somebody else's code and may panic. Nothing here is half done when it runs: it
//! has left its slot already, and its panic ends where it was called, so that those behind it
//! in the slots wake too and the completer goes on.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    task::Waker,
};

use crate::{
    slots::{Lease, Slots},
    sync::atomic::{
        AtomicPtr, AtomicU64, AtomicUsize,
        Ordering::{AcqRel, Relaxed, SeqCst},
        fence,
    },
};

/// The waiters of one timeline.
pub(crate) struct Waiters {
    waiting: AtomicUsize,
    slots: Slots<Waiter>,
}

struct Waiter {
    ticket: AtomicU64,
    waker: AtomicPtr<Waker>,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            slots: Slots::new(Slots::<Waiter>::MOST),
        }
    }

    /// Puts `waker` where the completer of `ticket` finds it, into the slot of `lease` or a
    /// new one. The caller must look at its ticket once more after this. With every slot
    /// taken, by millions of others, the waker is woken at once instead: the task polls.
    pub(crate) fn register(&self, lease: &mut Option<Lease>, ticket: u64, waker: &Waker) {
        if lease.is_none() {
            let Ok(new) = self.slots.acquire(|_| Ok::<_, Infallible>(Waiter::new()));
            *lease = new;
            self.waiting
                .fetch_add(usize::from(lease.is_some()), Relaxed);
        }
        match lease {
            Some(lease) => {
                let waiter = self.waiter(lease);
                waiter.ticket.store(ticket, Relaxed);
                waiter.swap(Some(waker.clone()));
            }
            None => waker.wake_by_ref(),
        }
        fence(SeqCst);
    }

    /// Takes the waker out again, if there is one, and gives the slot back.
    pub(crate) fn deregister(&self, lease: &mut Option<Lease>) {
        if let Some(lease) = lease.take() {
            self.waiter(&lease).swap(None);
            self.waiting.fetch_sub(1, Relaxed);
            self.slots.release(lease);
        }
    }

    /// Wakes those who wait for tickets up to `ticket`. The caller has just written that
    /// these are done.
    #[inline]
    pub(crate) fn wake(&self, ticket: u64) {
        fence(SeqCst);
        if self.waiting.load(Relaxed) != 0 {
            self.wake_found(ticket);
        }
    }

    #[cold]
    fn wake_found(&self, ticket: u64) {
        for (_, waiter) in self.slots.iter() {
            if waiter.ticket.load(Relaxed) <= ticket
                && let Some(waker) = waiter.swap(None)
            {
                // The panic's own message has been shown; its payload is leaked, since dropping
                // that could panic again.
                let woken = catch_unwind(AssertUnwindSafe(|| waker.wake()));
                woken.unwrap_or_else(std::mem::forget);
            }
        }
    }

    fn waiter(&self, lease: &Lease) -> &Waiter {
        self.slots
            .get(lease.index())
            .expect("a leased slot is made")
    }
}

impl Waiter {
    fn new() -> Self {
        Self {
            ticket: AtomicU64::new(0),
            waker: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Puts `waker` into the slot and returns the one that was there.
    fn swap(&self, waker: Option<Waker>) -> Option<Waker> {
        if waker.is_none() && self.waker.load(Relaxed).is_null() {
            return None;
        }
        let new = waker.map_or(ptr::null_mut(), |waker| Box::into_raw(Box::new(waker)));
        let old = self.waker.swap(new, AcqRel);
        // SAFETY: every pointer in the slot came from a box here, and a swap hands each to
        // one thread only.
        (!old.is_null()).then(|| *unsafe { Box::from_raw(old) })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.swap(None);
    }
}
