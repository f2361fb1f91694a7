//! Matrix products on the CPU.
//!
//! A [`Problem`] says what to multiply, a [`Kernel`] with which instructions, and
//! [`Blocking::choose`] cuts it into units by its shape alone. Executing it has two phases, each of
//! units that any threads may compute in any order:
//!
//! 1. [`pack`] lays B out in panels that the tiles read in one direction (where that pays),
//! 2. [`multiply`] computes a block of C.
//!
//! ```text
//! C (m×n)          unit = block of rows × block of columns, all of k
//!   └ k block      what two panels of B need to stay in the second cache
//!     └ panel of B      one tile wide
//!       └ panel of A    one tile high
//!         └ tile        sums in registers, one step of k after another
//! ```
//!
//! Sums are f32 in an order that the shape fixes, and are rounded to C's element once at the end.

#[cfg(target_arch = "x86_64")]
mod amx;
mod blocking;
mod cut;
mod drive;
mod finish;
mod kernel;
mod lanes;
mod operands;
mod pack;
mod problem;
mod skinny;
mod small;
#[cfg(test)]
mod tests;
mod tile;
mod transpose;

pub use blocking::{ALIGNMENT, Blocking};
pub use drive::{multiply, pack};
pub use kernel::Kernel;
pub use problem::{Axis, Batch, Buffers, Element, Problem, Strides};
pub use small::Small;
