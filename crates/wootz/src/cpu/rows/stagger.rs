//! Rows in stages, of which each is done to one row while the one before is done to a later one.
//!
//! A row kernel looks at a row as often as it has stages, and between two of them needs the whole
//! row's sum or largest element. Done row by row, the arithmetic of one stage waits for the memory
//! of another, and all wait at the end of every row for that one number. So the stages take turns,
//! some vectors at a time, each some rows behind the one before.

use super::TILE;
use std::ops::Range;

/// Bytes of a row of which several fit the first-level cache.
const SHORT: usize = 4 << 10;

/// Most rows that a stage is behind the one before, and one: so many places what they leave for
/// each other needs.
pub(crate) const PLACES: usize = 3;

/// Rows that a stage is behind the one before it, where rows have so many bytes: two, so that what
/// the end of a row takes is over by then, or one where caches hold no more.
pub(crate) fn lag(bytes: usize) -> usize {
    if bytes <= SHORT { 2 } else { 1 }
}

/// Whether rows of so many bytes are taken in stages where they come from memory. Longer ones push
/// out of the first cache what is fetched for the next row, and memory is what takes time.
pub(crate) fn staggered_from_memory(bytes: usize) -> bool {
    bytes <= 2 * SHORT
}

/// The tiles of rows of this length.
#[inline(always)]
pub(crate) fn tiles(length: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = (0..length).step_by(TILE);
    starts.map(move |start| start..length.min(start + TILE))
}

/// Where the last of them begins.
#[inline(always)]
pub(crate) fn last_tile(length: usize) -> usize {
    length.saturating_sub(1) / TILE * TILE
}
