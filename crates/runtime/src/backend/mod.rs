//! Backends: the small trait between streams and what runs the work. A backend never hears an
//! op's name; it gets plans.

pub mod cpu;
#[cfg(all(not(loom), any(target_os = "linux", windows)))]
mod cuda;
#[cfg(feature = "emulated")]
pub mod emulated;
mod host;
#[cfg(all(not(loom), target_os = "macos"))]
mod metal;
pub mod null;

use crate::{
    buffer::{Buffer, RawMemory},
    caps::Caps,
    device::Device,
    error::Result,
    graph::{Calls, Run},
    plan::Plan,
    resident::{Residence, Submission},
    stream::StreamShared,
    timeline::{Ticket, Timeline},
};
use std::sync::Arc;

/// The GPUs of this machine, and in words why others are not among them.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) devices: Vec<Device>,
    pub(crate) absent: Vec<String>,
}

/// Looks for GPUs, once.
pub(crate) fn gpus() -> &'static Found {
    #[cfg(all(not(loom), any(target_os = "linux", windows)))]
    return cuda::found();
    #[cfg(all(not(loom), target_os = "macos"))]
    return metal::found();
    #[cfg(not(all(not(loom), any(target_os = "linux", target_os = "macos", windows))))]
    {
        static NONE: Found = Found {
            devices: Vec::new(),
            absent: Vec::new(),
        };
        &NONE
    }
}

/// What a device is made of.
pub(crate) trait Backend: Send + Sync {
    /// What it can do.
    fn caps(&self) -> &Caps;

    /// A queue for stream `index`.
    fn queue(&self, index: usize) -> Result<Box<dyn Queue>>;

    /// Memory of `bytes` bytes for stream `stream`, aligned to 64 at least; nothing when there is
    /// none left.
    fn allocate(&self, stream: usize, bytes: usize) -> Result<Option<RawMemory>>;

    /// Gives memory back.
    ///
    /// # Safety
    /// `memory` came from `allocate` for the same stream, and its last use is on that stream or
    /// done.
    unsafe fn free(&self, stream: usize, memory: RawMemory);

    /// Gives what `free` may have kept back to the system.
    fn trim(&self) {}

    /// Sets how plans travel, where there is a choice.
    fn set_submission(&self, _way: Submission) {}

    /// How plans travel.
    fn submission(&self) -> Submission {
        Submission::Launch
    }

    /// What there is of kernels that stay on the device.
    fn residence(&self) -> Residence {
        Residence::Absent("this device keeps no kernels resident".to_owned())
    }

    /// Copies `out.len()` bytes from `offset` on to the host.
    ///
    /// # Safety
    /// The range is inside `memory`, and the work that writes it is done.
    unsafe fn download(&self, memory: RawMemory, offset: usize, out: &mut [u8]) -> Result<()> {
        // SAFETY: passed on from the caller; this default serves host-visible memory.
        unsafe {
            std::ptr::copy_nonoverlapping(memory.host.add(offset), out.as_mut_ptr(), out.len());
        }
        Ok(())
    }

    /// Tells the stream's timeline how far the device is, and has the device report `ticket` when
    /// it is done. For devices whose work does not complete by itself.
    fn observe(&self, _stream: &StreamShared, _ticket: Ticket) {}

    /// Blocks for `ticket`, which was issued, for a while, in what way is best now; and tells the
    /// stream's timeline. It may do nothing: then the caller observes.
    fn finish(&self, _stream: &StreamShared, _ticket: Ticket) {}

    /// Sees to it that `ticket`, which was issued, is completed though nobody observes it, or the
    /// timeline is given a fault.
    fn watch(&self, _stream: &StreamShared, _ticket: Ticket) {}
}

/// One stream's way into the device. Only the stream's owner calls it.
pub(crate) trait Queue: Send {
    /// Runs the plan after all that was submitted before, under the next ticket of `timeline`.
    ///
    /// # Safety
    /// As for [`crate::Stream::submit`].
    unsafe fn submit(&mut self, plan: &Plan<'_>, timeline: &'static Timeline) -> Result<Progress>;

    /// Swaps blocks of one size for a replay of a graph so that each is where it was last time.
    fn arrange(&mut self, _graph: &Arc<()>, _blocks: &mut [Buffer]) {}

    /// Runs the steps of a recorded graph under one ticket, after all that was submitted before, if
    /// the device takes graphs whole. Nothing has happened when it does not.
    ///
    /// # Safety
    /// As for [`crate::Stream::submit`], for each step. A step finds done what comes before it by
    /// the graph's order.
    unsafe fn replay(
        &mut self,
        _run: &Run<'_>,
        _timeline: &'static Timeline,
    ) -> Result<Option<Progress>> {
        Ok(None)
    }

    /// The driver's calls for what a replay would do, where there is a driver.
    ///
    /// # Safety
    /// As for `replay`, whenever the calls are made.
    unsafe fn bare(&mut self, _run: &Run<'_>, _calls: Calls) -> Result<Option<Box<dyn BareCalls>>> {
        Ok(None)
    }

    /// Makes later plans wait for `ticket` of another stream, without blocking the host.
    fn wait_for(&mut self, producer: &'static StreamShared, ticket: Ticket) -> Result<()>;

    /// Copies `bytes` to the start of `memory`, in stream order, and is done with `bytes` when it
    /// returns.
    ///
    /// # Safety
    /// `memory` is at least as long, and no other stream uses it.
    unsafe fn upload(
        &mut self,
        memory: RawMemory,
        bytes: &[u8],
        _timeline: &'static Timeline,
    ) -> Result<Progress> {
        // SAFETY: passed on from the caller; this default serves host-visible memory.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.host, bytes.len()) };
        Ok(Progress::Done)
    }
}

/// Driver calls that do the work of a graph, with nothing around them.
pub(crate) trait BareCalls: Send {
    /// Makes them `times` times, and waits.
    fn run(&mut self, times: usize) -> Result<()>;
}

/// How far a submitted plan is when its submission returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has run, and its ticket is done.
    Done,
    /// It will run; the backend completes this ticket then.
    Running(Ticket),
}
