//! Functions for results that are rounded to bf16 next: off by at most a 2¹²th of
//! themselves, an eighth of what that rounding may lose, and right at NaN, infinities and zeros.

use super::{LOG2_E, horner, monic};
use crate::cpu::simd::Simd;

/// The largest error in ulps of `f32`, of which a 2¹²th has at most so many.
pub const ULPS: f64 = 2048.0;

/// `2^x` on 0..1, off by 7.5e-5 of it.
const POWER: [f32; 4] = [0.999_925_2, 0.695_833_56, 0.226_067_17, 0.078_024_514];

/// In proportion to `2^x` on 0..1, but for 7.5e-5 of it; `x³` is to be added.
const MONIC_POWER: [f32; 3] = [12.815_525, 8.918_138, 2.897_386];

/// `log2 Φ(−z)`, with the normal distribution's Φ, on 0..15 as square polynomials, lowest power first:
/// one for each quarter of a power of two of `z + 1`, by what its bits are from the exponent's last
/// two on, which are 0 from 2 on. Off by so little that Φ is by 1.4e-4 of it.
#[rustfmt::skip] // Quarters of 2..4, 4..8, 8..16 and 1..2.
const TAIL: [[f32; 16]; 3] = [
    [
        -1.056_064_8, -1.123_049_1, -1.208_388_9, -1.304_930_2,
        -1.453_911_8, -1.660_858_4, -1.857_067_1, -2.038_505_8,
        -2.275_245, -2.558_241_6, -2.799_255, -3.008_051,
        -1.000_024, -1.002_156_9, -1.009_443_5, -1.023_401_3,
    ],
    [
        -1.003_256, -0.913_352_85, -0.827_567_46, -0.750_013_5,
        -0.652_983_6, -0.548_552_45, -0.469_551_1, -0.408_775_03,
        -0.342_366_2, -0.278_862_83, -0.234_748_38, -0.202_469_47,
        -1.149_362_1, -1.132_458_4, -1.103_284, -1.065_989,
    ],
    [
        -0.596_804_9, -0.627_040_1, -0.648_626_2, -0.664_214_3,
        -0.680_027_66, -0.693_218_95, -0.701_177_66, -0.706_270_04,
        -0.710_930_5, -0.714_496_5, -0.716_516_5, -0.717_764_6,
        -0.478_101_25, -0.512_301_3, -0.541_656_9, -0.566_627_56,
    ],
];

/// Where a denominator would leave the range of `f32`, it is kept smaller by this.
const SMALL: f32 = f32::from_bits((127 - 64) << 23);

/// A function in three parts. A loop does each to another vector, so that none waits for another:
/// what waits fills the processor's queues, and a chain of twenty operations fills them.
pub trait Parts {
    /// What the first part leaves.
    type First<S: Simd>: Copy;
    /// What the second part leaves.
    type Second<S: Simd>: Copy;
    /// The first part.
    fn first<S: Simd>(s: S, x: S::F32) -> Self::First<S>;
    /// The second part.
    fn second<S: Simd>(s: S, first: Self::First<S>) -> Self::Second<S>;
    /// The last part: the result.
    fn third<S: Simd>(s: S, second: Self::Second<S>) -> S::F32;

    /// All parts.
    #[inline(always)]
    fn whole<S: Simd>(s: S, x: S::F32) -> S::F32 {
        Self::third(s, Self::second(s, Self::first(s, x)))
    }
}

/// A power of two on its way: a factor, the exponent, and its fraction or that one's power.
#[derive(Clone, Copy)]
pub struct Power<S: Simd> {
    factor: S::F32,
    exponent: S::F32,
    fraction: S::F32,
}

impl<S: Simd> Power<S> {
    #[inline(always)]
    fn new(s: S, factor: S::F32, exponent: S::F32) -> Self {
        let fraction = s.fraction(exponent);
        Power {
            factor,
            exponent,
            fraction,
        }
    }

    #[inline(always)]
    fn raised(self, s: S) -> Self {
        let fraction = horner(s, self.fraction, POWER);
        Power { fraction, ..self }
    }

