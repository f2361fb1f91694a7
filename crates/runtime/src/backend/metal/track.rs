//! A stream's place on the device.

use super::{encoder::Encoder, gpu::Gpu};
use crate::{
    encode::{Lane, Limits},
    error::Result,
    sync::Spin,
    timeline::{Fault, Ticket, Timeline},
};
use objc2::{rc::Retained, runtime::ProtocolObject};
use objc2_metal::{MTLDevice, MTLSharedEvent};
use std::{
    sync::{
        OnceLock,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Acquire, Release},
            fence,
        },
    },
    time::Duration,
};

pub(super) struct Track {
    pub(super) index: usize,
    pub(super) lane: Lane<Encoder>,
    /// Its value is the last ticket done; other streams wait for it on the device.
    pub(super) event: Retained<ProtocolObject<dyn MTLSharedEvent>>,
    /// The last ticket whose buffer ended well.
    sound: AtomicU64,
    /// Known from the first submission on.
    timeline: OnceLock<&'static Timeline>,
}

impl Track {
    pub(super) fn new(gpu: &'static Gpu, index: usize) -> Result<Track> {
        let event = gpu.device.newSharedEvent();
        let event = event.ok_or_else(|| gpu.refused("newSharedEvent", "no event"))?;
        let encoder = Encoder::new(gpu, index, event.clone())?;
        Ok(Track {
            index,
            lane: Lane::new(encoder, Limits::USUAL),
            event,
            sound: AtomicU64::new(0),
            timeline: OnceLock::new(),
        })
    }

    /// Names the timeline that this track's event is about.
    pub(super) fn serve(&self, timeline: &'static Timeline) {
        self.timeline.get_or_init(|| timeline);
    }

    pub(super) fn timeline(&self) -> Option<&'static Timeline> {
        self.timeline.get().copied()
    }

    /// Sees to it that `ticket` is committed, and tells the timeline how far the device is.
    pub(super) fn observe(&self, gpu: &Gpu, timeline: &Timeline, ticket: Ticket) {
        self.lane.flush(ticket);
        let done = Ticket::from_number(self.event.signaledValue());
        // Of how Metal reads the value nothing is told. What stood behind it, the results on the
        // device, and the fault when it was raised by hand, is looked at after it.
        fence(Acquire);
        if !gpu.faulted() && !timeline.is_done(done) {
            timeline.complete(done);
        }
    }

    /// Blocks until `ticket`, which was issued, is done.
    pub(super) fn finish(
        &self,
        gpu: &Gpu,
        timeline: &Timeline,
        ticket: Ticket,
    ) -> Result<(), Fault> {
        let mut spin = Spin::lasting(Duration::from_micros(60)).eager();
        loop {
            self.observe(gpu, timeline, ticket);
            if timeline.is_done(ticket) || !spin.turn() {
                return timeline.wait(ticket);
            }
        }
    }

    /// Notes that the buffer of `ticket` ended well.
    pub(super) fn ended_well(&self, ticket: Ticket) {
        self.sound.fetch_max(ticket.number(), AcqRel);
    }

    /// The stream's fault, if it spoils what `ticket` stands for.
    pub(super) fn fault_of(&self, ticket: Ticket) -> Option<&'static Fault> {
        let fault = self.timeline()?.fault()?;
        (ticket.number() > self.sound.load(Acquire)).then_some(fault)
    }

    /// Lets those who wait for this stream on the device go on.
    pub(super) fn raise(&self) {
        let committed = self.lane.committed().number();
        // The fault comes first, for those who look at the event without being told of it.
        fence(Release);
        if self.event.signaledValue() < committed {
            self.event.setSignaledValue(committed);
        }
    }
}
