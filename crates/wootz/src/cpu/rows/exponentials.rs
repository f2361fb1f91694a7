//! Sums of exponentials that cannot overflow.

use super::{TILE, fold, fold_on, inlined, map, maximum, prefetch};
use crate::cpu::{
    math::{exp, in_proportion_to_exp2, rough},
    simd::{Float, Simd, Twice},
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
    #[cfg_attr(unoptimized, inline(never))]
    #[cfg_attr(not(unoptimized), inline(always))]
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
    #[cfg_attr(unoptimized, inline(never))]
    #[cfg_attr(not(unoptimized), inline(always))]
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

/// What is in proportion to `exp(x)` of a row, for its maximum near 1, and the sum of that.
#[derive(Clone, Copy)]
pub(crate) struct Powers<S: Simd> {
    max: f32,
    sums: [<Twice<S> as Simd>::F32; 2],
    total: f64,
}

impl<S: Simd> Powers<S> {
    /// Of no elements yet of a row with this maximum.
    #[inline(always)]
    pub(crate) fn new(s: S, max: f32) -> Powers<S> {
        let sums = [Twice(s).splat(0.0); 2];
        let total = 0.0;
        Powers { max, sums, total }
    }

    /// Adds elements, and writes their powers to `out`, whose vectors are in the order in which
    /// [`Twice`] holds elements of `T`. Vectors go to the two sums in turns, as in [`Turn::take`]: a
    /// row's sum has the same bits whatever rows are beside it.
    #[cfg_attr(unoptimized, inline(never))]
    #[cfg_attr(not(unoptimized), inline(always))]
    fn add<T: Float, const NEAR: bool, const BYPASS: bool>(
        &mut self,
        s: S,
        x: &[T],
        out: &mut [f32],
    ) {
        let (s, lanes) = (Twice(s), Twice::<S>::LANES);
        let whole = x.len() - x.len() % lanes;
        for i in (0..whole).step_by(lanes) {
            if BYPASS {
                prefetch(x.as_ptr().wrapping_add(x.len() + i), lanes);
            }
            let y = power::<_, T, NEAR>(s, T::load(s, &x[i..i + lanes]), self.max);
            s.store(&mut out[i..i + lanes], y);
            let sum = &mut self.sums[i / lanes % 2];
            *sum = s.add(*sum, y);
        }
        if whole < x.len() {
            let x = T::load_first(s, &x[whole..], f32::NEG_INFINITY);
            let y = power::<_, T, NEAR>(s, x, self.max);
            s.store_first(&mut out[whole..], y);
            let sum = &mut self.sums[whole / lanes % 2];
            *sum = s.add(*sum, y);
        }
    }

    /// Ends a tile.
    #[inline(always)]
    pub(crate) fn settle(&mut self, s: S) {
        let s = Twice(s);
        self.total += f64::from(s.sum(s.add(self.sums[0], self.sums[1])));
        self.sums = [s.splat(0.0); 2];
    }

    /// The sum over all tiles.
    pub(crate) fn total(&self) -> f64 {
        self.total
    }
}

/// What the stages of a softmax have to do in turn, all at the same place of three rows; of a row
/// that is not there, nothing.
pub(crate) struct Turn<'a, T> {
    /// To be seen for its largest element.
    pub(crate) ahead: &'a [T],
    /// To be made powers, which are written.
    pub(crate) x: &'a [T],
    pub(crate) powers: &'a mut [f32],
    /// Powers to be scaled, and their results.
    pub(crate) kept: &'a [f32],
    pub(crate) scale: f32,
    pub(crate) out: &'a mut [T],
    /// Whether results are written around the caches.
    pub(crate) bypass: bool,
}

impl<T> Default for Turn<'_, T> {
    fn default() -> Self {
        Turn {
            ahead: &[],
            x: &[],
            powers: &mut [],
            kept: &[],
            scale: 0.0,
            out: &mut [],
            bypass: false,
        }
    }
}

