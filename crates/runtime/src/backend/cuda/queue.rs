//! A stream's way into the device.

use super::{
    driver::{Failure, Handle},
    gpu::Gpu,
    lane::Lane,
    pinned::Pinned,
};
use crate::{
    backend::{Progress, Queue},
    buffer::RawMemory,
    error::{Error, Result},
    plan::{Body, Plan},
    stream::StreamShared,
    sync::Spin,
    timeline::{Ticket, Timeline},
};
use cudarc::driver::sys::{CUdeviceptr, CUevent_st};
use smallvec::SmallVec;
use std::{ffi::c_void, ptr};

/// Submissions from one of the owner's marks to the next.
const MARK_EVERY: u64 = 64;
/// Bytes that an upload moves at once.
const PART: usize = 256 << 10;
/// Parts that can be under way.
const PARTS: usize = 8;

pub(super) struct CudaQueue {
    gpu: &'static Gpu,
    lane: &'static Lane,
    /// Recorded on other lanes that this one waits for.
    event: Handle<CUevent_st>,
    /// Made when something is first uploaded.
    staging: Option<Staging>,
}

/// Pinned memory that uploads go through.
struct Staging {
    parts: Pinned,
    next: usize,
    /// The ticket of each part's last copy.
    busy: [Ticket; PARTS],
}

impl CudaQueue {
    pub(super) fn new(gpu: &'static Gpu, lane: &'static Lane) -> Result<CudaQueue> {
        const DISABLE_TIMING: u32 = 2;
        let mut event = ptr::null_mut();
        gpu.enter()?;
        // SAFETY: writes one handle, which is kept for good.
        gpu.attempt(unsafe { gpu.driver.make_event(&raw mut event, DISABLE_TIMING) })?;
        Ok(CudaQueue {
            gpu,
            lane,
            event: Handle(event),
            staging: None,
        })
    }

    /// The ticket of what was just enqueued.
    fn issue(&self, timeline: &Timeline) -> Ticket {
        let ticket = timeline.issue();
        if ticket.number().is_multiple_of(MARK_EVERY) {
            self.lane.mark(self.gpu, timeline, ticket);
        }
        ticket
    }

    /// Blocks until `ticket` of this stream is done.
    fn finish(&self, timeline: &Timeline, ticket: Ticket) -> Result<()> {
        let mut spin = Spin::new();
        loop {
            self.lane.observe(self.gpu, timeline, ticket);
            if timeline.is_done(ticket) {
                return Ok(());
            }
            if let Some(fault) = timeline.fault() {
                return Err(Error::Driver {
                    device: self.gpu.identity.name.clone(),
                    call: "an earlier call on this stream",
                    message: fault.to_string(),
                });
            }
            if !spin.turn() {
                self.gpu.enter()?;
                // SAFETY: the stream lives.
                let finished = unsafe { self.gpu.driver.finish_stream(self.lane.stream.0) };
                self.gpu.attempt(finished)?;
            }
        }
    }

    /// # Safety
    /// As for [`Stream::submit`](crate::Stream::submit).
    unsafe fn launch(&self, plan: &Plan<'_>) -> Result<()> {
        let Body::Source(source) = plan.kernel.body else {
            return Err(Error::NoKernel {
                device: self.gpu.identity.name.clone(),
                kernel: plan.kernel.name,
            });
        };
        let function = self.gpu.kernels.find(self.gpu, source)?;
        let groups = function.groups(self.gpu, plan)?;
        if groups == 0 {
            return Ok(());
        }
        let address = |memory: RawMemory, offset: usize| (memory.handle + offset) as CUdeviceptr;
        let mut addresses: SmallVec<[CUdeviceptr; 8]> = plan
            .bindings
            .iter()
            .map(|binding| address(binding.buffer.memory(), binding.offset))
            .collect();
        let mut arguments: SmallVec<[*mut c_void; 9]> = addresses
            .iter_mut()
            .map(|address| ptr::from_mut(address).cast())
            .collect();
        // The driver only reads: the struct's bytes go to the kernel by value.
        arguments.push(plan.params.bytes().as_ptr().cast_mut().cast());
        let (lanes, scratch) = (plan.grid.lanes, plan.scratch as u32);
        let (function, stream) = (function.handle.0, self.lane.stream.0);
        let (arguments, none) = (arguments.as_mut_ptr(), ptr::null_mut());
        // SAFETY: the caller vouches that bindings and parameters are the kernel's, in its order,
        // as `dialect/cuda.h` has them; the driver copies them before it returns.
        let launched = unsafe {
            let driver = self.gpu.driver;
            driver.launch(
                function, groups, 1, 1, lanes, 1, 1, scratch, stream, arguments, none,
            )
        };
        self.gpu.attempt(launched)
    }
}

impl Queue for CudaQueue {
    unsafe fn submit(&mut self, plan: &Plan<'_>, timeline: &'static Timeline) -> Result<Progress> {
        self.gpu.enter()?;
        self.lane.serve(timeline);
        // SAFETY: passed on from the caller.
        unsafe { self.launch(plan)? };
        Ok(Progress::Running(self.issue(timeline)))
    }

    fn wait_for(&mut self, producer: &'static StreamShared, ticket: Ticket) -> Result<()> {
        let Some(other) = self.gpu.lane(producer.index) else {
            return Ok(());
        };
        other.look(&producer.timeline);
        if producer.timeline.is_done(ticket) {
            return Ok(());
        }
        self.gpu.enter()?;
        // SAFETY: both streams and the event live, and are of this context.
        let ordered = unsafe {
            let driver = self.gpu.driver;
            let recorded = driver.record_event(self.event.0, other.stream.0);
            recorded.and_then(|()| driver.await_event(self.lane.stream.0, self.event.0, 0))
        };
        self.gpu.attempt(ordered)
    }

    unsafe fn upload(
        &mut self,
        memory: RawMemory,
        bytes: &[u8],
        timeline: &'static Timeline,
    ) -> Result<Progress> {
        self.gpu.enter()?;
        self.lane.serve(timeline);
        let mut staging = match self.staging.take() {
            Some(staging) => staging,
            None => self.gpu.attempt(Staging::new(self.gpu))?,
        };
        let mut progress = Progress::Done;
        for (index, part) in bytes.chunks(PART).enumerate() {
            let slot = staging.next;
            self.finish(timeline, staging.busy[slot])?;
            let from = staging.parts.part(slot, PART);
            let to = (memory.handle + index * PART) as CUdeviceptr;
            // SAFETY: no copy reads the part any more, so it is free to fill; the caller vouches
            // for the memory.
            let copied = unsafe {
                ptr::copy_nonoverlapping(part.as_ptr(), from, part.len());
                let stream = self.lane.stream.0;
                self.gpu.driver.upload(to, from.cast(), part.len(), stream)
            };
            self.gpu.attempt(copied)?;
            let ticket = self.issue(timeline);
            staging.busy[slot] = ticket;
            staging.next = (slot + 1) % PARTS;
            progress = Progress::Running(ticket);
        }
        self.staging = Some(staging);
        Ok(progress)
    }
}

impl Staging {
    fn new(gpu: &Gpu) -> Result<Staging, Failure> {
        Ok(Staging {
            parts: Pinned::new(gpu.driver, PARTS * PART)?,
            next: 0,
            busy: [Ticket::ZERO; PARTS],
        })
    }
}
