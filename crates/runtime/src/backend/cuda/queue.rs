//! A stream's way into the device.

use super::{
    bare::Alone,
    driver::{Failure, Handle},
    gpu::Gpu,
    graph::{Graphs, is_foreign},
    lane::Lane,
    launch::{Launch, addresses, expected},
    pinned::Pinned,
    ring::{Ready, Ring, Small, Walks, small},
};
use crate::{
    backend::{BareCalls, Progress, Queue},
    buffer::{Buffer, RawMemory},
    error::{Error, Result},
    graph::{Calls, Run},
    plan::{Body, ForeignCall, ForeignFn, Place, Plan},
    resident::Submission,
    stream::StreamShared,
    sync::Spin,
    timeline::{Ticket, Timeline},
};
use cudarc::driver::sys::{CUdeviceptr, CUevent_st};
use smallvec::SmallVec;
use std::{ptr, sync::Arc, thread, time::Duration};

/// Submissions from one of the owner's marks to the next.
const MARK_EVERY: u64 = 64;
/// The pause between looks at a ring that is full.
const PAUSE: Duration = Duration::from_micros(20);
/// Bytes that an upload moves at once.
const PART: usize = 256 << 10;
/// What an upload is expected to reach.
const BYTES_PER_NANOSECOND: u64 = 10;
/// Parts that can be under way.
const PARTS: usize = 8;

pub(super) struct CudaQueue {
    gpu: &'static Gpu,
    lane: &'static Lane,
    /// Recorded on other lanes that this one waits for.
    event: Handle<CUevent_st>,
    /// Other lanes, and tickets in their rings that the next work, whichever way it goes, must wait
    /// for.
    awaited: SmallVec<[(&'static Lane, u64); 2]>,
    /// Made when something is first uploaded.
    staging: Option<Staging>,
    /// Made when a plan first takes that way.
    ring: Option<Box<Ring>>,
    graphs: Graphs,
    walks: Walks,
}

/// How a plan took the ring.
enum Sent {
    /// It must be launched.
    Not,
    /// It is in the ring.
    Rung(Ticket),
    /// It has its ticket, but no executor will do it: it must be launched.
    Failed(Ticket),
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
            awaited: SmallVec::new(),
            staging: None,
            ring: None,
            graphs: Graphs::new(),
            walks: Walks::new(),
        })
    }

    /// Makes the CUDA stream's next work come after all that this stream was given.
    fn enter_stream(&mut self) -> Result<()> {
        self.gpu.enter()?;
        self.gpu.attempt(self.lane.join(self.gpu))?;
        while let Some((other, ticket)) = self.awaited.last().copied() {
            let awaited = self.lane.await_ring(self.gpu, other, ticket);
            self.gpu.attempt(awaited)?;
            self.awaited.pop();
        }
        Ok(())
    }

    /// The ticket of what was just enqueued.
    fn issue(&self, timeline: &Timeline) -> Ticket {
        let ticket = timeline.issue();
        self.enqueued(timeline, ticket);
        ticket
    }

    /// Notes that the work of `ticket` was just enqueued.
    fn enqueued(&self, timeline: &Timeline, ticket: Ticket) {
        self.lane.launches(ticket);
        if ticket.number().is_multiple_of(MARK_EVERY) {
            self.lane.mark(self.gpu, timeline, ticket);
        }
    }

    /// Sends a plan through the ring, if it may go that way. It may while the CUDA stream is empty,
    /// so that no executor ever waits for that (`ring/README.md` tells why), and when it waits for
    /// one other ring at most, whose executor is there.
    fn send(&mut self, plan: &Plan<'_>, timeline: &'static Timeline) -> Result<Sent> {
        let next = timeline.submitted().number() + 1;
        match self.executor().and_then(|ready| small(ready, plan, next)) {
            Some(small) => self.ring(small, timeline),
            None => Ok(Sent::Not),
        }
    }

    /// Sends a graph through the ring, if it may go that way whole.
    fn send_whole(&mut self, run: &Run<'_>, timeline: &'static Timeline) -> Result<Sent> {
        let Some(ready) = self.executor() else {
            return Ok(Sent::Not);
        };
        let next = timeline.submitted().number() + 1;
        let choosy = self.gpu.executor.way() == Submission::Auto;
        let walks = &mut self.walks;
        match walks.small(self.gpu, self.lane, ready, run, next, choosy)? {
            Some(small) => self.ring(small, timeline),
            None => Ok(Sent::Not),
        }
    }

    /// The executor, if what comes next may go through the ring.
    fn executor(&self) -> Option<&'static Ready> {
        let ready = self.gpu.executor.ready(self.gpu)?;
        let may_wait = match self.awaited[..] {
            [] => true,
            [(other, _)] => other.has_executor(),
            _ => false,
        };
        let may = may_wait && self.lane.is_empty() && !self.gpu.is_gone();
        may.then_some(ready)
    }

    fn ring(&mut self, mut small: Small<'_>, timeline: &'static Timeline) -> Result<Sent> {
        let (gpu, lane) = (self.gpu, self.lane);
        loop {
            match Ring::attend(&mut self.ring, gpu, lane, &small) {
                None => return Ok(Sent::Not),
                Some(Ticket::ZERO) => break,
                Some(blocked) => self.finish(timeline, blocked)?,
            }
        }
        let Some(ring) = &mut self.ring else {
            return Ok(Sent::Not);
        };
        if let Some((other, ticket)) = self.awaited.last() {
            small.wait(other.rung_word.address, *ticket);
        }
        Ok(match ring.push(gpu, lane, &small, timeline) {
            (ticket, true) => {
                self.awaited.clear();
                Sent::Rung(ticket)
            }
            // The launch waits instead.
            (ticket, false) => Sent::Failed(ticket),
        })
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
            if spin.turn() {
                continue;
            }
            let launched = self.lane.launched();
            if ticket.number() > launched {
                self.lane.check(self.gpu)?;
                thread::sleep(PAUSE);
                continue;
            }
            self.lane.finish_in_driver(self.gpu, timeline, launched);
        }
    }

    /// # Safety
    /// As for [`Stream::submit`](crate::Stream::submit).
    unsafe fn launch(&self, plan: &Plan<'_>) -> Result<()> {
        if let Body::Foreign(function) = plan.kernel.body {
            // SAFETY: passed on from the caller.
            return unsafe { self.call(plan, function) };
        }
        let (gpu, stream) = (self.gpu, self.lane.stream);
        let Some(launch) = Launch::of(gpu, plan.kernel, plan.grid, plan.scratch)? else {
            return Ok(());
        };
        self.lane.expects(expected(plan.cost));
        // SAFETY: passed on from the caller.
        gpu.attempt(unsafe {
            launch.launch(gpu, stream, addresses(plan), &plan.maps, &plan.params)
        })
    }

    /// Lets another library enqueue the work of a plan.
    ///
    /// # Safety
    /// As for [`Stream::submit`](crate::Stream::submit).
    unsafe fn call(&self, plan: &Plan<'_>, function: ForeignFn) -> Result<()> {
        let place = |address: CUdeviceptr| Place {
            memory: address as *mut _,
            offset: 0,
        };
        let places: SmallVec<[Place; 8]> = addresses(plan).map(place).collect();
        let call = ForeignCall {
            params: plan.params.bytes(),
            places: &places,
            stream: self.lane.stream.0.cast(),
        };
        // SAFETY: the caller vouches that bindings and parameters are the function's; the context
        // is current, since the stream was entered.
        unsafe { function(&call) }.map_err(|message| Error::Driver {
            device: self.gpu.identity.name.clone(),
            call: plan.kernel.name,
            message,
        })
    }
}

