//! The emulator: runs kernels of the dialect on the CPU as a GPU would, with groups, lanes, simds
//! and barriers, and reports what a GPU would not forgive.
//!
//! Kernels are compiled by the system's C++ compiler ([`Library`]) with a call before each memory
//! access. A [`Machine`] runs a group's lanes as fibers that meet at barriers, and keeps, for each
//! byte that lanes share, who touched it last. The first [`Fault`] ends the launch, and is the error
//! of its submission. As a device it is called `emulated`. With `WOOTZ_EMULATED_SUBNORMALS=flush` in
//! the environment its arithmetic takes the least floats for zero, as Apple's GPUs do.

mod device;
mod fault;
mod fiber;
mod flush;
mod library;
mod machine;
mod memory;
mod shadow;

pub(crate) use device::Emulated;
pub use device::compile_together;
use flush::Flush;

pub use fault::{Fault, Memory, Wait, WaitKind, What};
pub use library::{Library, LibraryError};
pub use machine::{Entry, LANE_LIMIT, Launch, Machine, SCRATCH_LIMIT};
pub use memory::Bound;

/// Lanes in a simd, on every device.
const SIMD_LANES: u32 = 32;
