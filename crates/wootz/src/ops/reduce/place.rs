//! Where an extreme stands: `argmax` and `argmin`.

use super::{
    fold::Fold,
    lanes::{Lanes, Max, Min},
    whole::{WholeMax, WholeMin, Wholes},
};
use crate::cpu::{rows::Working, simd::Simd};

/// A reduction that picks one of its elements.
pub(super) trait Extreme: Fold {
    /// An element as an accumulator.
    fn value(x: Self::In) -> Self::Acc;
    /// The element that an accumulator is.
    fn element(value: Self::Acc) -> Self::In;
    /// Whether `second` is picked over `first`, which comes first.
    fn replaces(first: Self::Acc, second: Self::Acc) -> bool;
}

macro_rules! extremes {
    ($($float:ident $whole:ident $better:tt;)*) => {$(
        impl Extreme for Lanes<$float> {
            #[inline(always)]
            fn value(x: f32) -> f64 {
                f64::from(x)
            }
            #[inline(always)]
            fn element(value: f64) -> f32 {
                value as f32
            }
            #[inline(always)]
            fn replaces(first: f64, second: f64) -> bool {
                (second $better first) | (second.is_nan() & !first.is_nan())
            }
        }

        impl Extreme for Wholes<i64, $whole> {
            #[inline(always)]
            fn value(x: i64) -> i64 {
                x
            }
            #[inline(always)]
            fn element(value: i64) -> i64 {
                value
            }
            #[inline(always)]
            fn replaces(first: i64, second: i64) -> bool {
                second $better first
            }
        }
    )*};
}

extremes! {
    Max WholeMax >;
    Min WholeMin <;
}

/// The best so far.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Best {
    /// The accumulator of the extreme, as bits.
    value: u64,
    /// Where it stands; −1 of no elements.
    index: i64,
}

impl Best {
    #[inline(always)]
    fn new<A: bytemuck::Pod>(value: A, index: usize) -> Best {
        Best {
            value: bytemuck::cast(value),
            index: index as i64,
        }
    }

    #[inline(always)]
    fn value<A: bytemuck::Pod>(self) -> A {
        bytemuck::cast(self.value)
    }
}

/// The first place of an [`Extreme`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<E>(E);

impl<E: Extreme> Fold for Place<E> {
    type In = E::In;
    type Acc = Best;
    type Out = i64;

    fn new(argument: f64) -> Self {
        Place(E::new(argument))
    }

    #[inline(always)]
    fn empty(self) -> Best {
        Best {
            value: 0,
            index: -1,
        }
    }

    #[inline(always)]
    fn tile<S: Simd>(self, s: S, x: &[E::In], start: usize) -> Best {
        let value = self.0.tile(s, x, start);
        Best::new(value, start + first_of(x, E::element(value)))
    }

    #[inline(always)]
    fn columns<S: Simd>(self, _s: S, rows: &[&[E::In]], start: usize, accs: &mut [Best]) {
        for (i, row) in rows.iter().enumerate() {
            for (acc, &x) in accs.iter_mut().zip(*row) {
                let value = E::value(x);
                if acc.index < 0 || E::replaces(acc.value(), value) {
                    *acc = Best::new(value, start + i);
                }
            }
        }
    }

    #[inline(always)]
    fn join(self, first: Best, second: Best) -> Best {
        let taken =
            second.index >= 0 && (first.index < 0 || E::replaces(first.value(), second.value()));
        if taken { second } else { first }
    }

    #[inline(always)]
    fn finish(self, acc: Best) -> i64 {
        acc.index
    }
}

/// Where `wanted`, which is there, stands first.
#[inline(always)]
fn first_of<T: Working>(x: &[T], wanted: T) -> usize {
    /// Elements that are compared before anyone looks whether one of them was it.
    const BLOCK: usize = 64;
    for (i, block) in x.chunks(BLOCK).enumerate() {
        let mut found = false;
        for x in block {
            found |= x.same(wanted);
        }
        if found {
            return i * BLOCK + block.iter().position(|x| x.same(wanted)).unwrap_or(0);
        }
    }
    0
}