impl Queue for CudaQueue {
    unsafe fn submit(&mut self, plan: &Plan<'_>, timeline: &'static Timeline) -> Result<Progress> {
        self.lane.serve(timeline);
        let sent = self.send(plan, timeline)?;
        if let Sent::Rung(ticket) = sent {
            return Ok(Progress::Running(ticket));
        }
        let launched = self.enter_stream().and_then(|()| {
            // SAFETY: passed on from the caller.
            unsafe { self.launch(plan) }
        });
        if let Sent::Failed(ticket) = sent {
            // Given out already, and so this way's to complete, whatever came of the launch.
            self.enqueued(timeline, ticket);
            return launched.map(|()| Progress::Running(ticket));
        }
        launched.map(|()| Progress::Running(self.issue(timeline)))
    }

    fn arrange(&mut self, graph: &Arc<()>, blocks: &mut [Buffer]) {
        self.graphs.arrange(graph, blocks);
    }

    unsafe fn replay(
        &mut self,
        run: &Run<'_>,
        timeline: &'static Timeline,
    ) -> Result<Option<Progress>> {
        self.lane.serve(timeline);
        let failed = match self.send_whole(run, timeline)? {
            Sent::Rung(ticket) => return Ok(Some(Progress::Running(ticket))),
            Sent::Not if !self.gpu.executor.way().takes_graphs() => return Ok(None),
            Sent::Not => None,
            Sent::Failed(ticket) => Some(ticket),
        };
        let costs = run.steps().iter().map(|step| expected(step.cost));
        self.lane.expects(costs.sum());
        let launched = self.enter_stream().and_then(|()| {
            // SAFETY: passed on from the caller.
            unsafe { self.graphs.launch(self.gpu, self.lane.stream, run) }
        });
        let Some(ticket) = failed else {
            return Ok(launched?.then(|| Progress::Running(self.issue(timeline))));
        };
        let launched = launched.and_then(|launched| {
            let mut left = run.steps().iter().filter(|_| !launched);
            // SAFETY: as above.
            left.try_for_each(|step| unsafe { self.launch(&run.plan(step)) })
        });
        // Given out already, and so this way's to complete, whatever came of the launch.
        self.enqueued(timeline, ticket);
        launched.map(|()| Some(Progress::Running(ticket)))
    }

    unsafe fn bare(&mut self, run: &Run<'_>, calls: Calls) -> Result<Option<Box<dyn BareCalls>>> {
        if is_foreign(run) {
            return Ok(None);
        }
        self.gpu.enter()?;
        // Memory of the run may still be on its way from the pool, in the order of this stream.
        // SAFETY: the stream lives.
        let finished = unsafe { self.gpu.driver.finish_stream(self.lane.stream.0) };
        self.gpu.attempt(finished)?;
        // SAFETY: passed on from the caller.
        let alone = unsafe { Alone::new(self.gpu, run, calls)? };
        Ok(Some(Box::new(alone)))
    }

    fn wait_for(&mut self, producer: &'static StreamShared, ticket: Ticket) -> Result<()> {
        let Some(other) = self.gpu.lane(producer.index) else {
            return Ok(());
        };
        other.look(&producer.timeline);
        if producer.timeline.is_done(ticket) {
            return Ok(());
        }
        if ticket.number() > other.launched() {
            // It is in the other's ring, whose word says when it is done.
            self.awaited.push((other, ticket.number()));
            return Ok(());
        }
        self.gpu.enter()?;
        self.lane.expects_all_of(other);
        self.lane.opens();
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
        self.lane.serve(timeline);
        self.enter_stream()?;
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
            self.lane.expects(part.len() as u64 / BYTES_PER_NANOSECOND);
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
