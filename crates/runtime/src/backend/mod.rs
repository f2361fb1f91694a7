//! Backends: the small trait between streams and what runs the work. A backend never hears an
//! op's name; it gets plans.

pub mod cpu;
#[cfg(feature = "emulated")]
pub mod emulated;
pub mod null;

use crate::{
    buffer::RawMemory,
    caps::Caps,
    error::Result,
    plan::Plan,
    stream::StreamShared,
    timeline::{Ticket, Timeline},
};

/// What a device is made of.
pub(crate) trait Backend: Send + Sync {
    /// What it can do.
    fn caps(&self) -> &Caps;

    /// A queue for stream `index`.
    fn queue(&self, index: usize) -> Result<Box<dyn Queue>>;

    /// Memory of `bytes` bytes, aligned to 64 at least; nothing when there is none left.
    fn allocate(&self, bytes: usize) -> Option<RawMemory>;

    /// Gives memory back.
    ///
    /// # Safety
    /// `memory` came from `allocate`, and nobody uses it any more.
    unsafe fn free(&self, memory: RawMemory);

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

    /// Makes sure that work already submitted on `stream` will run without more submissions.
    fn flush_for_wait(&self, _stream: &StreamShared) {}
}

/// One stream's way into the device. Only the stream's owner calls it.
pub(crate) trait Queue: Send {
    /// Runs the plan after all that was submitted before, under the next ticket of `timeline`.
    ///
    /// # Safety
    /// As for [`crate::Stream::submit`].
    unsafe fn submit(&mut self, plan: &Plan<'_>, timeline: &'static Timeline) -> Result<Progress>;

    /// Makes later plans wait for `ticket` of another stream, without blocking the host.
    fn wait_for(&mut self, producer: &'static StreamShared, ticket: Ticket) -> Result<()>;

    /// Copies `bytes` to the start of `memory`, in stream order.
    ///
    /// # Safety
    /// `memory` is at least as long, and no other stream uses it.
    unsafe fn upload(&mut self, memory: RawMemory, bytes: &[u8]) -> Result<()> {
        // SAFETY: passed on from the caller; this default serves host-visible memory.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.host, bytes.len()) };
        Ok(())
    }
}

/// How far a submitted plan is when its submission returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has run, and its ticket is done.
    Done,
    /// It will run; the backend completes this ticket then.
    Running(Ticket),
}
