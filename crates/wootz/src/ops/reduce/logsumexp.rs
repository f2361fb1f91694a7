//! The logarithm of a sum of exponentials.

use super::fold::Fold;
use crate::{
    Element,
    cpu::{
        rows::Exponentials,
        simd::{Float, Simd},
    },
};
use std::marker::PhantomData;

/// `ln Σ exp(x)`, without overflow.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogSumExp<T>(PhantomData<T>);

impl<T: Element + Float> Fold for LogSumExp<T> {
    type In = T;
    type Acc = Exponentials;
    type Out = T;

    fn new(_argument: f64) -> Self {
        LogSumExp(PhantomData)
    }

    #[inline(always)]
    fn empty(self) -> Exponentials {
        Exponentials::EMPTY
    }

    #[inline(always)]
    fn tile<S: Simd>(self, s: S, x: &[T], _start: usize) -> Exponentials {
        Exponentials::of_tile(s, x)
    }

    #[inline(always)]
    fn columns<S: Simd>(self, s: S, rows: &[&[T]], _start: usize, accs: &mut [Exponentials]) {
        Exponentials::of_columns(s, rows, accs);
    }

    #[inline(always)]
    fn join(self, first: Exponentials, second: Exponentials) -> Exponentials {
        first.join(second)
    }

    #[inline(always)]
    fn finish(self, acc: Exponentials) -> T {
        <T as Element>::from_f64(acc.ln())
    }
}
