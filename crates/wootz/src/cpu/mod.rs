//! The CPU's kernels: one body per kernel, written over vectors of any width.

#[cfg(feature = "preview")]
pub mod elementwise;
#[cfg(feature = "preview")]
pub mod gemm;
#[cfg(feature = "preview")]
pub mod math;
#[cfg(feature = "preview")]
pub(crate) mod rows;
pub mod simd;
