//! The CPU's worker threads: one job at a time, shared by its caller and some helpers.
//!
//! A job is a count of units and a closure that does a range of them. Caller and helpers
//! claim ranges until none is left, large ranges first. What a unit computes must not depend
//! on which range it came in or on who did it; then the split does not show in the result.
//!
//! # Protocol
//!
//! `busy` makes a caller the only one that publishes jobs. A caller that finds it set does
//! its units alone, at once; so does a unit that asks for helpers of its own.
//!
//! Each helper has a seat with one word:
//!
//! ```text
//!            caller: invite                helper: accept
//! IDLE, PARKED ────────────▶ INVITED ────────────────────▶ WORKING ──┐ helper: leave
//!   ▲  helper: nothing to do    │ caller: take it back      │        │
//!   ├───────────────────────────┘        caller: must wait  ▼        │
//!   └───────────────────────────────────────────────── AWAITED ◀─────┘
//! ```
//!
//! Every step that two may try is an exchange, so each has one winner. A helper that is slow
//! to wake finds its invitation taken back; a caller never waits for a helper that has not
//! begun. It does wait for each that has, and only then returns: that is why helpers may
//! use a closure on its stack.
//!
//! Orderings: the invitation is `Release` and its acceptance `Acquire`, so the helper sees the
//! job. Leaving is `Release` and the caller's look at it `Acquire`, so the caller sees what
//! the units wrote, and the next job is written after the helper's last look at this one.
//! `busy` passes the job from caller to caller the same way. The claims themselves are
//! relaxed: they only share out numbers. Nothing needs a total order: whoever parks first
//! announces it by an exchange in the word that its waker exchanges, so no wake-up is lost.
//!
//! What a unit throws is caught where the unit was called, on the helper or the caller, so no
//! thread leaves a job early. A fork copies these words and none of the helpers: in the child an
//! invitation is never accepted and is taken back, or `busy` stays set if a job was under way.
//! Either way the child works alone.

use std::{
    any::Any,
    fmt, mem,
    num::NonZeroUsize,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::OnceLock,
};

use crate::sync::{
    Arc, Spin, UnsafeCell,
    atomic::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    thread, unpark,
};

const IDLE: u32 = 0;
const PARKED: u32 = 1;
const INVITED: u32 = 2;
const WORKING: u32 = 3;
const AWAITED: u32 = 4;
const CLOSED: u32 = 5;

/// Does a range of units as the worker of the given index, which is below the job's width.
pub type Work<'a> = dyn Fn(Range<usize>, usize) + Sync + 'a;

/// A unit of work panicked. The rest of its job was abandoned, nothing else was harmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a unit of work panicked: {message}")]
pub struct UnitPanicked {
    /// What the panic said.
    pub message: String,
}

/// `WOOTZ_THREADS` does not hold a number of threads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("WOOTZ_THREADS is {value:?}, which is no number from 1 on")]
pub struct BadThreads {
    value: String,
}

/// How many threads share a job: `WOOTZ_THREADS` if that is set, or else what affinity and
/// cgroups leave to this process.
///
/// # Errors
///
/// When `WOOTZ_THREADS` is set to anything but a number from 1 on.
pub fn threads() -> Result<NonZeroUsize, BadThreads> {
    match std::env::var_os("WOOTZ_THREADS") {
        Some(value) => parse_threads(&value.to_string_lossy()),
        None => Ok(available()),
    }
}

fn parse_threads(value: &str) -> Result<NonZeroUsize, BadThreads> {
    value.trim().parse().map_err(|_| BadThreads {
        value: value.to_owned(),
    })
}

fn available() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// A caller's helpers. Their threads are made when first needed and end with the crew.
pub struct Crew {
    deck: Arc<Deck>,
}

/// What the caller and its helpers share.
struct Deck {
    busy: AtomicBool,
    job: UnsafeCell<Option<Job>>,
    /// The first unit that nobody has claimed.
    next: Padded<AtomicUsize>,
    /// The message of the first unit that panicked.
    panic: AtomicPtr<String>,
    seats: Box<[Padded<Seat>]>,
}

/// Keeps what different threads write out of each other's cache lines (pairs of lines, since
/// x86 fetches them in pairs).
#[repr(align(128))]
struct Padded<T>(T);

struct Seat {
    state: AtomicU32,
    /// Made and joined by whoever holds `busy`, or has the crew for itself.
    thread: UnsafeCell<Option<thread::JoinHandle<()>>>,
}

struct Job {
    work: &'static Work<'static>,
    units: usize,
    width: usize,
    caller: thread::Thread,
}

