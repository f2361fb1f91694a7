//! Eight lanes with AVX2, FMA and F16C.

use super::{Job, Simd};
use half::{bf16, f16};
use std::arch::x86_64::*;

const LANES: usize = 8;
const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

/// The token of [`Level::Avx2`](super::Level::Avx2).
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

/// Runs `job` compiled for this level.
///
/// # Safety
/// [`Level::Avx2`](super::Level::Avx2) is available.
#[target_feature(enable = "avx2,fma,f16c")]
pub unsafe fn enter<J: Job>(job: J) -> J::Output {
    job.run(Avx2(()))
}

/// Trait methods that are a few intrinsics: `fn name(args) -> result = expression;`
macro_rules! intrinsics {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {$(
        #[inline(always)]
        #[allow(unused_unsafe, reason = "some rows are plain integer arithmetic")]
        fn $name(self, $($arg: $ty),*) -> $out {
            // SAFETY: the token's field is private, so `self` was made by `enter`, whose caller
            // has seen the features these intrinsics need.
            unsafe { $body }
        }
    )*};
}
pub(super) use intrinsics;

/// Loads and stores: `name(src: element) -> vector = |pointer| expression;` for full ones (the
/// slice's length is checked), `|pointer, length|` for those that touch the slice's lanes only.
macro_rules! memory {
    () => {};
    ($name:ident($src:ident: $t:ty) -> $out:ty = |$p:ident| $body:expr; $($rest:tt)*) => {
        #[inline(always)]
        fn $name(self, $src: &[$t]) -> $out {
            let $p = $src[..Self::LANES].as_ptr();
            // SAFETY: the token proves the features, the slice above LANES readable elements.
            unsafe { $body }
        }
        $crate::cpu::simd::avx2::memory! { $($rest)* }
    };
    ($name:ident($src:ident: $t:ty, $fill:ident) -> $out:ty = |$p:ident, $n:ident| $body:expr; $($rest:tt)*) => {
        #[inline(always)]
        fn $name(self, $src: &[$t], $fill: f32) -> $out {
            let ($p, $n) = ($src.as_ptr(), $src.len());
            // SAFETY: the token proves the features; the first `n` lanes are the slice's.
            unsafe { $body }
        }
        $crate::cpu::simd::avx2::memory! { $($rest)* }
    };
    ($name:ident($dst:ident: $t:ty, $a:ident: $v:ty) = |$p:ident| $body:expr; $($rest:tt)*) => {
        #[inline(always)]
        fn $name(self, $dst: &mut [$t], $a: $v) {
            let $p = $dst[..Self::LANES].as_mut_ptr();
            // SAFETY: the token proves the features, the slice above LANES writable elements.
            unsafe { $body }
        }
        $crate::cpu::simd::avx2::memory! { $($rest)* }
    };
    ($name:ident($dst:ident: $t:ty, $a:ident: $v:ty) = |$p:ident, $n:ident| $body:expr; $($rest:tt)*) => {
        #[inline(always)]
        fn $name(self, $dst: &mut [$t], $a: $v) {
            let ($p, $n) = ($dst.as_mut_ptr(), $dst.len());
            // SAFETY: the token proves the features; the first `n` lanes are the slice's.
            unsafe { $body }
        }
        $crate::cpu::simd::avx2::memory! { $($rest)* }
    };
}
pub(super) use memory;

/// The first `n` lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn first(n: usize) -> __m256i {
    let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(n.min(LANES) as i32), lane)
}

