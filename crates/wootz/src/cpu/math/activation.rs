//! The error function and what neural networks make of these functions.

use super::{clamp, exp, flip_sign, log1p, polynomial};
use crate::cpu::simd::Simd;
use std::f32::consts::FRAC_1_SQRT_2;

/// `erf(x)/x − 1` in `x²`, on 0..1.
const ERF: [f32; 7] = [
    0.128_379_17,
    -0.376_126_26,
    0.112_835_854,
    -0.026_853_813,
    0.005_188_328,
    -0.000_801_019_4,
    7.853_863e-5,
];

/// `e^(z²)·erfc(z) / t` in `u = 2t − 1`, where `t = 1 / (1 + SLOPE·z)`, for `z` in 0..11.4.
const ERFC: [f32; 9] = [
    0.324_979_93,
    0.276_523_56,
    0.198_781_06,
    0.118_717_76,
    0.056_958_14,
    0.020_413_816,
    0.004_379_492_3,
    -0.000_242_784_58,
    -0.000_510_962_56,
];
const SLOPE: f32 = 0.3;

/// `e^(z²)·erfc(z)` for `z ≥ 0`, given `z / unit`.
#[inline(always)]
fn scaled_erfc<S: Simd>(s: S, z: S::F32, unit: f32) -> S::F32 {
    let one = s.splat(1.0);
    let t = s.div(one, s.fma(z, s.splat(SLOPE * unit), one));
    let u = s.fma(t, s.splat(2.0), s.splat(-1.0));
    s.mul(t, polynomial(s, u, ERFC))
}

/// Error function of a `z` in 0..1, given its square.
#[inline(always)]
fn erf_near_zero<S: Simd>(s: S, z: S::F32, square: S::F32) -> S::F32 {
    s.fma(z, polynomial(s, square, ERF), z)
}

/// Error function.
#[inline(always)]
pub fn erf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    // Past 4 the result is 1.
    let size = s.min(s.splat(4.5), s.abs(x));
    let square = s.mul(size, size);
    let near = erf_near_zero(s, size, square);
    let (m, n) = exp::split(s, s.neg(square));
    let power = s.ldexp(s.add(one, m), n);
    let far = s.fnma(power, scaled_erfc(s, size, 1.0), one);
    let y = s.select(s.lt(size, one), near, far);
    flip_sign(s, y, s.bits(x))
}

/// `x·Φ(x)` with the normal distribution's Φ, right in its far left tail too: `|x|·Φ(−|x|)` there,
/// and what that leaves of `x` on the right.
#[inline(always)]
pub fn gelu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // Past −15 the result is 0.
    let size = s.min(s.splat(16.0), s.abs(x));
    let half = s.mul(size, s.splat(0.5));
    // x²/2 and what its rounding lost: the exponential would magnify that.
    let power = s.mul(half, size);
    let lost = s.fnma(half, size, power);
    let (m, n) = exp::split_pair(s, s.neg(power), lost);
    let tail = s.mul(half, scaled_erfc(s, size, FRAC_1_SQRT_2));
    let tail = s.ldexp(s.fma(tail, m, tail), n);
    // From −0, so that what is too small for a number keeps its sign.
    s.sub(s.max(s.splat(-0.0), x), tail)
}

/// `x·σ(w)` for a `w` of the sign of `x`.
#[inline(always)]
fn gate<S: Simd>(s: S, x: S::F32, w: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let (m, n) = exp::split(s, s.neg(s.abs(w)));
    let m = s.add(one, m);
    let negative = s.lt(w, s.splat(0.0));
    let part = s.mul(x, s.select(negative, m, one));
    let quotient = s.div(part, s.add(one, s.ldexp(m, n)));
    // 2^n comes last: a denormal factor would cost bits that the product still has.
    s.ldexp(quotient, s.select(negative, n, s.splat(0.0)))
}

/// The usual approximation of [`gelu`], `x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2`.
#[inline(always)]
pub fn gelu_tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    /// Twice √(2/π), as `(1 + tanh w)/2 = σ(2w)`.
    const LINEAR: f32 = 1.595_769_2;
    const CUBIC: f32 = LINEAR * 0.044_715;
    // Past ±11 the result is 0 or x.
    let near = clamp(s, x, -12.0, 12.0);
    let slope = s.fma(s.mul(near, near), s.splat(CUBIC), s.splat(LINEAR));
    gate(s, s.max(s.splat(-12.0), x), s.mul(near, slope))
}

/// `x·σ(x)`.
#[inline(always)]
pub fn silu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    gate(s, s.max(s.splat(-120.0), x), x)
}

/// The logistic function, `σ(x) = 1 / (1 + e^−x)`.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let power = exp::exp(s, s.neg(s.abs(x)));
    let part = s.select(s.lt(x, s.splat(0.0)), power, one);
    s.div(part, s.add(one, power))
}

/// `ln(1 + e^x)`.
#[inline(always)]
pub fn softplus<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let rest = log1p(s, exp::exp(s, s.neg(s.abs(x))));
    s.add(s.max(s.splat(0.0), x), rest)
}

/// `max(x, 0)`; a NaN and −0 stay what they are.
#[inline(always)]
pub fn relu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.max(s.splat(0.0), x)
}
