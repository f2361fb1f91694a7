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

/// A bounded wait before a thread parks: about as long as parking and being woken costs.
#[derive(Debug, Default)]
pub struct Spin {
    #[cfg(not(loom))]
    since: Option<std::time::Instant>,
}

impl Spin {
    /// A wait that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits a moment; `false` when it is time to park. Under loom that is at once.
    #[inline]
    #[cfg(not(loom))]
    pub fn turn(&mut self) -> bool {
        const LONGEST: std::time::Duration = std::time::Duration::from_micros(20);
        (0..8).for_each(|_| hint::spin_loop());
        self.since
            .get_or_insert_with(std::time::Instant::now)
            .elapsed()
            < LONGEST
    }

    #[cfg(loom)]
    pub fn turn(&mut self) -> bool {
        false
    }
}