macro_rules! by_halves {
    ($name:ident, $pair:ident, $last:ident) => {
        /// Combines lane `i` with lane `i + 4`, then 2, then 1.
        #[inline]
        #[target_feature(enable = "avx2")]
        pub(super) fn $name(a: __m256) -> f32 {
            let four = $pair(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = $pair(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32($last(two, _mm_shuffle_ps::<1>(two, two)))
        }
    };
}
by_halves!(halves_sum, _mm_add_ps, _mm_add_ss);
by_halves!(halves_max, _mm_max_ps, _mm_max_ss);
by_halves!(halves_min, _mm_min_ps, _mm_min_ss);

/// Rounds each lane to bf16, to nearest even; a NaN becomes a quiet one.
#[inline]
#[target_feature(enable = "avx2")]
fn round_bf16(a: __m256) -> __m128i {
    let x = _mm256_castps_si256(a);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(x), _mm256_set1_epi32(1));
    let up = _mm256_add_epi32(_mm256_add_epi32(x, _mm256_set1_epi32(0x7fff)), odd);
    let quiet = _mm256_or_si256(x, _mm256_set1_epi32(0x0040_0000));
    let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, a));
    let top = _mm256_srli_epi32::<16>(_mm256_blendv_epi8(up, quiet, nan));
    let packed = _mm256_packus_epi32(top, top);
    _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b00_00_10_00>(packed))
}

#[inline]
#[target_feature(enable = "avx2")]
fn widen_bf16(a: __m128i) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(a)))
}

/// The first `n` (at most 8) 16-bit elements at `p`, the rest zero.
///
/// # Safety
/// `p` points to `n` readable elements.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_words(p: *const u16, n: usize) -> __m128i {
    let mut words = [0u16; LANES];
    // SAFETY: the caller's `n` elements; the array holds LANES.
    unsafe {
        std::ptr::copy_nonoverlapping(p, words.as_mut_ptr(), n.min(LANES));
        _mm_loadu_si128(words.as_ptr().cast())
    }
}

/// Stores the first `n` (at most 8) 16-bit elements at `p`.
///
/// # Safety
/// `p` points to `n` writable elements.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store_words(p: *mut u16, n: usize, a: __m128i) {
    let mut words = [0u16; LANES];
    // SAFETY: the caller's `n` elements; the array holds LANES.
    unsafe {
        _mm_storeu_si128(words.as_mut_ptr().cast(), a);
        std::ptr::copy_nonoverlapping(words.as_ptr(), p, n.min(LANES));
    }
}

/// `wide` in the first `n` lanes, `fill` in the others.
#[inline]
#[target_feature(enable = "avx2")]
fn filled(wide: __m256, n: usize, fill: f32) -> __m256 {
    _mm256_blendv_ps(_mm256_set1_ps(fill), wide, _mm256_castsi256_ps(first(n)))
}

impl Simd for Avx2 {
    const LANES: usize = LANES;
    type F32 = __m256;
    type I32 = __m256i;
    /// All bits of a lane set or clear.
    type Mask = __m256;

    intrinsics! {
        fn splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        fn add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        fn sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        fn mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        fn div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fn fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        fn fnma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fnmadd_ps(a, b, c);
        fn sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
        fn min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        fn max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        fn floor(a: __m256) -> __m256 = _mm256_floor_ps(a);
        fn ceil(a: __m256) -> __m256 = _mm256_ceil_ps(a);
        fn trunc(a: __m256) -> __m256 = _mm256_round_ps::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(a);
        fn round(a: __m256) -> __m256 = _mm256_round_ps::<NEAREST>(a);

        fn eq(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b);
        fn lt(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LT_OQ>(a, b);
        fn le(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LE_OQ>(a, b);
        fn is_nan(a: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a);
        fn select(m: __m256, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, m);
        fn select_i32(m: __m256, a: __m256i, b: __m256i) -> __m256i =
            _mm256_blendv_epi8(b, a, _mm256_castps_si256(m));
        fn mask_and(a: __m256, b: __m256) -> __m256 = _mm256_and_ps(a, b);
        fn mask_or(a: __m256, b: __m256) -> __m256 = _mm256_or_ps(a, b);
        fn mask_xor(a: __m256, b: __m256) -> __m256 = _mm256_xor_ps(a, b);
        fn mask_not(a: __m256) -> __m256 = _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1)));
        fn mask_bits(a: __m256) -> u32 = _mm256_movemask_ps(a) as u32;

