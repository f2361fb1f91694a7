//! Logarithms.

use super::{LN_2, LN_2_LOW, LOG2_E, LOG2_E_LOW, polynomial};
use crate::cpu::simd::Simd;

/// `(ln(1 + f) − f) / f²` for `1 + f` in √½..√2.
const LOG: [f32; 9] = [
    -0.499_999_88,
    0.333_333_25,
    -0.250_015_97,
    0.200_020_85,
    -0.166_088_24,
    0.141_793_46,
    -0.132_425_68,
    0.129_212_36,
    -0.076_444_37,
];

/// The bits of √½, where the range of `1 + f` starts.
const START: i32 = 0x3f35_04f3;

/// `x = (1 + f)·2^k` with `1 + f` in √½..√2, as `(f, k)`, for a normal positive `x`.
#[inline(always)]
fn split<S: Simd>(s: S, x: S::F32) -> (S::F32, S::F32) {
    let above = s.sub_i32(s.bits(x), s.splat_i32(START));
    let k = s.to_f32(s.sar(above, 23));
    let mantissa = s.and(above, s.splat_i32(0x007f_ffff));
    let m = s.from_bits(s.add_i32(mantissa, s.splat_i32(START)));
    (s.sub(m, s.splat(1.0)), k)
}

/// As [`split`], for denormals too.
#[inline(always)]
pub(super) fn split_any<S: Simd>(s: S, x: S::F32) -> (S::F32, S::F32) {
    let denormal = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let scaled = s.mul(x, s.splat((1 << 23) as f32));
    let (f, k) = split(s, s.select(denormal, scaled, x));
    (f, s.select(denormal, s.sub(k, s.splat(23.0)), k))
}

/// `ln(1 + f) − f`.
#[inline(always)]
fn beyond_linear<S: Simd>(s: S, f: S::F32) -> S::F32 {
    s.mul(s.mul(f, f), polynomial(s, f, LOG))
}

/// `k·ln 2 + ln(1 + f)`.
#[inline(always)]
fn join<S: Simd>(s: S, f: S::F32, k: S::F32) -> S::F32 {
    let low = s.fma(k, s.splat(LN_2_LOW), beyond_linear(s, f));
    s.fma(k, s.splat(LN_2), s.add(f, low))
}

/// `y` where `x` is positive and finite, the logarithm's limits elsewhere.
#[inline(always)]
fn limits<S: Simd>(s: S, x: S::F32, y: S::F32) -> S::F32 {
    let finite = s.lt(x, s.splat(f32::INFINITY));
    let y = s.select(finite, y, x);
    let outside = s.select(
        s.eq(x, s.splat(0.0)),
        s.splat(f32::NEG_INFINITY),
        s.splat(f32::NAN),
    );
    s.select(s.le(x, s.splat(0.0)), outside, y)
}

/// Natural logarithm.
#[inline(always)]
pub fn log<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (f, k) = split_any(s, x);
    limits(s, x, join(s, f, k))
}

/// Logarithm to base 2.
#[inline(always)]
pub fn log2<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (f, k) = split_any(s, x);
    let low = s.fma(
        f,
        s.splat(LOG2_E_LOW),
        s.mul(beyond_linear(s, f), s.splat(LOG2_E)),
    );
    limits(s, x, s.add(k, s.fma(f, s.splat(LOG2_E), low)))
}

/// `ln(1 + x)`, exact to its last bits near zero.
#[inline(always)]
pub fn log1p<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let sum = s.add(one, x);
    let (f, k) = split(s, sum);
    // (1 + x)·2^−k − 1 rounded once, so that what `sum` lost counts. Beyond 2³⁰ it lost nothing
    // that matters and 2^−k leaves the normal range.
    let scale = s.ldexp(one, s.sub(s.splat(0.0), k));
    let exact = s.fma(x, scale, s.sub(scale, one));
    let f = s.select(s.lt(x, s.splat((1u32 << 30) as f32)), exact, f);
    let tiny = s.lt(s.abs(x), s.splat(f32::EPSILON / 4.0));
    s.select(tiny, x, limits(s, sum, join(s, f, k)))
}
