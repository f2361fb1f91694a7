//! Powers and remainders.

use super::{LN_2, LOG2_E, LOG2_E_LOW, log, patch, polynomial};
use crate::cpu::simd::Simd;

/// `(atanh t − t) / t³` in `t²`, for `t` up to (√2 − 1)/(√2 + 1).
const ATANH: [f32; 4] = [0.333_333_34, 0.200_000_61, 0.142_753_26, 0.116_673_6];

/// 2/ln 2, in two parts.
const SCALE: f32 = 2.0 * LOG2_E;
const SCALE_LOW: f32 = 2.0 * LOG2_E_LOW;

/// log₂ of a positive `x` to some 33 bits, as the sum of two floats.
///
/// `x = (1 + f)·2^k`, and with `t = f/(2 + f)`, log₂(1 + f) is `2/ln 2·atanh t`.
#[inline(always)]
fn log2_pair<S: Simd>(s: S, x: S::F32) -> (S::F32, S::F32) {
    let (f, k) = log::split_any(s, x);
    let two = s.splat(2.0);
    let sum = s.add(two, f);
    let sum_low = s.sub(f, s.sub(sum, two));
    let t = s.div(f, sum);
    let t_low = s.div(s.fnma(t, sum_low, s.fnma(t, sum, f)), sum);
    let square = s.mul(t, t);
    let cubic = s.fma(s.mul(t, square), polynomial(s, square, ATANH), t_low);
    let scale = s.splat(SCALE);
    let main = s.mul(t, scale);
    let main_low = s.fma(t, s.splat(SCALE_LOW), s.mul(cubic, scale));
    let main_low = s.add(main_low, s.fma(t, scale, s.neg(main)));
    let (main, main_low) = sum_pair(s, main, main_low);
    // |k| is larger than what is added to it, or 0, and then nothing is lost.
    let (high, low) = sum_pair(s, k, main);
    (high, s.add(low, main_low))
}

/// The rounded sum and what its rounding lost, where `|a| ≥ |b|`.
#[inline(always)]
fn sum_pair<S: Simd>(s: S, a: S::F32, b: S::F32) -> (S::F32, S::F32) {
    let sum = s.add(a, b);
    (sum, s.sub(b, s.sub(sum, a)))
}

/// `|a|^b` where both are finite and `a` is not 0.
#[inline(always)]
fn positive_pow<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
    let (high, low) = log2_pair(s, a);
    let power = s.mul(b, high);
    let lost = s.fma(b, low, s.fma(b, high, s.neg(power)));
    // Powers that no f32 can hold are cut to ones that none can hold either.
    let n = s.max(s.splat(-160.0), s.min(s.splat(160.0), s.round(power)));
    let inside = s.lt(s.abs(power), s.splat(160.0));
    let r = s.select(inside, s.add(s.sub(power, n), lost), s.splat(0.0));
    let m = super::exp::near_zero(s, s.mul(r, s.splat(LN_2)));
    s.ldexp(s.add(s.splat(1.0), m), n)
}

/// `a^b`, as C's `pow` defines it: NaN for a negative `a` unless `b` is an integer, 1 for `b = 0`
/// and for `a = 1`.
#[inline(always)]
pub fn pow<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
    let (zero, infinity) = (s.splat(0.0), s.splat(f32::INFINITY));
    let size = s.abs(a);
    let y = positive_pow(s, size, b);
    // 0 and ∞ are each other's powers by the sign of `b`.
    let is_zero = s.eq(a, zero);
    let edge = s.mask_or(is_zero, s.eq(size, infinity));
    let up = s.mask_xor(is_zero, s.gt(b, zero));
    let y = s.select(edge, s.select(up, infinity, zero), y);
    let half = s.mul(b, s.splat(0.5));
    let whole = s.eq(s.trunc(b), b);
    let odd = s.mask_and(whole, s.mask_not(s.eq(s.trunc(half), half)));
    let y = s.select(odd, s.copysign(y, a), y);
    let undefined = s.mask_and(s.lt(a, zero), s.mask_not(s.mask_or(whole, edge)));
    let y = s.select(undefined, s.splat(f32::NAN), y);
    let y = s.select(s.eq(b, zero), s.splat(1.0), y);
    let finite = s.lt(s.sub(b, b), s.splat(1.0));
    let ordinary = s.mask_and(finite, s.eq(a, a));
    patch(s, s.mask_not(ordinary), [a, b], y, |[a, b]| a.powf(b))
}

/// `a − b·trunc(a/b)`, exact, with the sign of `a`: C's `fmod` and Rust's `%`.
#[inline(always)]
pub fn rem<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
    let quotient = s.trunc(s.div(a, b));
    let rest = s.fnma(quotient, b, a);
    // A quotient just below an integer may have been rounded up to it.
    let past = s.lt(s.mul(s.copysign(s.splat(1.0), a), rest), s.splat(0.0));
    let rest = s.select(past, s.add(rest, s.copysign(b, a)), rest);
    let rest = s.copysign(rest, a);
    // Beyond this the product is not exact.
    let exact = s.lt(s.abs(quotient), s.splat((1 << 24) as f32));
    let exact = s.mask_and(exact, s.lt(s.abs(b), s.splat(f32::INFINITY)));
    patch(s, s.mask_not(exact), [a, b], rest, |[a, b]| a % b)
}
