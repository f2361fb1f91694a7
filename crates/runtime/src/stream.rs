//! Streams: ordered work on a device, driven by one thread at a time.
//!
//! A [`Stream`] is `Send` but not `Sync`, so the compiler proves that nobody else is submitting on
//! it, and submitting needs no lock. Each thread has a current stream on each device, made on
//! first use; [`Stream::new`] and [`Stream::enter`] are for those who want control.
//!
//! ```compile_fail
//! fn shared<T: Sync>(_: T) {}
//! shared(wootz_runtime::Stream::new(wootz_runtime::Device::cpu()).unwrap());
//! ```

mod current;
mod refusals;
mod replay;
mod shared;

pub(crate) use refusals::MARK_BYTES;
pub use shared::StreamShared;

use crate::{
    backend::{Progress, Queue},
    buffer::{Block, Buffer, Origin},
    device::Device,
    error::{Error, Result},
    event::Event,
    graph::Recorder,
    hazard::Waits,
    plan::{Binding, Plan},
    pool::{Pool, class_of},
    slots::Lease,
    timeline::Ticket,
};
use refusals::Refusals;
use std::{
    cell::{Cell, RefCell, RefMut},
    fmt,
    marker::PhantomData,
    ptr::NonNull,
};

/// What only the stream's owner touches. It stays in its slot and passes from owner to owner.
pub(crate) struct Core {
    queue: Box<dyn Queue>,
    pool: Pool,
    waits: Waits,
    recorder: Option<Recorder>,
    refusals: Refusals,
}

/// A stream's place in its device: the public part and the owner's part.
pub(crate) struct Slot {
    pub(crate) shared: StreamShared,
    core: OwnerCell,
}

/// The owner's part. `RefCell` keeps one owner from meeting himself in a nested call.
struct OwnerCell(RefCell<Core>);

// SAFETY: only the holder of the slot's lease reaches the cell (`Stream::core`); a lease has one
// holder, `Stream` is not `Sync`, and a lease passes on with release and acquire (`slots.rs`).
unsafe impl Sync for OwnerCell {}

impl Slot {
    pub(crate) fn new(device: Device, index: usize) -> Result<Slot> {
        let queue = device.backend().queue(index)?;
        let core = Core {
            queue,
            pool: Pool::new(),
            waits: Waits::new(index),
            recorder: None,
            refusals: Refusals::default(),
        };
        Ok(Slot {
            shared: StreamShared::new(device, index),
            core: OwnerCell(RefCell::new(core)),
        })
    }
}

/// Ordered work on one device. Driven by one thread at a time, and free to move between threads.
pub struct Stream {
    slot: &'static Slot,
    /// Given back when the stream is dropped.
    lease: Option<Lease>,
    not_sync: PhantomData<Cell<()>>,
}

impl Stream {
    /// A stream of `device` that nobody else drives.
    pub fn new(device: Device) -> Result<Stream> {
        loop {
            let mut stream = Stream::from_lease(device, device.lease()?);
            if stream.shared().timeline.fault().is_none() {
                return Ok(stream);
            }
            // A fault stays with its stream, and not with whoever comes next: without its lease
            // the slot is retired.
            stream.lease = None;
        }
    }

    pub(crate) fn from_lease(device: Device, lease: Lease) -> Stream {
        let slot = device.slot(&lease);
        Stream {
            slot,
            lease: Some(lease),
            not_sync: PhantomData,
        }
    }

    /// The device.
    pub fn device(&self) -> Device {
        self.shared().device
    }

    /// The stream's number on its device.
    pub fn index(&self) -> usize {
        self.shared().index
    }

