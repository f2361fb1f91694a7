//! The end of the process, which must not come while the compiler is at work on another thread: the
//! compiler's library ends with the process, under the thread that is still in it.

use std::{
    ffi::{c_int, c_void},
    sync::{
        Once,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release, SeqCst},
            fence,
        },
    },
    thread,
    time::{Duration, Instant},
};

static NEAR: AtomicBool = AtomicBool::new(false);
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// Held while the compiler is at work; the process ends after that.
pub(super) struct AtWork(());

impl AtWork {
    /// Nothing when the process ends already. The compiler's library is loaded.
    pub(super) fn begin() -> Option<AtWork> {
        static ONCE: Once = Once::new();
        // Registered after the library was loaded, and so called before its own end.
        // SAFETY: the handler only waits. Where it is refused, for want of memory, nothing waits.
        ONCE.call_once(|| unsafe {
            libc::atexit(wait);
        });
        AT_WORK.fetch_add(1, Relaxed);
        let work = AtWork(());
        // The end says that it is near and then looks who is at work, with the same fence.
        fence(SeqCst);
        (!is_near()).then_some(work)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, Release);
    }
}

/// Whether the process ends.
pub(super) fn is_near() -> bool {
    NEAR.load(Relaxed)
}

/// What the compiler asks from time to time: whether to give up.
pub(super) extern "C" fn give_up(_: *mut c_void, _: *mut c_void) -> c_int {
    is_near().into()
}

extern "C" fn wait() {
    /// A compiler that does not ask, or asks seldom, must not hold the process for ever.
    const LONGEST: Duration = Duration::from_secs(10);
    NEAR.store(true, Relaxed);
    fence(SeqCst);
    let start = Instant::now();
    while AT_WORK.load(Acquire) != 0 && start.elapsed() < LONGEST {
        thread::sleep(Duration::from_millis(1));
    }
}
