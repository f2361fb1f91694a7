//! `group_norm`: normalized over groups of channels.

use super::{
    check,
    layer_norm::{Apply, Line},
    on_stream, or_contiguous_copy, or_copy, runs_source, submit,
};
use crate::{
    DType, Error, Result, Shape, Tensor,
    cpu::{
        rows::Axes,
        simd::{Float, dispatch},
    },
    kernels::{self, NormShape, RowOp},
    table::{Bench, Benches, Row},
};
use wootz_runtime::{Body, Call, Grid, Kernel, Plan};

mod cases;

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "group_norm",
    family: "rows",
    summary: "(x − mean) / √(variance + ε) over groups of channels, times weight plus bias",
    dtypes: DType::FLOATS,
    cases: cases::group_norm,
    benches: Benches {
        shapes: &[&[8, 64, 32, 32], &[16, 512, 64, 64]],
        takes: "a batch, channels in whole groups of 32, then any axes",
        at: bench,
    },
}];

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    /// Samples and groups.
    outer: Axes,
    groups: u64,
    /// Channels of a group.
    channels: u64,
    /// Elements of a channel.
    area: u64,
    epsilon: f64,
    weighted: u32,
    biased: u32,
}

/// Of `x` with axes samples, channels and any more: `(x − mean) / √(variance + epsilon)` over each
/// sample's `groups` equal groups of neighbouring channels, then times `weight`, plus `bias`, which
/// have a value for each channel and the type of `x`.
pub fn group_norm(
    x: &Tensor,
    groups: usize,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    epsilon: f64,
) -> Result<Tensor> {
    const OP: &str = "group_norm";
    check::dtype(OP, "x", x, DType::FLOATS)?;
    let &[_, channels, ..] = x.dims() else {
        let expected = "axes for samples and channels".to_owned();
        return Err(Error::Shape {
            op: OP,
            argument: "x",
            found: x.shape(),
            expected,
        });
    };
    if groups == 0 || channels % groups != 0 {
        let (found, expected) = (
            groups.to_string(),
            format!("a divisor of {channels} channels"),
        );
        return Err(Error::Value {
            op: OP,
            argument: "groups",
            found,
            expected,
        });
    }
    check::epsilon(OP, epsilon)?;
    check::affine(
        OP,
        x,
        Shape::new(&[channels]).unwrap_or(x.shape()),
        [weight, bias],
    )?;
    let sample = Axes::new((1..x.rank()).map(|i| (x.dims()[i], x.layout().strides()[i])));
    let source = runs_source(x.device());
    let together = if source {
        x.layout().is_contiguous()
    } else {
        sample.innermost() == (sample.count(), 1)
    };
    let mut copies = [None, None, None];
    let [x_copy, weight_copy, bias_copy] = &mut copies;
    let x = or_copy(x, together, x_copy)?;
    let weight = or_contiguous_copy(weight, weight_copy)?;
    let bias = or_contiguous_copy(bias, bias_copy)?;
    on_stream(x.device(), |stream| {
        let out = Tensor::output(OP, stream, x.dtype(), x.shape())?;
        if source && out.count() > 0 {
            let rows = x.dims()[0] * groups;
            let shape = NormShape {
                rows,
                length: x.count() / rows,
                groups,
                weights: channels / groups,
            };
            let op = RowOp::Centred;
            let plan = kernels::norm(op, x, [weight, bias], epsilon, &out, shape);
            // SAFETY: all are contiguous, and weight and bias have a value for each channel.
            unsafe { submit(stream, &plan)? };
        } else if out.count() > 0 {
            let plan = plan(x, groups, [weight, bias], epsilon, &out);
            // SAFETY: samples of the input follow each other, as weight and bias do, which have
            // a value for each channel.
            unsafe { submit(stream, &plan)? };
        }
        Ok(out)
    })
}

fn plan<'a>(
    x: &'a Tensor,
    groups: usize,
    affine: [Option<&'a Tensor>; 2],
    epsilon: f64,
    out: &'a Tensor,
) -> Plan<'a> {
    let (samples, channels) = (x.dims()[0], x.dims()[1]);
    let sample = x.count() / samples;
    let group = (sample / groups) as isize;
    let params = Params {
        outer: Axes::new([(samples, x.layout().strides()[0]), (groups, group)]),
        groups: groups as u64,
        channels: (channels / groups) as u64,
        area: (sample / channels) as u64,
        epsilon,
        weighted: affine[0].is_some().into(),
        biased: affine[1].is_some().into(),
    };
    let body = Body::Native(by_dtype!(x.dtype(), kernel));
    let plan = Plan::new(
        Kernel {
            name: "group_norm",
            body,
        },
        Grid::units(samples * groups),
        &params,
    )
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

/// Normalizes each group.
///
/// # Safety
/// As for [`wootz_runtime::NativeFn`], with a plan from [`plan`] over floats of `T`.
unsafe fn kernel<T: Float>(call: &mut Call<'_>) {
    let params: Params = *call.params();
    let (channels, area) = (params.channels as usize, params.area as usize);
    let groups = params.groups as usize;
    for unit in call.units.clone() {
        let length = channels * area;
        let first = unit % groups * channels;
        // SAFETY: the plan's groups are inside both tensors, and belong to one unit.
        let (x, out) = unsafe {
            let x = call.pointer::<T>(0).offset(params.outer.offset(unit));
            let out = call.pointer::<T>(1).add(unit * length);
            (
                std::slice::from_raw_parts(x, length),
                std::slice::from_raw_parts_mut(out, length),
            )
        };
        let affine = |present: u32, index: usize| -> &[T] {
            if present == 0 {
                return &[];
            }
            // SAFETY: the plan binds a value for each channel when its parameters say so.
            unsafe { std::slice::from_raw_parts(call.pointer::<T>(index).add(first), channels) }
        };
        let weight: &[T] = affine(params.weighted, 2);
        let bias: &[T] = affine(params.biased, 2 + params.weighted as usize);
        let line = Line::of(x, params.epsilon);
        if area == 1 {
            dispatch(Apply {
                x,
                out,
                line,
                weight,
                bias,
            });
            continue;
        }
        for (channel, (x, out)) in x.chunks(area).zip(out.chunks_mut(area)).enumerate() {
            let weight = weight.get(channel).map_or(1.0, |w| w.to_f32());
            let bias = bias.get(channel).map_or(0.0, |b| b.to_f32());
            let line = Line {
                scale: line.scale * weight,
                shift: line.shift.mul_add(weight, bias),
                ..line
            };
            dispatch(Apply {
                x,
                out,
                line,
                weight: &[],
                bias: &[],
            });
        }
    }
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let &[_, channels, ..] = dims else {
        return None;
    };
    let run = |x: &[Tensor]| group_norm(&x[0], 32, Some(&x[1]), Some(&x[2]), 1e-5);
    let mut bench = Bench::passes(dtype, dims, 2, run);
    bench.inputs.extend(vec![(dtype, vec![channels]); 2]);
    channels.is_multiple_of(32).then_some(bench)
}
