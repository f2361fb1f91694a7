//! A buffer: device memory that crosses threads freely and returns to its home stream when dropped.
//!
//! A [`Buffer`] counts its handles by hand instead of through [`std::sync::Arc`], so that the block
//! behind it, header and memory together, is recycled whole: steady state allocates nothing.

use crate::{
    device::Device,
    error::{Error, Result},
    returns::Linked,
    stream::{self, StreamShared},
    sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    timeline::Ticket,
};
use std::{any::Any, fmt, ptr::NonNull};

/// Memory as a backend hands it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawMemory {
    /// What the backend binds: a host pointer, a device address or an object, as it likes.
    pub handle: usize,
    /// Where the host sees the memory; null when it does not.
    pub host: *mut u8,
    /// Its size.
    pub bytes: usize,
}

// SAFETY: a name for memory; whoever dereferences `host` proves that access.
unsafe impl Send for RawMemory {}
// SAFETY: as above.
unsafe impl Sync for RawMemory {}

/// Where a block's memory comes from, and so where it goes.
#[derive(Debug)]
pub(crate) enum Origin {
    /// The pool of a stream, in this size class.
    Pool {
        home: &'static StreamShared,
        class: usize,
    },
    /// Somebody else's memory, kept alive by this owner.
    Foreign(#[expect(dead_code, reason = "held for its drop")] Box<dyn Any + Send + Sync>),
    /// No memory: the block stands for a step of a recording and has no contents.
    Placeholder,
}

/// A block: memory with its header. At any time it is owned by the handles that count in `refs`,
/// or, when those are gone, by its home pool (or its return list on the way there).
pub(crate) struct Block {
    refs: AtomicUsize,
    next: AtomicPtr<Block>,
    ticket: AtomicU64,
    state: AtomicU8,
    pub(crate) memory: RawMemory,
    pub(crate) device: Device,
    pub(crate) origin: Origin,
}

/// The producing ticket is known to be done: nobody needs to ask its stream again.
const DONE: u8 = 1;
/// Another stream than home has used the block, so its memory may be in use there.
const SHARED: u8 = 2;

// SAFETY: always the same field, which only lists use (a return list or a pool's, never both).
unsafe impl Linked for Block {
    fn next(&self) -> &AtomicPtr<Block> {
        &self.next
    }
}

impl Block {
    pub(crate) fn new(memory: RawMemory, device: Device, origin: Origin) -> NonNull<Block> {
        NonNull::from(Box::leak(Box::new(Block {
            refs: AtomicUsize::new(0),
            next: AtomicPtr::default(),
            ticket: AtomicU64::new(0),
            state: AtomicU8::new(DONE),
            memory,
            device,
            origin,
        })))
    }

    pub(crate) fn shared(&self) -> bool {
        self.state.load(Ordering::Relaxed) & SHARED != 0
    }
}

/// Device memory, shared by its handles. Clones are cheap, cross threads, and see the same bytes.
pub struct Buffer(NonNull<Block>);

// SAFETY: a handle gives shared access to the header's atomics and to the name of the memory only.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// The first handle of a block that has none.
    ///
    /// # Safety
    /// The caller owns `block` (fresh from `Block::new` or from a pool) and gives it up.
    pub(crate) unsafe fn first(block: NonNull<Block>) -> Buffer {
        // SAFETY: owned by the caller, so alive and with no other handle.
        let header = unsafe { block.as_ref() };
        debug_assert_eq!(header.refs.load(Ordering::Relaxed), 0);
        header.refs.store(1, Ordering::Relaxed);
        header.ticket.store(0, Ordering::Relaxed);
        header.state.store(DONE, Ordering::Relaxed);
        Buffer(block)
    }

    /// A buffer over `bytes` bytes of host memory at `start` that `owner` keeps alive and unchanged.
    ///
    /// # Safety
    /// The memory is readable, and nobody writes it, while `owner` lives. `device` must be
    /// host-visible, and the memory is bound for reading only.
    pub unsafe fn foreign(
        device: Device,
        start: *const u8,
        bytes: usize,
        owner: Box<dyn Any + Send + Sync>,
    ) -> Buffer {
        let memory = RawMemory {
            handle: start as usize,
            host: start.cast_mut(),
            bytes,
        };
        // SAFETY: a fresh block.
        unsafe { Buffer::first(Block::new(memory, device, Origin::Foreign(owner))) }
    }

    /// A buffer that stands for `bytes` bytes written by a step of a recording.
    pub(crate) fn placeholder(device: Device, bytes: usize) -> Buffer {
        let memory = RawMemory {
            handle: 0,
            host: std::ptr::null_mut(),
            bytes,
        };
        // SAFETY: a fresh block.
        unsafe { Buffer::first(Block::new(memory, device, Origin::Placeholder)) }
    }

    /// Copies `out.len()` bytes from byte `offset` on to the host, waiting for them.
    pub fn read(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        self.wait()?;
        let (bytes, count) = (self.bytes(), out.len());
        if offset > bytes || count > bytes - offset {
            return Err(Error::Outside {
                offset,
                count,
                bytes,
            });
        }
        // SAFETY: in range by the check, and the producing work is done.
        unsafe { self.device().backend().download(self.memory(), offset, out) }
    }

