//! Events: marks in a stream that other streams, threads and tasks can wait for.

use crate::{error::Result, stream::StreamShared, timeline::Ticket};

/// A mark in a stream: done when all work submitted before it is done.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    stream: &'static StreamShared,
    ticket: Ticket,
}

impl Event {
    pub(crate) fn new(stream: &'static StreamShared, ticket: Ticket) -> Event {
        Event { stream, ticket }
    }

    pub(crate) fn stream(&self) -> &'static StreamShared {
        self.stream
    }

    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Whether it is reached.
    pub fn is_done(&self) -> bool {
        self.stream.is_done(self.ticket)
    }

    /// Blocks until it is reached.
    pub fn wait(&self) -> Result<()> {
        self.stream.wait(self.ticket)
    }

    /// Completes when it is reached.
    pub async fn ready(&self) -> Result<()> {
        self.stream.ready(self.ticket).await
    }
}
