//! Hyperbolic functions and their inverses.

use super::{LN_2, exp, expm1, flip_sign, log1p, odd_polynomial};
use crate::cpu::simd::Simd;

/// `(sinh x − x) / x³` in `x²`, on 0..1.
const SINH: [f32; 4] = [0.166_666_67, 0.008_333_35, 0.000_198_361_6, 2.816_950_6e-6];

/// From here on `x² + 1` is `x²` and the square may overflow.
const LARGE: f32 = 1e8;

/// `e^|x| / 2`, which overflows no earlier than the hyperbolic functions do.
#[inline(always)]
fn half_exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (m, n) = exp::split(s, s.abs(x));
    s.ldexp(s.add(s.splat(1.0), m), s.sub(n, s.splat(1.0)))
}

/// Hyperbolic sine.
#[inline(always)]
pub fn sinh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let size = s.abs(x);
    let half = half_exp(s, size);
    let far = s.sub(half, s.div(s.splat(0.25), half));
    let y = s.select(s.lt(size, s.splat(1.0)), odd_polynomial(s, size, SINH), far);
    flip_sign(s, y, s.bits(x))
}

/// Hyperbolic cosine.
#[inline(always)]
pub fn cosh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let half = half_exp(s, x);
    s.add(half, s.div(s.splat(0.25), half))
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let size = s.abs(x);
    // Past 10 the result is 1.
    let t = expm1(s, s.min(s.splat(20.0), s.add(size, size)));
    flip_sign(s, s.div(t, s.add(t, s.splat(2.0))), s.bits(x))
}

/// `ln(1 + near)`, or where `x` is large `ln(2x)`.
#[inline(always)]
fn log_of_sum<S: Simd>(s: S, x: S::F32, near: S::F32) -> S::F32 {
    let large = s.gt(x, s.splat(LARGE));
    let y = log1p(s, s.select(large, x, near));
    s.select(large, s.add(y, s.splat(LN_2)), y)
}

/// Inverse hyperbolic sine.
#[inline(always)]
pub fn asinh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let size = s.abs(x);
    let square = s.mul(size, size);
    let rest = s.div(square, s.add(one, s.sqrt(s.add(square, one))));
    flip_sign(s, log_of_sum(s, size, s.add(size, rest)), s.bits(x))
}

/// Inverse hyperbolic cosine; NaN below 1.
#[inline(always)]
pub fn acosh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let above = s.sub(x, one);
    let root = s.sqrt(s.fma(above, above, s.add(above, above)));
    let y = log_of_sum(s, x, s.add(above, root));
    s.select(s.lt(x, one), s.splat(f32::NAN), y)
}

/// Inverse hyperbolic tangent; NaN outside −1..1.
#[inline(always)]
pub fn atanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let size = s.abs(x);
    let ratio = s.div(s.add(size, size), s.sub(s.splat(1.0), size));
    let y = s.mul(s.splat(0.5), log1p(s, ratio));
    flip_sign(s, y, s.bits(x))
}
