//! Rows: where the row kernels find theirs in memory, and how they are folded.
//!
//! Long rows are cut into tiles of [`TILE`] elements. Inside a tile lanes hold `f32`; what tiles
//! leave behind is joined in `f64`. So the error of a sum stays that of a tile, however long the
//! row is, and a tile stays in the first cache however often it is looked at.

mod axes;
mod exponentials;
mod fold;
mod moments;

pub(crate) use axes::{Axes, strip};
pub(crate) use exponentials::{Exponentials, exponentials_into};
pub(crate) use fold::{
    fold, fold_wide, inlined, largest, map, maximum, squares, sum, usable_sum_of_squares,
};
pub(crate) use moments::Moments;

/// Elements that are folded in `f32` before their result is joined to others in `f64`.
pub(crate) const TILE: usize = 4096;

/// Rows of columns that are folded in `f32` before their result is joined to others in `f64`.
pub(crate) const STRIP: usize = 32;

/// Roundings that a value of a row of `length` elements may go through: along a row one for each
/// step of an accumulator of [`fold`], in a tile, and one for each level of the joins; along
/// columns one for each row of a strip.
pub(crate) fn steps(length: usize) -> f64 {
    /// Lanes of the narrowest level times the accumulators that `fold` keeps.
    const NARROWEST: usize = 4 * 4;
    (length.min(TILE).div_ceil(NARROWEST) + 7).max(length.min(STRIP)) as f64
}