    fn block(&self) -> &Block {
        // SAFETY: this handle counts in `refs`, so the block is alive.
        unsafe { self.0.as_ref() }
    }

    /// The device whose memory this is.
    pub fn device(&self) -> Device {
        self.block().device
    }

    /// Size of the memory in bytes: at least what was asked for.
    pub fn bytes(&self) -> usize {
        self.block().memory.bytes
    }

    /// The memory as its backend knows it.
    pub fn memory(&self) -> RawMemory {
        self.block().memory
    }

    /// A number that tells this buffer's memory from that of every other living one.
    pub fn id(&self) -> usize {
        self.0.as_ptr() as usize
    }

    /// The stream that produces the contents, and the ticket that says when; nothing when they
    /// are known to be there.
    pub(crate) fn producer(&self) -> Option<(&'static StreamShared, Ticket)> {
        let block = self.block();
        // Acquire: whoever set DONE had seen the producing work done; so have we then.
        if block.state.load(Ordering::Acquire) & DONE != 0 {
            return None;
        }
        match &block.origin {
            Origin::Pool { home, .. } => Some((
                home,
                Ticket::from_number(block.ticket.load(Ordering::Relaxed)),
            )),
            Origin::Foreign(_) | Origin::Placeholder => None,
        }
    }

    /// Notes that work under `ticket` of the home stream writes this buffer.
    pub(crate) fn produced_by(&self, ticket: Ticket) {
        let block = self.block();
        block.ticket.store(ticket.number(), Ordering::Relaxed);
        block.state.fetch_and(!DONE, Ordering::Relaxed);
    }

    /// Notes that the producing ticket has been seen done.
    pub(crate) fn set_done(&self) {
        self.block().state.fetch_or(DONE, Ordering::Release);
    }

    /// Notes that a stream other than home uses this buffer. Writes the shared line once.
    pub(crate) fn set_shared(&self) {
        if !self.block().shared() {
            self.block().state.fetch_or(SHARED, Ordering::Relaxed);
        }
    }

    /// Whether `stream` is where the memory came from and will return to.
    pub(crate) fn is_home(&self, stream: &StreamShared) -> bool {
        matches!(&self.block().origin, Origin::Pool { home, .. } if std::ptr::eq(*home, stream))
    }

    /// Whether the buffer only stands for a step of a recording.
    pub fn is_recorded(&self) -> bool {
        matches!(self.block().origin, Origin::Placeholder)
    }

    /// An error when the buffer has no contents of its own.
    pub fn check_contents(&self) -> Result<()> {
        if self.is_recorded() {
            Err(Error::Recorded)
        } else {
            Ok(())
        }
    }

    /// The producer, unless it is found to be done, and well, by now.
    pub(crate) fn awaited(&self) -> Option<(&'static StreamShared, Ticket)> {
        let (stream, ticket) = self.producer()?;
        // In this order: a fault is recorded before the tickets that it spoils are completed.
        if stream.timeline.is_done(ticket) && stream.timeline.fault().is_none() {
            self.set_done();
            return None;
        }
        Some((stream, ticket))
    }

    /// Whether a wait for the contents would end at once: they are there, or, after a fault,
    /// they will never be.
    pub fn is_ready(&self) -> bool {
        if let Some((stream, ticket)) = self.producer() {
            stream.observe(ticket);
        }
        self.awaited()
            .is_none_or(|(stream, _)| stream.timeline.fault().is_some())
    }

    /// Blocks until the contents are there.
    pub fn wait(&self) -> Result<()> {
        self.check_contents()?;
        if let Some((stream, ticket)) = self.producer() {
            stream.wait(ticket)?;
            self.set_done();
        }
        Ok(())
    }

    /// Completes when the contents are there.
    pub async fn ready(&self) -> Result<()> {
        self.check_contents()?;
        if let Some((stream, ticket)) = self.producer() {
            stream.ready(ticket).await?;
            self.set_done();
        }
        Ok(())
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Buffer {
        // Relaxed, as in `Arc`: a new handle is made from one that already keeps the block alive.
        self.block().refs.fetch_add(1, Ordering::Relaxed);
        Buffer(self.0)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let block = self.block();
        // A sole handle has nobody to race with: no other thread can make a second one from it.
        if block.refs.load(Ordering::Acquire) != 1 {
            // Release: this handle's uses come before whatever the last one does with the memory.
            if block.refs.fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            // And Acquire for the last one. A load and not a fence, which ThreadSanitizer does
            // not see.
            block.refs.load(Ordering::Acquire);
        } else {
            block.refs.store(0, Ordering::Relaxed);
        }
        match &block.origin {
            Origin::Pool { home, .. } => stream::give_back(home, self.0),
            Origin::Foreign(_) | Origin::Placeholder => {
                // SAFETY: the last handle owns the block, which `Block::new` leaked from a box.
                drop(unsafe { Box::from_raw(self.0.as_ptr()) })
            }
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Buffer({} bytes on {})",
            self.bytes(),
            self.device().name()
        )
    }
}
