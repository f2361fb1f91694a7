//! `layer_norm` and `rms_norm` over the last axes.

use super::{check, on_stream, or_contiguous_copy, or_copy, runs_source, submit};
use crate::{
    DType, Error, Result, Shape, Tensor,
    cpu::{
        rows::{Axes, Moments, TILE, inlined, map, squares},
        simd::{Float, Job, Simd, Twice, bypasses, dispatch},
    },
    kernels::{self, NormShape, RowOp},
    table::{Bench, Benches, Row},
};
use wootz_runtime::{Body, Call, Grid, Kernel, NativeFn, Plan};

mod cases;

pub(super) use cases::normal;

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

/// Normalizes each row; `RMS` says how.
///
/// # Safety
/// As for [`NativeFn`], with a plan from [`plan`] over floats of `T`.
unsafe fn rows<T: Float, const RMS: bool>(call: &mut Call<'_>) {
    let params: Params = *call.params();
    let (length, per_unit) = (params.length as usize, params.per_unit as usize);
    let weighted = params.weighted as usize;
    // SAFETY: the plan binds them, a row long, when its parameters say so.
    let affine = |present: u32, index: usize| unsafe {
        match present {
            0 => &[],
            _ => std::slice::from_raw_parts(call.pointer::<T>(index), length),
        }
    };
    let (weight, bias) = (
        affine(params.weighted, 2),
        affine(params.biased, 2 + weighted),
    );
    let bypass = bypasses(params.outer.count() * length * size_of::<T>());
    let end = params.outer.count().min(call.units.end * per_unit);
    for row in call.units.start * per_unit..end {
        // SAFETY: the plan's rows are inside both tensors, and belong to one unit.
        let (x, out) = unsafe {
            let x = call.pointer::<T>(0).offset(params.outer.offset(row));
            let out = call.pointer::<T>(1).add(row * length);
            (
                std::slice::from_raw_parts(x, length),
                std::slice::from_raw_parts_mut(out, length),
            )
        };
        let line = Line::of(x, params.epsilon, RMS);
        dispatch(Apply {
            x,
            out,
            line,
            weight,
            bias,
            bypass,
        });
    }
}

/// `(x − pivot) · scale + shift`: what a row is normalized by. The pivot is near the mean, so that
/// the difference loses no digits; the shift makes up for the rest.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) pivot: f32,
    pub(super) scale: f32,
    pub(super) shift: f32,
}

impl Line {
    /// The line that makes the mean 0 and the variance 1, or with `rms` the mean square 1.
    pub(super) fn of<T: Float>(x: &[T], epsilon: f64, rms: bool) -> Line {
        if rms {
            let total: f64 = x.chunks(TILE).map(|tile| dispatch(Squares(tile))).sum();
            let scale = 1.0 / (total / x.len() as f64 + epsilon).sqrt();
            return Line {
                pivot: 0.0,
                scale: scale as f32,
                shift: 0.0,
            };
        }
        let all = dispatch(MomentsOf(x));
        let scale = 1.0 / (all.squares / all.count + epsilon).sqrt();
        let pivot = all.mean as f32;
        let shift = (f64::from(pivot) - all.mean) * scale;
        Line {
            pivot,
            scale: scale as f32,
            shift: shift as f32,
        }
    }
}

struct Squares<'a, T>(&'a [T]);

impl<T: Float> Job for Squares<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        squares(s, self.0)
    }
}

struct MomentsOf<'a, T>(&'a [T]);

impl<T: Float> Job for MomentsOf<'_, T> {
    type Output = Moments;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Moments {
        Moments::of_row(s, self.0)
    }
}

/// Writes a normalized row; an empty weight or bias is none.
pub(super) struct Apply<'a, T> {
    pub(super) x: &'a [T],
    pub(super) out: &'a mut [T],
    pub(super) line: Line,
    pub(super) weight: &'a [T],
    pub(super) bias: &'a [T],
    pub(super) bypass: bool,
}

impl<T: Float> Job for Apply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Apply {
            x,
            out,
            line,
            weight,
            bias,
            bypass,
        } = self;
        let s = Twice(s);
        let (pivot, scale, shift) = (
            s.splat(line.pivot),
            s.splat(line.scale),
            s.splat(line.shift),
        );
        let normal = inlined(
            #[inline(always)]
            |x| s.fma(s.sub(x, pivot), scale, shift),
        );
        match (weight.is_empty(), bias.is_empty()) {
            (true, true) => map(
                s,
                [x],
                out,
                bypass,
                #[inline(always)]
                |[x]| normal(x),
            ),
            (false, true) => map(
                s,
                [x, weight],
                out,
                bypass,
                #[inline(always)]
                |[x, w]| s.mul(normal(x), w),
            ),
            (true, false) => map(
                s,
                [x, bias],
                out,
                bypass,
                #[inline(always)]
                |[x, b]| s.add(normal(x), b),
            ),
            (false, false) => {
                let each = inlined(
                    #[inline(always)]
                    |[x, w, b]: [_; 3]| s.fma(normal(x), w, b),
                );
                map(s, [x, weight, bias], out, bypass, each);
            }
        }
    }
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
