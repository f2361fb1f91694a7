//! Functions for results that are rounded to bf16 next: off by at most a 2¹²th of
//! themselves, an eighth of what that rounding may lose, and right at NaN, infinities and zeros.

use super::{LOG2_E, horner};
use crate::cpu::simd::Simd;

/// The largest error in ulps of `f32`, of which a 2¹²th has at most so many.
pub const ULPS: f64 = 2048.0;

/// `2^x` on 0..1, off by 7.5e-5 of it.
const POWER: [f32; 4] = [0.999_925_2, 0.695_833_56, 0.226_067_17, 0.078_024_514];

/// `e^(z²/2)·Φ(−z)`, with the normal distribution's Φ, on 0..14.6: a quotient of two polynomials
/// whose terms are all positive, so that nothing cancels. Off by 2.5e-5 of it.
const TAIL: [f32; 3] = [0.500_012_6, 0.279_130_13, 0.062_889_18];
const TAIL_BELOW: [f32; 4] = [1.0, 1.356_921, 0.704_610_76, 0.157_472_04];

/// Where a denominator would leave the range of `f32`, it is kept smaller by this.
const SMALL: f32 = f32::from_bits((127 - 64) << 23);

/// `2^x` for an `x` below 128.
#[inline(always)]
pub fn exp2<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.scale(horner(s, s.fraction(x), POWER), x)
}

/// `e^x`.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // An infinity has no fraction.
    let x = s.min(s.splat(100.0), x);
    exp2(s, s.mul(x, s.splat(LOG2_E)))
}

/// `1 / (1 + 2^x)`.
#[inline(always)]
fn below_one<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (small, x) = (s.splat(SMALL), s.add(x, s.splat(-64.0)));
    let power = s.scale(horner(s, s.fraction(x), POWER), x);
    s.mul(s.about_recip(s.add(power, small)), small)
}

/// `1 / (1 + e^−x)`.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = s.max(s.splat(-120.0), x);
    below_one(s, s.mul(x, s.splat(-LOG2_E)))
}

/// `x·sigmoid(x)`.
#[inline(always)]
pub fn silu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = s.max(s.splat(-120.0), x);
    s.mul(x, below_one(s, s.mul(x, s.splat(-LOG2_E))))
}

/// `x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2`.
#[inline(always)]
pub fn gelu_tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    /// −2·√(2/π)·log2 e.
    const LINEAR: f32 = -2.302_208_2;
    const CUBIC: f32 = LINEAR * 0.044_715;
    let x = s.max(s.splat(-12.0), x);
    let slope = s.fma(s.mul(x, x), s.splat(CUBIC), s.splat(LINEAR));
    s.mul(x, below_one(s, s.mul(x, slope)))
}

/// `x·Φ(x)`, as [`super::gelu`] computes it.
#[inline(always)]
pub fn gelu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let size = s.min_size(x, s.splat(16.0));
    let x2 = s.mul(s.mul(size, s.splat(-0.5 * LOG2_E)), size);
    let power = s.mul(size, horner(s, s.fraction(x2), POWER));
    let quotient = s.mul(
        horner(s, size, TAIL),
        s.about_recip(horner(s, size, TAIL_BELOW)),
    );
    let tail = s.scale(s.mul(power, quotient), x2);
    s.sub(s.max(s.splat(-0.0), x), tail)
}
