//! The variance.

use super::fold::{Fold, GROUP};
use crate::{
    Element,
    cpu::{
        rows::{Moments, usable_sum_of_squares},
        simd::{Float, Simd},
    },
};
use std::marker::PhantomData;

/// The mean squared distance from the mean, over the count less a correction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variance<T> {
    correction: f64,
    of: PhantomData<T>,
}

impl<T: Element + Float> Fold for Variance<T> {
    type In = T;
    type Acc = Moments;
    type Out = T;

    fn new(correction: f64) -> Self {
        Variance {
            correction,
            of: PhantomData,
        }
    }

    #[inline(always)]
    fn empty(self) -> Moments {
        Moments::EMPTY
    }

    #[inline(always)]
    fn tile<S: Simd>(self, s: S, x: &[T], _start: usize) -> Moments {
        Moments::of_tile(s, x)
    }

    #[inline(always)]
    fn columns<S: Simd>(self, s: S, rows: &[&[T]], _start: usize, accs: &mut [Moments]) {
        for (i, accs) in accs.chunks_mut(S::LANES).enumerate() {
            vector(s, rows, i * S::LANES, accs);
        }
    }

    #[inline(always)]
    fn join(self, first: Moments, second: Moments) -> Moments {
        first.join(second)
    }

    #[inline(always)]
    fn finish(self, acc: Moments) -> T {
        let freedom = (acc.count - self.correction).max(0.0);
        <T as Element>::from_f64(acc.squares / freedom)
    }
}

/// Joins a vector of columns, from `from` on, into `accs`.
#[inline(always)]
fn vector<S: Simd, T: Float>(s: S, rows: &[&[T]], from: usize, accs: &mut [Moments]) {
    let zero = s.splat(0.0);
    let mut total = zero;
    for row in rows {
        total = s.add(total, T::load_first(s, &row[from..], 0.0));
    }
    let pivot = s.mul(total, s.splat(1.0 / rows.len() as f32));
    let (mut first, mut second) = (zero, zero);
    for row in rows {
        let deviation = s.sub(T::load_first(s, &row[from..], 0.0), pivot);
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
fn precise<T: Float>(rows: &[&[T]], column: usize) -> Moments {
    let values = || rows.iter().map(|row| f64::from(row[column].to_f32()));
    let count = rows.len() as f64;
    let mean = values().sum::<f64>() / count;
    Moments {
        count,
        mean,
        squares: values().map(|x| (x - mean) * (x - mean)).sum(),
    }
}