    /// `2^exponent`, once raised.
    #[inline(always)]
    fn value(self, s: S) -> S::F32 {
        s.scale(self.fraction, self.exponent)
    }

    /// `factor / (1 + 2^(exponent + 64))`, once raised.
    #[inline(always)]
    fn below_one(self, s: S) -> S::F32 {
        let small = s.splat(SMALL);
        let below = s.about_recip(s.add(self.value(s), small));
        s.mul(self.factor, s.mul(below, small))
    }
}

/// 12.8 times `2^x` for an `x` below 124.
#[inline(always)]
pub fn in_proportion_to_exp2<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.scale(monic(s, s.fraction(x), MONIC_POWER), x)
}

/// The parts of functions whose second part is a power of two.
macro_rules! powers {
    ($($(#[$doc:meta])* $name:ident: |$s:ident, $x:ident| $first:expr, $third:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl Parts for $name {
            type First<S: Simd> = Power<S>;
            type Second<S: Simd> = Power<S>;
            #[inline(always)]
            fn first<S: Simd>($s: S, $x: S::F32) -> Power<S> {
                let (factor, exponent) = $first;
                Power::new($s, factor, exponent)
            }
            #[inline(always)]
            fn second<S: Simd>(s: S, first: Power<S>) -> Power<S> {
                first.raised(s)
            }
            #[inline(always)]
            fn third<S: Simd>(s: S, second: Power<S>) -> S::F32 {
                second.$third(s)
            }
        }
    )*};
}

powers! {
    /// `e^x`.
    Exp: |s, x| {
        // An infinity has no fraction.
        let x = s.min(s.splat(100.0), x);
        (x, s.mul(x, s.splat(LOG2_E)))
    }, value;
    /// `1 / (1 + e^−x)`.
    Sigmoid: |s, x| {
        let x = s.max(s.splat(-120.0), x);
        (s.splat(1.0), s.fma(x, s.splat(-LOG2_E), s.splat(-64.0)))
    }, below_one;
    /// `x·sigmoid(x)`.
    Silu: |s, x| {
        let x = s.max(s.splat(-120.0), x);
        (x, s.fma(x, s.splat(-LOG2_E), s.splat(-64.0)))
    }, below_one;
    /// `x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2`.
    GeluTanh: |s, x| {
        /// −2·√(2/π)·log2 e.
        const LINEAR: f32 = -2.302_208_2;
        const CUBIC: f32 = LINEAR * 0.044_715;
        let x = s.max(s.splat(-12.0), x);
        let slope = s.fma(s.mul(x, x), s.splat(CUBIC), s.splat(LINEAR));
        (x, s.fma(x, slope, s.splat(-64.0)))
    }, below_one;
}

/// `x·Φ(x)`, as [`super::gelu`] computes it.
#[derive(Clone, Copy, Debug)]
pub struct Gelu;

impl Parts for Gelu {
    /// The operand, and a power that makes its size the tail.
    type First<S: Simd> = (S::F32, Power<S>);
    /// As before.
    type Second<S: Simd> = (S::F32, Power<S>);

    #[inline(always)]
    fn first<S: Simd>(s: S, x: S::F32) -> Self::First<S> {
        let size = s.min_size(x, s.splat(14.9));
        let place = s.shr(s.bits(s.add(size, s.splat(1.0))), 21);
        let [c, b, a] = &TAIL;
        let (a, b, c) = (s.entry(a, place), s.entry(b, place), s.entry(c, place));
        let exponent = s.fma(s.fma(a, size, b), size, c);
        (x, Power::new(s, size, exponent))
    }

    #[inline(always)]
    fn second<S: Simd>(s: S, (x, tail): Self::First<S>) -> Self::Second<S> {
        (x, tail.raised(s))
    }

    #[inline(always)]
    fn third<S: Simd>(s: S, (x, tail): Self::Second<S>) -> S::F32 {
        s.fnma(tail.factor, tail.value(s), s.max(s.splat(-0.0), x))
    }
}
