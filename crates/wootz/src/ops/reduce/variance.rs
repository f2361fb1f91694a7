//! The variance.

use super::fold::{Fold, GROUP};
use crate::cpu::{
    rows::{Moments, usable_sum_of_squares},
    simd::Simd,
};

/// The mean squared distance from the mean, over the count less a correction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variance {
    correction: f64,
}

impl Fold for Variance {
    type In = f32;
    type Acc = Moments;
    type Out = f64;

    fn new(correction: f64) -> Self {
        Variance { correction }
    }

    #[inline(always)]
    fn empty(self) -> Moments {
        Moments::EMPTY
    }

    #[inline(always)]
    fn tile<S: Simd>(self, s: S, x: &[f32], _start: usize) -> Moments {
        Moments::of_tile(s, x)
    }

    #[inline(always)]
    fn columns<S: Simd>(self, s: S, rows: &[&[f32]], _start: usize, accs: &mut [Moments]) {
        for (i, accs) in accs.chunks_mut(S::LANES).enumerate() {
            vector(s, rows, i * S::LANES, accs);
        }
    }

    #[inline(always)]
    fn join(self, first: Moments, second: Moments) -> Moments {
        first.join(second)
    }

    #[inline(always)]
    fn finish(self, acc: Moments) -> f64 {
        let freedom = (acc.count - self.correction).max(0.0);
        acc.squares / freedom
    }
}

/// Joins a vector of columns, from `from` on, into `accs`.
#[inline(always)]
fn vector<S: Simd>(s: S, rows: &[&[f32]], from: usize, accs: &mut [Moments]) {
    let zero = s.splat(0.0);
    let mut total = zero;
    for row in rows {
        total = s.add(total, s.load_first(&row[from..], 0.0));
    }
    let pivot = s.mul(total, s.splat(1.0 / rows.len() as f32));
    let (mut first, mut second) = (zero, zero);
    for row in rows {
        let deviation = s.sub(s.load_first(&row[from..], 0.0), pivot);
        first = s.add(first, deviation);
        second = s.fma(deviation, deviation, second);
    }
    let mut lanes = [[0.0f32; GROUP]; 3];
    for (lanes, vector) in lanes.iter_mut().zip([pivot, first, second]) {
        s.store(lanes, vector);
    }
    let count = rows.len() as f64;
    let [pivot, first, second] = lanes;
    for (i, acc) in accs.iter_mut().enumerate() {
        let part = if usable_sum_of_squares(second[i]) {
            Moments::from_pivot(count, pivot[i], f64::from(first[i]), f64::from(second[i]))
        } else {
            precise(rows, from + i)
        };
        *acc = acc.join(part);
    }
}

/// The moments of a column that `f32` cannot hold.
fn precise(rows: &[&[f32]], column: usize) -> Moments {
    let values = || rows.iter().map(|row| f64::from(row[column]));
    let count = rows.len() as f64;
    let mean = values().sum::<f64>() / count;
    Moments {
        count,
        mean,
        squares: values().map(|x| (x - mean) * (x - mean)).sum(),
    }
}
