//! Sums of exponentials that cannot overflow.

use super::{TILE, fold, inlined, maximum};
use crate::cpu::{
    math::{exp, exp2_near, rough},
    simd::{Float, Simd, Twice, prefetch_read},
};
use std::f32::consts::LOG2_E;

/// Room for the lanes of any level.
const WIDEST: usize = 16;

/// `Σ exp(x)` as `sum · exp(max)`. A maximum of +∞ or NaN stands for itself.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Exponentials {
    /// The largest `x`.
    pub(crate) max: f64,
    /// `Σ exp(x - max)`.
    pub(crate) sum: f64,
}

impl Exponentials {
    /// Of no values.
    pub(crate) const EMPTY: Exponentials = Exponentials {
        max: f64::NEG_INFINITY,
        sum: 0.0,
    };

    /// Of a row of any length.
    #[inline(always)]
    pub(crate) fn of_row<S: Simd, T: Float>(s: S, row: &[T]) -> Exponentials {
        let mut all = Exponentials::EMPTY;
        for tile in row.chunks(TILE) {
            all = all.join(Exponentials::of_tile(s, tile));
        }
        all
    }

    /// Of a tile.
    #[inline(always)]
    pub(crate) fn of_tile<S: Simd, T: Float>(s: S, x: &[T]) -> Exponentials {
        let max = maximum(s, x);
        if !max.is_finite() {
            return Exponentials::of_limit(max);
        }
        let at = s.splat(max);
        let step = inlined(
            #[inline(always)]
            |a, x| s.add(a, exp(s, s.sub(x, at))),
        );
        let join = inlined(
            #[inline(always)]
            |a, b| s.add(a, b),
        );
        let sum = fold(s, x, f32::NEG_INFINITY, s.splat(0.0), step, join);
        Exponentials {
            max: f64::from(max),
            sum: f64::from(s.sum(sum)),
        }
    }

    /// Joins a few rows into what was seen of their columns.
    #[inline(always)]
    pub(crate) fn of_columns<S: Simd>(s: S, rows: &[&[f32]], seen: &mut [Exponentials]) {
        for (i, seen) in seen.chunks_mut(S::LANES).enumerate() {
            let from = i * S::LANES;
            let mut max = s.splat(f32::NEG_INFINITY);
            for row in rows {
                max = s.maximum(s.load_first(&row[from..], 0.0), max);
            }
            let mut sum = s.splat(0.0);
            for row in rows {
                let x = s.load_first(&row[from..], 0.0);
                sum = s.add(sum, exp(s, s.sub(x, max)));
            }
            let (mut maxima, mut sums) = ([0.0f32; WIDEST], [0.0f32; WIDEST]);
            s.store(&mut maxima, max);
            s.store(&mut sums, sum);
            for (seen, (max, sum)) in seen.iter_mut().zip(maxima.into_iter().zip(sums)) {
                let part = if max.is_finite() {
                    Exponentials {
                        max: f64::from(max),
                        sum: f64::from(sum),
                    }
                } else {
                    Exponentials::of_limit(max)
                };
                *seen = seen.join(part);
            }
        }
    }

    /// Of values whose maximum is infinite or NaN.
    #[inline(always)]
    pub(crate) fn of_limit(max: f32) -> Exponentials {
        let sum = if max == f32::NEG_INFINITY { 0.0 } else { 1.0 };
        Exponentials {
            max: f64::from(max),
            sum,
        }
    }

    /// Of these values and others.
    #[inline(always)]
    pub(crate) fn join(self, other: Exponentials) -> Exponentials {
        let (low, high) = if self.max > other.max {
            (other, self)
        } else {
            (self, other)
        };
        if low.max == f64::NEG_INFINITY || high.max.is_nan() {
            return high;
        }
        if low.max.is_nan() || low.max == high.max {
            return Exponentials {
                max: low.max,
                sum: low.sum + high.sum,
            };
        }
        Exponentials {
            max: high.max,
            sum: high.sum + low.sum * (low.max - high.max).exp(),
        }
    }

    /// `ln Σ exp(x)`.
    pub(crate) fn ln(self) -> f64 {
        self.max + self.sum.ln()
    }
}

/// Up to this size a row's maximum in units of ln 2 is off by less than a tenth.
const NEAR: f32 = 1_048_576.0;

/// Writes what is in proportion to `exp(x)` of a row, for its maximum near 1, and returns the sum.
/// Meanwhile asks for as much memory from `next` on, where the next row may be: nothing else would
/// while this computes.
///
/// Vectors of `out` are in the order in which [`Twice`] holds elements of `T`.
#[inline(always)]
pub(crate) fn exponentials_into<S: Simd, T: Float>(
    s: S,
    row: &[T],
    max: f32,
    out: &mut [f32],
    next: *const T,
) -> f64 {
    let s = Twice(s);
    if max.abs() <= NEAR {
        // Powers of two: one rounding on the way to the exponent, and one factor for all of the row
        // from the rounding here, which the sum has too.
        let (unit, shift) = (s.splat(LOG2_E), s.splat(-LOG2_E * max));
        let power = inlined(
            #[inline(always)]
            |x| match T::COARSE {
                true => rough::exp2(s, s.fma(x, unit, shift)),
                false => exp2_near(s, s.fma(x, unit, shift)),
            },
        );
        return row_into(s, row, out, next, power);
    }
    let at = s.splat(max);
    let power = inlined(
        #[inline(always)]
        |x| exp(s, s.sub(x, at)),
    );
    row_into(s, row, out, next, power)
}

#[inline(always)]
fn row_into<S: Simd, T: Float>(
    s: S,
    row: &[T],
    out: &mut [f32],
    next: *const T,
    power: impl Fn(S::F32) -> S::F32 + Copy,
) -> f64 {
    let mut sum = 0.0;
    for (i, (x, out)) in row.chunks(TILE).zip(out.chunks_mut(TILE)).enumerate() {
        let next = next.wrapping_add(i * TILE);
        sum += f64::from(tile_into(s, x, out, next, power));
    }
    sum
}

#[inline(always)]
fn tile_into<S: Simd, T: Float>(
    s: S,
    x: &[T],
    out: &mut [f32],
    next: *const T,
    power: impl Fn(S::F32) -> S::F32 + Copy,
) -> f32 {
    let mut sums = [s.splat(0.0); 2];
    let (blocks, mut outs) = (
        x.chunks_exact(2 * S::LANES),
        out.chunks_exact_mut(2 * S::LANES),
    );
    let rest = blocks.remainder();
    for (i, (x, out)) in blocks.zip(&mut outs).enumerate() {
        let next = next.wrapping_add(2 * i * S::LANES);
        for (k, sum) in sums.iter_mut().enumerate() {
            for half in [0, S::LANES / 2] {
                prefetch_read(next.wrapping_add(k * S::LANES + half));
            }
            let power = power(T::load(s, &x[k * S::LANES..]));
            s.store(&mut out[k * S::LANES..], power);
            *sum = s.add(*sum, power);
        }
    }
    let (vectors, mut outs) = (
        rest.chunks_exact(S::LANES),
        outs.into_remainder().chunks_exact_mut(S::LANES),
    );
    let last = vectors.remainder();
    for (x, out) in vectors.zip(&mut outs) {
        let power = power(T::load(s, x));
        s.store(out, power);
        sums[0] = s.add(sums[0], power);
    }
    if !last.is_empty() {
        let power = power(T::load_first(s, last, f32::NEG_INFINITY));
        s.store_first(outs.into_remainder(), power);
        sums[1] = s.add(sums[1], power);
    }
    s.sum(s.add(sums[0], sums[1]))
}
