//! Exponentials.

use super::{LN_2, LN_2_LOW, LOG2_E, clamp, monic, polynomial};
use crate::cpu::simd::Simd;

/// `(e^r − 1 − r) / r²` on ±ln 2 / 2.
const EXP: [f32; 5] = [
    0.499_999_94,
    0.166_665_2,
    0.041_668_408,
    0.008_368_922,
    0.001_381_422_7,
];

/// In proportion to `2^x` on 0..1, but for 7.5e-8 of it; `x⁵` is to be added.
const EXP2: [f32; 5] = [532.601_4, 369.174_3, 127.906_16, 29.733_175, 4.787_735_5];

/// `e^x = (1 + m)·2^n` with `|m| ≤ √2 − 1` and integral `n`, as `(m, n)`; `x` is taken as if in
/// −130..90, outside of which the power, even times 2³⁰, is 0 or ∞ in `f32`.
#[inline(always)]
pub(super) fn split<S: Simd>(s: S, x: S::F32) -> (S::F32, S::F32) {
    let x = clamp(s, x, -130.0, 90.0);
    let n = s.round(s.mul(x, s.splat(LOG2_E)));
    let r = s.fnma(n, s.splat(LN_2), x);
    (near_zero(s, s.fnma(n, s.splat(LN_2_LOW), r)), n)
}

/// `e^r − 1` for small `r`.
#[inline(always)]
pub(super) fn near_zero<S: Simd>(s: S, r: S::F32) -> S::F32 {
    s.fma(s.mul(r, r), polynomial(s, r, EXP), r)
}

/// `e^x`.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (m, n) = split(s, x);
    s.ldexp(s.add(s.splat(1.0), m), n)
}

/// `2^x`.
#[inline(always)]
pub fn exp2<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = clamp(s, x, -151.0, 129.0);
    let n = s.round(x);
    let m = near_zero(s, s.mul(s.sub(x, n), s.splat(LN_2)));
    s.ldexp(s.add(s.splat(1.0), m), n)
}

/// 532.6 times `2^x` for an `x` below 118, but for three units in the last place
/// of it; 0 of −∞.
#[inline(always)]
pub fn in_proportion_to_exp2<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.scale(monic(s, s.fraction(x), EXP2), x)
}

/// `e^x − 1`, exact to its last bits near zero.
#[inline(always)]
pub fn expm1<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (m, n) = split(s, clamp(s, x, -20.0, 89.0));
    // At half its size, so that 2^n does not overflow before the result does.
    let scale = s.ldexp(s.splat(0.5), n);
    let half = s.fma(m, scale, s.sub(scale, s.splat(0.5)));
    let tiny = s.lt(s.abs(x), s.splat(f32::EPSILON / 4.0));
    s.select(tiny, x, s.add(half, half))
}
