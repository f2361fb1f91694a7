//! The progress of one stream: tickets given out, tickets done, and those who wait.
//!
//! The owner of the stream [issues](Timeline::issue) a [`Ticket`] per submission. Whoever
//! learns that the work is done, the owner, a worker or a driver's callback, calls
//! [`complete`](Timeline::complete). Threads [`wait`](Timeline::wait) and tasks await
//! [`Ready`]. A [`Fault`] stays with the stream and is told to all who wait on it.
//!
//! # Protocol
//!
//! `issued` has one writer, the stream's owner, so issuing is a load and a store. `done` only
//! grows. It is raised with `Release` and read with `Acquire`: who sees a ticket done sees
//! what its work wrote. A ticket is a 64-bit count: at one a nanosecond it lasts 500 years.
//!
//! A fault is recorded before the tickets that it spoils are completed, and a waiter looks at
//! `done` before it looks at `fault`. So who sees such a ticket done sees the fault as well,
//! and nobody takes what failed work left behind for its result.
//!
//! How waiters and completers find each other without losing a wake-up is told in
//! `waiters.rs`: every write that ends a wait, of `done` or of `fault`, is followed by
//! `Waiters::wake`, and every `Waiters::register` by another look.
//!
//! [`advance`](Timeline::advance) needs no fence. It raises `done` first and `issued` after,
//! with `Release`. A ticket becomes known only by its return or through `issued`, and either
//! way its learner sees `done` already there; so nobody can be waiting for it.

use std::{
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    ptr,
    task::{Context, Poll, Wake, Waker},
};

