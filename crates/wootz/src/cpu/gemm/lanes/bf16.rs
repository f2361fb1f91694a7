//! 16 lanes of bf16 pairs, multiplied and summed by one instruction.

use std::arch::x86_64::*;

use super::Lanes;

pub(in super::super) struct Avx512Bf16;

impl Lanes for Avx512Bf16 {
    type Cell = u32;
    type Vector = __m512i;
    type Sum = __m512;
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: the caller's machine has AVX512-BF16, here and below; pointers are the caller's.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load_sum(from: *const f32) -> __m512 {
        // SAFETY: as in `zero`.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store_sum(to: *mut f32, sum: __m512) {
        // SAFETY: as in `zero`.
        unsafe { _mm512_storeu_ps(to, sum) }
    }
    #[inline(always)]
    unsafe fn add(x: __m512, y: __m512) -> __m512 {
        // SAFETY: as in `zero`.
        unsafe { _mm512_add_ps(x, y) }
    }
    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m512i {
        // SAFETY: as in `zero`.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat(cell: u32) -> __m512i {
        // SAFETY: as in `zero`.
        unsafe { _mm512_set1_epi32(cell as i32) }
    }
    #[inline(always)]
    unsafe fn multiply_add(sum: __m512, x: __m512i, y: __m512i) -> __m512 {
        // SAFETY: as in `zero`; both types are 512 bits with no invalid value.
        unsafe {
            let (x, y) = (
                std::mem::transmute::<__m512i, __m512bh>(x),
                std::mem::transmute::<__m512i, __m512bh>(y),
            );
            _mm512_dpbf16_ps(sum, x, y)
        }
    }
}
