//! Memory that the host and the device share.

use super::gpu::Gpu;
use crate::{
    buffer::RawMemory,
    timeline::{Ticket, Timeline},
};
use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_metal::{MTLBuffer, MTLDevice, MTLResourceOptions};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a [`RawMemory`]'s handle points to.
pub(super) struct Memory {
    pub(super) buffer: Retained<ProtocolObject<dyn MTLBuffer>>,
    /// The stream that it belongs to.
    home: usize,
    /// The last ticket of that stream whose work uses it.
    used: AtomicU64,
}

impl Memory {
    /// Memory for stream `home`; nothing when the device has none left, or none so long.
    pub(super) fn allocate(gpu: &Gpu, home: usize, bytes: usize) -> Option<RawMemory> {
        const OPTIONS: MTLResourceOptions = MTLResourceOptions::StorageModeShared
            .union(MTLResourceOptions::HazardTrackingModeUntracked);
        // Metal's own validation ends a process that asks for more.
        if bytes > gpu.device.maxBufferLength() {
            return None;
        }
        let buffer = autoreleasepool(|_| gpu.device.newBufferWithLength_options(bytes, OPTIONS))?;
        let host = buffer.contents().as_ptr().cast();
        let memory = Box::new(Memory {
            buffer,
            home,
            used: AtomicU64::new(0),
        });
        Some(RawMemory {
            handle: Box::into_raw(memory) as usize,
            host,
            bytes,
        })
    }

    /// What stands behind `memory`.
    ///
    /// # Safety
    /// `memory` came from `allocate` and is not freed while `'a` lasts.
    pub(super) unsafe fn of<'a>(memory: RawMemory) -> &'a Memory {
        // SAFETY: `allocate` made the handle from a box; the caller says that it lives. Any threads may
        // bind a buffer of Metal's at once, and nothing else is done with it.
        unsafe { &*(memory.handle as *const Memory) }
    }

    /// Gives memory back. Buffers that use it keep it until they are done.
    ///
    /// # Safety
    /// `memory` came from `allocate`, and nobody names it any more.
    pub(super) unsafe fn free(memory: RawMemory) {
        // SAFETY: made by `allocate` from a box, and the caller gives it up.
        autoreleasepool(|_| drop(unsafe { Box::from_raw(memory.handle as *mut Memory) }));
    }

    /// Notes that work of stream `index` uses it. Streams that it does not belong to are not noted:
    /// memory that they have used comes home only after that work.
    pub(super) fn used_by(&self, index: usize, ticket: Ticket) {
        if index == self.home {
            // The owner of the stream writes it, and reads it.
            self.used.store(ticket.number(), Relaxed);
        }
    }

    /// The last ticket of its stream that must be done before the host writes it, if any.
    pub(super) fn in_use(&self, timeline: &Timeline) -> Option<Ticket> {
        let used = Ticket::from_number(self.used.load(Relaxed));
        (!timeline.is_done(used)).then_some(used)
    }
}
