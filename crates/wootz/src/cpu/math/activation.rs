//! The error function and what neural networks make of these functions.

use super::{LOG2_E, clamp, exp, flip_sign, horner, log1p, polynomial};
use crate::cpu::simd::Simd;

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

/// `e^(−r/2)` on ±ln 2, off by 9.4e-8 of it.
const POWER: [f32; 6] = [
    1.0,
    -0.499_999_85,
    0.124_997_87,
    -0.020_834_547,
    0.002_618_629,
    -0.000_259_071_56,
];

/// `e^(z²/2)·Φ(−z)`, with the normal distribution's Φ, on 0..14.6: a quotient of two polynomials
/// whose terms are all positive, so that nothing cancels. Off by 3.5e-8 of it.
const TAIL: [f32; 5] = [
    0.5,
    0.438_496_77,
    0.183_384_87,
    0.040_683_76,
    0.004_123_826_5,
];
const TAIL_BELOW: [f32; 6] = [
    1.0,
    1.674_878_6,
    1.203_124_6,
    0.469_865_95,
    0.101_985_44,
    0.010_336_782,
];

/// `e^(z²)·erfc(z)` for `z ≥ 0`.
#[inline(always)]
fn scaled_erfc<S: Simd>(s: S, z: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let t = s.div(one, s.fma(z, s.splat(SLOPE), one));
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
    let far = s.fnma(power, scaled_erfc(s, size), one);
    let y = s.select(s.lt(size, one), near, far);
    flip_sign(s, y, s.bits(x))
}

/// `x·Φ(x)` with the normal distribution's Φ, right in its far left tail too: `|x|·Φ(−|x|)` there,
/// and what that leaves of `x` on the right.
#[inline(always)]
pub fn gelu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    /// What a sum with it rounds to an integer.
    const INTEGERS: f32 = 12_582_912.0;
    /// 2·ln 2 in so few bits that its product with any exponent is exact, and the rest of it.
    const HIGH: f32 = 1.386_291_5;
    const LOW: f32 = 2.857_213_6e-6;
    // Past −15 the result is 0.
    let size = s.min_size(x, s.splat(16.0));
    // e^(−x²/2) = e^(−r/2)·2^n. The square is not rounded before n·2·ln 2 leaves little of it: the
    // exponential would magnify that.
    let (slope, integers) = (s.mul(size, s.splat(-0.5 * LOG2_E)), s.splat(INTEGERS));
    let n = s.sub(s.fma(slope, size, integers), integers);
    let r = s.fma(size, size, s.mul(n, s.splat(HIGH)));
    let power = horner(s, s.fma(n, s.splat(LOW), r), POWER);
    let tail = s.mul(s.mul(size, horner(s, size, TAIL)), power);
    let tail = s.ldexp(s.div(tail, horner(s, size, TAIL_BELOW)), n);
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
