//! Mean and squared deviations, mostly by one look at each tile.

use super::{TILE, fold_on, in_f64, inlined, joined, total, usable_sum_of_squares};
use crate::cpu::simd::{Float, Simd, Twice};

/// Elements at a tile's head that give a pivot.
const HEAD: usize = 64;

/// The largest share of the sum of squares that a shift may take away: it costs no more digits.
const FAR: f64 = 0.125;

/// The mean of a tile's head, or what is near it: where it is not finite, deviations from it are
/// not either, and are not used.
#[cfg_attr(unoptimized, inline(never))]
#[cfg_attr(not(unoptimized), inline(always))]
pub(crate) fn pivot<S: Simd, T: Float>(s: S, tile: &[T]) -> f32 {
    let mut accs = [Twice(s).splat(0.0); 2];
    let add = inlined(
        #[inline(always)]
        |a, x| Twice(s).add(a, x),
    );
    let count = match tile.first_chunk::<HEAD>() {
        // Of a length that is known, which takes a few instructions: this is on every row's way.
        Some(head) => {
            fold_on(Twice(s), head, 0.0, &mut accs, add);
            HEAD
        }
        None => {
            fold_on(Twice(s), tile, 0.0, &mut accs, add);
            tile.len().max(1)
        }
    };
    total(s, accs) * (1.0 / count as f32)
}

/// Lanes of the sums of a tile's deviations from a pivot, and of their squares.
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
    fn new<T: Float>(s: S, tile: &[T]) -> Deviations<S> {
        Deviations::from_pivot(s, pivot(s, tile))
    }

    /// Of nothing yet, from this pivot.
    #[inline(always)]
    pub(crate) fn from_pivot(s: S, pivot: f32) -> Deviations<S> {
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

    /// The sums of all lanes.
    #[inline(always)]
    pub(crate) fn sum(self, s: S) -> Deviation {
        let join = inlined(
            #[inline(always)]
            |(a, b), (c, d)| (Twice(s).add(a, c), Twice(s).add(b, d)),
        );
        let (first, second) = joined(self.sums, join);
        Deviation {
            pivot: self.pivot,
            first: Twice(s).sum(first),
            second: Twice(s).sum(second),
        }
    }
}

/// The sums of a tile's deviations from a pivot, and of their squares.
#[derive(Clone, Copy, Default)]
pub(crate) struct Deviation {
    pub(crate) pivot: f32,
    pub(crate) first: f32,
    pub(crate) second: f32,
}

impl Deviation {
    /// The moments of the tile: the deviations shifted to the mean itself. Where the pivot was far
    /// off they are taken once more from there, as the shift would cost digits.
    #[cfg_attr(unoptimized, inline(never))]
    #[cfg_attr(not(unoptimized), inline(always))]
    pub(crate) fn settle<S: Simd, T: Float>(mut self, s: S, tile: &[T]) -> Moments {
        let count = tile.len() as f64;
        // No division by it later: they would wait for each other.
        let share = 1.0 / count;
        loop {
            let Deviation { pivot, second, .. } = self;
            let first = f64::from(self.first);
            if !usable_sum_of_squares(second) {
                let mean = in_f64(tile, |a, x| a + x) / count;
                let squares = in_f64(tile, |a, x| (x - mean).mul_add(x - mean, a));
                return Moments {
                    count,
                    mean,
                    squares,
                };
            }
            let shift = first * share;
            let next = (f64::from(pivot) + shift) as f32;
            if next == pivot || shift * first <= f64::from(second) * FAR {
                let squares = squares_about_mean(first, second.into(), shift);
                return Moments {
                    count,
                    mean: f64::from(pivot) + shift,
                    squares,
                };
            }
            let mut again = Deviations::from_pivot(s, next);
            again.add(s, tile);
            self = again.sum(s);
        }
    }
}

/// The sum of squared deviations from the mean, from sums of those from a pivot and of their
/// squares, and how far the mean is from the pivot: so near that this never cancels more than
/// rounding noise.
#[inline(always)]
fn squares_about_mean(first: f64, second: f64, shift: f64) -> f64 {
    (second - first * shift).max(0.0)
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
        deviations.sum(s).settle(s, x)
    }

    /// From the sums of deviations from `pivot` and of their squares.
    #[inline(always)]
    pub(crate) fn from_pivot(count: f64, pivot: f32, first: f64, second: f64) -> Moments {
        let shift = first / count;
        Moments {
            count,
            mean: f64::from(pivot) + shift,
            squares: squares_about_mean(first, second, shift),
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