use crate::{
    slots::Lease,
    sync::{
        Spin,
        atomic::{
            AtomicPtr, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
        thread, unpark,
    },
    waiters::Waiters,
};

/// A place in the order of one stream's submissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ticket(u64);

impl Ticket {
    /// Before every submission, and so always done.
    pub const ZERO: Self = Self(0);

    /// The ticket that carries `number`: for those who keep tickets in atomics or send them
    /// through a device.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The ticket's number; a stream's first submission has number 1.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What went wrong on a stream, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    message: std::sync::Arc<str>,
}

impl Fault {
    /// A fault that reads as `message`, which should name the stream.
    pub fn new(message: impl Into<std::sync::Arc<str>>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// The progress of one stream.
#[repr(align(64))]
pub struct Timeline {
    issued: AtomicU64,
    done: AtomicU64,
    fault: AtomicPtr<Fault>,
    waiters: Waiters,
}

impl Timeline {
    /// A timeline on which nothing was issued.
    pub fn new() -> Self {
        Self {
            issued: AtomicU64::new(0),
            done: AtomicU64::new(0),
            fault: AtomicPtr::new(ptr::null_mut()),
            waiters: Waiters::new(),
        }
    }

    /// Issues the next ticket. Only the stream's owner calls this: two threads at once would
    /// get the same ticket.
    #[inline]
    pub fn issue(&self) -> Ticket {
        let ticket = self.issued.load(Relaxed) + 1;
        self.issued.store(ticket, Release);
        Ticket(ticket)
    }

    /// Issues a ticket for work that is done already, as is all that was issued before: what
    /// the CPU's inline path costs is two stores. Only the stream's owner calls this.
    #[inline]
    pub fn advance(&self) -> Ticket {
        let issued = self.issued.load(Relaxed);
        let ticket = Ticket(issued + 1);
        // Acquire: who sees the store below must see what earlier completers wrote.
        if self.done.load(Acquire) == issued {
            // No other thread raises `done` past `issued`, so this is no step back.
            self.done.store(ticket.0, Release);
        } else {
            self.complete(ticket);
        }
        self.issued.store(ticket.0, Release);
        ticket
    }

    /// The last ticket issued.
    #[inline]
    pub fn submitted(&self) -> Ticket {
        Ticket(self.issued.load(Acquire))
    }

    /// The last ticket done.
    #[inline]
    pub fn completed(&self) -> Ticket {
        Ticket(self.done.load(Acquire))
    }

    /// Whether `ticket` and with it all that came before is done.
    #[inline]
    pub fn is_done(&self, ticket: Ticket) -> bool {
        ticket <= self.completed()
    }

    /// Says that `ticket` and all before it is done, and wakes those who waited for that.
    /// Any thread may call it, in any order: progress never goes back.
    pub fn complete(&self, ticket: Ticket) {
        if self.done.fetch_max(ticket.0, Release) < ticket.0 {
            self.waiters.wake(ticket.0);
        }
    }

    /// Records that the stream is broken, and wakes all who wait on it. The first fault stays;
    /// every later wait reports it. Tickets stay open: memory that their work may still touch
    /// is kept until somebody who knows better completes them, after this call.
    pub fn fail(&self, fault: Fault) {
        let fault = Box::into_raw(Box::new(fault));
        if self
            .fault
            .compare_exchange(ptr::null_mut(), fault, AcqRel, Acquire)
            .is_err()
        {
            // SAFETY: the box was made above, and the exchange did not publish it.
            drop(unsafe { Box::from_raw(fault) });
        }
        self.waiters.wake(u64::MAX);
    }

    /// The fault that broke the stream, if one did.
    pub fn fault(&self) -> Option<&Fault> {
        // SAFETY: null, or published once from a box by `fail`; it lives until `self` drops.
        unsafe { self.fault.load(Acquire).as_ref() }
    }

    /// Blocks until `ticket` is done: spins shortly, then parks.
    ///
    /// # Errors
    ///
    /// The stream's fault, even when `ticket` itself was done before it; or a ticket that
    /// this stream never issued, which would never be done.
    pub fn wait(&self, ticket: Ticket) -> Result<(), Fault> {
        let mut spin = Spin::new();
        loop {
            if let Some(outcome) = self.outcome(ticket) {
                return outcome;
            }
            if !spin.turn() {
                break;
            }
        }
        let waker = Waker::from(std::sync::Arc::new(Unpark(thread::current())));
        let mut ready = Ready::new(self, ticket);
        loop {
            match Pin::new(&mut ready).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(outcome) => return outcome,
                Poll::Pending => thread::park(),
            }
        }
    }

    /// What a wait for `ticket` ends with, if it would end now.
    #[inline]
    fn outcome(&self, ticket: Ticket) -> Option<Result<(), Fault>> {
        // Before the fault: see the protocol.
        let done = self.is_done(ticket);
        if let Some(fault) = self.fault() {
            return Some(Err(fault.clone()));
        }
        if done {
            return Some(Ok(()));
        }
        let submitted = self.submitted();
        (ticket > submitted).then(|| {
            let (ticket, last) = (ticket.0, submitted.0);
            Err(Fault::new(format!(
                "ticket {ticket} is not of this stream, whose last is {last}"
            )))
        })
    }
}

impl Default for Timeline {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        let fault = self.fault.load(Relaxed);
        if !fault.is_null() {
            // SAFETY: `fail` published it from a box, and `&mut self` says that none looks.
            drop(unsafe { Box::from_raw(fault) });
        }
    }
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeline")
            .field("submitted", &self.submitted().0)
            .field("completed", &self.completed().0)
            .field("fault", &self.fault())
            .finish_non_exhaustive()
    }
}

/// Wakes a parked thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        unpark(&self.0);
    }
}

/// Completes when a ticket is done, with what [`Timeline::wait`] would return. `T` is any
/// way to hold the timeline: a reference, an `Arc`.
#[must_use = "a future does nothing unless awaited"]
pub struct Ready<T: Deref<Target = Timeline>> {
    timeline: T,
    ticket: Ticket,
    lease: Option<Lease>,
}

impl<T: Deref<Target = Timeline>> Ready<T> {
    /// Waits for `ticket` of `timeline` when awaited.
    pub fn new(timeline: T, ticket: Ticket) -> Self {
        Self {
            timeline,
            ticket,
            lease: None,
        }
    }
}

impl<T: Deref<Target = Timeline> + Unpin> Future for Ready<T> {
    type Output = Result<(), Fault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            timeline,
            ticket,
            lease,
        } = &mut *self;
        let outcome = timeline.outcome(*ticket).or_else(|| {
            timeline.waiters.register(lease, ticket.0, context.waker());
            timeline.outcome(*ticket)
        });
        let Some(outcome) = outcome else {
            return Poll::Pending;
        };
        timeline.waiters.deregister(lease);
        Poll::Ready(outcome)
    }
}

impl<T: Deref<Target = Timeline>> Drop for Ready<T> {
    fn drop(&mut self) {
        self.timeline.waiters.deregister(&mut self.lease);
    }
}

impl<T: Deref<Target = Timeline>> fmt::Debug for Ready<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready")
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}
