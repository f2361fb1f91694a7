//! Reductions in 64-bit integers: of integers, and of truth values of anything. Plain loops, which
//! the compiler turns into vectors of whatever level they are compiled for.

use super::fold::{Fold, Number};
use crate::{Element, cpu::simd::Simd};
use std::marker::PhantomData;

/// A reduction of elements of `T` in 64-bit integers.
pub(super) trait Whole<T>: Copy + 'static {
    /// What comes out.
    type Out: Element;
    /// What changes nothing.
    const NEUTRAL: i64;
    /// An element as an integer.
    fn of(x: T) -> i64;
    /// The result of parts.
    fn join(first: i64, second: i64) -> i64;
    /// The result.
    fn finish(argument: f64, acc: i64) -> Self::Out;
}

macro_rules! integer {
    ($(#[$doc:meta])* $name:ident -> $out:ty, $neutral:expr, $join:expr, $finish:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(super) struct $name;

        impl<T: Number> Whole<T> for $name {
            type Out = $out;
            const NEUTRAL: i64 = $neutral;
            #[inline(always)]
            fn of(x: T) -> i64 {
                x.whole()
            }
            #[inline(always)]
            fn join(first: i64, second: i64) -> i64 {
                $join(first, second)
            }
            #[inline(always)]
            fn finish(_argument: f64, acc: i64) -> $out {
                $finish(acc)
            }
        }
    };
}

integer! {
    /// The sum, wrapping.
    WholeSum -> i64, 0, i64::wrapping_add, std::convert::identity
}
integer! {
    /// The product, wrapping.
    WholeProduct -> i64, 1, i64::wrapping_mul, std::convert::identity
}
integer! {
    /// The largest.
    WholeMax -> T, i64::MIN, Ord::max, T::from_whole
}
integer! {
    /// The smallest.
    WholeMin -> T, i64::MAX, Ord::min, T::from_whole
}

/// Whether at least as many elements as the argument says are not zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct AtLeast;

impl<T: Number> Whole<T> for AtLeast {
    type Out = u8;
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
    fn finish(argument: f64, acc: i64) -> u8 {
        u8::from(acc as f64 >= argument)
    }
}

/// A [`Whole`] over elements of `T`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wholes<T, W> {
    argument: f64,
    of: PhantomData<(T, W)>,
}

impl<T: Number, W: Whole<T>> Fold for Wholes<T, W> {
    type In = T;
    type Acc = i64;
    type Out = W::Out;

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
    fn finish(self, acc: i64) -> W::Out {
        W::finish(self.argument, acc)
    }
}
