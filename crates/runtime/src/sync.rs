//! The words every lock-free structure here is built from: the standard library's, or loom's
//! when the crate is built with `--cfg loom`, so that the models run the code that ships.
//!
//! loom checks `SeqCst` fences but weakens `SeqCst` accesses to `AcqRel`; so the code asks
//! for a total order with fences only.

#[cfg(loom)]
pub use loom::{
    cell::UnsafeCell,
    hint,
    sync::{Arc, atomic},
    thread,
};
#[cfg(not(loom))]
pub use std::{
    hint,
    sync::{Arc, atomic},
    thread,
};

/// `std::cell::UnsafeCell` with loom's interface, which sees where an access begins and ends.
#[cfg(not(loom))]
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    /// A cell that holds `value`.
    pub const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Runs `read` on a pointer through which it may read only.
    #[inline]
    pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    /// Runs `write` on a pointer that nothing else uses meanwhile.
    #[inline]
    pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

/// Wakes a parked thread. Under loom others run just before it does: an unpark there passes on
/// all that the caller did, and would hide that what was stored before it was not released.
#[inline]
pub fn unpark(thread: &thread::Thread) {
    #[cfg(loom)]
    thread::yield_now();
    thread.unpark();
}

/// A bounded wait before a thread parks: about as long as parking and being woken costs, unless
/// told otherwise.
#[derive(Debug)]
pub struct Spin {
    #[cfg(not(loom))]
    since: Option<std::time::Instant>,
    #[cfg(not(loom))]
    longest: std::time::Duration,
    #[cfg(not(loom))]
    pauses: u32,
}

impl Spin {
    /// A wait that has not begun.
    pub fn new() -> Self {
        Self::lasting(std::time::Duration::from_micros(20))
    }

    /// A wait that has not begun and lasts `longest` at most.
    pub fn lasting(longest: std::time::Duration) -> Self {
        #[cfg(loom)]
        let _ = longest;
        Self {
            #[cfg(not(loom))]
            since: None,
            #[cfg(not(loom))]
            longest,
            #[cfg(not(loom))]
            pauses: 8,
        }
    }

    /// The same wait with a look as often as can be: for what comes within microseconds.
    #[must_use]
    pub fn eager(mut self) -> Self {
        #[cfg(not(loom))]
        {
            self.pauses = 1;
        }
        #[cfg(loom)]
        let _ = &mut self;
        self
    }

    /// Waits a moment; `false` when it is time to park. Under loom that is at once.
    #[inline]
    #[cfg(not(loom))]
    pub fn turn(&mut self) -> bool {
        (0..self.pauses).for_each(|_| hint::spin_loop());
        self.since
            .get_or_insert_with(std::time::Instant::now)
            .elapsed()
            < self.longest
    }

    #[cfg(loom)]
    pub fn turn(&mut self) -> bool {
        false
    }
}

impl Default for Spin {
    fn default() -> Self {
        Self::new()
    }
}