    fn shared(&self) -> &'static StreamShared {
        &self.slot.shared
    }

    fn core(&self) -> RefMut<'_, Core> {
        self.slot.core.0.borrow_mut()
    }

    /// Calls `f` with this stream as the thread's current one on its device.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        current::enter(self, f)
    }

    /// Calls `f` with the thread's current stream on `device`, made on first use.
    pub fn with_current<R, E: From<Error>>(
        device: Device,
        f: impl FnOnce(&Stream) -> Result<R, E>,
    ) -> Result<R, E> {
        f(&*current::get(device).map_err(E::from)?)
    }

    /// Memory of at least `bytes` bytes with undefined contents, for this stream to write.
    pub fn allocate(&self, bytes: usize) -> Result<Buffer> {
        let (class, size) = self.class(bytes)?;
        let mut core = self.core();
        match &mut core.recorder {
            Some(recorder) => Ok(recorder.allocate(size)),
            None => self.memory(&mut core.pool, class, size),
        }
    }

    fn class(&self, bytes: usize) -> Result<(usize, usize)> {
        class_of(bytes).ok_or_else(|| self.device().out_of_memory(bytes))
    }

    fn memory(&self, pool: &mut Pool, class: usize, size: usize) -> Result<Buffer> {
        let block = match pool.take(class) {
            Some(block) => block,
            None => {
                self.collect(pool);
                match pool.take(class) {
                    Some(block) => block,
                    None => self.allocate_fresh(pool, class, size)?,
                }
            }
        };
        // SAFETY: the pool owned the block and gave it up, or it is fresh.
        Ok(unsafe { Buffer::first(block) })
    }

    /// Takes in what other threads returned, and what limbo no longer holds.
    fn collect(&self, pool: &mut Pool) {
        for block in self.shared().returns.take_all() {
            // SAFETY: the last handle pushed it and gave it up; it is home here.
            unsafe { put(pool, block) };
        }
        pool.settle(self.device());
    }

    fn allocate_fresh(&self, pool: &mut Pool, class: usize, size: usize) -> Result<NonNull<Block>> {
        let device = self.device();
        let memory = device.reserve(self.index(), size).or_else(|full| {
            // Memory may lie idle in this pool, now or when others are done with it, or in those of
            // streams that nobody drives.
            pool.settle_all(device);
            pool.trim(|block| device.release(self.index(), block.memory));
            device.trim();
            device.reserve(self.index(), size).map_err(|_| full)
        })?;
        Ok(Block::new(
            memory,
            device,
            Origin::Pool {
                home: self.shared(),
                class,
            },
        ))
    }

    /// Bytes that this stream keeps for its next allocations.
    pub fn held(&self) -> usize {
        self.core().pool.held()
    }

    /// Gives the memory that this stream keeps, and does not need now, back to the device.
    pub fn trim(&self) {
        let mut core = self.core();
        self.collect(&mut core.pool);
        let (device, index) = (self.device(), self.index());
        core.pool.trim(|block| device.release(index, block.memory));
        device.backend().trim();
    }

    /// Submits a plan: after all that this stream was given before, and after the producers of
    /// what it reads, wherever they run.
    ///
    /// # Safety
    /// The plan's kernel, grid, parameters and bindings fit each other: the kernel stays inside
    /// the bound buffers, and no bound buffer is written by work that is not ordered with this.
    pub unsafe fn submit(&self, plan: &Plan<'_>) -> Result<()> {
        let mut core = self.core();
        let core = &mut *core;
        for binding in &plan.bindings {
            self.check(binding)?;
        }
        if let Some(recorder) = &mut core.recorder {
            return recorder.push(plan);
        }
        for binding in &plan.bindings {
            self.meet(core, binding.buffer)?;
        }
        // SAFETY: passed on from the caller.
        let progress = unsafe { core.queue.submit(plan, &self.shared().timeline)? };
        if let Progress::Running(ticket) = progress {
            for binding in plan
                .bindings
                .iter()
                .filter(|binding| binding.access.writes())
            {
                binding.buffer.produced_by(ticket);
            }
        }
        Ok(())
    }

    /// Whether the stream may use a buffer so. It writes none but its own, placeholders aside:
    /// a buffer's ticket counts on its home stream, so work elsewhere could not be told by it.
    fn check(&self, binding: &Binding<'_>) -> Result<()> {
        let buffer = binding.buffer;
        self.check_device(buffer)?;
        if binding.access.writes() && !buffer.is_home(self.shared()) && !buffer.is_recorded() {
            return Err(Error::WrongStream {
                stream: self.shared().name(),
            });
        }
        Ok(())
    }

    fn check_device(&self, buffer: &Buffer) -> Result<()> {
        if buffer.device() == self.device() {
            return Ok(());
        }
        Err(Error::WrongDevice {
            found: buffer.device().name().to_owned(),
            expected: self.device().name().to_owned(),
        })
    }

    /// Makes the stream wait, on the device, for the producer of a buffer from elsewhere.
    fn meet(&self, core: &mut Core, buffer: &Buffer) -> Result<()> {
        buffer.check_contents()?;
        if buffer.is_home(self.shared()) {
            return Ok(());
        }
        if !self.device().caps().synchronous {
            buffer.set_shared();
        }
        match buffer.awaited() {
            Some((producer, ticket)) => self.follow(core, producer, ticket),
            None => Ok(()),
        }
    }

    /// Makes the stream wait, on the device, for `ticket` of `producer`, unless it does already.
    fn follow(
        &self,
        core: &mut Core,
        producer: &'static StreamShared,
        ticket: Ticket,
    ) -> Result<()> {
        let done = producer.timeline.is_done(ticket);
        // Asked after that, since a fault is recorded before the tickets that it spoils are
        // completed.
        if let Some(fault) = producer.timeline.fault() {
            return Err(producer.fault(fault));
        }
        if !done && core.waits.need(producer.index, ticket) {
            core.queue.wait_for(producer, ticket)?;
            core.waits.placed(producer.index, ticket);
        }
        Ok(())
    }

    /// A new buffer with these bytes. In a recording it is made at once: a constant of the graph.
    pub fn upload(&self, bytes: &[u8]) -> Result<Buffer> {
        let (class, size) = self.class(bytes.len())?;
        let buffer = self.memory(&mut self.core().pool, class, size)?;
        // SAFETY: the buffer is at least as long, and nobody else has a handle yet. Work that used
        // its memory before ran on this stream, or is done.
        let progress = unsafe {
            let timeline = &self.shared().timeline;
            self.core().queue.upload(buffer.memory(), bytes, timeline)?
        };
        if let Progress::Running(ticket) = progress {
            buffer.produced_by(ticket);
        }
        Ok(buffer)
    }

    /// A mark after all that this stream was given so far.
    pub fn event(&self) -> Event {
        Event::new(self.shared(), self.shared().timeline.submitted())
    }

    /// Makes later work on this stream wait, on the device, for `event`.
    pub fn wait_for(&self, event: &Event) -> Result<()> {
        if std::ptr::eq(event.stream(), self.shared()) {
            return Ok(());
        }
        if event.stream().device != self.device() {
            // No device waits for another: the host does.
            return event.wait();
        }
        self.follow(&mut self.core(), event.stream(), event.ticket())
    }

    /// Blocks until all that this stream was given is done.
    pub fn synchronize(&self) -> Result<()> {
        self.event().wait()?;
        self.report()
    }

    pub(crate) fn start_recording(&self, recorder: Recorder) -> Result<()> {
        let mut core = self.core();
        if core.recorder.is_some() {
            return Err(Error::Recording {
                stream: self.shared().name(),
            });
        }
        core.recorder = Some(recorder);
        Ok(())
    }

    pub(crate) fn stop_recording(&self) -> Option<Recorder> {
        self.core().recorder.take()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            // What a panic may have left behind must not meet the next owner, nor what a kernel
            // noted that nobody waited for.
            self.stop_recording();
            self.forget_refusals();
            self.device().give_back(lease);
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shared().name())
    }
}

/// Puts a block into the pool of its class.
///
/// # Safety
/// The caller owns the block and gives it up to the pool of its home stream.
unsafe fn put(pool: &mut Pool, block: NonNull<Block>) {
    // SAFETY: owned by the caller, so alive.
    let header = unsafe { block.as_ref() };
    if let Origin::Pool { class, .. } = header.origin {
        // SAFETY: passed on from the caller.
        unsafe { pool.put(block, class, header.device) };
    }
}

/// Returns a block whose last handle is gone: straight to the pool when this thread drives the
/// home stream, else through the stream's return list.
pub(crate) fn give_back(home: &'static StreamShared, block: NonNull<Block>) {
    let local = current::find(home.device, |stream| {
        if !std::ptr::eq(stream.shared(), home) {
            return false;
        }
        let Ok(mut core) = stream.slot.core.0.try_borrow_mut() else {
            return false;
        };
        // SAFETY: the last handle gave the block up, and this is its home pool.
        unsafe { put(&mut core.pool, block) };
        true
    });
    if !local {
        // SAFETY: the last handle gave the block up, and no list holds a block with handles.
        unsafe { home.returns.push(block) };
    }
}
