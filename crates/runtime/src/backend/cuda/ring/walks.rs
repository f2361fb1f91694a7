//! The programs of one stream's graphs, on the device.

use super::{Small, executor::Ready, program::Program};
use crate::{
    backend::cuda::{gpu::Gpu, lane::Lane},
    error::Result,
    graph::{Run, Slot},
    resident::COSTS,
    ring::Frame,
};
use cudarc::driver::sys::CUdeviceptr;
use std::{
    ptr,
    sync::{Arc, Weak},
};

/// Graphs that a stream knows at once.
const MOST: usize = 32;

/// The graphs that a stream has replayed.
pub(in crate::backend::cuda) struct Walks(Vec<Known>);

struct Known {
    /// The graph's identity. Held, so that no other graph gets the same address.
    of: Weak<()>,
    /// None where its steps are not small, or not resident.
    program: Option<Held>,
}

/// A program on the device.
struct Held {
    address: CUdeviceptr,
    words: u32,
    steps: u32,
    blocks: u16,
    memory: Vec<Slot>,
    /// Whether the driver would take longer.
    quicker: bool,
}

impl Walks {
    pub(in crate::backend::cuda) fn new() -> Walks {
        Walks(Vec::new())
    }

    /// The graph of `run` as the ring takes it, under `ticket`; nothing when it does not, when its
    /// program is only now on its way to the device, or, if `choosy`, when the driver is quicker.
    pub(in crate::backend::cuda) fn small<'a>(
        &mut self,
        gpu: &Gpu,
        lane: &Lane,
        ready: &'a Ready,
        run: &Run<'_>,
        ticket: u64,
        choosy: bool,
    ) -> Result<Option<Small<'a>>> {
        let of = run.identity();
        let is_it = |known: &&Known| ptr::eq(known.of.as_ptr(), Arc::as_ptr(of));
        let Some(known) = self.0.iter().find(is_it) else {
            self.learn(gpu, lane, ready, run)?;
            return Ok(None);
        };
        let program = known.program.as_ref();
        let frame = program.filter(|program| program.quicker || !choosy);
        let frame = frame.and_then(|program| {
            let place = |&slot: &Slot| run.buffer(slot).memory().handle as u64;
            let memory = program.memory.iter().map(place);
            let Held {
                address,
                words,
                steps,
                blocks,
                ..
            } = *program;
            Frame::walk(ticket, address, [words, steps], blocks, memory)
        });
        Ok(frame.map(|frame| Small { ready, frame }))
    }

    #[cold]
    fn learn(&mut self, gpu: &Gpu, lane: &Lane, ready: &Ready, run: &Run<'_>) -> Result<()> {
        let gone = |known: &Known| known.of.strong_count() == 0;
        if self.0.len() == MOST && !self.0.iter().any(gone) {
            self.forget(gpu, lane, 0)?;
        }
        while let Some(index) = self.0.iter().position(gone) {
            self.forget(gpu, lane, index)?;
        }
        let program = Program::new(run, |source| ready.entry(source), ready.in_place());
        let program = match program {
            Some(program) => Held::new(gpu, lane, program)?,
            None => None,
        };
        self.0.push(Known {
            of: Arc::downgrade(run.identity()),
            program,
        });
        Ok(())
    }

    fn forget(&mut self, gpu: &Gpu, lane: &Lane, index: usize) -> Result<()> {
        let known = self.0.remove(index);
        let Some(Held { address, .. }) = known.program else {
            return Ok(());
        };
        gpu.enter()?;
        lane.opens();
        // SAFETY: `Held::new` made it on this lane; whoever walks it is joined first.
        let freed = lane
            .join(gpu)
            .and_then(|()| unsafe { gpu.driver.free(address, lane.stream.0) });
        gpu.attempt(freed)
    }
}

impl Held {
    /// Takes a program to the device, in the order of the lane; nothing when there is no room.
    fn new(gpu: &Gpu, lane: &Lane, program: Program) -> Result<Option<Held>> {
        let Program {
            words,
            steps,
            meetings,
            calls,
            blocks,
            memory,
        } = program;
        let bytes = size_of_val(&words[..]);
        let Some(address) = gpu.allocate(lane, bytes)? else {
            return Ok(None);
        };
        // SAFETY: fresh memory of that size. Of memory that is not pinned the driver has a copy
        // when it returns.
        let copied = unsafe {
            gpu.driver
                .upload(address, words.as_ptr().cast(), bytes, lane.stream.0)
        };
        gpu.attempt(copied)?;
        Ok(Some(Held {
            address,
            words: words.len() as u32,
            steps,
            blocks,
            memory,
            quicker: COSTS.prefer_walk(steps as usize, meetings, calls),
        }))
    }
}
