//! When stores go around the caches.

/// Bytes of output that no cache keeps until somebody reads them: writing them through the caches
/// would fetch each line first, and push out what is of use.
const FAR: usize = 32 << 20;

/// Whether an output of so many bytes is better stored around the caches.
pub(crate) fn bypasses(bytes: usize) -> bool {
    bytes >= FAR
}

/// Lets everything that was stored around the caches be seen before what is stored after this.
#[inline(always)]
pub(crate) fn bypass_done() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 machine has the instruction.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}
