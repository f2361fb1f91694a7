//! `layer_norm` and `rms_norm` over the last axes.

use super::{check, on_stream, or_contiguous_copy, or_copy, runs_source, submit};
use crate::{
    DType, Error, Result, Shape, Tensor,
    cpu::rows::Axes,
    kernels::{self, NormShape, RowOp},
    table::{Bench, Benches, Row},
};
use wootz_runtime::{Body, Grid, Kernel, NativeFn, Plan};

mod cases;
mod line;
mod rows;

pub(super) use cases::normal;
pub(super) use line::Line;
pub(super) use rows::Apply;
use rows::rows;

/// The rows of the table.
pub const ROWS: &[Row] = &[
    Row {
        name: "layer_norm",
        family: "rows",
        summary: "(x − mean) / √(variance + ε) over the last axes, times weight plus bias",
        dtypes: DType::FLOATS,
        cases: cases::layer_norm,
        benches: Benches::of_tables(|dtype, dims| {
            bench(dtype, dims, 2, |x| {
                layer_norm(&x[0], 1, Some(&x[1]), Some(&x[2]), 1e-5)
            })
        }),
    },
    Row {
        name: "rms_norm",
        family: "rows",
        summary: "x / √(mean of squares + ε) over the last axes, times weight",
        dtypes: DType::FLOATS,
        cases: cases::rms_norm,
        benches: Benches::of_tables(|dtype, dims| {
            bench(dtype, dims, 1, |x| rms_norm(&x[0], 1, Some(&x[1]), 1e-5))
        }),
    },
];

/// Elements in a unit of work.
const UNIT: usize = 1 << 14;

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    /// The axes that are not normalized.
    outer: Axes,
    /// Elements of a row.
    length: u64,
    /// Rows in a unit.
    per_unit: u64,
    epsilon: f64,
    weighted: u32,
    biased: u32,
}

/// `(x − mean) / √(variance + epsilon)` over the last `axes` axes, then times `weight`, plus
/// `bias`, which have the shape of those axes and the type of `x`.
pub fn layer_norm(
    x: &Tensor,
    axes: usize,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    epsilon: f64,
) -> Result<Tensor> {
    let kernel = by_dtype!(x.dtype(), rows, false);
    run("layer_norm", x, axes, [weight, bias], epsilon, kernel)
}

/// `x / √(mean of squares + epsilon)` over the last `axes` axes, then times `weight`, which has
/// the shape of those axes and the type of `x`.
pub fn rms_norm(x: &Tensor, axes: usize, weight: Option<&Tensor>, epsilon: f64) -> Result<Tensor> {
    let kernel = by_dtype!(x.dtype(), rows, true);
    run("rms_norm", x, axes, [weight, None], epsilon, kernel)
}

fn run(
    name: &'static str,
    x: &Tensor,
    axes: usize,
    [weight, bias]: [Option<&Tensor>; 2],
    epsilon: f64,
    kernel: NativeFn,
) -> Result<Tensor> {
    check::dtype(name, "x", x, DType::FLOATS)?;
    if axes == 0 || axes > x.rank() {
        let (found, expected) = (
            axes.to_string(),
            format!("1 to {}, the axes of x", x.rank()),
        );
        return Err(Error::Value {
            op: name,
            argument: "axes",
            found,
            expected,
        });
    }
    check::epsilon(name, epsilon)?;
    let first = x.rank() - axes;
    let inner = Shape::new(&x.dims()[first..]).unwrap_or(x.shape());
    check::affine(name, x, inner, [weight, bias])?;
    let row = Axes::new((first..x.rank()).map(|i| (x.dims()[i], x.layout().strides()[i])));
    let source = runs_source(x.device());
    let together = if source {
        x.layout().is_contiguous()
    } else {
        row.innermost() == (row.count(), 1)
    };
    let mut copies = [None, None, None];
    let [x_copy, weight_copy, bias_copy] = &mut copies;
    let x = or_copy(x, together, x_copy)?;
    let weight = or_contiguous_copy(weight, weight_copy)?;
    let bias = or_contiguous_copy(bias, bias_copy)?;
    on_stream(x.device(), |stream| {
        let out = Tensor::output(name, stream, x.dtype(), x.shape())?;
        if source && out.count() > 0 {
            let length = x.dims()[first..].iter().product();
            let shape = NormShape {
                rows: x.count() / length,
                length,
                groups: 1,
                weights: length,
            };
            let op = if name == "rms_norm" {
                RowOp::Uncentred
            } else {
                RowOp::Centred
            };
            let plan = kernels::norm(op, x, [weight, bias], epsilon, &out, shape);
            // SAFETY: all are contiguous, and weight and bias have a row's shape.
            unsafe { submit(stream, &plan)? };
        } else if out.count() > 0 {
            let kernel = Kernel {
                name,
                body: Body::Native(kernel),
            };
            let plan = plan(kernel, x, first, [weight, bias], epsilon, &out);
            // SAFETY: rows of the input follow each other, as weight and bias do, which have a
            // row's shape.
            unsafe { submit(stream, &plan)? };
        }
        Ok(out)
    })
}

fn plan<'a>(
    kernel: Kernel,
    x: &'a Tensor,
    first: usize,
    affine: [Option<&'a Tensor>; 2],
    epsilon: f64,
    out: &'a Tensor,
) -> Plan<'a> {
    let outer = Axes::new((0..first).map(|i| (x.dims()[i], x.layout().strides()[i])));
    let (rows, length) = (outer.count(), x.count() / outer.count());
    let per_unit = (UNIT / length).max(1);
    let params = Params {
        outer,
        length: length as u64,
        per_unit: per_unit as u64,
        epsilon,
        weighted: affine[0].is_some().into(),
        biased: affine[1].is_some().into(),
    };
    let plan = Plan::new(kernel, Grid::units(rows.div_ceil(per_unit)), &params)
        .read(x.buffer(), x.byte_offset())
        .write(out.buffer(), out.byte_offset())
        .cost(
            (2 * x.count() * x.dtype().size()) as u64,
            8 * x.count() as u64,
        );
    affine.into_iter().flatten().fold(plan, |plan, tensor| {
        plan.read(tensor.buffer(), tensor.byte_offset())
    })
}

fn bench(
    dtype: DType,
    dims: &[usize],
    affine: usize,
    run: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
) -> Option<Bench> {
    let row = vec![*dims.last()?];
    let mut bench = Bench::passes(dtype, dims, 2, run);
    let rows = std::iter::repeat_n((dtype, row), affine);
    bench.inputs.extend(rows);
    Some(bench)
}
