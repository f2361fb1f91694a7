//! 4 lanes of plain Rust, which every compiler turns into what vectors its target has.

use super::Lanes;

pub(in super::super) struct Portable;

impl Lanes for Portable {
    type Cell = f32;
    type Vector = [f32; 4];
    type Sum = [f32; 4];
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> [f32; 4] {
        [0.0; 4]
    }
    #[inline(always)]
    unsafe fn load_sum(from: *const f32) -> [f32; 4] {
        // SAFETY: the caller's pointer is valid for four values, here and below.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_sum(to: *mut f32, sum: [f32; 4]) {
        // SAFETY: as in `load_sum`.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(sum) }
    }
    #[inline(always)]
    unsafe fn add(x: [f32; 4], y: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|lane| x[lane] + y[lane])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 4] {
        // SAFETY: as in `load_sum`.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn splat(cell: f32) -> [f32; 4] {
        [cell; 4]
    }
    /// Rounds twice: a fused multiply-add would be a library call where the target lacks it.
    #[inline(always)]
    unsafe fn multiply_add(sum: [f32; 4], x: [f32; 4], y: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|lane| sum[lane] + x[lane] * y[lane])
    }
}