// SAFETY: `job` is written by the holder of `busy` while no helper works, and read only by
// those whom it invited, after they accepted. `thread` is touched by the holder of `busy` and
// by `Crew::drop`. Everything else is atomic, and a message goes to the one who swaps it out.
unsafe impl Sync for Deck {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl Send for Deck {}

impl Crew {
    /// A crew in which up to `threads` share a job, the caller included.
    pub fn new(threads: NonZeroUsize) -> Self {
        let seat = || Seat {
            state: AtomicU32::new(IDLE),
            thread: UnsafeCell::new(None),
        };
        let deck = Deck {
            busy: AtomicBool::new(false),
            job: UnsafeCell::new(None),
            next: Padded(AtomicUsize::new(0)),
            panic: AtomicPtr::new(ptr::null_mut()),
            seats: (1..threads.get()).map(|_| Padded(seat())).collect(),
        };
        Self {
            deck: Arc::new(deck),
        }
    }

    /// The crew of the process, of [`threads`] threads; a bad `WOOTZ_THREADS` counts as unset.
    pub fn global() -> &'static Self {
        static CREW: OnceLock<Crew> = OnceLock::new();
        CREW.get_or_init(|| Self::new(threads().unwrap_or_else(|_| available())))
    }

    /// How many threads can share a job, the caller included.
    pub fn width(&self) -> usize {
        self.deck.seats.len() + 1
    }

    /// Does the units `0..units` with `work`, on this thread and on up to `width - 1` helpers,
    /// and returns when all are done. If the helpers are busy with another job, this thread
    /// does all units alone. Allocates nothing once the helpers' threads are made.
    ///
    /// # Errors
    ///
    /// When a unit panicked. Units that nobody had begun are then not done.
    pub fn run(&self, units: usize, width: usize, work: &Work<'_>) -> Result<(), UnitPanicked> {
        let deck = &*self.deck;
        let helpers = width.min(units).min(self.width()).saturating_sub(1);
        if helpers == 0 || deck.busy.swap(true, Acquire) {
            return alone(units, work);
        }
        let helpers = self.hire(helpers);
        // SAFETY: only the lifetime changes, and the reference is used by nobody after
        // `dismiss` below: not by this thread, and not by helpers, who have left by then.
        let work = unsafe { mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        let job = Job {
            work,
            units,
            width: helpers + 1,
            caller: thread::current(),
        };
        // SAFETY: `busy` makes this thread the only publisher, and no helper works.
        deck.job.with_mut(|slot| unsafe { *slot = Some(job) });
        deck.next.0.store(0, Relaxed);
        let seats = &deck.seats[..helpers];
        seats.iter().for_each(|seat| seat.0.invite());
        deck.labour(0);
        seats.iter().for_each(|seat| seat.0.dismiss());
        // SAFETY: as above; all helpers have left.
        deck.job.with_mut(|slot| unsafe { *slot = None });
        let panicked = deck.panic.swap(ptr::null_mut(), Acquire);
        deck.busy.store(false, Release);
        if panicked.is_null() {
            return Ok(());
        }
        // SAFETY: a worker leaked it from a box, and the swap gave it to this thread.
        let message = *unsafe { Box::from_raw(panicked) };
        Err(UnitPanicked { message })
    }

    /// Makes the threads of the first `helpers` seats; says how many there are. The caller
    /// holds `busy`.
    fn hire(&self, helpers: usize) -> usize {
        let hired = |worker: usize| {
            let deck = Arc::clone(&self.deck);
            // SAFETY: the caller holds `busy`.
            self.deck.seats[worker - 1]
                .0
                .thread
                .with_mut(|thread| unsafe {
                    if (*thread).is_none() {
                        let name = format!("wootz-{worker}");
                        *thread = thread::Builder::new()
                            .name(name)
                            .spawn(move || deck.serve(worker))
                            .ok();
                    }
                    (*thread).is_some()
                })
        };
        (1..=helpers).take_while(|&worker| hired(worker)).count()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for seat in &self.deck.seats {
            // SAFETY: `&mut self`, so no job runs and none will.
            let Some(thread) = seat.0.thread.with_mut(|thread| unsafe { (*thread).take() }) else {
                continue;
            };
            seat.0.state.swap(CLOSED, AcqRel);
            unpark(thread.thread());
            // A helper catches what its units throw, so it has no panic to pass on.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew")
            .field("width", &self.width())
            .finish_non_exhaustive()
    }
}

/// Does all units on this thread.
pub(crate) fn alone(units: usize, work: &Work<'_>) -> Result<(), UnitPanicked> {
    if units == 0 {
        return Ok(());
    }
    catch_unwind(AssertUnwindSafe(|| work(0..units, 0))).map_err(|panic| UnitPanicked {
        message: message(panic),
    })
}

/// What a panic said. A payload that is no text is leaked: dropping it could panic again.
fn message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            mem::forget(panic);
            text.unwrap_or_else(|| "no message".to_owned())
        }
    }
}

