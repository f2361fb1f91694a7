//! A stream's place on the device: its CUDA stream, and the word that says how far it is. The
//! protocol is told in `mod.rs`.

use super::{
    driver::{Driver, Failure, Handle},
    gpu::Gpu,
    marks::Marks,
    pinned::Word,
};
use crate::{
    error::Result,
    timeline::{Fault, Ticket, Timeline},
};
use cudarc::driver::sys::CUstream_st;
use std::{
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

pub(super) struct Lane {
    pub(super) stream: Handle<CUstream_st>,
    word: Word,
    marks: Marks,
    /// The last ticket that the watcher is to see done.
    wanted: AtomicU64,
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
    /// A new lane that reports through `word`. The device's context is current.
    pub(super) fn new(driver: &Driver, word: Word) -> Result<Lane, Failure> {
        Ok(Lane {
            stream: make_stream(driver)?,
            word,
            marks: Marks::new(),
            wanted: AtomicU64::new(0),
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

    /// Tells the timeline what the device has reported.
    pub(super) fn look(&self, timeline: &Timeline) {
        let done = Ticket::from_number(self.word.read());
        if !timeline.is_done(done) {
            timeline.complete(done);
        }
    }

    /// Looks, and has the device report `ticket` if it will not anyway.
    pub(super) fn observe(&self, gpu: &Gpu, timeline: &Timeline, ticket: Ticket) {
        self.look(timeline);
        if !timeline.is_done(ticket) {
            self.mark(gpu, timeline, ticket);
        }
    }

    /// Sees to a mark for `ticket`, or leaves it to who is placing one.
    pub(super) fn mark(&self, gpu: &Gpu, timeline: &Timeline, ticket: Ticket) {
        if timeline.fault().is_some() {
            return;
        }
        let last = || timeline.submitted().number();
        let place = |last| {
            gpu.enter()?;
            gpu.attempt(gpu.mark(self.stream, self.word, last))
        };
        if let Err(error) = self.marks.ensure(ticket.number(), last, place) {
            timeline.fail(Fault::new(error.to_string()));
        }
    }

    /// Asks the watcher to see `ticket` done.
    pub(super) fn want(&self, gpu: &Gpu, ticket: Ticket) {
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

    /// Asks the driver whether the stream is sound.
    pub(super) fn check(&self, gpu: &Gpu) -> Result<()> {
        gpu.enter()?;
        // SAFETY: the stream lives.
        match unsafe { gpu.driver.query_stream(self.stream.0) } {
            Err(failure) if failure.code == Failure::NOT_READY => Ok(()),
            outcome => gpu.attempt(outcome),
        }
    }
}
