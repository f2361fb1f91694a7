//! A stream's way into the device.

use super::{encoder::Encoder, gpu::Gpu, memory::Memory, track::Track};
use crate::{
    backend::{Progress, Queue},
    buffer::RawMemory,
    encode::{Load, Trouble},
    error::{Error, Result, StreamName},
    hazard::Use,
    plan::{Binding, Body, ForeignFn, Plan},
    stream::StreamShared,
    timeline::{Fault, Ticket, Timeline},
};
use smallvec::SmallVec;
use std::ptr;

pub(super) struct MetalQueue {
    pub(super) gpu: &'static Gpu,
    pub(super) track: &'static Track,
}

impl MetalQueue {
    fn broken(&self, fault: &Fault) -> Error {
        Error::Fault {
            stream: StreamName {
                device: self.gpu.name.clone(),
                index: self.track.index,
            },
            message: fault.to_string(),
        }
    }
}

impl MetalQueue {
    /// Has `dispatch` put the plan into the stream's open buffer, or into one that is its `alone`.
    fn encode(
        &self,
        plan: &Plan<'_>,
        timeline: &'static Timeline,
        alone: bool,
        dispatch: impl FnOnce(&mut Encoder),
    ) -> Result<Ticket> {
        let (gpu, track) = (self.gpu, self.track);
        let uses: SmallVec<[Use; 6]> = plan.bindings.iter().map(use_of).collect();
        let load = Load {
            uses: &uses,
            bytes: plan.cost.bytes,
            alone,
        };
        let crowded = || gpu.make_room();
        let submitted = track
            .lane
            .submit(timeline, &gpu.room, load, crowded, dispatch);
        let ticket = submitted.map_err(|trouble| match trouble {
            Trouble::Open(error) => error,
            Trouble::Fault(fault) => self.broken(&fault),
        })?;
        for binding in &plan.bindings {
            // SAFETY: memory of this device, which the plan's buffer keeps.
            let memory = unsafe { Memory::of(binding.buffer.memory()) };
            memory.used_by(track.index, ticket);
        }
        Ok(ticket)
    }

    /// Lets another library encode the plan. Where it will not, its buffer stays empty.
    ///
    /// # Safety
    /// As for [`Stream::submit`](crate::Stream::submit); the function is the plan's.
    unsafe fn call(
        &self,
        plan: &Plan<'_>,
        timeline: &'static Timeline,
        function: ForeignFn,
    ) -> Result<Ticket> {
        let mut outcome = Ok(());
        let ticket = self.encode(plan, timeline, true, |encoder| {
            // SAFETY: passed on from the caller.
            outcome = unsafe { encoder.call(plan, function) };
        })?;
        let refused = |message| Error::Driver {
            device: self.gpu.name.clone(),
            call: plan.kernel.name,
            message,
        };
        outcome.map(|()| ticket).map_err(refused)
    }
}

/// The bytes that a plan may touch through a binding.
fn use_of(binding: &Binding<'_>) -> Use {
    let memory = binding.buffer.memory();
    Use {
        buffer: memory.handle as u64,
        start: binding.offset as u64,
        end: memory.bytes as u64,
        access: binding.access,
    }
}

impl Queue for MetalQueue {
    unsafe fn submit(&mut self, plan: &Plan<'_>, timeline: &'static Timeline) -> Result<Progress> {
        let gpu = self.gpu;
        gpu.check()?;
        self.track.serve(timeline);
        let ticket = match plan.kernel.body {
            Body::Source(source) => {
                // Before the turn: it may compile.
                let pipeline = gpu.kernels.find(gpu, source)?;
                let groups = pipeline.groups(gpu, plan)?;
                if groups == 0 {
                    return Ok(Progress::Done);
                }
                self.encode(plan, timeline, false, |encoder| {
                    // SAFETY: passed on from the caller; the pipeline was found by the plan's source.
                    unsafe { encoder.dispatch(pipeline, plan, groups) };
                })?
            }
            // SAFETY: passed on from the caller.
            Body::Foreign(function) => unsafe { self.call(plan, timeline, function)? },
            Body::Native(_) => {
                return Err(Error::NoKernel {
                    device: gpu.name.clone(),
                    kernel: plan.kernel.name,
                });
            }
        };
        Ok(Progress::Running(ticket))
    }

    fn wait_for(&mut self, producer: &'static StreamShared, ticket: Ticket) -> Result<()> {
        let (gpu, track) = (self.gpu, self.track);
        let Some(other) = gpu.track(producer.index) else {
            return Ok(());
        };
        other.observe(gpu, &producer.timeline, ticket);
        if !producer.timeline.is_done(ticket) {
            track.lane.wait_for(&other.lane, producer.index, ticket);
        }
        Ok(())
    }

    unsafe fn upload(
        &mut self,
        memory: RawMemory,
        bytes: &[u8],
        timeline: &'static Timeline,
    ) -> Result<Progress> {
        self.track.serve(timeline);
        // SAFETY: memory of this device, which the caller keeps.
        let shared = unsafe { Memory::of(memory) };
        if let Some(ticket) = shared.in_use(timeline) {
            let finished = self.track.finish(self.gpu, timeline, ticket);
            finished.map_err(|fault| self.broken(&fault))?;
        }
        // SAFETY: the caller vouches for the length; no work uses the memory any more.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), memory.host, bytes.len()) };
        Ok(Progress::Done)
    }
}
