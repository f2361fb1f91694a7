//! The ops, one family a file, each in this order: parameters, check, plan, CPU kernel, cases.

mod check;
pub mod copy;
pub mod linear;
pub mod matmul;
pub mod softmax;

pub use copy::copy;
pub use linear::linear;
pub use matmul::matmul;
pub use softmax::softmax;

use crate::{Error, Result};
use wootz_runtime::{Device, Plan, Stream};

/// Submits a plan that an op of this crate built.
///
/// # Safety
/// As for [`Stream::submit`].
unsafe fn submit(stream: &Stream, plan: &Plan<'_>) -> Result<()> {
    // SAFETY: passed on from the caller.
    unsafe { stream.submit(plan) }.map_err(Error::from)
}

/// Calls `f` with the thread's current stream on `device`.
fn on_stream<R>(device: Device, f: impl FnOnce(&Stream) -> Result<R>) -> Result<R> {
    Stream::with_current(device, f)
}
