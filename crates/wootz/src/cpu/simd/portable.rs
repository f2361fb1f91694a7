//! One lane in plain Rust, for machines with none of the other levels and as their measure. More
//! lanes would cost more to compile than all other levels together, and the compiler finds the
//! vectors of plain loops by itself.

use super::Simd;
use half::{bf16, f16};

/// The token of [`Level::Portable`](super::Level::Portable).
#[derive(Clone, Copy, Debug)]
pub struct Portable;

/// `fn name(args) -> result = expression;`
macro_rules! plain {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $lane:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $out {
            $lane
        }
    )*};
}

/// Loads and stores of one element type, full and `_first`.
macro_rules! memory {
    ($t:ty, $load:ident, $load_first:ident, $store:ident, $store_first:ident, $widen:expr, $round:expr) => {
        #[inline(always)]
        fn $load(self, src: &[$t]) -> f32 {
            $widen(src[0])
        }
        #[inline(always)]
        fn $load_first(self, src: &[$t], fill: f32) -> f32 {
            src.first().map_or(fill, |x| $widen(*x))
        }
        #[inline(always)]
        fn $store(self, dst: &mut [$t], a: f32) {
            dst[0] = $round(a);
        }
        #[inline(always)]
        fn $store_first(self, dst: &mut [$t], a: f32) {
            if let Some(first) = dst.first_mut() {
                *first = $round(a);
            }
        }
    };
}

/// `a * b + c` rounded once, without a library call: the product is exact in `f64`, and a sum
/// rounded to odd keeps what the last rounding, to `f32`, has to know.
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

impl Simd for Portable {
    const LANES: usize = 1;
    type F32 = f32;
    type I32 = i32;
    type Mask = bool;

    plain! {
        fn splat(x: f32) -> f32 = x;
        fn add(a: f32, b: f32) -> f32 = a + b;
        fn sub(a: f32, b: f32) -> f32 = a - b;
        fn mul(a: f32, b: f32) -> f32 = a * b;
        fn div(a: f32, b: f32) -> f32 = a / b;
        fn fma(a: f32, b: f32, c: f32) -> f32 = fused(a, b, c);
        fn fnma(a: f32, b: f32, c: f32) -> f32 = fused(-a, b, c);
        fn sqrt(a: f32) -> f32 = a.sqrt();
        fn min(a: f32, b: f32) -> f32 = if a < b { a } else { b };
        fn max(a: f32, b: f32) -> f32 = if a > b { a } else { b };
        fn floor(a: f32) -> f32 = a.floor();
        fn ceil(a: f32) -> f32 = a.ceil();
        fn trunc(a: f32) -> f32 = a.trunc();
        fn round(a: f32) -> f32 = a.round_ties_even();

        fn eq(a: f32, b: f32) -> bool = a == b;
        fn lt(a: f32, b: f32) -> bool = a < b;
        fn le(a: f32, b: f32) -> bool = a <= b;
        fn select(m: bool, a: f32, b: f32) -> f32 = if m { a } else { b };
        fn select_i32(m: bool, a: i32, b: i32) -> i32 = if m { a } else { b };
        fn mask_and(a: bool, b: bool) -> bool = a & b;
        fn mask_or(a: bool, b: bool) -> bool = a | b;
        fn mask_xor(a: bool, b: bool) -> bool = a ^ b;
        fn mask_not(a: bool) -> bool = !a;
        fn mask_bits(a: bool) -> u32 = u32::from(a);

        fn splat_i32(x: i32) -> i32 = x;
        fn add_i32(a: i32, b: i32) -> i32 = a.wrapping_add(b);
        fn sub_i32(a: i32, b: i32) -> i32 = a.wrapping_sub(b);
        fn mul_i32(a: i32, b: i32) -> i32 = a.wrapping_mul(b);
        fn and(a: i32, b: i32) -> i32 = a & b;
        fn or(a: i32, b: i32) -> i32 = a | b;
        fn xor(a: i32, b: i32) -> i32 = a ^ b;
        fn shl(a: i32, n: u32) -> i32 = a << n;
        fn shr(a: i32, n: u32) -> i32 = (a as u32 >> n) as i32;
        fn sar(a: i32, n: u32) -> i32 = a >> n;
        fn eq_i32(a: i32, b: i32) -> bool = a == b;
        fn gt_i32(a: i32, b: i32) -> bool = a > b;
        fn iota() -> i32 = 0;

        fn to_i32(a: f32) -> i32 = a as i32;
        fn to_f32(a: i32) -> f32 = a as f32;
        fn entry(table: &[f32; 16], i: i32) -> f32 = table[i as usize % 16];
        fn bits(a: f32) -> i32 = a.to_bits() as i32;
        fn from_bits(a: i32) -> f32 = f32::from_bits(a as u32);
        fn load_i32(src: &[i32]) -> i32 = src[0];

        fn sum(a: f32) -> f32 = a;
        fn max_lane(a: f32) -> f32 = a;
        fn min_lane(a: f32) -> f32 = a;
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
    fn store_i32(self, dst: &mut [i32], a: i32) {
        dst[0] = a;
    }
}
