//! What a stream does with a recorded graph.

use super::Stream;
use crate::{
    backend::{BareCalls, Progress},
    buffer::Buffer,
    error::{Error, Result},
    graph::{Calls, Run},
};
use std::sync::Arc;

impl Stream {
    /// Puts the blocks of a replay into the order that costs the device the least.
    pub(crate) fn arrange(&self, graph: &Arc<()>, blocks: &mut [Buffer]) {
        let core = &mut *self.core();
        if core.recorder.is_none() {
            core.queue.arrange(graph, blocks);
        }
    }

    /// Runs the steps of a graph: whole where the device takes it so, else one after the other.
    ///
    /// # Safety
    /// As for [`Stream::submit`], for each step.
    pub(crate) unsafe fn replay(&self, run: &Run<'_>) -> Result<()> {
        // SAFETY: passed on from the caller.
        if unsafe { self.replay_whole(run)? } {
            return Ok(());
        }
        for step in run.steps() {
            // SAFETY: as above.
            unsafe { self.submit(&run.plan(step))? };
        }
        Ok(())
    }

    unsafe fn replay_whole(&self, run: &Run<'_>) -> Result<bool> {
        if self.core().recorder.is_some() || run.steps().is_empty() {
            return Ok(false);
        }
        self.meet_all(run)?;
        let timeline = &self.shared().timeline;
        // SAFETY: passed on from the caller.
        let progress = unsafe { self.core().queue.replay(run, timeline)? };
        if let Some(Progress::Running(ticket)) = progress {
            run.written().for_each(|buffer| buffer.produced_by(ticket));
        }
        Ok(progress.is_some())
    }

    /// The driver's calls for the steps of a graph. What they need is there when they are made.
    ///
    /// # Safety
    /// As for [`Stream::replay`], whenever they are made.
    pub(crate) unsafe fn bare(
        &self,
        run: &Run<'_>,
        calls: Calls,
    ) -> Result<Option<Box<dyn BareCalls>>> {
        self.meet_all(run)?;
        run.given().try_for_each(|buffer| buffer.wait())?;
        // The blocks may be in use by what this stream was given before.
        self.synchronize()?;
        // SAFETY: passed on from the caller.
        unsafe { self.core().queue.bare(run, calls) }
    }

    /// Sees that the stream may use the buffers of a replay so, and orders it behind those who
    /// make them.
    fn meet_all(&self, run: &Run<'_>) -> Result<()> {
        for buffer in run.given() {
            self.check_device(buffer)?;
            self.meet(&mut self.core(), buffer)?;
        }
        for buffer in run.written() {
            if !buffer.is_home(self.shared()) {
                return Err(Error::WrongStream {
                    stream: self.shared().name(),
                });
            }
        }
        Ok(())
    }
}
