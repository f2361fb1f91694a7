//! Mean and squared deviations, mostly by one look at each tile.

use super::{TILE, fold_with, in_f64, inlined, sum, usable_sum_of_squares};
use crate::cpu::simd::{Float, Simd, Twice};

/// Elements at a tile's head that give a pivot.
const HEAD: usize = 64;

/// The largest share of the sum of squares that a shift may take away: it costs no more digits.
const FAR: f64 = 0.125;

/// What is known of some values' distribution.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Moments {
    /// How many values.
    pub(crate) count: f64,
    /// Their mean.
    pub(crate) mean: f64,
    /// The sum of their squared distances from the mean.
    pub(crate) squares: f64,
}

impl Moments {
    /// Of no values.
    pub(crate) const EMPTY: Moments = Moments {
        count: 0.0,
        mean: 0.0,
        squares: 0.0,
    };

    /// Of a row of any length.
    #[inline(always)]
    pub(crate) fn of_row<S: Simd, T: Float>(s: S, row: &[T]) -> Moments {
        if row.len() <= TILE {
            return Moments::of_tile(s, row);
        }
        let mut all = Moments::EMPTY;
        for tile in row.chunks(TILE) {
            all = all.join(Moments::of_tile(s, tile));
        }
        all
    }

    /// Of a tile. Deviations are taken from a pivot, the mean of the tile's head, and then shifted
    /// to the mean itself; where the head was far off, once more from there, as the shift would
    /// cost digits.
    #[inline(always)]
    pub(crate) fn of_tile<S: Simd, T: Float>(s: S, x: &[T]) -> Moments {
        let count = x.len() as f64;
        let head = &x[..x.len().min(HEAD)];
        let mut pivot = (sum(s, head) / head.len() as f64) as f32;
        let s = Twice(s);
        let zero = s.splat(0.0);
        let join = inlined(
            #[inline(always)]
            |(a, b), (c, d)| (s.add(a, c), s.add(b, d)),
        );
        loop {
            let at = s.splat(pivot);
            let step = inlined(
                #[inline(always)]
                |(first, second), x| {
                    let deviation = s.sub(x, at);
                    (s.add(first, deviation), s.fma(deviation, deviation, second))
                },
            );
            let (first, second) = fold_with(s, x, pivot, [(zero, zero); 2], step, join);
            let (first, second) = (f64::from(s.sum(first)), s.sum(second));
            if !usable_sum_of_squares(second) {
                let mean = in_f64(x, |a, x| a + x) / count;
                let squares = in_f64(x, |a, x| (x - mean).mul_add(x - mean, a));
                return Moments {
                    count,
                    mean,
                    squares,
                };
            }
            let shift = first / count;
            let next = (f64::from(pivot) + shift) as f32;
            if next == pivot || shift * first <= f64::from(second) * FAR {
                return Moments::from_pivot(count, pivot, first, second.into());
            }
            pivot = next;
        }
    }

    /// From the sums of deviations from `pivot` and of their squares.
    #[inline(always)]
    pub(crate) fn from_pivot(count: f64, pivot: f32, first: f64, second: f64) -> Moments {
        let shift = first / count;
        // The pivot is so near that this never cancels more than rounding noise.
        let squares = (second - first * shift).max(0.0);
        Moments {
            count,
            mean: f64::from(pivot) + shift,
            squares,
        }
    }

    /// Of these values and others.
    #[inline(always)]
    pub(crate) fn join(self, other: Moments) -> Moments {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let (apart, share) = (other.mean - self.mean, other.count / count);
        Moments {
            count,
            mean: self.mean + apart * share,
            squares: self.squares + other.squares + apart * apart * self.count * share,
        }
    }
}
