//! 16 lanes of f32.

use std::arch::x86_64::*;

use super::Lanes;

pub(in super::super) struct Avx512;

impl Lanes for Avx512 {
    type Cell = f32;
    type Vector = __m512;
    type Sum = __m512;
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: the caller's machine has AVX-512, here and below; pointers are the caller's.
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
    unsafe fn load(from: *const f32) -> __m512 {
        // SAFETY: as in `zero`.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn splat(cell: f32) -> __m512 {
        // SAFETY: as in `zero`.
        unsafe { _mm512_set1_ps(cell) }
    }
    #[inline(always)]
    unsafe fn multiply_add(sum: __m512, x: __m512, y: __m512) -> __m512 {
        // SAFETY: as in `zero`.
        unsafe { _mm512_fmadd_ps(x, y, sum) }
    }
}
