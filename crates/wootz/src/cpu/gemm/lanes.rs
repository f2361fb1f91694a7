//! The few vector operations a product needs, once for each instruction set.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod bf16;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "aarch64")]
pub(super) use neon::Neon;
pub(super) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(super) use {avx2::Avx2, avx512::Avx512, bf16::Avx512Bf16};

/// Vectors of one instruction set. A *cell* is what one row of A, or one column of B, brings to one
/// step: an f32, or a pair of bf16 that are neighbours along k.
///
/// # Safety
/// Every function may be called only on a machine with the instruction set, and must be inlined
/// into a function that is compiled for it. Pointers need the alignment of a cell only.
pub(super) trait Lanes {
    /// One row's or one column's share of a step.
    type Cell: Copy;
    /// Cells of neighbouring columns.
    type Vector: Copy;
    /// f32 sums of neighbouring columns.
    type Sum: Copy;
    /// Cells in a vector, and sums in a [`Lanes::Sum`].
    const LANES: usize;

    /// Sums that are all zero.
    unsafe fn zero() -> Self::Sum;
    /// Reads `LANES` sums.
    unsafe fn load_sum(from: *const f32) -> Self::Sum;
    /// Writes `LANES` sums.
    unsafe fn store_sum(to: *mut f32, sum: Self::Sum);
    /// `x + y` in each lane.
    unsafe fn add(x: Self::Sum, y: Self::Sum) -> Self::Sum;
    /// Reads `LANES` cells.
    unsafe fn load(from: *const Self::Cell) -> Self::Vector;
    /// One cell in every lane.
    unsafe fn splat(cell: Self::Cell) -> Self::Vector;
    /// `sum + x·y` in each lane.
    unsafe fn multiply_add(sum: Self::Sum, x: Self::Vector, y: Self::Vector) -> Self::Sum;
}
