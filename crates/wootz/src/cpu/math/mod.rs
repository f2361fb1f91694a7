//! Elementary functions over vectors of `f32`.
//!
//! Each is written once over [`Simd`] and right over the whole range: NaN, infinities, both zeros,
//! denormals, huge arguments. The tests state each one's largest error in ulps and measure it over
//! a dense sample of all `f32`. Polynomials are minimax fits, lowest power first; the comment beside
//! one names what it fits and where.

mod activation;
mod exp;
mod hyperbolic;
mod inverse;
mod log;
mod pow;
pub(crate) mod rough;
#[cfg(test)]
mod tests;
mod trig;

pub use activation::{erf, gelu, gelu_tanh, relu, sigmoid, silu, softplus};
pub use exp::{exp, exp2, expm1, in_proportion_to_exp2};
pub use hyperbolic::{acosh, asinh, atanh, cosh, sinh, tanh};
pub use inverse::{acos, asin, atan, atan2};
pub use log::{log, log1p, log2};
pub use pow::{pow, rem};
pub use trig::{cos, sin, tan};

use super::simd::Simd;
use std::f32::consts::LN_2;

/// ln 2 is `LN_2 + LN_2_LOW` to 48 bits; the other pairs below likewise.
const LN_2_LOW: f32 = -1.904_654_2e-9;
const HALF_PI: f32 = std::f32::consts::FRAC_PI_2;
const HALF_PI_LOW: f32 = -4.371_139e-8;
const LOG2_E: f32 = std::f32::consts::LOG2_E;
const LOG2_E_LOW: f32 = 1.925_963e-8;

/// `c[0] + c[1]·x + c[2]·x² + …`: even powers and odd ones by themselves, which need not wait for
/// each other.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F32, c: [f32; N]) -> S::F32 {
    let square = s.mul(x, x);
    let mut sums = [s.splat(c[N - 1]), s.splat(c[N - 2])];
    for i in (0..N - 2).rev() {
        let which = (N - 1 - i) % 2;
        sums[which] = s.fma(sums[which], square, s.splat(c[i]));
    }
    let [even, odd] = match N % 2 {
        0 => [sums[1], sums[0]],
        _ => sums,
    };
    s.fma(odd, x, even)
}

/// As [`polynomial`], one power after the other: fewer operations where others fill the wait.
#[inline(always)]
fn horner<S: Simd, const N: usize>(s: S, x: S::F32, c: [f32; N]) -> S::F32 {
    let mut sum = s.splat(c[N - 1]);
    for &c in c[..N - 1].iter().rev() {
        sum = s.fma(sum, x, s.splat(c));
    }
    sum
}

/// `c[0] + c[1]·x + … + x^N`, as [`horner`]: with a sum where that has its first product.
#[inline(always)]
fn monic<S: Simd, const N: usize>(s: S, x: S::F32, c: [f32; N]) -> S::F32 {
    let mut sum = s.add(x, s.splat(c[N - 1]));
    for &c in c[..N - 1].iter().rev() {
        sum = s.fma(sum, x, s.splat(c));
    }
    sum
}

/// `x + x³·p(x²)`: the shape of an odd function near zero.
#[inline(always)]
fn odd_polynomial<S: Simd, const N: usize>(s: S, x: S::F32, c: [f32; N]) -> S::F32 {
    let square = s.mul(x, x);
    s.fma(s.mul(x, square), polynomial(s, square, c), x)
}

/// `x` kept inside `low..=high`; a NaN stays one.
#[inline(always)]
fn clamp<S: Simd>(s: S, x: S::F32, low: f32, high: f32) -> S::F32 {
    s.max(s.splat(low), s.min(s.splat(high), x))
}

/// `x` with its sign flipped where `sign` has its sign bit set.
#[inline(always)]
fn flip_sign<S: Simd>(s: S, x: S::F32, sign: S::I32) -> S::F32 {
    let top = s.and(sign, s.splat_i32(i32::MIN));
    s.from_bits(s.xor(s.bits(x), top))
}

/// `x` or `y` by lane, with scalar `f` for the lanes in `mask`: for arguments too rare to be worth
/// vector code.
#[inline(always)]
fn patch<S: Simd, const N: usize>(
    s: S,
    mask: S::Mask,
    args: [S::F32; N],
    y: S::F32,
    f: fn([f32; N]) -> f32,
) -> S::F32 {
    if !s.any(mask) {
        return y;
    }
    let mut lanes = [[0.0; MOST]; N];
    let mut out = [0.0; MOST];
    for (lanes, arg) in lanes.iter_mut().zip(args) {
        s.store(lanes, arg);
    }
    s.store(&mut out, y);
    patch_lanes(s.mask_bits(mask), &lanes, &mut out, f);
    s.load(&out)
}

/// At least the lanes of any vector, two as one included.
const MOST: usize = 32;

#[cold]
#[inline(never)]
fn patch_lanes<const N: usize>(
    mask: u32,
    args: &[[f32; MOST]; N],
    out: &mut [f32; MOST],
    f: fn([f32; N]) -> f32,
) {
    for (i, out) in out.iter_mut().enumerate() {
        if mask >> i & 1 == 1 {
            *out = f(std::array::from_fn(|arg| args[arg][i]));
        }
    }
}
