//! `softmax` along an axis.

use crate::ops::{check, on_stream, submit};
use crate::{
    DType, Result, Tensor,
    case::{Cases, Expected},
    table::{Bench, Row},
};
use wootz_runtime::{Body, Call, Grid, Kernel, Plan};

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "softmax",
    family: "rows",
    summary: "exp(x) / Σ exp(x) along an axis, without overflow",
    dtypes: DType::FLOATS,
    cases,
    benches,
}];

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u64,
    length: u64,
}

/// `exp(x) / Σ exp(x)` along `axis`.
pub fn softmax(x: &Tensor, axis: isize) -> Result<Tensor> {
    check::dtype("softmax", "x", x, DType::FLOATS)?;
    let axis = x.axis("softmax", "axis", axis)?;
    let last = x.rank() as isize - 1;
    let rows = x.transpose(axis as isize, last)?.contiguous()?;
    on_stream(x.device(), |stream| {
        let out = Tensor::output("softmax", stream, x.dtype(), rows.shape())?;
        if out.count() > 0 {
            // SAFETY: both tensors are contiguous and of the plan's shape.
            unsafe { submit(stream, &plan(&rows, &out))? };
        }
        out.transpose(axis as isize, last)
    })
}

fn plan<'a>(x: &'a Tensor, out: &'a Tensor) -> Plan<'a> {
    let length = x.dims()[x.rank() - 1];
    let params = Params {
        rows: (x.count() / length) as u64,
        length: length as u64,
    };
    let kernel = match x.dtype() {
        DType::F16 => kernel::<half::f16>,
        DType::BF16 => kernel::<half::bf16>,
        _ => kernel::<f32>,
    };
    let kernel = Kernel {
        name: "softmax",
        body: Body::Native(kernel),
    };
    Plan::new(kernel, Grid::units(params.rows as usize), &params)
        .read(x.buffer(), x.byte_offset())
        .write(out.buffer(), out.byte_offset())
        .cost((2 * x.count() * x.dtype().size()) as u64, 0)
}

unsafe fn kernel<T: crate::Element>(call: &mut Call<'_>) {
    let length = call.params::<Params>().length as usize;
    for row in call.units.clone() {
        // SAFETY: the plan's rows are inside both tensors.
        let (x, out) = unsafe {
            let x = call.pointer::<T>(0).add(row * length);
            let out = call.pointer::<T>(1).add(row * length);
            (
                std::slice::from_raw_parts(x, length),
                std::slice::from_raw_parts_mut(out, length),
            )
        };
        let max = x
            .iter()
            .fold(f64::NEG_INFINITY, |max, x| max.max(x.to_f64()));
        let sum: f64 = x.iter().map(|x| (x.to_f64() - max).exp()).sum();
        for (out, x) in out.iter_mut().zip(x) {
            *out = T::from_f64((x.to_f64() - max).exp() / sum);
        }
    }
}

fn reference(lane: &[f64]) -> Vec<f64> {
    let max = lane.iter().fold(f64::NEG_INFINITY, |max, &x| max.max(x));
    let sum: f64 = lane.iter().map(|x| (x - max).exp()).sum();
    lane.iter().map(|x| (x - max).exp() / sum).collect()
}

fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    for dims in [
        &[1][..],
        &[7],
        &[3, 0],
        &[0, 3],
        &[5, 17],
        &[2, 3, 33],
        &[3, 1025],
    ] {
        for axis in 0..dims.len() {
            let input = cases.input(dims, -8.0, 8.0);
            let run = move |x: &[Tensor]| softmax(&x[0], axis as isize);
            cases.add(
                format!("{dims:?} axis {axis}"),
                vec![input],
                run,
                move |x| Expected::relative(dtype, x[0].map_lanes(axis, reference), 32.0),
            );
        }
    }
}

fn benches(dtype: DType) -> Vec<Bench> {
    Bench::memory(dtype, &[&[64, 1024], &[4096, 4096]], 2, |x| {
        softmax(&x[0], -1)
    })
}
