//! A stream's own memory: freed blocks by size class, to be used again without asking the driver.
//!
//! Only the stream's owner touches the free lists. Blocks dropped elsewhere arrive through the
//! stream's return list and are taken in when a class runs dry. A block that never left its stream
//! is free at once, since stream order runs its next use after its last. A block that another
//! stream has used waits in limbo until all work submitted anywhere before its return is done:
//! nobody counts uses, so reading a shared weight writes no shared cache line.

use crate::{buffer::Block, device::Device, sync::atomic::Ordering, timeline::Ticket};
use std::{collections::VecDeque, ptr::NonNull};

/// Bytes of the smallest class.
const SMALLEST: usize = 64;
/// Classes in each doubling.
const STEPS: usize = 4;
/// Number of classes: past the last one a size has no class and is an overflow.
pub(crate) const CLASSES: usize = (usize::BITS as usize - 7) * STEPS;

/// The class that serves `bytes`, and its size. Four classes a doubling waste a fifth at most.
pub(crate) fn class_of(bytes: usize) -> Option<(usize, usize)> {
    let bytes = bytes.max(SMALLEST);
    let octave = (bytes - 1).ilog2() as usize;
    let base = 1usize << octave;
    let step = base / STEPS;
    let index = if bytes <= SMALLEST {
        STEPS
    } else {
        (bytes - base).div_ceil(step)
    };
    let size = base.checked_add(index * step)?;
    let class = (octave - 5) * STEPS + index - STEPS;
    (class < CLASSES && size <= isize::MAX as usize).then_some((class, size))
}

/// The free blocks of one stream.
#[derive(Debug)]
pub(crate) struct Pool {
    free: Box<[Option<NonNull<Block>>]>,
    limbo: VecDeque<Limbo>,
    held: usize,
}

/// A returned block, and the tickets that must be done before its memory is used again.
#[derive(Debug)]
struct Limbo {
    block: NonNull<Block>,
    pending: Vec<(usize, Ticket)>,
}

// SAFETY: the pool owns the blocks that it holds; it moves with its stream.
unsafe impl Send for Pool {}

impl Pool {
    pub(crate) fn new() -> Pool {
        Pool {
            free: vec![None; CLASSES].into(),
            limbo: VecDeque::new(),
            held: 0,
        }
    }

    /// Bytes in free blocks, limbo included.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Takes a free block of `class`.
    pub(crate) fn take(&mut self, class: usize) -> Option<NonNull<Block>> {
        let block = self.free[class]?;
        // SAFETY: blocks in the list are owned by this pool and alive.
        let header = unsafe { block.as_ref() };
        let next = crate::returns::Linked::next(header).load(Ordering::Relaxed);
        self.free[class] = NonNull::new(next);
        self.held -= header.memory.bytes;
        Some(block)
    }

    /// Takes in a returned block.
    ///
    /// # Safety
    /// The caller owns `block` and gives it up; it belongs to this pool's stream.
    pub(crate) unsafe fn put(&mut self, block: NonNull<Block>, class: usize, device: Device) {
        // SAFETY: owned by the caller, so alive.
        let header = unsafe { block.as_ref() };
        self.held += header.memory.bytes;
        if header.shared() {
            let pending = device.pending();
            if !pending.is_empty() {
                self.limbo.push_back(Limbo { block, pending });
                return;
            }
        }
        self.link(block, class);
    }

    fn link(&mut self, block: NonNull<Block>, class: usize) {
        let next = self.free[class].map_or(std::ptr::null_mut(), NonNull::as_ptr);
        // SAFETY: owned by this pool.
        crate::returns::Linked::next(unsafe { block.as_ref() }).store(next, Ordering::Relaxed);
        self.free[class] = Some(block);
    }

    /// Frees the limbo blocks whose tickets are done.
    pub(crate) fn settle(&mut self, device: Device) {
        // Tickets were taken in order of return, so the first one that waits ends the scan.
        while let Some(first) = self.limbo.front_mut() {
            first
                .pending
                .retain(|&(stream, ticket)| !device.is_done(stream, ticket));
            if !first.pending.is_empty() {
                return;
            }
            let Some(Limbo { block, .. }) = self.limbo.pop_front() else {
                return;
            };
            // SAFETY: owned by this pool.
            if let Some((class, _)) = class_of(unsafe { block.as_ref() }.memory.bytes) {
                self.link(block, class);
            }
        }
    }

    /// Frees the limbo blocks, each when its tickets are done. A stream that failed keeps those that
    /// wait for it.
    pub(crate) fn settle_all(&mut self, device: Device) {
        // The last one waits for all that the others wait for, and that is not done.
        for &(stream, ticket) in self.limbo.back().into_iter().flat_map(|last| &last.pending) {
            device.await_ticket(stream, ticket);
        }
        self.settle(device);
    }

    /// Gives every free block to `release`, which frees it. Blocks in limbo stay.
    pub(crate) fn trim(&mut self, mut release: impl FnMut(Box<Block>)) {
        for class in 0..CLASSES {
            while let Some(block) = self.take(class) {
                // SAFETY: `Block::new` leaked it from a box, and the pool owned it.
                release(unsafe { Box::from_raw(block.as_ptr()) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_cover_and_ascend() {
        let mut last = (0, 0);
        for bytes in (0..100_000).chain((1 << 30)..(1 << 30) + 1000) {
            let (class, size) = class_of(bytes).unwrap();
            assert!(size >= bytes, "{bytes} got {size}");
            assert!(
                bytes <= SMALLEST || size - bytes <= bytes / 3,
                "{bytes} got {size}"
            );
            assert_eq!(
                class_of(size),
                Some((class, size)),
                "a class serves its own size"
            );
            assert!(class >= last.0 && size >= last.1);
            last = (class, size);
        }
        assert_eq!(class_of(1), Some((0, 64)));
        assert_eq!(class_of(65), Some((1, 80)));
        assert_eq!(class_of(usize::MAX), None);
        assert_eq!(class_of(isize::MAX as usize + 2), None);
    }
}
