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
//! what its work wrote.
//!
//! Waiting is where a wake-up could be lost. The waiter writes its waker and then looks at
//! `done`; the completer writes `done` and then looks for wakers. Each puts a `SeqCst` fence
//! between its write and its look, so at least one of them sees the other: the waiter finds
//! the ticket done, or the completer finds the waker. (`Release` and `Acquire` alone allow
//! both to miss.) `waiting` counts waiters so that a completer with none pays one load for
//! its look; it is raised before the waiter's fence, so the same argument covers it.
//!
//! A waker is a boxed pointer in the waiter's slot, and whoever swaps it out owns it: the
//! completer, to wake it, or the waiter, to replace or remove it. A waiter that gives up
//! takes its waker and frees its slot, and nothing is left behind.
//!
//! [`advance`](Timeline::advance) needs no fence. It raises `done` first and `issued` after,
//! with `Release`. A ticket becomes known only by its return or through `issued`, and either
//! way its learner sees `done` already there; so nobody can be waiting for it.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    ptr,
    task::{Context, Poll, Wake, Waker},
};

use crate::{
    slots::{Lease, Slots},
    sync::{
        atomic::{
            AtomicPtr, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
            fence,
        },
        hint, thread,
    },
};

/// Looks at the ticket before a waiting thread parks: a few microseconds, about what parking
/// and being woken would cost.
const SPINS: usize = if cfg!(loom) { 0 } else { 100 };

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
    waiting: AtomicUsize,
    waiters: Slots<Waiter>,
}

struct Waiter {
    ticket: AtomicU64,
    waker: AtomicPtr<Waker>,
}

impl Timeline {
    /// A timeline on which nothing was issued.
    pub fn new() -> Self {
        Self {
            issued: AtomicU64::new(0),
            done: AtomicU64::new(0),
            fault: AtomicPtr::new(ptr::null_mut()),
            waiting: AtomicUsize::new(0),
            waiters: Slots::new(Slots::<Waiter>::MOST),
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
            self.wake(ticket);
        }
    }

    /// Records that the stream is broken, and wakes all who wait on it. The first fault stays;
    /// every later wait reports it.
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
        self.wake(Ticket(u64::MAX));
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
        for _ in 0..SPINS {
            if let Some(outcome) = self.outcome(ticket) {
                return outcome;
            }
            hint::spin_loop();
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
        if let Some(fault) = self.fault() {
            return Some(Err(fault.clone()));
        }
        if self.is_done(ticket) {
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

    /// Wakes those who wait for tickets up to `ticket`. The caller has just written what
    /// they wait for.
    fn wake(&self, ticket: Ticket) {
        fence(SeqCst);
        if self.waiting.load(Relaxed) == 0 {
            return;
        }
        for (_, waiter) in self.waiters.iter() {
            // Relaxed: the fences order these. A slot that changes hands meanwhile costs at
            // most a needless wake-up, which every waiter allows for.
            if waiter.ticket.load(Relaxed) <= ticket.0
                && let Some(waker) = waiter.swap(None)
            {
                waker.wake();
            }
        }
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

impl Waiter {
    /// Puts `waker` into the slot and returns the one that was there.
    fn swap(&self, waker: Option<Waker>) -> Option<Waker> {
        let new = waker.map_or(ptr::null_mut(), |waker| Box::into_raw(Box::new(waker)));
        if new.is_null() && self.waker.load(Relaxed).is_null() {
            return None;
        }
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

/// Wakes a parked thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
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

    /// Puts `waker` where a completer finds it. `false` when no slot is left.
    fn register(&mut self, waker: &Waker) -> bool {
        let timeline = &*self.timeline;
        if self.lease.is_none() {
            let make = |_| {
                let (ticket, waker) = (AtomicU64::new(0), AtomicPtr::new(ptr::null_mut()));
                Ok::<_, Infallible>(Waiter { ticket, waker })
            };
            let Ok(lease) = timeline.waiters.acquire(make);
            self.lease = lease;
            timeline
                .waiting
                .fetch_add(usize::from(self.lease.is_some()), Relaxed);
        }
        let Some(lease) = &self.lease else {
            return false;
        };
        let waiter = timeline
            .waiters
            .get(lease.index())
            .expect("a leased slot is made");
        waiter.ticket.store(self.ticket.0, Relaxed);
        waiter.swap(Some(waker.clone()));
        true
    }

    fn deregister(&mut self) {
        if let Some(lease) = self.lease.take() {
            let waiters = &self.timeline.waiters;
            waiters
                .get(lease.index())
                .expect("a leased slot is made")
                .swap(None);
            self.timeline.waiting.fetch_sub(1, Relaxed);
            waiters.release(lease);
        }
    }
}

impl<T: Deref<Target = Timeline> + Unpin> Future for Ready<T> {
    type Output = Result<(), Fault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut outcome = self.timeline.outcome(self.ticket);
        if outcome.is_none() {
            if !self.register(context.waker()) {
                context.waker().wake_by_ref();
            }
            fence(SeqCst);
            outcome = self.timeline.outcome(self.ticket);
        }
        match outcome {
            Some(outcome) => {
                self.deregister();
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }
}

impl<T: Deref<Target = Timeline>> Drop for Ready<T> {
    fn drop(&mut self) {
        self.deregister();
    }
}

impl<T: Deref<Target = Timeline>> fmt::Debug for Ready<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready")
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}
