//! Sine, cosine and tangent.

use super::{HALF_PI, HALF_PI_LOW, flip_sign, odd_polynomial, patch, polynomial};
use crate::cpu::simd::Simd;
use std::f32::consts::FRAC_2_PI;

/// `(sin r − r) / r³` in `r²`, on ±π/4.
const SIN: [f32; 3] = [-0.166_666_54, 0.008_332_151, -0.000_195_139_79];
/// `(cos r − 1 + r²/2) / r⁴` in `r²`, on ±π/4.
const COS: [f32; 3] = [0.041_666_646, -0.001_388_730_4, 2.443_170_7e-5];

/// What `HALF_PI + HALF_PI_LOW` still lacks of π/2.
const HALF_PI_LOWEST: f32 = -1.715_124_5e-15;

/// Up to here `x − n·π/2` is exact to its last bits in three steps; past it one `f64` step per lane
/// is, by the library's own reduction.
const LIMIT: f32 = 1e5;

/// `x = n·π/2 + r` with `|r| ≤ π/4`, as `(r, n)`.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::F32) -> (S::F32, S::I32) {
    let n = s.round(s.mul(x, s.splat(FRAC_2_PI)));
    let r = s.fnma(n, s.splat(HALF_PI), x);
    let r = s.fnma(n, s.splat(HALF_PI_LOW), r);
    (s.fnma(n, s.splat(HALF_PI_LOWEST), r), s.to_i32(n))
}

#[inline(always)]
fn cos_near_zero<S: Simd>(s: S, r: S::F32) -> S::F32 {
    let square = s.mul(r, r);
    let tail = s.mul(s.mul(square, square), polynomial(s, square, COS));
    s.add(s.fnma(s.splat(0.5), square, s.splat(1.0)), tail)
}

/// `sin(r + n·π/2)`.
#[inline(always)]
fn sin_quadrant<S: Simd>(s: S, r: S::F32, n: S::I32) -> S::F32 {
    let odd = s.eq_i32(s.and(n, s.splat_i32(1)), s.splat_i32(1));
    let y = s.select(odd, cos_near_zero(s, r), odd_polynomial(s, r, SIN));
    flip_sign(s, y, s.shl(n, 30))
}

#[inline(always)]
fn huge<S: Simd>(s: S, x: S::F32) -> S::Mask {
    s.gt(s.abs(x), s.splat(LIMIT))
}

/// Sine.
#[inline(always)]
pub fn sin<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (r, n) = reduce(s, s.abs(x));
    let y = flip_sign(s, sin_quadrant(s, r, n), s.bits(x));
    patch(s, huge(s, x), [x], y, |[x]| f64::from(x).sin() as f32)
}

/// Cosine.
#[inline(always)]
pub fn cos<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (r, n) = reduce(s, x);
    let y = sin_quadrant(s, r, s.add_i32(n, s.splat_i32(1)));
    patch(s, huge(s, x), [x], y, |[x]| f64::from(x).cos() as f32)
}

/// Tangent.
#[inline(always)]
pub fn tan<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (r, n) = reduce(s, s.abs(x));
    let odd = s.shl(n, 31);
    let swap = s.gt_i32(s.splat_i32(0), odd);
    let (sin, cos) = (odd_polynomial(s, r, SIN), cos_near_zero(s, r));
    let y = s.div(s.select(swap, cos, sin), s.select(swap, sin, cos));
    let y = flip_sign(s, y, s.xor(odd, s.bits(x)));
    patch(s, huge(s, x), [x], y, |[x]| f64::from(x).tan() as f32)
}
