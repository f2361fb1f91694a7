//! What every thread may know of a stream, and how one waits for it.

use crate::{
    buffer::Block,
    device::Device,
    error::{Error, Result, StreamName},
    returns::ReturnList,
    sync::Spin,
    timeline::{Fault, Ready, Ticket, Timeline},
};
use std::{fmt, time::Duration};

/// What every thread may know of a stream.
pub struct StreamShared {
    pub(crate) device: Device,
    pub(crate) index: usize,
    pub(crate) timeline: Timeline,
    pub(super) returns: ReturnList<Block>,
}

impl StreamShared {
    pub(super) fn new(device: Device, index: usize) -> StreamShared {
        StreamShared {
            device,
            index,
            timeline: Timeline::new(),
            returns: ReturnList::new(),
        }
    }

    pub(super) fn name(&self) -> StreamName {
        StreamName {
            device: self.device.name().to_owned(),
            index: self.index,
        }
    }

    pub(crate) fn wait(&self, ticket: Ticket) -> Result<()> {
        self.chase(ticket);
        self.timeline
            .wait(ticket)
            .map_err(|fault| self.fault(&fault))
    }

    pub(crate) async fn ready(&self, ticket: Ticket) -> Result<()> {
        if !self.is_done(ticket) {
            self.watch(ticket);
        }
        Ready::new(&self.timeline, ticket)
            .await
            .map_err(|fault| self.fault(&fault))
    }

    /// Whether `ticket` is done, as far as the device has told by now.
    pub(crate) fn is_done(&self, ticket: Ticket) -> bool {
        self.observe(ticket);
        self.timeline.is_done(ticket)
    }

    /// Asks a device that does not call back how far it is, unless `ticket` is known to be done.
    pub(crate) fn observe(&self, ticket: Ticket) {
        if !self.timeline.is_done(ticket) {
            self.device.backend().observe(self, ticket);
        }
    }

    /// Looks for `ticket` at a device that does not call back, first itself and then by leaving
    /// it to the backend. A ticket of work on a device comes soon or much later.
    fn chase(&self, ticket: Ticket) {
        const LONGEST: Duration = Duration::from_micros(60);
        if self.timeline.is_done(ticket) || self.device.caps().synchronous {
            return;
        }
        if ticket <= self.timeline.submitted() {
            self.device.backend().finish(self, ticket);
        }
        let mut spin = Spin::lasting(LONGEST).eager();
        while !self.is_done(ticket) && self.timeline.fault().is_none() {
            if !spin.turn() {
                return self.watch(ticket);
            }
        }
    }

    fn watch(&self, ticket: Ticket) {
        // A ticket that was never issued is never done, and its wait says so.
        if ticket <= self.timeline.submitted() {
            self.device.backend().watch(self, ticket);
        }
    }

    pub(super) fn fault(&self, fault: &Fault) -> Error {
        Error::Fault {
            stream: self.name(),
            message: fault.to_string(),
        }
    }
}

impl fmt::Debug for StreamShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())
    }
}
