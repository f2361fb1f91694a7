//! Sixteen lanes with AVX-512 F, BW, DQ and VL.

use super::avx2::{self, halves_max, halves_min, halves_sum};
use super::{Job, Simd};
use half::{bf16, f16};
use std::arch::x86_64::*;

const LANES: usize = 16;
const FLOOR: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
const CEIL: i32 = _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC;
const TRUNC: i32 = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
/// The even ones of 32 words.
const EVEN: __mmask32 = 0x5555_5555;
/// The class of denormals.
const DENORMAL: i32 = 0x20;
/// The operand of the smaller size, without its sign.
const SMALLER_SIZE: i32 = 0b10_10;
const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

/// The token of [`Level::Avx512`](super::Level::Avx512).
#[derive(Clone, Copy, Debug)]
pub struct Avx512 {
    bf16: Bf16,
}

/// How floats are rounded to bf16.
#[derive(Clone, Copy, Debug)]
enum Bf16 {
    /// To nearest even, by integer arithmetic.
    Integers,
    /// To nearest even, by the machine's instruction.
    Machine,
    /// To nearest, and ties away from zero.
    TiesAway,
}

/// Runs `job` compiled for this level.
///
/// # Safety
/// [`Level::Avx512`](super::Level::Avx512) is available.
#[target_feature(
    enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"
)]
pub unsafe fn enter<J: Job>(job: J) -> J::Output {
    let bf16 = match is_x86_feature_detected!("avx512bf16") {
        true => Bf16::Machine,
        false => Bf16::Integers,
    };
    job.run(Avx512 { bf16 })
}

/// The first `n` lanes.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    ((1u32 << n.min(LANES)) - 1) as __mmask16
}

/// Rounds each lane to bf16, to nearest even; a NaN becomes a quiet one. Rare, so out of line.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn round_bf16(a: __m512) -> __m256i {
    let x = _mm512_castps_si512(a);
    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(x), _mm512_set1_epi32(1));
    let up = _mm512_add_epi32(_mm512_add_epi32(x, _mm512_set1_epi32(0x7fff)), odd);
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a);
    let kept = _mm512_mask_or_epi32(up, nan, x, _mm512_set1_epi32(0x0040_0000));
    // The upper half of each lane, which are the odd words.
    let odd_words = _mm512_add_epi16(
        _mm512_slli_epi16::<1>(_mm512_set_epi16(
            31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10,
            9, 8, 7, 6, 5, 4, 3, 2, 1, 0,
        )),
        _mm512_set1_epi16(1),
    );
    _mm512_castsi512_si256(_mm512_permutexvar_epi16(odd_words, kept))
}

/// The machine's own rounding to bf16, which takes denormals for zeros.
///
/// # Safety
/// The machine has `AVX512_BF16`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn convert_bf16(a: __m512) -> __m256i {
    let out: __m256i;
    // SAFETY: the caller's promise; the instruction touches no memory.
    unsafe {
        std::arch::asm!(
            "vcvtneps2bf16 {out}, {a}",
            a = in(zmm_reg) a,
            out = lateout(ymm_reg) out,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    out
}

/// As [`convert_bf16`], of two vectors, one behind the other.
///
/// # Safety
/// As there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn convert_pair_bf16(a: __m512, b: __m512) -> __m512i {
    let out: __m512i;
    // SAFETY: as in `convert_bf16`.
    unsafe {
        std::arch::asm!(
            "vcvtne2ps2bf16 {out}, {b}, {a}",
            a = in(zmm_reg) a,
            b = in(zmm_reg) b,
            out = lateout(zmm_reg) out,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    out
}

/// Rounds each lane to bf16 in its upper half, ties away from zero; below that half stays something.
/// A NaN of an operation or of a bf16 stays one, as its last digits are zeros.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn ties_away(a: __m512) -> __m512i {
    _mm512_add_epi32(_mm512_castps_si512(a), _mm512_set1_epi32(0x8000))
}

/// Rounds each lane to bf16. Always inlined, as the kernels' inner loops need.
#[inline(always)]
fn narrow_bf16(token: Avx512, a: __m512) -> __m256i {
    // SAFETY: the token proves the level, and says whether there is the instruction.
    unsafe {
        match token.bf16 {
            Bf16::TiesAway => _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(ties_away(a))),
            Bf16::Machine if _mm512_fpclass_ps_mask::<DENORMAL>(a) == 0 => convert_bf16(a),
            _ => round_bf16(a),
        }
    }
}

/// As [`narrow_bf16`], of two vectors.
#[inline(always)]
fn narrow_pair_bf16(token: Avx512, a: __m512, b: __m512) -> __m512i {
    // SAFETY: as in `narrow_bf16`.
    unsafe {
        if matches!(token.bf16, Bf16::TiesAway) {
            let even = _mm512_srli_epi32::<16>(ties_away(a));
            return _mm512_mask_blend_epi16(EVEN, ties_away(b), even);
        }
        let denormal =
            _mm512_fpclass_ps_mask::<DENORMAL>(a) | _mm512_fpclass_ps_mask::<DENORMAL>(b);
        match token.bf16 {
            Bf16::Machine if denormal == 0 => zip_words(convert_pair_bf16(a, b)),
            _ => round_pair_bf16(a, b),
        }
    }
}

