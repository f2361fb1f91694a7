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

pub mod addmm;
pub mod arange;
pub mod binary;
pub mod bmm;
pub mod cast;
mod check;
pub mod clamp;
pub mod concat;
pub mod copy;
pub mod einsum;
pub(crate) mod elementwise;
mod epilogue;
pub mod fill;
pub mod gather;
pub mod group_norm;
pub mod grouped_linear;
mod index;
pub mod index_select;
pub mod layer_norm;
pub mod linear;
pub mod lora_linear;
pub mod masked_matmul;
pub mod matmul;
pub mod pad;
pub mod reduce;
pub mod rope;
pub mod scaled_matmul;
pub mod scatter;
pub mod softmax;
pub mod unary;
pub mod where_;

pub use addmm::addmm;
pub use arange::arange;
pub use binary::{
    add, atan2, bitwise_and, bitwise_or, bitwise_xor, div, eq, ge, gt, le, logical_and, logical_or,
    logical_xor, lt, maximum, minimum, mul, ne, pow, rem, shl, shr, sub,
};
pub use bmm::bmm;
pub use cast::cast;
pub use clamp::clamp;
pub use concat::{concat, stack};
pub use copy::copy;
pub use einsum::einsum;
pub use epilogue::Epilogue;
pub use fill::fill;
pub use gather::gather;
pub use group_norm::group_norm;
pub use grouped_linear::grouped_linear;
pub use index_select::{embedding, index_select};
pub use layer_norm::{layer_norm, rms_norm};
pub use linear::{linear, linear_with};
pub use lora_linear::{Adapters, lora_linear};
pub use masked_matmul::{BlockMasks, masked_matmul};
pub use matmul::{matmul, matmul_with};
pub use pad::pad;
pub use reduce::{Over, all, any, argmax, argmin, logsumexp, max, mean, min, norm, prod, sum, var};
pub use rope::{Pairs, Positions, rope};
pub use scaled_matmul::scaled_matmul;
pub use scatter::{scatter, scatter_add, scatter_max};
pub use softmax::log_softmax;
pub use softmax::softmax;
pub use unary::{
    abs, acos, acosh, asin, asinh, atan, atanh, bitwise_not, ceil, cos, cosh, erf, exp, exp2,
    expm1, floor, gelu, gelu_tanh, isinf, isnan, log, log1p, log2, logical_not, neg, recip, relu,
    round, rsqrt, sigmoid, sign, silu, sin, sinh, softplus, sqrt, tan, tanh, trunc,
};
pub use where_::where_;

use crate::Tensor;
use crate::{Error, Result};
use wootz_runtime::{Device, Family, Plan, Stream};

/// Submits a plan that an op of this crate built.
///
/// # Safety
/// As for [`Stream::submit`].
pub(crate) unsafe fn submit(stream: &Stream, plan: &Plan<'_>) -> Result<()> {
    // SAFETY: passed on from the caller.
    unsafe { stream.submit(plan) }.map_err(Error::from)
}

/// Whether a device runs kernels in source form, rather than functions of this process.
pub(crate) fn runs_source(device: Device) -> bool {
    !matches!(device.caps().family, Family::Cpu | Family::Null)
}

/// Calls `f` with the thread's current stream on `device`.
fn on_stream<R>(device: Device, f: impl FnOnce(&Stream) -> Result<R>) -> Result<R> {
    Stream::with_current(device, f)
}

/// As [`or_copy`], of an argument that may be missing and must be contiguous.
fn or_contiguous_copy<'a>(
    x: Option<&'a Tensor>,
    copied: &'a mut Option<Tensor>,
) -> Result<Option<&'a Tensor>> {
    x.map(|x| or_copy(x, x.layout().is_contiguous(), copied))
        .transpose()
}

/// `x` itself where that will do, else a contiguous copy that `copied` keeps. A call that needs no
/// copy touches no reference count.
fn or_copy<'a>(x: &'a Tensor, will_do: bool, copied: &'a mut Option<Tensor>) -> Result<&'a Tensor> {
    if will_do {
        Ok(x)
    } else {
        Ok(copied.insert(copy(x)?))
    }
}
