//! 4 lanes of f32 on 64-bit Arm.

use std::arch::aarch64::*;

use super::Lanes;

pub(in super::super) struct Neon;

impl Lanes for Neon {
    type Cell = f32;
    type Vector = float32x4_t;
    type Sum = float32x4_t;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> float32x4_t {
        // SAFETY: every 64-bit Arm machine has these, here and below; pointers are the caller's.
        unsafe { vdupq_n_f32(0.0) }
    }
    #[inline(always)]
    unsafe fn load_sum(from: *const f32) -> float32x4_t {
        // SAFETY: as in `zero`.
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store_sum(to: *mut f32, sum: float32x4_t) {
        // SAFETY: as in `zero`.
        unsafe { vst1q_f32(to, sum) }
    }
    #[inline(always)]
    unsafe fn add(x: float32x4_t, y: float32x4_t) -> float32x4_t {
        // SAFETY: as in `zero`.
        unsafe { vaddq_f32(x, y) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        // SAFETY: as in `zero`.
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn splat(cell: f32) -> float32x4_t {
        // SAFETY: as in `zero`.
        unsafe { vdupq_n_f32(cell) }
    }
    #[inline(always)]
    unsafe fn multiply_add(sum: float32x4_t, x: float32x4_t, y: float32x4_t) -> float32x4_t {
        // SAFETY: as in `zero`.
        unsafe { vfmaq_f32(sum, x, y) }
    }
}