impl Deck {
    /// A helper's life.
    fn serve(&self, worker: usize) {
        let seat = &self.seats[worker - 1].0;
        while seat.accept() {
            self.labour(worker);
            let caller = |job: *const Option<Job>| {
                // SAFETY: the caller cannot finish and change the job before `leave` says so.
                let job = unsafe { &*job };
                job.as_ref().map(|job| job.caller.clone())
            };
            seat.leave(|| self.job.with(caller));
        }
    }

    /// Does units of the published job until none is left. The thread is the job's caller, or
    /// a helper that has accepted and not left.
    fn labour(&self, worker: usize) {
        self.job.with(|job| {
            // SAFETY: see above; the job stays as it is until all such threads are through.
            let Some(job) = (unsafe { &*job }) else {
                return;
            };
            while let Some(range) = self.claim(job) {
                let unit = AssertUnwindSafe(|| (job.work)(range, worker));
                if let Err(panic) = catch_unwind(unit) {
                    self.next.0.store(job.units, Relaxed);
                    self.report(message(panic));
                }
            }
        });
    }

    /// A share of what is left: large while much is left, so that claims are few, and single
    /// units at the end, so that all finish together.
    fn claim(&self, job: &Job) -> Option<Range<usize>> {
        let next = &self.next.0;
        let mut start = next.load(Relaxed);
        while start < job.units {
            let end = start + ((job.units - start) / (2 * job.width)).max(1);
            match next.compare_exchange_weak(start, end, Relaxed, Relaxed) {
                Ok(_) => return Some(start..end),
                Err(now) => start = now,
            }
        }
        None
    }

    fn report(&self, message: String) {
        let message = Box::into_raw(Box::new(message));
        if self
            .panic
            .compare_exchange(ptr::null_mut(), message, Release, Relaxed)
            .is_err()
        {
            // SAFETY: the box was made above, and the exchange did not publish it.
            drop(unsafe { Box::from_raw(message) });
        }
    }
}

impl Seat {
    /// Caller: asks the helper to join, waking it if it sleeps.
    fn invite(&self) {
        if self.state.swap(INVITED, Release) == PARKED {
            // SAFETY: the caller holds `busy`; a parked helper has a thread.
            self.thread.with(|thread| unsafe {
                if let Some(thread) = &*thread {
                    unpark(thread.thread());
                }
            });
        }
    }

    /// Helper: waits for an invitation and accepts it; `false` when the crew is closed.
    fn accept(&self) -> bool {
        let mut spin = Spin::new();
        loop {
            match self.state.load(Relaxed) {
                INVITED => {
                    let won = self
                        .state
                        .compare_exchange(INVITED, WORKING, Acquire, Relaxed);
                    if won.is_ok() {
                        return true;
                    }
                }
                CLOSED => return false,
                PARKED => thread::park(),
                _ if spin.turn() => {}
                _ => {
                    // If this fails, the caller has just come: the next look tells.
                    let _ = self.state.compare_exchange(IDLE, PARKED, Relaxed, Relaxed);
                }
            }
        }
    }

    /// Helper: has no more to do with the job; wakes the caller if that waits for it.
    fn leave(&self, caller: impl FnOnce() -> Option<thread::Thread>) {
        if self
            .state
            .compare_exchange(WORKING, IDLE, Release, Relaxed)
            .is_err()
        {
            let caller = caller();
            self.state.store(IDLE, Release);
            if let Some(caller) = caller {
                unpark(&caller);
            }
        }
    }

    /// Caller: takes the invitation back, or waits until the helper has left. However the wait
    /// goes, its last look is the one that acquires what the helper did.
    fn dismiss(&self) {
        if self
            .state
            .compare_exchange(INVITED, IDLE, Relaxed, Relaxed)
            .is_ok()
        {
            return;
        }
        let mut spin = Spin::new();
        while self.state.load(Relaxed) == WORKING {
            if !spin.turn() {
                let _ = self
                    .state
                    .compare_exchange(WORKING, AWAITED, Relaxed, Relaxed);
                break;
            }
        }
        while self.state.load(Acquire) == AWAITED {
            thread::park();
        }
    }
}
