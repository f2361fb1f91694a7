//! Mean and squared deviations, mostly by one look at each tile.

use super::{TILE, fold_on, in_f64, inlined, joined, sum, usable_sum_of_squares};
use crate::cpu::simd::{Float, Simd, Twice};

/// Elements at a tile's head that give a pivot.
const HEAD: usize = 64;

/// The largest share of the sum of squares that a shift may take away: it costs no more digits.
const FAR: f64 = 0.125;

/// Sums of a tile's deviations from a pivot, the mean of the tile's head, and of their squares.
#[derive(Clone, Copy)]
pub(crate) struct Deviations<S: Simd> {
    /// Adding it changes nothing.
    pub(crate) pivot: f32,
    pub(crate) sums: [Sums<S>; 2],
}

type Lanes<S> = <Twice<S> as Simd>::F32;

/// Two accumulators.
pub(crate) type Sums<S> = (Lanes<S>, Lanes<S>);

impl<S: Simd> Deviations<S> {
    /// Of nothing yet of a tile that begins so.
    #[inline(always)]
    pub(crate) fn new<T: Float>(s: S, tile: &[T]) -> Deviations<S> {
        let head = &tile[..tile.len().min(HEAD)];
        if head.is_empty() {
            return Deviations::from_pivot(s, 0.0);
        }
        Deviations::from_pivot(s, (sum(s, head) / head.len() as f64) as f32)
    }

    #[inline(always)]
    fn from_pivot(s: S, pivot: f32) -> Deviations<S> {
        let zero = Twice(s).splat(0.0);
        let sums = [(zero, zero); 2];
        Deviations { pivot, sums }
    }

    /// The step of a fold that adds an element to [`Deviations::sums`].
    #[inline(always)]
    pub(crate) fn step(&self, s: S) -> impl Fn(Sums<S>, Lanes<S>) -> Sums<S> + use<S> {
        let s = Twice(s);
        let at = s.splat(self.pivot);
        inlined(
            #[inline(always)]
            move |(first, second), x| {
                let deviation = s.sub(x, at);
                (s.add(first, deviation), s.fma(deviation, deviation, second))
            },
        )
    }

    /// Adds a part of the tile.
    #[inline(always)]
    fn add<T: Float>(&mut self, s: S, x: &[T]) {
        let step = self.step(s);
        fold_on(Twice(s), x, self.pivot, &mut self.sums, step);
    }

    /// The moments of a tile, all of whose parts were added: the deviations shifted to the mean
    /// itself. Where the head was far off they are taken once more from there, as the shift would
    /// cost digits.
    #[inline(always)]
    pub(crate) fn settle<T: Float>(mut self, s: S, tile: &[T]) -> Moments {
        let count = tile.len() as f64;
        let join = inlined(
            #[inline(always)]
            |(a, b), (c, d)| (Twice(s).add(a, c), Twice(s).add(b, d)),
        );
        loop {
            let pivot = self.pivot;
            let (first, second) = joined(self.sums, join);
            let (first, second) = (f64::from(Twice(s).sum(first)), Twice(s).sum(second));
            if !usable_sum_of_squares(second) {
                let mean = in_f64(tile, |a, x| a + x) / count;
                let squares = in_f64(tile, |a, x| (x - mean).mul_add(x - mean, a));
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
            self = Deviations::from_pivot(s, next);
            self.add(s, tile);
        }
    }
}

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

    /// Of a tile.
    #[inline(always)]
    pub(crate) fn of_tile<S: Simd, T: Float>(s: S, x: &[T]) -> Moments {
        let mut deviations = Deviations::new(s, x);
        deviations.add(s, x);
        deviations.settle(s, x)
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
