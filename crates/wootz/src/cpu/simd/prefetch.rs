//! Asking for memory ahead of its use. A hint: it reads nothing, and no address makes it wrong.

macro_rules! prefetch {
    ($(#[$doc:meta])* $name:ident, $x86:ident, $arm:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name<T>(address: *const T) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: every x86-64 machine has the instruction, and it faults on no address.
            unsafe {
                use std::arch::x86_64::*;
                _mm_prefetch::<$x86>(address.cast());
            }
            #[cfg(target_arch = "aarch64")]
            // SAFETY: as above, of every 64-bit Arm machine.
            unsafe {
                std::arch::asm!($arm, in(reg) address, options(nostack, preserves_flags));
            }
            #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
            let _ = address;
        }
    };
}

prefetch!(
    /// For a read soon.
    prefetch_read, _MM_HINT_T0, "prfm pldl1keep, [{}]"
);
prefetch!(
    /// For a read after this tile or row, from the second cache.
    prefetch_near, _MM_HINT_T1, "prfm pldl2keep, [{}]"
);
prefetch!(
    /// For a write soon.
    prefetch_write, _MM_HINT_ET0, "prfm pstl1keep, [{}]"
);
