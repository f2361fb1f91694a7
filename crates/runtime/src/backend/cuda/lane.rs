//! A stream's place on the device: its CUDA stream, and the words that say how far it is. The
//! protocol is told in `mod.rs`, and that of the ring in `ring/README.md`.

use super::{
    driver::{Driver, Failure, Handle},
    gpu::Gpu,
    marks::Marks,
    pinned::{Pinned, Word},
};
use crate::{
    error::Result,
    ring::{has_come, is_dead},
    sync::Spin,
    timeline::{Fault, Ticket, Timeline},
};
use cudarc::driver::sys::CUstream_st;
use std::{
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Nanoseconds of work that is not expected to be done soon.
const NEVER: u64 = u64::MAX;

pub(super) struct Lane {
    pub(super) index: usize,
    pub(super) stream: Handle<CUstream_st>,
    /// The last ticket done that a mark tells of.
    word: Word,
    /// The last ticket done that the ring's executor tells of.
    pub(super) rung_word: Word,
    /// What that executor says of itself.
    pub(super) say: Word,
    marks: Marks,
    /// The last ticket whose work is in the CUDA stream. The owner writes it.
    launched: AtomicU64,
    /// The last ticket that the driver was seen to have done.
    finished: AtomicU64,
    /// Nanoseconds that the work in the CUDA stream is expected to take, since that was last seen
    /// empty. The owner writes it.
    expected: AtomicU64,
    /// The last ticket whose work is in the ring. The owner writes it.
    rung: AtomicU64,
    /// The last ticket of the ring that the CUDA stream waits for. The owner's.
    joined: AtomicU64,
    /// Whether the CUDA stream was given something after the work of its last ticket. The owner's.
    open: AtomicBool,
    /// The ring's last executor: its seat, plus one, and above that its epoch.
    executor: AtomicU64,
    /// The last ticket that the watcher is to see done.
    wanted: AtomicU64,
    /// How often somebody looked in vain.
    looks: AtomicU64,
    /// Known from the first submission on.
    timeline: OnceLock<&'static Timeline>,
}

/// A CUDA stream that no other stream orders itself with unasked.
pub(super) fn make_stream(driver: &Driver) -> Result<Handle<CUstream_st>, Failure> {
    const NON_BLOCKING: u32 = 1;
    let mut stream = ptr::null_mut();
    // SAFETY: writes one handle, which is kept for good.
    unsafe { driver.make_stream(&raw mut stream, NON_BLOCKING)? };
    Ok(Handle(stream))
}

impl Lane {
    /// Lane `index`, with its line of `words`. The device's context is current.
    pub(super) fn new(driver: &Driver, words: &Pinned, index: usize) -> Result<Lane, Failure> {
        let word = |place| words.word_at(index, place);
        Ok(Lane {
            index,
            stream: make_stream(driver)?,
            word: word(0),
            rung_word: word(1),
            say: word(2),
            marks: Marks::new(),
            launched: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            rung: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            open: AtomicBool::new(false),
            executor: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            looks: AtomicU64::new(0),
            timeline: OnceLock::new(),
        })
    }

    /// Names the timeline that this lane's word is about.
    pub(super) fn serve(&self, timeline: &'static Timeline) {
        self.timeline.get_or_init(|| timeline);
    }

    pub(super) fn timeline(&self) -> Option<&'static Timeline> {
        self.timeline.get().copied()
    }

    /// The last ticket that is known to be done.
    pub(super) fn done(&self) -> Ticket {
        // Each way tells only of tickets up to which both are done.
        let told = self.word.read().max(self.rung_word.read());
        Ticket::from_number(told.max(self.finished.load(Ordering::Acquire)))
    }

    /// Tells the timeline what the device has reported.
    pub(super) fn look(&self, timeline: &Timeline) {
        let done = self.done();
        if !timeline.is_done(done) {
            timeline.complete(done);
        }
    }

    /// Looks, and has the device report `ticket` if it will not anyway.
    pub(super) fn observe(&self, gpu: &Gpu, timeline: &Timeline, ticket: Ticket) {
        /// Looks in vain from one time that the watcher is asked to the next.
        const ASK: u64 = 4096;
        self.look(timeline);
        if !timeline.is_done(ticket) {
            self.mark(gpu, timeline, ticket);
            // Who only looks hears of a lost mark so.
            if self.looks.fetch_add(1, Ordering::Relaxed) % ASK == ASK - 1 {
                self.want(gpu, timeline, ticket);
            }
        }
    }

    /// Waits for `ticket`, for a while, if its work is in the CUDA stream: by looking for a mark, or,
    /// in a crowd and when it is expected soon, in the driver. `mod.rs` tells why.
    pub(super) fn finish(&self, gpu: &Gpu, timeline: &Timeline, ticket: Ticket) {
        /// So many others are a crowd. On an H200 with softmaxes of 64×1024, each waited for, at 8
        /// threads the driver wins by 11%, and by 40% behind a graph; for one or two it is the marks,
        /// by little.
        const CROWD: usize = 2;
        const SOON: u64 = 200_000;
        const LONGEST: Duration = Duration::from_micros(60);
        let launched = self.launched();
        self.look(timeline);
        let is_open = || !timeline.is_done(ticket) && timeline.fault().is_none();
        if ticket.number() > launched || !is_open() {
            return;
        }
        let crowd = gpu.waiting.enter();
        if crowd.others() >= CROWD && self.expected.load(Ordering::Relaxed) <= SOON {
            return self.finish_in_driver(gpu, timeline, launched);
        }
        let mut spin = Spin::lasting(LONGEST).eager();
        while is_open() && spin.turn() {
            self.observe(gpu, timeline, ticket);
        }
    }

    /// Notes that the driver has done all up to `launched`. The ring's work up to there is done too:
    /// the CUDA stream waited for it (`join`).
    fn is_finished(&self, launched: u64) {
        self.finished.fetch_max(launched, Ordering::Release);
    }

    /// Has the driver wait. `launched` was the last ticket in the CUDA stream before.
    pub(super) fn finish_in_driver(&self, gpu: &Gpu, timeline: &Timeline, launched: u64) {
        let finish = || {
            gpu.enter()?;
            // SAFETY: the stream lives.
            gpu.attempt(unsafe { gpu.driver.finish_stream(self.stream.0) })
        };
        match finish() {
            Ok(()) => {
                self.is_finished(launched);
                timeline.complete(Ticket::from_number(launched));
            }
            Err(error) => timeline.fail(Fault::new(error.to_string())),
        }
    }

    /// Sees to a mark for `ticket`, or leaves it to who is placing one.
    pub(super) fn mark(&self, gpu: &Gpu, timeline: &Timeline, ticket: Ticket) {
        // Of what is in the ring its executor tells.
        if timeline.fault().is_some() || ticket.number() > self.launched() {
            return;
        }
        let last = || self.launched();
        let place = |last| {
            gpu.enter()?;
            gpu.attempt(gpu.mark(self.stream, self.word, last))
        };
        if let Err(error) = self.marks.ensure(ticket.number(), last, place) {
            timeline.fail(Fault::new(error.to_string()));
        }
    }

    /// Asks the watcher to see `ticket` done. Where there is none, as in a forked child, the timeline
    /// gets the fault.
    pub(super) fn want(&self, gpu: &Gpu, timeline: &Timeline, ticket: Ticket) {
        if let Err(error) = gpu.enter() {
            return timeline.fail(Fault::new(error.to_string()));
        }
        // Release: the watcher that sees the ticket sees its submission.
        self.wanted.fetch_max(ticket.number(), Ordering::Release);
        gpu.wake_watcher();
    }

    /// The ticket that somebody waits for, if it is not known to be done.
    pub(super) fn wanted(&self) -> Option<(&'static Timeline, Ticket)> {
        let timeline = self.timeline()?;
        let wanted = Ticket::from_number(self.wanted.load(Ordering::Acquire));
        let open = !timeline.is_done(wanted) && timeline.fault().is_none();
        open.then_some((timeline, wanted))
    }

    /// Asks the driver whether the stream is sound, and the executor of its ring. What the driver
    /// knows to be done is done from then on, whatever the word says (`mod.rs`).
    pub(super) fn check(&self, gpu: &Gpu) -> Result<()> {
        gpu.enter()?;
        let launched = self.launched();
        // SAFETY: the stream lives.
        match unsafe { gpu.driver.query_stream(self.stream.0) } {
            Err(failure) if failure.code == Failure::NOT_READY => {}
            outcome => {
                gpu.attempt(outcome)?;
                self.is_finished(launched);
            }
        }
        self.check_executor(gpu)
    }

    /// An executor never ends with work open. One that does all the same is found here, and not
    /// waited for.
    fn check_executor(&self, gpu: &Gpu) -> Result<()> {
        let is_running = || match self.seat() {
            Some(seat) => gpu.attempt(gpu.executor.is_running(gpu, seat)),
            None => Ok(false),
        };
        if is_dead(|| self.rung(), is_running, || self.rung_word.read())? {
            // What waits on the device is let go, and has wrong results.
            return Err(gpu.give_up(&format!(
                "the executor of stream {} ended with work open",
                self.index
            )));
        }
        Ok(())
    }

    /// The last ticket whose work is in the CUDA stream.
    pub(super) fn launched(&self) -> u64 {
        self.launched.load(Ordering::Acquire)
    }

    /// Notes that the CUDA stream is given work of so many nanoseconds. The owner calls it, before
    /// `launches`.
    pub(super) fn expects(&self, nanos: u64) {
        let before = match self.is_empty() {
            true => 0,
            false => self.expected.load(Ordering::Relaxed),
        };
        let nanos = before.saturating_add(nanos);
        self.expected.store(nanos, Ordering::Relaxed);
    }

    /// Notes that the CUDA stream is made to wait for another lane's.
    pub(super) fn expects_all_of(&self, other: &Lane) {
        self.expects(other.expected.load(Ordering::Relaxed));
    }

    /// Notes that the work of `ticket` is in the CUDA stream.
    pub(super) fn launches(&self, ticket: Ticket) {
        self.open.store(false, Ordering::Relaxed);
        self.launched.store(ticket.number(), Ordering::Release);
    }

    /// The last ticket whose work is in the ring.
    pub(super) fn rung(&self) -> u64 {
        self.rung.load(Ordering::Acquire)
    }

    /// A number that changes as the ring goes on, while work is open in it.
    pub(super) fn progress(&self) -> Option<u64> {
        let (rung, done) = (self.rung(), self.done().number());
        (rung > done).then(|| done ^ self.say.read().rotate_left(32))
    }

    /// Ends what waits for the ring in CUDA streams. Nothing else is done on this device.
    pub(super) fn let_go(&self) {
        self.rung_word.write(self.rung());
    }

    /// Notes that the work of `ticket` is in the ring.
    pub(super) fn rang(&self, ticket: Ticket) {
        self.rung.store(ticket.number(), Ordering::Release);
    }

    /// The seat of the ring's last executor.
    pub(super) fn seat(&self) -> Option<usize> {
        let seat = self.executor.load(Ordering::Relaxed) & u64::from(u32::MAX);
        (seat as usize).checked_sub(1)
    }

    /// Notes the ring's next executor.
    pub(super) fn sit(&self, seat: usize, epoch: u32) {
        let executor = u64::from(epoch) << 32 | (seat as u64 + 1);
        self.executor.store(executor, Ordering::Relaxed);
    }

    /// Whether the executor that does what is in the ring has come. Who knows a ticket of the ring
    /// asks, and so sees the executor that was started for it, or a later one.
    pub(super) fn has_executor(&self) -> bool {
        let epoch = self.executor.load(Ordering::Relaxed) >> 32;
        has_come(self.say.read(), epoch as u32)
    }

    /// Notes that the CUDA stream is given something that no ticket stands for yet.
    pub(super) fn opens(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// Whether the CUDA stream is known to have done all that it was given. The owner asks.
    pub(super) fn is_empty(&self) -> bool {
        let done = || self.word.read().max(self.finished.load(Ordering::Acquire));
        !self.open.load(Ordering::Relaxed) && done() >= self.launched()
    }

    /// Makes what the CUDA stream is given next come after the ring's work. The owner calls it,
    /// with the device's context current.
    pub(super) fn join(&self, gpu: &Gpu) -> Result<(), Failure> {
        let last = self.rung();
        if last > self.joined.load(Ordering::Relaxed) {
            if self.rung_word.read() < last {
                self.await_ring(gpu, self, last)?;
            }
            self.joined.store(last, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Makes what the CUDA stream is given next wait for a ticket in a lane's ring.
    pub(super) fn await_ring(&self, gpu: &Gpu, of: &Lane, ticket: u64) -> Result<(), Failure> {
        const AT_LEAST: u32 = 0;
        self.opens();
        // Somebody must look after the executor while this is waited for: no driver would.
        self.expected.store(NEVER, Ordering::Relaxed);
        // SAFETY: the stream and the word live.
        unsafe {
            gpu.driver
                .await_value(self.stream.0, of.rung_word.address, ticket, AT_LEAST)
        }
    }
}
