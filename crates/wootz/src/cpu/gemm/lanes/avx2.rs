//! 8 lanes of f32.

use std::arch::x86_64::*;

use super::Lanes;

pub(in super::super) struct Avx2;

impl Lanes for Avx2 {
    type Cell = f32;
    type Vector = __m256;
    type Sum = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: the caller's machine has AVX2 and FMA, here and below; pointers are the caller's.
        unsafe { _mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load_sum(from: *const f32) -> __m256 {
        // SAFETY: as in `zero`.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store_sum(to: *mut f32, sum: __m256) {
        // SAFETY: as in `zero`.
        unsafe { _mm256_storeu_ps(to, sum) }
    }
    #[inline(always)]
    unsafe fn add(x: __m256, y: __m256) -> __m256 {
        // SAFETY: as in `zero`.
        unsafe { _mm256_add_ps(x, y) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        // SAFETY: as in `zero`.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn splat(cell: f32) -> __m256 {
        // SAFETY: as in `zero`.
        unsafe { _mm256_set1_ps(cell) }
    }
    #[inline(always)]
    unsafe fn multiply_add(sum: __m256, x: __m256, y: __m256) -> __m256 {
        // SAFETY: as in `zero`.
        unsafe { _mm256_fmadd_ps(x, y, sum) }
    }
}
