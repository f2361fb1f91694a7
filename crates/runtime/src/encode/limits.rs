//! When a buffer is full, and how many there may be.

use crate::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// When a stream commits without being asked, and when it waits before it opens another buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Plans in a buffer at most.
    pub plans: u32,
    /// Plans in a buffer while nothing of this stream is under way: the device waits for them.
    pub first_plans: u32,
    /// Bytes that the plans of a buffer read and write, at which it is full.
    pub bytes: u64,
    /// Buffers of one stream that are committed and not done.
    pub under_way: usize,
}

impl Limits {
    /// What streams start with. A boundary between buffers costs the device as much as some tens of
    /// small plans, and a buffer of large plans need not be long.
    pub const USUAL: Limits = Limits {
        plans: 48,
        first_plans: 12,
        bytes: 64 << 20,
        under_way: 4,
    };

    /// Whether a buffer with this much in it is to be committed.
    pub(super) fn full(&self, plans: u32, bytes: u64, busy: bool) -> bool {
        let plans_enough = if busy { self.plans } else { self.first_plans };
        plans >= plans_enough || bytes >= self.bytes
    }
}

/// Places for the buffers of a device, open or under way.
#[derive(Debug)]
pub struct Room {
    free: AtomicUsize,
}

impl Room {
    /// So many places.
    pub fn new(places: usize) -> Room {
        Room {
            free: AtomicUsize::new(places),
        }
    }

    /// Takes a place, if there is one.
    pub fn take(&self) -> bool {
        let less = |free: usize| free.checked_sub(1);
        self.free.fetch_update(AcqRel, Relaxed, less).is_ok()
    }

    /// Gives a place back.
    pub fn give(&self) {
        self.free.fetch_add(1, AcqRel);
    }

    /// Places that are free.
    pub fn free(&self) -> usize {
        self.free.load(Acquire)
    }
}
