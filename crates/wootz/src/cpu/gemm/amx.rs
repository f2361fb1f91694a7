//! Tiles of 16×16 and twice as many each way on Intel's matrix unit: one instruction multiplies
//! 16 rows by 16 columns over 32 values of k.

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _xgetbv};
use std::sync::atomic::{AtomicU8, Ordering};

use super::tile::Tile;

/// Whether this process may use the unit. Asks the system for permission the first time, which
/// then holds for all threads.
pub(super) fn available() -> bool {
    const UNKNOWN: u8 = 0;
    const NO: u8 = 1;
    const YES: u8 = 2;
    static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);
    // Threads that race here ask twice and get the same answer.
    if STATE.load(Ordering::Relaxed) == UNKNOWN {
        let state = if detected() && permitted() { YES } else { NO };
        STATE.store(state, Ordering::Relaxed);
    }
    STATE.load(Ordering::Relaxed) == YES
}

/// Whether the processor has the unit and the system keeps its registers.
fn detected() -> bool {
    const BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
    const TILE_STATE: u64 = 0b11 << 17;
    #[target_feature(enable = "xsave")]
    fn kept() -> u64 {
        // SAFETY: the attribute says that the instruction exists.
        unsafe { _xgetbv(0) }
    }
    __cpuid_count(7, 0).edx & BF16_AND_TILE == BF16_AND_TILE
        && is_x86_feature_detected!("xsave")
        // SAFETY: the line above found the feature.
        && unsafe { kept() } & TILE_STATE == TILE_STATE
}

/// Asks the system for the registers' memory.
fn permitted() -> bool {
    #[cfg(target_os = "linux")]
    {
        const ARCH_PRCTL: i64 = 158;
        const REQUEST_PERMISSION: u64 = 0x1023;
        const TILE_DATA: u64 = 18;
        let refused: i64;
        // SAFETY: a system call that touches no memory of ours; the registers it changes are named.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => refused,
                in("rdi") REQUEST_PERMISSION,
                in("rsi") TILE_DATA,
                lateout("rcx") _,
                lateout("r11") _,
            );
        }
        refused == 0
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// What the eight tile registers hold: 16 rows of 64 bytes each.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static SHAPES: Shapes = Shapes {
    palette: 1,
    start: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Configures the unit for this thread.
///
/// # Safety
/// [`available`] said that the unit is there.
pub(super) unsafe fn begin() {
    // SAFETY: the caller's promise; the shapes are 64 bytes of the form that the unit wants.
    unsafe { asm!("ldtilecfg [{shapes}]", shapes = in(reg) &SHAPES, options(nostack)) }
}

/// Leaves the unit unconfigured, as it was found, so that switching threads saves no registers.
///
/// # Safety
/// As for [`begin`].
pub(super) unsafe fn end() {
    // SAFETY: the caller's promise.
    unsafe { asm!("tilerelease", options(nostack, nomem)) }
}

/// A tile function, between [`begin`] and [`end`]. Sums are in registers 0 to 3, rows of A in 4
/// and 5, columns of B in 6 and 7.
macro_rules! tile {
    ($name:ident, [$($zero:literal),*], [$($load:literal),*], [$($step:literal),*], [$($store:literal),*]) => {
        /// # Safety
        /// As for [`TileFn`](super::tile::TileFn).
        pub(super) unsafe fn $name(t: &Tile) {
            let sums_row = t.sums_row * 4;
            // One step of B is 16 rows of pairs, so its row is a 16th.
            let b_row = t.b_step / 16;
            // SAFETY: `available` found the unit, or the kernel would not have been chosen, and its
            // session began; loads and stores stay in the rows, columns and steps that the caller
            // vouches for.
            unsafe {
                asm!(
                    "test {accumulate:e}, {accumulate:e}",
                    "jnz 2f",
                    $($zero,)*
                    "jmp 3f",
                    "2:",
                    $($load,)*
                    "3:",
                    "test {steps}, {steps}",
                    "jz 5f",
                    "4:",
                    $($step,)*
                    "add {a0}, {a_step}",
                    "add {a1}, {a_step}",
                    "add {b}, {b_step}",
                    "dec {steps}",
                    "jnz 4b",
                    "5:",
                    $($store,)*
                    accumulate = in(reg) u32::from(t.accumulate),
                    steps = inout(reg) t.steps => _,
                    a0 = inout(reg) t.a => _,
                    a1 = inout(reg) t.a.wrapping_offset(16 * t.a_row) => _,
                    a_row = in(reg) t.a_row,
                    a_step = in(reg) t.a_step,
                    b = inout(reg) t.b => _,
                    b_row = in(reg) b_row,
                    b_step = in(reg) t.b_step,
                    sums0 = in(reg) t.sums,
                    sums1 = in(reg) t.sums.wrapping_add(16 * t.sums_row),
                    sums_row = in(reg) sums_row,
                    options(nostack),
                );
            }
        }
    };
}

