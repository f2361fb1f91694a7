//! Two small f32 matrices on the CPU: their product takes less time than to say it in general.

use super::{native, runs_source, submit};
use crate::{
    DType, Result, Tensor,
    cpu::{gemm, simd::Level},
    ops::on_stream,
    vendor,
};
use wootz_runtime::{Access, Buffer, Call, Grid, Plan};

/// The memory of the product of `a` and `b`, if it is such a one; a tensor would be moved from
/// place to place on its way out of here.
#[inline]
pub(super) fn product(a: &Tensor, b: &Tensor) -> Option<Result<Buffer>> {
    let (&[m, k], &[inner, n]) = (a.dims(), b.dims()) else {
        return None;
    };
    let device = a.device();
    let floats = a.dtype() == DType::F32 && b.dtype() == DType::F32;
    let here = b.device() == device && !runs_source(device);
    if !floats || inner != k || !here {
        return None;
    }
    let strides = |x: &Tensor| gemm::Strides {
        row: x.layout().strides()[0],
        column: x.layout().strides()[1],
    };
    let kernel = gemm::Kernel::best(gemm::Element::F32, Level::current());
    let small = gemm::Small::new(kernel, [m, n, k], strides(a), strides(b), n)?;
    if !vendor::is_left_out(device) {
        return None;
    }
    Some(on_stream(device, |stream| {
        let out = stream.allocate(4 * m * n)?;
        let mut plan = Plan::new(native("matmul_small", multiply), Grid::units(1), &small);
        plan.cost.bytes = (4 * (m * k + k * n + m * n)) as u64;
        plan.cost.ops = (2 * m * n * k) as u64;
        plan.bind(a.buffer(), a.byte_offset(), Access::Read);
        plan.bind(b.buffer(), b.byte_offset(), Access::Read);
        plan.bind(&out, 0, Access::Write);
        // SAFETY: the plan reads the operands inside their layouts and covers `out`.
        unsafe { submit(stream, &plan)? };
        drop(plan);
        Ok(out)
    }))
}

unsafe fn multiply(call: &mut Call<'_>) {
    let small: &gemm::Small = call.params();
    // SAFETY: `product` bound operands that the parameters describe, for a kernel of this machine.
    unsafe { small.run(call.pointer(0), call.pointer(1), call.pointer(2)) }
}