/// As [`round_bf16`], of two vectors: rare, so out of line.
#[cold]
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn round_pair_bf16(a: __m512, b: __m512) -> __m512i {
    let low = _mm512_castsi256_si512(round_bf16(a));
    zip_words(_mm512_inserti64x4::<1>(low, round_bf16(b)))
}

/// The words of the lower half, each before one of the upper half.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn zip_words(a: __m512i) -> __m512i {
    let order = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
        19, 3, 18, 2, 17, 1, 16, 0,
    );
    _mm512_permutexvar_epi16(order, a)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn widen_bf16(a: __m256i) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(a)))
}

/// Stores around the caches where the place is aligned.
///
/// # Safety
/// `p` is valid for the vector.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn bypass_words(p: *mut __m256i, a: __m256i) {
    // SAFETY: the caller's promise, and the alignment was looked at.
    unsafe {
        match p.addr() % 32 {
            0 => _mm256_stream_si256(p, a),
            _ => _mm256_storeu_si256(p, a),
        }
    }
}

impl Simd for Avx512 {
    const LANES: usize = LANES;
    type F32 = __m512;
    type I32 = __m512i;
    type Mask = __mmask16;

    avx2::intrinsics! {
        fn splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        fn add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        fn sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        fn mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        fn div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fn fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        fn fnma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fnmadd_ps(a, b, c);
        fn sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
        fn min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        fn max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        fn floor(a: __m512) -> __m512 = _mm512_roundscale_ps::<FLOOR>(a);
        fn ceil(a: __m512) -> __m512 = _mm512_roundscale_ps::<CEIL>(a);
        fn trunc(a: __m512) -> __m512 = _mm512_roundscale_ps::<TRUNC>(a);
        fn round(a: __m512) -> __m512 = _mm512_roundscale_ps::<NEAREST>(a);

        fn eq(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b);
        fn lt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        fn le(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b);
        fn is_nan(a: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a);
        fn select(m: __mmask16, a: __m512, b: __m512) -> __m512 = _mm512_mask_blend_ps(m, b, a);
        fn select_i32(m: __mmask16, a: __m512i, b: __m512i) -> __m512i = _mm512_mask_blend_epi32(m, b, a);
        fn mask_and(a: __mmask16, b: __mmask16) -> __mmask16 = a & b;
        fn mask_or(a: __mmask16, b: __mmask16) -> __mmask16 = a | b;
        fn mask_xor(a: __mmask16, b: __mmask16) -> __mmask16 = a ^ b;
        fn mask_not(a: __mmask16) -> __mmask16 = !a;
        fn mask_bits(a: __mmask16) -> u32 = u32::from(a);

        fn splat_i32(x: i32) -> __m512i = _mm512_set1_epi32(x);
        fn add_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        fn sub_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32(a, b);
        fn mul_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_mullo_epi32(a, b);
        fn and(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        fn or(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        fn xor(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512(a, b);
        fn shl(a: __m512i, n: u32) -> __m512i = _mm512_sllv_epi32(a, _mm512_set1_epi32(n as i32));
        fn shr(a: __m512i, n: u32) -> __m512i = _mm512_srlv_epi32(a, _mm512_set1_epi32(n as i32));
        fn sar(a: __m512i, n: u32) -> __m512i = _mm512_srav_epi32(a, _mm512_set1_epi32(n as i32));
        fn eq_i32(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmpeq_epi32_mask(a, b);
        fn gt_i32(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmpgt_epi32_mask(a, b);
        fn iota() -> __m512i = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

        fn to_i32(a: __m512) -> __m512i = _mm512_cvttps_epi32(a);
        fn to_f32(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
        fn ldexp(a: __m512, n: __m512) -> __m512 = _mm512_scalef_ps(a, n);
        fn min_size(a: __m512, b: __m512) -> __m512 = _mm512_range_ps::<SMALLER_SIZE>(a, b);
        fn fraction(a: __m512) -> __m512 = _mm512_reduce_ps::<FLOOR>(a);
        fn scale(a: __m512, n: __m512) -> __m512 = _mm512_scalef_ps(a, n);
        fn about_recip(a: __m512) -> __m512 = _mm512_rcp14_ps(a);
        fn entry(table: &[f32; 16], i: __m512i) -> __m512 =
            _mm512_permutexvar_ps(i, _mm512_loadu_ps(table.as_ptr()));
        fn bits(a: __m512) -> __m512i = _mm512_castps_si512(a);
        fn from_bits(a: __m512i) -> __m512 = _mm512_castsi512_ps(a);

        fn sum(a: __m512) -> f32 =
            halves_sum(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a)));
        fn max_lane(a: __m512) -> f32 =
            halves_max(_mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a)));
        fn min_lane(a: __m512) -> f32 =
            halves_min(_mm256_min_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a)));
    }

