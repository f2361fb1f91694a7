//! Sums and extremes of floats, in vectors of `f32`.

use super::fold::{Fold, GROUP};
use crate::cpu::{
    rows::{fold, inlined, sum},
    simd::{Float, Simd},
};
use std::marker::PhantomData;

/// A reduction whose step is one vector operation.
pub(super) trait Lane: Copy + 'static {
    /// What changes nothing.
    const NEUTRAL: f32;
    /// Joins `x` to `acc`.
    fn step<S: Simd>(s: S, acc: S::F32, x: S::F32) -> S::F32;
    /// The result of a tile.
    fn tile<S: Simd, T: Float>(s: S, x: &[T]) -> f64;
    /// The result of parts.
    fn join(first: f64, second: f64) -> f64;
    /// Whether `acc` may be wrong because `f32` could not hold it.
    fn overflowed(acc: f32) -> bool;
}

/// The sum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum;

impl Lane for Sum {
    const NEUTRAL: f32 = 0.0;
    #[inline(always)]
    fn step<S: Simd>(s: S, acc: S::F32, x: S::F32) -> S::F32 {
        s.add(acc, x)
    }
    #[inline(always)]
    fn tile<S: Simd, T: Float>(s: S, x: &[T]) -> f64 {
        sum(s, x)
    }
    #[inline(always)]
    fn join(first: f64, second: f64) -> f64 {
        first + second
    }
    #[inline(always)]
    fn overflowed(acc: f32) -> bool {
        !acc.is_finite()
    }
}

/// An extreme: NaN wins over every number.
macro_rules! extreme {
    ($(#[$doc:meta])* $name:ident, $neutral:expr, $step:ident, $lane:ident, $first:tt) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(super) struct $name;

        impl Lane for $name {
            const NEUTRAL: f32 = $neutral;
            #[inline(always)]
            fn step<S: Simd>(s: S, acc: S::F32, x: S::F32) -> S::F32 {
                s.$step(x, acc)
            }
            #[inline(always)]
            fn tile<S: Simd, T: Float>(s: S, x: &[T]) -> f64 {
                let step = inlined(
                    #[inline(always)]
                    |acc, x| Self::step(s, acc, x),
                );
                let lanes = fold(s, x, Self::NEUTRAL, s.splat(Self::NEUTRAL), step, step);
                let nan = s.any(s.is_nan(lanes));
                f64::from(if nan { f32::NAN } else { s.$lane(lanes) })
            }
            #[inline(always)]
            fn join(first: f64, second: f64) -> f64 {
                if first.is_nan() | (first $first second) { first } else { second }
            }
            #[inline(always)]
            fn overflowed(_acc: f32) -> bool {
                false
            }
        }
    };
}

extreme!(
    /// The largest.
    Max, f32::NEG_INFINITY, maximum, max_lane, >=
);
extreme!(
    /// The smallest.
    Min, f32::INFINITY, minimum, min_lane, <=
);

/// A [`Lane`]; its result is divided by the argument.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes<L> {
    divisor: f64,
    of: PhantomData<L>,
}

impl<L: Lane> Fold for Lanes<L> {
    type In = f32;
    type Acc = f64;
    type Out = f64;

    fn new(divisor: f64) -> Self {
        Lanes {
            divisor,
            of: PhantomData,
        }
    }

    #[inline(always)]
    fn empty(self) -> f64 {
        f64::from(L::NEUTRAL)
    }

    #[inline(always)]
    fn tile<S: Simd>(self, s: S, x: &[f32], _start: usize) -> f64 {
        L::tile(s, x)
    }

    #[inline(always)]
    fn narrow_tile<S: Simd, T: Float>(self, s: S, x: &[T]) -> Option<f64> {
        Some(L::tile(s, x))
    }

    #[inline(always)]
    fn columns<S: Simd>(self, s: S, rows: &[&[f32]], _start: usize, accs: &mut [f64]) {
        let whole = accs.len() - accs.len() % (4 * S::LANES);
        let (groups, rest) = accs.split_at_mut(whole);
        for (i, accs) in groups.chunks_exact_mut(4 * S::LANES).enumerate() {
            let from = i * 4 * S::LANES;
            let mut vectors = [s.splat(L::NEUTRAL); 4];
            for row in rows {
                let row = &row[from..from + 4 * S::LANES];
                for (k, vector) in vectors.iter_mut().enumerate() {
                    *vector = L::step(s, *vector, s.load(&row[k * S::LANES..]));
                }
            }
            for (k, vector) in vectors.into_iter().enumerate() {
                let from = from + k * S::LANES;
                settle::<S, L>(s, vector, rows, from, &mut accs[k * S::LANES..][..S::LANES]);
            }
        }
        for (i, accs) in rest.chunks_mut(S::LANES).enumerate() {
            let from = whole + i * S::LANES;
            let mut vector = s.splat(L::NEUTRAL);
            for row in rows {
                vector = L::step(s, vector, s.load_first(&row[from..], 0.0));
            }
            settle::<S, L>(s, vector, rows, from, accs);
        }
    }

    #[inline(always)]
    fn join(self, first: f64, second: f64) -> f64 {
        L::join(first, second)
    }

    #[inline(always)]
    fn finish(self, acc: f64) -> f64 {
        acc / self.divisor
    }
}

/// Joins the lanes of `vector`, folded from the columns at `from` on, into `accs`.
#[inline(always)]
fn settle<S: Simd, L: Lane>(s: S, vector: S::F32, rows: &[&[f32]], from: usize, accs: &mut [f64]) {
    let mut lanes = [0.0f32; GROUP];
    s.store(&mut lanes, vector);
    if lanes[..accs.len()].iter().any(|&lane| L::overflowed(lane)) {
        for (i, acc) in accs.iter_mut().enumerate() {
            let column = rows.iter().map(|row| f64::from(row[from + i]));
            *acc = column.fold(*acc, L::join);
        }
        return;
    }
    for (acc, lane) in accs.iter_mut().zip(lanes) {
        *acc = L::join(*acc, f64::from(lane));
    }
}
