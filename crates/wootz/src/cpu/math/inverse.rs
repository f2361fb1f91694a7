//! Inverse trigonometric functions.

use super::{HALF_PI, HALF_PI_LOW, flip_sign, odd_polynomial, polynomial};
use crate::cpu::simd::Simd;

/// `(asin x − x) / x³` in `x²`, on 0..½.
const ASIN: [f32; 5] = [
    0.166_667_52,
    0.074_952_975,
    0.045_470_346,
    0.024_179_678,
    0.042_166_03,
];
/// `(atan x − x) / x³` in `x²`, on 0..1.
const ATAN: [f32; 8] = [
    -0.333_331_53,
    0.199_937_73,
    -0.142_110_59,
    0.106_660_19,
    -0.075_522_46,
    0.043_212_246,
    -0.016_368_171,
    0.002_920_755,
];

/// `k·π/2 − y`.
#[inline(always)]
fn from_quarters<S: Simd>(s: S, k: f32, y: S::F32) -> S::F32 {
    s.add(s.sub(s.splat(k * HALF_PI), y), s.splat(k * HALF_PI_LOW))
}

/// For `|x|`: its arcsine up to ½, else half its arccosine; and which of the two.
#[inline(always)]
fn near_or_far<S: Simd>(s: S, x: S::F32) -> (S::F32, S::Mask) {
    let x = s.abs(x);
    let far = s.gt(x, s.splat(0.5));
    let rest = s.mul(s.sub(s.splat(1.0), x), s.splat(0.5));
    let square = s.select(far, rest, s.mul(x, x));
    let root = s.select(far, s.sqrt(rest), x);
    (
        s.fma(s.mul(root, square), polynomial(s, square, ASIN), root),
        far,
    )
}

/// Arcsine; NaN outside −1..1.
#[inline(always)]
pub fn asin<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (y, far) = near_or_far(s, x);
    let y = s.select(far, from_quarters(s, 1.0, s.add(y, y)), y);
    flip_sign(s, y, s.bits(x))
}

/// Arccosine; NaN outside −1..1.
#[inline(always)]
pub fn acos<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (y, far) = near_or_far(s, x);
    let twice = s.add(y, y);
    let left = s.lt(x, s.splat(0.0));
    let ends = s.select(left, from_quarters(s, 2.0, twice), twice);
    s.select(far, ends, from_quarters(s, 1.0, flip_sign(s, y, s.bits(x))))
}

/// Arctangent.
#[inline(always)]
pub fn atan<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let size = s.abs(x);
    let far = s.gt(size, one);
    let t = s.div(s.select(far, one, size), s.select(far, size, one));
    let y = odd_polynomial(s, t, ATAN);
    flip_sign(s, s.select(far, from_quarters(s, 1.0, y), y), s.bits(x))
}

/// The angle of the point `(x, y)`, in −π..π, by the signs of both, of zeros too.
#[inline(always)]
pub fn atan2<S: Simd>(s: S, y: S::F32, x: S::F32) -> S::F32 {
    let (high, wide) = (s.abs(y), s.abs(x));
    let (short, long) = (s.min(high, wide), s.max(high, wide));
    let t = s.div(short, long);
    let t = s.select(s.eq(short, long), s.splat(1.0), t);
    let t = s.select(s.eq(long, s.splat(0.0)), s.splat(0.0), t);
    let angle = odd_polynomial(s, t, ATAN);
    let angle = s.select(s.gt(high, wide), from_quarters(s, 1.0, angle), angle);
    let left = s.gt_i32(s.splat_i32(0), s.bits(x));
    let angle = s.select(left, from_quarters(s, 2.0, angle), angle);
    let nan = s.mask_or(s.is_nan(x), s.is_nan(y));
    s.select(nan, s.add(x, y), flip_sign(s, angle, s.bits(y)))
}
