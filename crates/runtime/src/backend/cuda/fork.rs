//! Whether this process is a fork of the one that opened a device. The driver does not serve such a
//! child, and pinned memory is not its own.

use std::sync::atomic::{AtomicBool, Ordering};

static FORKED: AtomicBool = AtomicBool::new(false);

/// Begins to watch; from then on a child knows that it is one.
pub(super) fn watch() {
    #[cfg(unix)]
    {
        use std::sync::Once;
        extern "C" fn in_child() {
            FORKED.store(true, Ordering::Relaxed);
        }
        static ONCE: Once = Once::new();
        // SAFETY: the handler only stores a flag, which a child may do. Where it is refused, for
        // want of memory, a child finds out from the driver.
        ONCE.call_once(|| unsafe {
            libc::pthread_atfork(None, None, Some(in_child));
        });
    }
}

/// Whether this is such a child.
pub(super) fn happened() -> bool {
    FORKED.load(Ordering::Relaxed)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_child_knows_and_the_parent_stays_what_it_is() {
        watch();
        // SAFETY: the child only reads a flag and ends without running anything of this process.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(happened())) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1);
        assert!(!happened());
    }
}
