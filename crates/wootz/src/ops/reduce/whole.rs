//! Reductions in 64-bit integers: of integers, and of truth values of anything. Plain loops, which
//! the compiler turns into vectors of whatever level they are compiled for.

use super::fold::Fold;
use crate::cpu::{rows::Working, simd::Simd};
use std::marker::PhantomData;

/// A reduction of elements of `T` in 64-bit integers.
pub(super) trait Whole<T>: Copy + 'static {
    /// What changes nothing.
    const NEUTRAL: i64;
    /// An element as an integer.
    fn of(x: T) -> i64;
    /// The result of parts.
    fn join(first: i64, second: i64) -> i64;
    /// The result.
    fn finish(_argument: f64, acc: i64) -> i64 {
        acc
    }
}

macro_rules! integer {
    ($(#[$doc:meta])* $name:ident, $neutral:expr, $join:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(super) struct $name;

        impl Whole<i64> for $name {
            const NEUTRAL: i64 = $neutral;
            #[inline(always)]
            fn of(x: i64) -> i64 {
                x
            }
            #[inline(always)]
            fn join(first: i64, second: i64) -> i64 {
                $join(first, second)
            }
        }
    };
}

integer! {
    /// The sum, wrapping.
    WholeSum, 0, i64::wrapping_add
}
integer! {
    /// The product, wrapping.
    WholeProduct, 1, i64::wrapping_mul
}
integer! {
    /// The largest.
    WholeMax, i64::MIN, Ord::max
}
integer! {
    /// The smallest.
    WholeMin, i64::MAX, Ord::min
}

/// Whether at least as many elements as the argument says are not zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct AtLeast;

impl<T: Working> Whole<T> for AtLeast {
    const NEUTRAL: i64 = 0;
    #[inline(always)]
    fn of(x: T) -> i64 {
        i64::from(!x.is_zero())
    }
    #[inline(always)]
    fn join(first: i64, second: i64) -> i64 {
        first + second
    }
    #[inline(always)]
    fn finish(argument: f64, acc: i64) -> i64 {
        i64::from(acc as f64 >= argument)
    }
}

/// A [`Whole`] over elements of `T`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wholes<T, W> {
    argument: f64,
    of: PhantomData<(T, W)>,
}

impl<T: Working, W: Whole<T>> Fold for Wholes<T, W> {
    type In = T;
    type Acc = i64;
    type Out = i64;

    fn new(argument: f64) -> Self {
        Wholes {
            argument,
            of: PhantomData,
        }
    }

    #[inline(always)]
    fn empty(self) -> i64 {
        W::NEUTRAL
    }

    #[inline(always)]
    fn tile<S: Simd>(self, _s: S, x: &[T], _start: usize) -> i64 {
        let mut acc = W::NEUTRAL;
        for &x in x {
            acc = W::join(acc, W::of(x));
        }
        acc
    }

    #[inline(always)]
    fn columns<S: Simd>(self, _s: S, rows: &[&[T]], _start: usize, accs: &mut [i64]) {
        for row in rows {
            for (acc, &x) in accs.iter_mut().zip(*row) {
                *acc = W::join(*acc, W::of(x));
            }
        }
    }

    #[inline(always)]
    fn join(self, first: i64, second: i64) -> i64 {
        W::join(first, second)
    }

    #[inline(always)]
    fn finish(self, acc: i64) -> i64 {
        W::finish(self.argument, acc)
    }
}
