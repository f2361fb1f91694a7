//! How many threads wait for a device at once.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The threads that wait.
#[repr(align(128))]
pub(super) struct Crowd(AtomicUsize);

/// One of them, while this is held.
pub(super) struct Place<'a> {
    crowd: &'a Crowd,
    others: usize,
}

impl Crowd {
    pub(super) fn new() -> Crowd {
        Crowd(AtomicUsize::new(0))
    }

    pub(super) fn enter(&self) -> Place<'_> {
        Place {
            // Relaxed: a guess at how busy the driver is, which orders nothing.
            others: self.0.fetch_add(1, Ordering::Relaxed),
            crowd: self,
        }
    }
}

impl Place<'_> {
    /// How many others waited when this thread came.
    pub(super) fn others(&self) -> usize {
        self.others
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.crowd.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Crowd;

    #[test]
    fn those_who_wait_are_counted_until_they_leave() {
        let crowd = Crowd::new();
        let first = crowd.enter();
        let second = crowd.enter();
        assert_eq!((first.others(), second.others()), (0, 1));
        drop(first);
        assert_eq!(crowd.enter().others(), 1);
        drop(second);
        assert_eq!(crowd.enter().others(), 0);
    }
}
