//! The CPU's kernels: one body per kernel, written over vectors of any width.

pub mod gemm;
pub(crate) mod rows;
pub mod simd;
