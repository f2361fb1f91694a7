//! The logarithm of a sum of exponentials.

use super::fold::Fold;
use crate::cpu::{rows::Exponentials, simd::Simd};

/// `ln Σ exp(x)`, without overflow.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogSumExp;

impl Fold for LogSumExp {
    type In = f32;
    type Acc = Exponentials;
    type Out = f64;

    fn new(_argument: f64) -> Self {
        LogSumExp
    }

    #[inline(always)]
    fn empty(self) -> Exponentials {
        Exponentials::EMPTY
    }

    #[inline(always)]
    fn tile<S: Simd>(self, s: S, x: &[f32], _start: usize) -> Exponentials {
        Exponentials::of_tile(s, x)
    }

    #[inline(always)]
    fn columns<S: Simd>(self, s: S, rows: &[&[f32]], _start: usize, accs: &mut [Exponentials]) {
        Exponentials::of_columns(s, rows, accs);
    }

    #[inline(always)]
    fn join(self, first: Exponentials, second: Exponentials) -> Exponentials {
        first.join(second)
    }

    #[inline(always)]
    fn finish(self, acc: Exponentials) -> f64 {
        acc.ln()
    }
}