tile!(
    rows_16_columns_16,
    ["tilezero tmm0"],
    ["tileloadd tmm0, [{sums0} + {sums_row}*1]"],
    [
        "tileloadd tmm4, [{a0} + {a_row}*1]",
        "tileloadd tmm6, [{b} + {b_row}*1]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "/* {a1} {sums1} */"
    ],
    ["tilestored [{sums0} + {sums_row}*1], tmm0"]
);
tile!(
    rows_16_columns_32,
    ["tilezero tmm0", "tilezero tmm1"],
    [
        "tileloadd tmm0, [{sums0} + {sums_row}*1]",
        "tileloadd tmm1, [{sums0} + {sums_row}*1 + 64]"
    ],
    [
        "tileloadd tmm4, [{a0} + {a_row}*1]",
        "tileloadd tmm6, [{b} + {b_row}*1]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tileloadd tmm7, [{b} + {b_row}*1 + 64]",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "/* {a1} {sums1} */"
    ],
    [
        "tilestored [{sums0} + {sums_row}*1], tmm0",
        "tilestored [{sums0} + {sums_row}*1 + 64], tmm1"
    ]
);
tile!(
    rows_32_columns_16,
    ["tilezero tmm0", "tilezero tmm2"],
    [
        "tileloadd tmm0, [{sums0} + {sums_row}*1]",
        "tileloadd tmm2, [{sums1} + {sums_row}*1]"
    ],
    [
        "tileloadd tmm6, [{b} + {b_row}*1]",
        "tileloadd tmm4, [{a0} + {a_row}*1]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tileloadd tmm5, [{a1} + {a_row}*1]",
        "tdpbf16ps tmm2, tmm5, tmm6"
    ],
    [
        "tilestored [{sums0} + {sums_row}*1], tmm0",
        "tilestored [{sums1} + {sums_row}*1], tmm2"
    ]
);
tile!(
    rows_32_columns_32,
    [
        "tilezero tmm0",
        "tilezero tmm1",
        "tilezero tmm2",
        "tilezero tmm3"
    ],
    [
        "tileloadd tmm0, [{sums0} + {sums_row}*1]",
        "tileloadd tmm1, [{sums0} + {sums_row}*1 + 64]",
        "tileloadd tmm2, [{sums1} + {sums_row}*1]",
        "tileloadd tmm3, [{sums1} + {sums_row}*1 + 64]"
    ],
    [
        "tileloadd tmm6, [{b} + {b_row}*1]",
        "tileloadd tmm4, [{a0} + {a_row}*1]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tileloadd tmm7, [{b} + {b_row}*1 + 64]",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tileloadd tmm5, [{a1} + {a_row}*1]",
        "tdpbf16ps tmm2, tmm5, tmm6",
        "tdpbf16ps tmm3, tmm5, tmm7"
    ],
    [
        "tilestored [{sums0} + {sums_row}*1], tmm0",
        "tilestored [{sums0} + {sums_row}*1 + 64], tmm1",
        "tilestored [{sums1} + {sums_row}*1], tmm2",
        "tilestored [{sums1} + {sums_row}*1 + 64], tmm3"
    ]
);
