//! Sums of exponentials that cannot overflow.

use super::{TILE, fold, inlined, maximum};
use crate::cpu::{
    math::exp,
    simd::{Float, Simd, prefetch_read},
};

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

/// Writes `exp(x - max)` of a row and returns the sum. Meanwhile asks for as much memory from
/// `next` on, where the next row may be: nothing else would while this computes.
#[inline(always)]
pub(crate) fn exponentials_into<S: Simd, T: Float>(
    s: S,
    row: &[T],
    max: f32,
    out: &mut [f32],
    next: *const T,
) -> f64 {
    let mut sum = 0.0;
    for (i, (x, out)) in row.chunks(TILE).zip(out.chunks_mut(TILE)).enumerate() {
        let next = next.wrapping_add(i * TILE);
        sum += f64::from(tile_into(s, x, max, out, next));
    }
    sum
}

#[inline(always)]
fn tile_into<S: Simd, T: Float>(s: S, x: &[T], max: f32, out: &mut [f32], next: *const T) -> f32 {
    const SUMS: usize = 4;
    let (at, mut sums) = (s.splat(max), [s.splat(0.0); SUMS]);
    let (blocks, mut out_blocks) = (
        x.chunks_exact(SUMS * S::LANES),
        out.chunks_exact_mut(SUMS * S::LANES),
    );
    let rest = blocks.remainder();
    for (i, (x, out)) in blocks.zip(&mut out_blocks).enumerate() {
        let next = next.wrapping_add(i * SUMS * S::LANES);
        for (k, sum) in sums.iter_mut().enumerate() {
            prefetch_read(next.wrapping_add(k * S::LANES));
            let power = exp(s, s.sub(T::load(s, &x[k * S::LANES..]), at));
            s.store(&mut out[k * S::LANES..], power);
            *sum = s.add(*sum, power);
        }
    }
    let out = out_blocks.into_remainder();
    for (k, sum) in sums.iter_mut().enumerate() {
        let from = k * S::LANES;
        if from < rest.len() {
            let x = T::load_first(s, &rest[from..], f32::NEG_INFINITY);
            let power = exp(s, s.sub(x, at));
            s.store_first(&mut out[from..], power);
            *sum = s.add(*sum, power);
        }
    }
    s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}
