//! The ops, one family a file, each in this order: parameters, check, plan, CPU kernel, cases.

/// A kernel over floats, for one of their types.
#[cfg(feature = "preview")]
macro_rules! by_dtype {
    ($dtype:expr, $kernel:ident $(, $argument:tt)*) => {
        match $dtype {
            $crate::DType::F16 => $kernel::<half::f16 $(, $argument)*>,
            $crate::DType::BF16 => $kernel::<half::bf16 $(, $argument)*>,
            _ => $kernel::<f32 $(, $argument)*>,
        }
    };
}

#[cfg(feature = "preview")]
pub mod arange;
#[cfg(feature = "preview")]
pub mod binary;
#[cfg(feature = "preview")]
pub mod cast;
#[cfg_attr(
    not(feature = "preview"),
    expect(dead_code, reason = "most ops are behind the feature")
)]
mod check;
#[cfg(feature = "preview")]
pub mod clamp;
#[cfg(feature = "preview")]
pub mod concat;
#[cfg(feature = "preview")]
pub mod copy;
#[cfg(not(feature = "preview"))]
#[path = "plain/copy.rs"]
pub mod copy;
#[cfg(feature = "preview")]
mod elementwise;
#[cfg(feature = "preview")]
pub mod fill;
#[cfg(feature = "preview")]
pub mod gather;
#[cfg(feature = "preview")]
pub mod group_norm;
#[cfg(feature = "preview")]
mod index;
#[cfg(feature = "preview")]
pub mod index_select;
#[cfg(feature = "preview")]
pub mod layer_norm;
#[cfg(feature = "preview")]
pub mod linear;
#[cfg(feature = "preview")]
pub mod matmul;
#[cfg(feature = "preview")]
pub mod pad;
#[cfg(feature = "preview")]
pub mod reduce;
#[cfg(feature = "preview")]
pub mod rope;
#[cfg(feature = "preview")]
pub mod scatter;
#[cfg(feature = "preview")]
pub mod softmax;
#[cfg(not(feature = "preview"))]
#[path = "plain/softmax.rs"]
pub mod softmax;
#[cfg(feature = "preview")]
pub mod unary;
#[cfg(feature = "preview")]
mod walk;
#[cfg(feature = "preview")]
pub mod where_;

#[cfg(feature = "preview")]
pub use arange::arange;
#[cfg(feature = "preview")]
pub use binary::{
    add, atan2, bitwise_and, bitwise_or, bitwise_xor, div, eq, ge, gt, le, logical_and, logical_or,
    logical_xor, lt, maximum, minimum, mul, ne, pow, rem, shl, shr, sub,
};
#[cfg(feature = "preview")]
pub use cast::cast;
#[cfg(feature = "preview")]
pub use clamp::clamp;
#[cfg(feature = "preview")]
pub use concat::{concat, stack};
pub use copy::copy;
#[cfg(feature = "preview")]
pub use fill::fill;
#[cfg(feature = "preview")]
pub use gather::gather;
#[cfg(feature = "preview")]
pub use group_norm::group_norm;
#[cfg(feature = "preview")]
pub use index_select::{embedding, index_select};
#[cfg(feature = "preview")]
pub use layer_norm::{layer_norm, rms_norm};
#[cfg(feature = "preview")]
pub use linear::linear;
#[cfg(feature = "preview")]
pub use matmul::matmul;
#[cfg(feature = "preview")]
pub use pad::pad;
#[cfg(feature = "preview")]
pub use reduce::{Over, all, any, argmax, argmin, logsumexp, max, mean, min, norm, prod, sum, var};
#[cfg(feature = "preview")]
pub use rope::{Pairs, Positions, rope};
#[cfg(feature = "preview")]
pub use scatter::{scatter, scatter_add, scatter_max};
#[cfg(feature = "preview")]
pub use softmax::log_softmax;
pub use softmax::softmax;
#[cfg(feature = "preview")]
pub use unary::{
    abs, acos, acosh, asin, asinh, atan, atanh, bitwise_not, ceil, cos, cosh, erf, exp, exp2,
    expm1, floor, gelu, gelu_tanh, isinf, isnan, log, log1p, log2, logical_not, neg, recip, relu,
    round, rsqrt, sigmoid, sign, silu, sin, sinh, softplus, sqrt, tan, tanh, trunc,
};
#[cfg(feature = "preview")]
pub use where_::where_;

#[cfg(feature = "preview")]
use crate::Tensor;
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

#[cfg(feature = "preview")]
/// `x` itself where that will do, else a contiguous copy that `copied` keeps. A call that needs no
/// copy touches no reference count.
fn or_copy<'a>(x: &'a Tensor, will_do: bool, copied: &'a mut Option<Tensor>) -> Result<&'a Tensor> {
    if will_do {
        Ok(x)
    } else {
        Ok(copied.insert(copy(x)?))
    }
}