    avx2::memory! {
        load(src: f32) -> __m512 = |p| _mm512_loadu_ps(p);
        load_i32(src: i32) -> __m512i = |p| _mm512_loadu_si512(p.cast());
        load_f16(src: f16) -> __m512 = |p| _mm512_cvtph_ps(_mm256_loadu_si256(p.cast()));
        load_bf16(src: bf16) -> __m512 = |p| widen_bf16(_mm256_loadu_si256(p.cast()));
        store(dst: f32, a: __m512) = |p| _mm512_storeu_ps(p, a);
        store_i32(dst: i32, a: __m512i) = |p| _mm512_storeu_si512(p.cast(), a);
        store_f16(dst: f16, a: __m512) = |p| _mm256_storeu_si256(p.cast(), _mm512_cvtps_ph::<NEAREST>(a));
        bypass(dst: f32, a: __m512) = |p| match p.addr() % 64 {
            0 => _mm512_stream_ps(p, a),
            _ => _mm512_storeu_ps(p, a),
        };
        bypass_f16(dst: f16, a: __m512) = |p| bypass_words(p.cast(), _mm512_cvtps_ph::<NEAREST>(a));
        load_first(src: f32, fill) -> __m512 =
            |p, n| _mm512_mask_loadu_ps(_mm512_set1_ps(fill), first(n), p);
        load_first_f16(src: f16, fill) -> __m512 = |p, n| {
            let wide = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p.cast()));
            _mm512_mask_blend_ps(first(n), _mm512_set1_ps(fill), wide)
        };
        load_first_bf16(src: bf16, fill) -> __m512 = |p, n| {
            let wide = widen_bf16(_mm256_maskz_loadu_epi16(first(n), p.cast()));
            _mm512_mask_blend_ps(first(n), _mm512_set1_ps(fill), wide)
        };
        store_first(dst: f32, a: __m512) = |p, n| _mm512_mask_storeu_ps(p, first(n), a);
        store_first_f16(dst: f16, a: __m512) =
            |p, n| _mm256_mask_storeu_epi16(p.cast(), first(n), _mm512_cvtps_ph::<NEAREST>(a));
    }

    #[inline(always)]
    fn ties_away(self) -> Self {
        let bf16 = Bf16::TiesAway;
        Avx512 { bf16 }
    }

    #[inline(always)]
    fn store_bf16(self, dst: &mut [bf16], a: __m512) {
        let p = dst[..LANES].as_mut_ptr();
        // SAFETY: the token proves the features, the slice above LANES writable elements.
        unsafe { _mm256_storeu_si256(p.cast(), narrow_bf16(self, a)) }
    }
    #[inline(always)]
    fn store_first_bf16(self, dst: &mut [bf16], a: __m512) {
        let (p, n) = (dst.as_mut_ptr(), dst.len());
        // SAFETY: the token proves the features; the first `n` lanes are the slice's.
        unsafe { _mm256_mask_storeu_epi16(p.cast(), first(n), narrow_bf16(self, a)) }
    }
    #[inline(always)]
    fn bypass_bf16(self, dst: &mut [bf16], a: __m512) {
        let p = dst[..LANES].as_mut_ptr();
        // SAFETY: as above.
        unsafe { bypass_words(p.cast(), narrow_bf16(self, a)) }
    }
    #[inline(always)]
    fn load_pair_bf16(self, src: &[bf16]) -> (__m512, __m512) {
        let p = src[..2 * LANES].as_ptr();
        // SAFETY: the token proves the features, the slice above twice LANES readable elements.
        unsafe {
            let both = _mm512_loadu_si512(p.cast());
            let odd = _mm512_and_si512(both, _mm512_set1_epi32(0xffff_0000u32 as i32));
            let even = _mm512_slli_epi32::<16>(both);
            (_mm512_castsi512_ps(even), _mm512_castsi512_ps(odd))
        }
    }
    #[inline(always)]
    fn store_pair_bf16(self, dst: &mut [bf16], a: __m512, b: __m512) {
        let p = dst[..2 * LANES].as_mut_ptr();
        // SAFETY: as above, of twice as many.
        unsafe { _mm512_storeu_si512(p.cast(), narrow_pair_bf16(self, a, b)) }
    }
    #[inline(always)]
    fn bypass_pair_bf16(self, dst: &mut [bf16], a: __m512, b: __m512) {
        let p: *mut __m512i = dst[..2 * LANES].as_mut_ptr().cast();
        // SAFETY: as above, and the alignment was looked at.
        unsafe {
            let out = narrow_pair_bf16(self, a, b);
            match p.addr() % 64 {
                0 => _mm512_stream_si512(p, out),
                _ => _mm512_storeu_si512(p, out),
            }
        }
    }
}
