//! The CPU's kernels: one body per kernel, written over vectors of any width.

pub mod elementwise;
pub mod gemm;
pub mod math;
pub(crate) mod rows;
pub mod simd;
pub(crate) mod walk;