impl<T: Float> Turn<'_, T> {
    /// Does them.
    #[inline(always)]
    pub(crate) fn take<S: Simd>(
        self,
        s: S,
        seen: &mut [<Twice<S> as Simd>::F32; 2],
        powers: &mut Powers<S>,
    ) {
        match (powers.max.abs() <= NEAR, self.bypass) {
            (true, false) => self.take_as::<S, true, false>(s, seen, powers),
            (true, true) => self.take_as::<S, true, true>(s, seen, powers),
            (false, false) => self.take_as::<S, false, false>(s, seen, powers),
            (false, true) => self.take_as::<S, false, true>(s, seen, powers),
        }
    }

    #[cfg_attr(unoptimized, inline(never))]
    #[cfg_attr(not(unoptimized), inline(always))]
    fn take_as<S: Simd, const NEAR: bool, const BYPASS: bool>(
        self,
        s: S,
        seen: &mut [<Twice<S> as Simd>::F32; 2],
        powers: &mut Powers<S>,
    ) {
        let (one, two, lanes) = (Twice(s), Twice(Twice(s)), Twice::<S>::LANES);
        let scale = one.splat(self.scale);
        let most = self.ahead.len().min(self.x.len()).min(self.out.len());
        assert!(most <= self.powers.len() && most <= self.kept.len());
        let all = most - most % (2 * lanes);
        let begun = inlined(
            #[inline(always)]
            |i: usize| {
                // SAFETY: `i + 2 * lanes` is at most `all`, and that at most the length.
                let x = unsafe { self.x.get_unchecked(i..i + 2 * lanes) };
                let x = (T::load(one, x), T::load(one, &x[lanes..]));
                begin::<_, NEAR>(two, x, powers.max)
            },
        );
        let mut next = match all {
            0 => two.splat(0.0),
            _ => begun(0),
        };
        for i in (0..all).step_by(2 * lanes) {
            let part = i..i + 2 * lanes;
            // SAFETY: `i + 2 * lanes` is at most `all`, and that each slice's length.
            let (ahead, to, kept, out) = unsafe {
                (
                    self.ahead.get_unchecked(part.clone()),
                    self.powers.get_unchecked_mut(part.clone()),
                    self.kept.get_unchecked(part.clone()),
                    self.out.get_unchecked_mut(part),
                )
            };
            if BYPASS {
                prefetch(ahead.as_ptr().wrapping_add(self.ahead.len()), 2 * lanes);
            }
            let y = end::<_, T, NEAR>(two, next);
            next = begun((i + 2 * lanes).min(all - 2 * lanes));
            for (k, y) in [y.0, y.1].into_iter().enumerate() {
                let at = k * lanes;
                seen[k] = one.max(T::load(one, &ahead[at..]), seen[k]);
                let result = one.mul(one.load(&kept[at..]), scale);
                if BYPASS {
                    T::bypass(one, &mut out[at..], result);
                } else {
                    T::store(one, &mut out[at..], result);
                }
                one.store(&mut to[at..], y);
                powers.sums[k] = one.add(powers.sums[k], y);
            }
        }
        let step = inlined(
            #[inline(always)]
            |a, x| one.max(x, a),
        );
        fold_on(one, &self.ahead[all..], f32::NEG_INFINITY, seen, step);
        powers.add::<T, NEAR, BYPASS>(s, &self.x[all..], &mut self.powers[all..]);
        let times = inlined(
            #[inline(always)]
            |[x]: [_; 1]| one.mul(x, scale),
        );
        let rest = &mut self.out[all..];
        map(one, [&self.kept[all..]], rest, BYPASS, times);
    }
}

/// The first part of a power, which another vector's second part need not wait for: the exponent.
#[inline(always)]
fn begin<S: Simd, const NEAR: bool>(s: S, x: S::F32, max: f32) -> S::F32 {
    match NEAR {
        // Powers of two: one rounding on the way to the exponent, and one factor for all of the row
        // from the rounding here, which the sum has too.
        true => s.fma(x, s.splat(LOG2_E), s.splat(-LOG2_E * max)),
        false => s.sub(x, s.splat(max)),
    }
}

#[inline(always)]
fn end<S: Simd, T: Float, const NEAR: bool>(s: S, exponent: S::F32) -> S::F32 {
    match (NEAR, T::COARSE) {
        (false, _) => exp(s, exponent),
        (_, true) => rough::in_proportion_to_exp2(s, exponent),
        (_, false) => in_proportion_to_exp2(s, exponent),
    }
}

#[inline(always)]
fn power<S: Simd, T: Float, const NEAR: bool>(s: S, x: S::F32, max: f32) -> S::F32 {
    end::<S, T, NEAR>(s, begin::<S, NEAR>(s, x, max))
}