        fn splat_i32(x: i32) -> __m256i = _mm256_set1_epi32(x);
        fn add_i32(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        fn sub_i32(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi32(a, b);
        fn mul_i32(a: __m256i, b: __m256i) -> __m256i = _mm256_mullo_epi32(a, b);
        fn and(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        fn or(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        fn xor(a: __m256i, b: __m256i) -> __m256i = _mm256_xor_si256(a, b);
        fn shl(a: __m256i, n: u32) -> __m256i = _mm256_sllv_epi32(a, _mm256_set1_epi32(n as i32));
        fn shr(a: __m256i, n: u32) -> __m256i = _mm256_srlv_epi32(a, _mm256_set1_epi32(n as i32));
        fn sar(a: __m256i, n: u32) -> __m256i = _mm256_srav_epi32(a, _mm256_set1_epi32(n as i32));
        fn eq_i32(a: __m256i, b: __m256i) -> __m256 = _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b));
        fn gt_i32(a: __m256i, b: __m256i) -> __m256 = _mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b));
        fn iota() -> __m256i = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

        fn to_i32(a: __m256) -> __m256i = _mm256_cvttps_epi32(a);
        fn to_f32(a: __m256i) -> __m256 = _mm256_cvtepi32_ps(a);
        fn entry(table: &[f32; 16], i: __m256i) -> __m256 = {
            let low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr()), i);
            let high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr().add(8)), i);
            _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(i)))
        };
        fn bits(a: __m256) -> __m256i = _mm256_castps_si256(a);
        fn from_bits(a: __m256i) -> __m256 = _mm256_castsi256_ps(a);

        fn sum(a: __m256) -> f32 = halves_sum(a);
        fn max_lane(a: __m256) -> f32 = halves_max(a);
        fn min_lane(a: __m256) -> f32 = halves_min(a);
    }

    memory! {
        load(src: f32) -> __m256 = |p| _mm256_loadu_ps(p);
        load_i32(src: i32) -> __m256i = |p| _mm256_loadu_si256(p.cast());
        load_f16(src: f16) -> __m256 = |p| _mm256_cvtph_ps(_mm_loadu_si128(p.cast()));
        load_bf16(src: bf16) -> __m256 = |p| widen_bf16(_mm_loadu_si128(p.cast()));
        store(dst: f32, a: __m256) = |p| _mm256_storeu_ps(p, a);
        store_i32(dst: i32, a: __m256i) = |p| _mm256_storeu_si256(p.cast(), a);
        store_f16(dst: f16, a: __m256) = |p| _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(a));
        store_bf16(dst: bf16, a: __m256) = |p| _mm_storeu_si128(p.cast(), round_bf16(a));
        bypass(dst: f32, a: __m256) = |p| match p.addr() % 32 {
            0 => _mm256_stream_ps(p, a),
            _ => _mm256_storeu_ps(p, a),
        };
        load_first(src: f32, fill) -> __m256 =
            |p, n| filled(_mm256_maskload_ps(p, first(n)), n, fill);
        load_first_f16(src: f16, fill) -> __m256 =
            |p, n| filled(_mm256_cvtph_ps(load_words(p.cast(), n)), n, fill);
        load_first_bf16(src: bf16, fill) -> __m256 =
            |p, n| filled(widen_bf16(load_words(p.cast(), n)), n, fill);
        store_first(dst: f32, a: __m256) = |p, n| _mm256_maskstore_ps(p, first(n), a);
        store_first_f16(dst: f16, a: __m256) =
            |p, n| store_words(p.cast(), n, _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(a));
        store_first_bf16(dst: bf16, a: __m256) = |p, n| store_words(p.cast(), n, round_bf16(a));
    }
}
