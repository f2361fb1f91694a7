//! `copy`: the same elements in contiguous memory.

use crate::ops::{on_stream, submit};
use crate::{
    DType, MAX_RANK, Result, Tensor,
    case::{Cases, Expected},
    table::{Bench, Row},
};
use wootz_runtime::{Body, Call, Grid, Kernel, Plan};

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "copy",
    family: "memory",
    summary: "the same elements in contiguous memory",
    dtypes: DType::ALL,
    cases,
    benches,
}];

/// Elements in one unit of work.
const UNIT: usize = 1 << 14;

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u64,
    size: u32,
    rank: u32,
    dims: [u64; MAX_RANK],
    strides: [i64; MAX_RANK],
}

/// The same elements in contiguous memory of their own.
pub fn copy(x: &Tensor) -> Result<Tensor> {
    on_stream(x.device(), |stream| {
        let out = Tensor::output("copy", stream, x.dtype(), x.shape())?;
        if out.count() > 0 {
            // SAFETY: the plan covers `out`, and reads `x` inside its layout.
            unsafe { submit(stream, &plan(x, &out))? };
        }
        Ok(out)
    })
}

fn plan<'a>(x: &'a Tensor, out: &'a Tensor) -> Plan<'a> {
    let layout = x.layout().collapse();
    let mut params = Params {
        count: x.count() as u64,
        size: x.dtype().size() as u32,
        rank: layout.rank() as u32,
        dims: [1; MAX_RANK],
        strides: [0; MAX_RANK],
    };
    for axis in 0..layout.rank() {
        params.dims[axis] = layout.dims()[axis] as u64;
        params.strides[axis] = layout.strides()[axis] as i64;
    }
    let bytes = 2 * x.count() * x.dtype().size();
    Plan::new(KERNEL, Grid::units(x.count().div_ceil(UNIT)), &params)
        .read(x.buffer(), x.byte_offset())
        .write(out.buffer(), out.byte_offset())
        .cost(bytes as u64, 0)
}

const KERNEL: Kernel = Kernel {
    name: "copy",
    body: Body::Native(kernel),
};

unsafe fn kernel(call: &mut Call<'_>) {
    let params: Params = *call.params();
    let size = params.size as usize;
    let end = (call.units.end * UNIT).min(params.count as usize);
    for i in call.units.start * UNIT..end {
        let (mut left, mut from) = (i as u64, 0i64);
        for axis in (0..params.rank as usize).rev() {
            from += (left % params.dims[axis]) as i64 * params.strides[axis];
            left /= params.dims[axis];
        }
        // SAFETY: `i` is inside the output, and `from` inside the input's layout.
        unsafe {
            let source = call.pointer::<u8>(0).offset(from as isize * size as isize);
            std::ptr::copy_nonoverlapping(source, call.pointer::<u8>(1).add(i * size), size);
        }
    }
}

fn cases(cases: &mut Cases) {
    let specials = cases.specials();
    let dtype = cases.dtype();
    cases.add(
        "specials",
        vec![specials],
        |x| copy(&x[0]),
        move |x| Expected::exact(dtype, x[0].clone()).with_signed_zero(),
    );
    for dims in [
        &[][..],
        &[0],
        &[1],
        &[3, 0, 2],
        &[17, 5],
        &[2, 3, 1, 7],
        &[130, 70],
    ] {
        let input = cases.input(dims, 0.0, 100.0);
        cases.add(
            format!("{dims:?}"),
            vec![input],
            |x| copy(&x[0]),
            move |x| Expected::exact(dtype, x[0].clone()),
        );
    }
}

fn benches(dtype: DType) -> Vec<Bench> {
    Bench::memory(dtype, &[&[64, 1024], &[4096, 4096]], 2, |x| copy(&x[0]))
}
