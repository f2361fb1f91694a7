//! The ops, one family a file, each in this order: parameters, check, plan, CPU kernel, cases.

/// A kernel over floats, for one of their types.
macro_rules! by_dtype {
    ($dtype:expr, $kernel:ident $(, $argument:tt)*) => {
        match $dtype {
            $crate::DType::F16 => $kernel::<half::f16 $(, $argument)*>,
            $crate::DType::BF16 => $kernel::<half::bf16 $(, $argument)*>,
            _ => $kernel::<f32 $(, $argument)*>,
        }
    };
}

mod check;
pub mod copy;
pub mod group_norm;
pub mod layer_norm;
pub mod linear;
pub mod matmul;
pub mod reduce;
pub mod rope;
pub mod softmax;

pub use copy::copy;
pub use group_norm::group_norm;
pub use layer_norm::{layer_norm, rms_norm};
pub use linear::linear;
pub use matmul::matmul;
pub use reduce::{
    Over, all, any, argmax, argmin, logsumexp, max, mean, min, norm, prod, sum, var,
};
pub use rope::{Pairs, Positions, rope};
pub use softmax::{log_softmax, softmax};

use crate::{Error, Result, Tensor};
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

/// `x` itself where that will do, else a contiguous copy that `copied` keeps. A call that needs no
/// copy touches no reference count.
fn or_copy<'a>(x: &'a Tensor, will_do: bool, copied: &'a mut Option<Tensor>) -> Result<&'a Tensor> {
    if will_do { Ok(x) } else { Ok(copied.insert(copy(x)?)) }
}
