//! What a reduction is: how elements become an accumulator, and that a result.

use crate::{
    DType, Element,
    cpu::{
        rows::Working,
        simd::{Float, Simd},
    },
    with_dtype,
};

/// Columns that vectors fold together, whatever their width.
pub(super) const GROUP: usize = 64;

/// A reduction.
pub(super) trait Fold: Copy + 'static {
    /// What is folded; elements of other types become this first.
    type In: Working;
    /// What parts of a reduction leave behind.
    type Acc: bytemuck::Pod;
    /// What comes out, before it is stored as an element.
    type Out: Outcome;

    /// The reduction with its argument: a divisor, a power, a correction.
    fn new(argument: f64) -> Self;

    /// What no elements leave behind.
    fn empty(self) -> Self::Acc;

    /// What a tile leaves behind. `start` is the position of its first element in the reduction.
    fn tile<S: Simd>(self, s: S, x: &[Self::In], start: usize) -> Self::Acc;

    /// As [`Fold::tile`], of floats that are narrower than [`Fold::In`], where the fold can read
    /// them as they are.
    #[inline(always)]
    fn narrow_tile<S: Simd, T: Float>(self, _s: S, _x: &[T]) -> Option<Self::Acc> {
        None
    }

    /// Joins a few rows into accumulators, one for each column. `start` is the position of the
    /// first row in the reduction.
    fn columns<S: Simd>(self, s: S, rows: &[&[Self::In]], start: usize, accs: &mut [Self::Acc]);

    /// What two parts leave behind, the first of which comes first.
    fn join(self, first: Self::Acc, second: Self::Acc) -> Self::Acc;

    /// The result.
    fn finish(self, acc: Self::Acc) -> Self::Out;
}

/// What a fold ends in.
pub(super) trait Outcome: Copy {
    /// Stores it as the element `index` of type `dtype`, rounded once.
    ///
    /// # Safety
    /// `to` points to elements of `dtype`, among them that one.
    unsafe fn store(self, dtype: DType, to: *mut u8, index: usize);
}

impl Outcome for f64 {
    unsafe fn store(self, dtype: DType, to: *mut u8, index: usize) {
        // SAFETY: passed on from the caller.
        with_dtype!(dtype, T => unsafe { *to.cast::<T>().add(index) = T::from_f64(self) });
    }
}

impl Outcome for i64 {
    unsafe fn store(self, dtype: DType, to: *mut u8, index: usize) {
        // SAFETY: passed on from the caller.
        unsafe {
            match dtype {
                DType::I32 => *to.cast::<i32>().add(index) = self as i32,
                DType::U32 => *to.cast::<u32>().add(index) = self as u32,
                DType::U8 => *to.add(index) = self as u8,
                _ => *to.cast::<i64>().add(index) = self,
            }
        }
    }
}
