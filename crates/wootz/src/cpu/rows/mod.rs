//! Rows: where the row kernels find theirs in memory, and how they are folded.
//!
//! Long rows are cut into tiles of [`TILE`] elements. Inside a tile lanes hold `f32`; what tiles
//! leave behind is joined in `f64`. So the error of a sum stays that of a tile, however long the
//! row is, and a tile stays in the first cache however often it is looked at.

use crate::cpu::simd::Level;

mod axes;
mod exponentials;
mod fold;
mod moments;
mod source;
mod stagger;

pub(crate) use axes::Axes;
pub(crate) use exponentials::{Exponentials, Powers, Turn};
pub(crate) use fold::{
    ACCUMULATORS, Fold, fold, fold_and_map, fold_on, fold_wide, in_f64, inlined, joined, largest,
    map, map_parts, maximum, prefetch, sum, sum_of_squares, total, usable_sum_of_squares,
};
pub(crate) use moments::{Deviation, Deviations, Moments, pivot};
#[cfg(test)]
pub(crate) use source::written;
pub(crate) use source::{Narrow, Pass, Source, Working, write_floats};
pub(crate) use stagger::{PLACES, lag, last_tile, staggered_from_memory, tiles};

/// Elements that are folded in `f32` before their result is joined to others in `f64`.
pub(crate) const TILE: usize = 4096;

/// Rows of columns that are folded in `f32` before their result is joined to others in `f64`.
pub(crate) const STRIP: usize = 32;

/// Roundings that a value of a row of `length` elements may go through: along a row one for each
/// step of an accumulator of [`fold`], in a tile, and one for each level of the joins; along
/// columns one for each row of a strip.
pub(crate) fn steps(length: usize) -> f64 {
    let accumulators = ACCUMULATORS * Level::current().lanes();
    (length.min(TILE).div_ceil(accumulators) + 8).max(length.min(STRIP)) as f64
}
