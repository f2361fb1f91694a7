//! What a reduction is: how elements become an accumulator, and that a result.

use crate::{Element, cpu::simd::Simd};

/// Columns that vectors fold together, whatever their width.
pub(super) const GROUP: usize = 64;

/// A reduction of elements of one type.
pub(super) trait Fold: Copy + 'static {
    /// What is folded.
    type In: Element;
    /// What parts of a reduction leave behind.
    type Acc: bytemuck::Pod;
    /// What comes out.
    type Out: Element;

    /// The reduction with its argument: a divisor, a power, a correction.
    fn new(argument: f64) -> Self;

    /// What no elements leave behind.
    fn empty(self) -> Self::Acc;

    /// What a tile leaves behind. `start` is the position of its first element in the reduction.
    fn tile<S: Simd>(self, s: S, x: &[Self::In], start: usize) -> Self::Acc;

    /// Joins a few rows into accumulators, one for each column. `start` is the position of the
    /// first row in the reduction.
    fn columns<S: Simd>(self, s: S, rows: &[&[Self::In]], start: usize, accs: &mut [Self::Acc]);

    /// What two parts leave behind, the first of which comes first.
    fn join(self, first: Self::Acc, second: Self::Acc) -> Self::Acc;

    /// The result.
    fn finish(self, acc: Self::Acc) -> Self::Out;
}

/// Elements that any reduction takes.
pub(super) trait Number: Element {
    /// Whether it is zero.
    fn is_zero(self) -> bool;
    /// Whether it is the same number, or NaN as the other is.
    fn same(self, other: Self) -> bool;
    /// An integer's value; floats have their own reductions, and are 0 here.
    fn whole(self) -> i64;
    /// The integer of this value, which is one of the type's.
    fn from_whole(value: i64) -> Self;
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Number for $type {
            #[inline(always)]
            fn is_zero(self) -> bool {
                self == 0
            }
            #[inline(always)]
            fn same(self, other: Self) -> bool {
                self == other
            }
            #[inline(always)]
            fn whole(self) -> i64 {
                self as i64
            }
            #[inline(always)]
            fn from_whole(value: i64) -> Self {
                value as $type
            }
        }
    )*};
}

/// Floats compare by their bits, which vectors of integers do for every width.
macro_rules! floats {
    ($($type:ty, $infinity:expr;)*) => {$(
        impl Number for $type {
            #[inline(always)]
            fn is_zero(self) -> bool {
                self.to_bits() << 1 == 0
            }
            #[inline(always)]
            fn same(self, other: Self) -> bool {
                let (a, b) = (self.to_bits(), other.to_bits());
                let infinity = $infinity.to_bits() << 1;
                let nan = (a << 1 > infinity) & (b << 1 > infinity);
                (a == b) | ((a | b) << 1 == 0) | nan
            }
            #[inline(always)]
            fn whole(self) -> i64 {
                0
            }
            #[inline(always)]
            fn from_whole(value: i64) -> Self {
                <$type as Element>::from_f64(value as f64)
            }
        }
    )*};
}

integers!(i32 u32 i64 u8);
floats! {
    f32, f32::INFINITY;
    half::f16, half::f16::INFINITY;
    half::bf16, half::bf16::INFINITY;
}
