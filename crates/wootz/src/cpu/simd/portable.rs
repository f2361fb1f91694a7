//! Four lanes in plain Rust, for machines with none of the other levels and as their measure.

use super::Simd;
use half::{bf16, f16};
use std::array::from_fn;

const LANES: usize = 4;

/// The token of [`Level::Portable`](super::Level::Portable).
#[derive(Clone, Copy, Debug)]
pub struct Portable;

type F = [f32; LANES];
type I = [i32; LANES];
type M = [bool; LANES];

/// `fn name(args) -> result = expression for lane i;`
macro_rules! lanewise {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty = |$i:ident| $lane:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $out {
            from_fn(#[inline(always)] |$i| $lane)
        }
    )*};
}

/// Loads and stores of one element type, full and `_first`.
macro_rules! memory {
    ($t:ty, $load:ident, $load_first:ident, $store:ident, $store_first:ident, $widen:expr, $round:expr) => {
        #[inline(always)]
        fn $load(self, src: &[$t]) -> F {
            let src = &src[..LANES];
            from_fn(
                #[inline(always)]
                |i| $widen(src[i]),
            )
        }
        #[inline(always)]
        fn $load_first(self, src: &[$t], fill: f32) -> F {
            from_fn(
                #[inline(always)]
                |i| src.get(i).map_or(fill, |x| $widen(*x)),
            )
        }
        #[inline(always)]
        fn $store(self, dst: &mut [$t], a: F) {
            self.$store_first(&mut dst[..LANES], a);
        }
        #[inline(always)]
        fn $store_first(self, dst: &mut [$t], a: F) {
            for (d, x) in dst.iter_mut().zip(a) {
                *d = $round(x);
            }
        }
    };
}

/// `a * b + c` rounded once, without a library call for each lane: the product is exact in `f64`,
/// and a sum rounded to odd keeps what the last rounding, to `f32`, has to know.
#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let added = sum - product;
    let lost = (product - (sum - added)) + (c - added);
    let inexact = (lost < 0.0) | (lost > 0.0);
    let even = sum.to_bits() & 1 == 0;
    let step = if (lost > 0.0) == (sum > 0.0) {
        1
    } else {
        u64::MAX
    };
    let odd = sum
        .to_bits()
        .wrapping_add(if inexact & even { step } else { 0 });
    f64::from_bits(odd) as f32
}

#[inline(always)]
fn by_halves(a: F, f: impl Fn(f32, f32) -> f32) -> f32 {
    f(f(a[0], a[2]), f(a[1], a[3]))
}

impl Simd for Portable {
    const LANES: usize = LANES;
    type F32 = F;
    type I32 = I;
    type Mask = M;

    lanewise! {
        fn splat(x: f32) -> F = |_i| x;
        fn add(a: F, b: F) -> F = |i| a[i] + b[i];
        fn sub(a: F, b: F) -> F = |i| a[i] - b[i];
        fn mul(a: F, b: F) -> F = |i| a[i] * b[i];
        fn div(a: F, b: F) -> F = |i| a[i] / b[i];
        fn fma(a: F, b: F, c: F) -> F = |i| fused(a[i], b[i], c[i]);
        fn fnma(a: F, b: F, c: F) -> F = |i| fused(-a[i], b[i], c[i]);
        fn sqrt(a: F) -> F = |i| a[i].sqrt();
        fn min(a: F, b: F) -> F = |i| if a[i] < b[i] { a[i] } else { b[i] };
        fn max(a: F, b: F) -> F = |i| if a[i] > b[i] { a[i] } else { b[i] };
        fn floor(a: F) -> F = |i| a[i].floor();
        fn ceil(a: F) -> F = |i| a[i].ceil();
        fn trunc(a: F) -> F = |i| a[i].trunc();
        fn round(a: F) -> F = |i| a[i].round_ties_even();

        fn eq(a: F, b: F) -> M = |i| a[i] == b[i];
        fn lt(a: F, b: F) -> M = |i| a[i] < b[i];
        fn le(a: F, b: F) -> M = |i| a[i] <= b[i];
        fn select(m: M, a: F, b: F) -> F = |i| if m[i] { a[i] } else { b[i] };
        fn select_i32(m: M, a: I, b: I) -> I = |i| if m[i] { a[i] } else { b[i] };
        fn mask_and(a: M, b: M) -> M = |i| a[i] & b[i];
        fn mask_or(a: M, b: M) -> M = |i| a[i] | b[i];
        fn mask_xor(a: M, b: M) -> M = |i| a[i] ^ b[i];
        fn mask_not(a: M) -> M = |i| !a[i];

        fn splat_i32(x: i32) -> I = |_i| x;
        fn add_i32(a: I, b: I) -> I = |i| a[i].wrapping_add(b[i]);
        fn sub_i32(a: I, b: I) -> I = |i| a[i].wrapping_sub(b[i]);
        fn mul_i32(a: I, b: I) -> I = |i| a[i].wrapping_mul(b[i]);
        fn and(a: I, b: I) -> I = |i| a[i] & b[i];
        fn or(a: I, b: I) -> I = |i| a[i] | b[i];
        fn xor(a: I, b: I) -> I = |i| a[i] ^ b[i];
        fn shl(a: I, n: u32) -> I = |i| a[i] << n;
        fn shr(a: I, n: u32) -> I = |i| (a[i] as u32 >> n) as i32;
        fn sar(a: I, n: u32) -> I = |i| a[i] >> n;
        fn eq_i32(a: I, b: I) -> M = |i| a[i] == b[i];
        fn gt_i32(a: I, b: I) -> M = |i| a[i] > b[i];
        fn iota() -> I = |i| i as i32;

        fn to_i32(a: F) -> I = |i| a[i] as i32;
        fn to_f32(a: I) -> F = |i| a[i] as f32;
        fn bits(a: F) -> I = |i| a[i].to_bits() as i32;
        fn from_bits(a: I) -> F = |i| f32::from_bits(a[i] as u32);
        fn load_i32(src: &[i32]) -> I = |i| src[i];
    }

    memory!(
        f32,
        load,
        load_first,
        store,
        store_first,
        f32::from,
        f32::from
    );
    memory!(
        f16,
        load_f16,
        load_first_f16,
        store_f16,
        store_first_f16,
        f16::to_f32,
        f16::from_f32
    );
    memory!(
        bf16,
        load_bf16,
        load_first_bf16,
        store_bf16,
        store_first_bf16,
        bf16::to_f32,
        bf16::from_f32
    );

    #[inline(always)]
    fn mask_bits(self, a: M) -> u32 {
        (0..LANES).fold(0, |bits, i| bits | u32::from(a[i]) << i)
    }
    #[inline(always)]
    fn store_i32(self, dst: &mut [i32], a: I) {
        dst[..LANES].copy_from_slice(&a);
    }
    #[inline(always)]
    fn sum(self, a: F) -> f32 {
        by_halves(a, |x, y| x + y)
    }
    #[inline(always)]
    fn max_lane(self, a: F) -> f32 {
        by_halves(a, |x, y| if x > y { x } else { y })
    }
    #[inline(always)]
    fn min_lane(self, a: F) -> f32 {
        by_halves(a, |x, y| if x < y { x } else { y })
    }
}
