//! The null device: records what it is given and runs nothing. Tests look at its log, and complete
//! its tickets in the order they please.

use super::{Backend, Progress, Queue, host};
use crate::{
    buffer::RawMemory,
    caps::{Caps, Family},
    device::Device,
    error::Result,
    plan::{Access, Grid, Plan},
    stream::StreamShared,
    timeline::{Fault, Ticket, Timeline},
};
use std::{ptr, sync::Arc};

#[expect(
    clippy::disallowed_types,
    reason = "the log of a device for tests, on nobody's fast path"
)]
type Shared<T> = Arc<std::sync::Mutex<T>>;

/// What a null device did, and the power to say what is done.
#[derive(Debug, Clone, Default)]
pub struct Null {
    log: Shared<Vec<Entry>>,
    running: Shared<Vec<Running>>,
}

/// One thing that a null device was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A plan was submitted.
    Plan {
        /// The stream.
        stream: usize,
        /// The ticket, counted from 1 on each stream.
        ticket: u64,
        /// The plan as data.
        plan: PlanRecord,
    },
    /// A stream was made to wait for another.
    Wait {
        /// The stream that waits.
        stream: usize,
        /// The stream it waits for.
        producer: usize,
        /// The ticket it waits for.
        ticket: u64,
    },
    /// Bytes were copied to the device.
    Upload {
        /// The stream.
        stream: usize,
        /// How many.
        bytes: usize,
    },
}

/// A plan as data of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRecord {
    /// The kernel's name.
    pub kernel: &'static str,
    /// The extent.
    pub grid: Grid,
    /// Scratch bytes.
    pub scratch: usize,
    /// The parameter bytes.
    pub params: Vec<u8>,
    /// Each binding's memory, byte offset and use.
    pub bindings: Vec<(RawMemory, usize, Access)>,
}

impl PlanRecord {
    /// The plan's data.
    pub fn of(plan: &Plan<'_>) -> PlanRecord {
        let bindings = plan.bindings.iter();
        PlanRecord {
            kernel: plan.kernel.name,
            grid: plan.grid,
            scratch: plan.scratch,
            params: plan.params.bytes().to_vec(),
            bindings: bindings
                .map(|b| (b.buffer.memory(), b.offset, b.access))
                .collect(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Running {
    stream: usize,
    ticket: Ticket,
    timeline: &'static Timeline,
}

impl Null {
    /// A new null device that can hold `memory` bytes, and its controls. Plans stay running until
    /// [`Null::complete`], or are done at once when `synchronous`.
    pub fn device(memory: usize, synchronous: bool) -> (Device, Null) {
        let null = Null::default();
        let caps = Caps {
            family: Family::Null,
            product: "null".to_owned(),
            cores: 1,
            level: String::new(),
            memory,
            scratch: 32 << 10,
            cluster: 1,
            host_visible: true,
            synchronous,
            subnormals: true,
            max_streams: 1024,
        };
        let backend = NullBackend {
            caps,
            null: null.clone(),
        };
        (Device::register("null", Box::new(backend)), null)
    }

    /// Takes the log.
    pub fn take_log(&self) -> Vec<Entry> {
        std::mem::take(&mut *lock(&self.log))
    }

    /// Completes all running plans of `stream`.
    pub fn complete(&self, stream: usize) {
        self.finish(stream, |timeline, ticket| timeline.complete(ticket));
    }

    /// Fails the running plans of `stream`.
    pub fn fail(&self, stream: usize, message: &str) {
        self.finish(stream, |timeline, ticket| {
            timeline.fail(Fault::new(message));
            timeline.complete(ticket);
        });
    }

    fn finish(&self, stream: usize, how: impl Fn(&'static Timeline, Ticket)) {
        let all = std::mem::take(&mut *lock(&self.running));
        let (done, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|r| r.stream == stream);
        lock(&self.running).extend(rest);
        for running in done {
            how(running.timeline, running.ticket);
        }
    }

    fn note(&self, entry: Entry) {
        lock(&self.log).push(entry);
    }
}

fn lock<T>(shared: &Shared<T>) -> std::sync::MutexGuard<'_, T> {
    shared
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct NullBackend {
    caps: Caps,
    null: Null,
}

impl Backend for NullBackend {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn queue(&self, stream: usize) -> Result<Box<dyn Queue>> {
        let synchronous = self.caps.synchronous;
        Ok(Box::new(NullQueue {
            stream,
            synchronous,
            null: self.null.clone(),
        }))
    }

    fn allocate(&self, _stream: usize, bytes: usize) -> Result<Option<RawMemory>> {
        Ok(host::allocate(bytes, Some(0)))
    }

    unsafe fn free(&self, _stream: usize, memory: RawMemory) {
        // SAFETY: passed on from the caller.
        unsafe { host::free(memory) };
    }
}

struct NullQueue {
    stream: usize,
    synchronous: bool,
    null: Null,
}

impl Queue for NullQueue {
    unsafe fn submit(&mut self, plan: &Plan<'_>, timeline: &'static Timeline) -> Result<Progress> {
        let (stream, plan) = (self.stream, PlanRecord::of(plan));
        let ticket = if self.synchronous {
            timeline.advance()
        } else {
            timeline.issue()
        };
        self.null.note(Entry::Plan {
            stream,
            ticket: ticket.number(),
            plan,
        });
        if self.synchronous {
            return Ok(Progress::Done);
        }
        lock(&self.null.running).push(Running {
            stream,
            ticket,
            timeline,
        });
        Ok(Progress::Running(ticket))
    }

    fn wait_for(&mut self, producer: &'static StreamShared, ticket: Ticket) -> Result<()> {
        let (stream, producer) = (self.stream, producer.index);
        self.null.note(Entry::Wait {
            stream,
            producer,
            ticket: ticket.number(),
        });
        Ok(())
    }

    unsafe fn upload(
        &mut self,
        memory: RawMemory,
        bytes: &[u8],
        _timeline: &'static Timeline,
    ) -> Result<Progress> {
        self.null.note(Entry::Upload {
            stream: self.stream,
            bytes: bytes.len(),
        });
        // SAFETY: passed on from the caller; the null device's memory is host memory.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), memory.host, bytes.len()) };
        Ok(Progress::Done)
    }
}
