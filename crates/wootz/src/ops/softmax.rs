//! `softmax` and `log_softmax` along an axis.

use super::{check, on_stream, or_copy, submit};
use crate::{
    DType, Result, Tensor,
    cpu::{
        rows::{Axes, Exponentials, STRIP, exponentials_into, inlined, largest, map, strip},
        simd::{Float, Job, Simd, dispatch},
    },
    table::{Bench, Row},
};
use std::marker::PhantomData;
use wootz_runtime::{Body, Call, Grid, Kernel, Plan};

mod cases;

/// The rows of the table.
pub const ROWS: &[Row] = &[
    Row {
        name: "softmax",
        family: "rows",
        summary: "exp(x) / Σ exp(x) along an axis, without overflow",
        dtypes: DType::FLOATS,
        cases: cases::softmax,
        benches: |dtype| {
            Bench::memory(dtype, &[&[64, 1024], &[4096, 4096]], 2, |x| {
                softmax(&x[0], -1)
            })
        },
    },
    Row {
        name: "log_softmax",
        family: "rows",
        summary: "x − ln Σ exp(x) along an axis, without overflow",
        dtypes: DType::FLOATS,
        cases: cases::log_softmax,
        benches: |dtype| {
            Bench::memory(dtype, &[&[64, 1024], &[4096, 4096]], 2, |x| {
                log_softmax(&x[0], -1)
            })
        },
    },
];

/// Elements in a unit of work.
const UNIT: usize = 1 << 14;
/// Rows up to this length keep their exponentials until the sum is known; of longer ones, which
/// would push them out of the cache, they are taken twice.
const KEPT: usize = 1 << 14;
/// Bytes of columns that stay in the second cache between the two looks at them.
const RESIDENT: usize = 1 << 18;
/// Fewest and most columns in a unit.
const COLUMNS: (usize, usize) = (64, 512);

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    /// The axes before the one.
    outer: Axes,
    /// Size and stride of the one.
    length: u64,
    step: i64,
    /// Columns after it: elements that follow each other; 1 when rows do.
    width: u64,
    /// Rows, or columns, in a unit.
    per_unit: u64,
}

/// `exp(x) / Σ exp(x)` along `axis`. Where the largest element is +∞, where all are −∞, and where
/// one is NaN, the results along the axis are NaN.
pub fn softmax(x: &Tensor, axis: isize) -> Result<Tensor> {
    run::<false>("softmax", x, axis)
}

/// `x − ln Σ exp(x)` along `axis`; NaN where [`softmax`] is.
pub fn log_softmax(x: &Tensor, axis: isize) -> Result<Tensor> {
    run::<true>("log_softmax", x, axis)
}

fn run<const LOG: bool>(name: &'static str, x: &Tensor, axis: isize) -> Result<Tensor> {
    check::dtype(name, "x", x, DType::FLOATS)?;
    let axis = x.axis(name, "axis", axis)?;
    let mut copied = None;
    let x = or_copy(x, direct(x, axis), &mut copied)?;
    on_stream(x.device(), |stream| {
        let out = Tensor::output(name, stream, x.dtype(), x.shape())?;
        if out.count() > 0 {
            // SAFETY: the input lies as the kernels want it, and the output has its shape.
            unsafe { submit(stream, &plan::<LOG>(name, x, axis, &out))? };
        }
        Ok(out)
    })
}

fn axes(x: &Tensor, range: std::ops::Range<usize>) -> Axes {
    Axes::new(range.map(|axis| (x.dims()[axis], x.layout().strides()[axis])))
}

/// Whether elements along the axis, or those beside it, follow each other.
fn direct(x: &Tensor, axis: usize) -> bool {
    let inner = axes(x, axis + 1..x.rank());
    match inner.innermost() {
        (1, _) => x.dims()[axis] <= 1 || x.layout().strides()[axis] == 1,
        (width, step) => step == 1 && inner.count() == width,
    }
}

fn plan<'a, const LOG: bool>(
    name: &'static str,
    x: &'a Tensor,
    axis: usize,
    out: &'a Tensor,
) -> Plan<'a> {
    let (outer, width) = (axes(x, 0..axis), axes(x, axis + 1..x.rank()).count());
    let (lanes, length) = (outer.count(), x.dims()[axis]);
    let per_unit = if width == 1 {
        (UNIT / length).max(1)
    } else {
        let fits = RESIDENT / (length * x.dtype().size());
        fits.clamp(COLUMNS.0, COLUMNS.1) / COLUMNS.0 * COLUMNS.0
    };
    let params = Params {
        outer,
        length: length as u64,
        step: x.layout().strides()[axis] as i64,
        width: width as u64,
        per_unit: per_unit as u64,
    };
    let (body, units, scratch) = if width == 1 {
        let kept = if LOG || length > KEPT {
            0
        } else {
            length * size_of::<f32>()
        };
        (
            by_dtype!(x.dtype(), rows, LOG),
            lanes.div_ceil(per_unit),
            kept,
        )
    } else {
        let scratch = per_unit * (size_of::<Exponentials>() + 2 * size_of::<f32>());
        (
            by_dtype!(x.dtype(), columns, LOG),
            lanes * width.div_ceil(per_unit),
            scratch,
        )
    };
    Plan::new(
        Kernel {
            name,
            body: Body::Native(body),
        },
        Grid::units(units),
        &params,
    )
    .read(x.buffer(), x.byte_offset())
    .write(out.buffer(), out.byte_offset())
    .scratch(scratch)
    .cost(
        (2 * x.count() * x.dtype().size()) as u64,
        16 * x.count() as u64,
    )
}

unsafe fn rows<T: Float, const LOG: bool>(call: &mut Call<'_>) {
    dispatch(Rows::<T, LOG>(call, PhantomData));
}

struct Rows<'a, 'b, T, const LOG: bool>(&'a mut Call<'b>, PhantomData<T>);

impl<T: Float, const LOG: bool> Job for Rows<'_, '_, T, LOG> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let call = self.0;
        let params: Params = *call.params();
        let (length, per_unit) = (params.length as usize, params.per_unit as usize);
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
            if LOG {
                let all = Exponentials::of_row(s, x);
                scale_row::<S, T, LOG>(s, x, out, all);
            } else if length <= KEPT {
                kept_row(
                    s,
                    x,
                    out,
                    &mut bytemuck::cast_slice_mut(call.scratch)[..length],
                );
            } else {
                let all = Exponentials::of_row(s, x);
                scale_row::<S, T, LOG>(s, x, out, all);
            }
        }
    }
}

/// A row whose exponentials are kept.
#[inline(always)]
fn kept_row<S: Simd, T: Float>(s: S, x: &[T], out: &mut [T], kept: &mut [f32]) {
    let sum = exponentials_into(s, x, largest(s, x), kept);
    let scale = s.splat((1.0 / sum) as f32);
    let times = inlined(
        #[inline(always)]
        |[x]: [S::F32; 1]| s.mul(x, scale),
    );
    map(s, [kept], out, times);
}

/// A row of which everything else is known.
#[inline(always)]
fn scale_row<S: Simd, T: Float, const LOG: bool>(s: S, x: &[T], out: &mut [T], all: Exponentials) {
    let (max, factor) = constants::<LOG>(all);
    let (max, factor) = (s.splat(max), s.splat(factor));
    let each = inlined(
        #[inline(always)]
        |[x]: [S::F32; 1]| scaled::<S, LOG>(s, x, max, factor),
    );
    map(s, [x], out, each);
}

/// What each element needs of the others: the maximum, and the sum's inverse or its logarithm.
#[inline(always)]
fn constants<const LOG: bool>(all: Exponentials) -> (f32, f32) {
    let factor = match () {
        () if !all.max.is_finite() => f64::NAN,
        () if LOG => all.sum.ln(),
        () => 1.0 / all.sum,
    };
    (all.max as f32, factor as f32)
}

#[inline(always)]
fn scaled<S: Simd, const LOG: bool>(s: S, x: S::F32, max: S::F32, factor: S::F32) -> S::F32 {
    let below = s.sub(x, max);
    if LOG {
        s.sub(below, factor)
    } else {
        s.mul(crate::cpu::math::exp(s, below), factor)
    }
}

unsafe fn columns<T: Float, const LOG: bool>(call: &mut Call<'_>) {
    dispatch(Columns::<T, LOG>(call, PhantomData));
}

struct Columns<'a, 'b, T, const LOG: bool>(&'a mut Call<'b>, PhantomData<T>);

impl<T: Float, const LOG: bool> Job for Columns<'_, '_, T, LOG> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let call = self.0;
        let params: Params = *call.params();
        let (length, width) = (params.length as usize, params.width as usize);
        let (step, per_unit) = (params.step as isize, params.per_unit as usize);
        let blocks = width.div_ceil(per_unit);
        let (seen, rest) = call
            .scratch
            .split_at_mut(per_unit * size_of::<Exponentials>());
        let seen: &mut [Exponentials] = bytemuck::cast_slice_mut(seen);
        let (maxima, factors) =
            bytemuck::cast_slice_mut::<u8, f32>(rest)[..2 * per_unit].split_at_mut(per_unit);
        for unit in call.units.clone() {
            let (row, column) = (unit / blocks, unit % blocks * per_unit);
            let columns = (width - column).min(per_unit);
            // SAFETY: inside both tensors, by the plan.
            let (x, out) = unsafe {
                let x = call.pointers[0]
                    .cast::<T>()
                    .offset(params.outer.offset(row));
                let out = call.pointers[1].cast::<T>().add(row * length * width);
                (x.add(column), out.add(column))
            };
            let seen = &mut seen[..columns];
            seen.fill(Exponentials::EMPTY);
            for start in (0..length).step_by(STRIP) {
                let place = |i: usize| (start + i) as isize * step;
                // SAFETY: the columns of each index follow each other.
                let strip = unsafe { strip(x, columns, STRIP.min(length - start), place) };
                Exponentials::of_columns(s, &strip[..STRIP.min(length - start)], seen);
            }
            for (i, seen) in seen.iter().enumerate() {
                (maxima[i], factors[i]) = constants::<LOG>(*seen);
            }
            for i in 0..length {
                // SAFETY: as above; this unit alone writes these columns of the output.
                let (x, out) = unsafe {
                    let (x, out) = (x.offset(i as isize * step), out.add(i * width));
                    (
                        std::slice::from_raw_parts(x, columns),
                        std::slice::from_raw_parts_mut(out, columns),
                    )
                };
                scale_columns::<S, T, LOG>(s, x, out, maxima, factors);
            }
        }
    }
}

/// One element of each column.
#[inline(always)]
fn scale_columns<S: Simd, T: Float, const LOG: bool>(
    s: S,
    x: &[T],
    out: &mut [T],
    maxima: &[f32],
    factors: &[f32],
) {
    for at in (0..x.len()).step_by(S::LANES) {
        let (max, factor) = (
            s.load_first(&maxima[at..], 0.0),
            s.load_first(&factors[at..], 0.0),
        );
        let x = T::load_first(s, &x[at..], 0.0);
        T::store_first(s, &mut out[at..], scaled::<S, LOG>(s, x, max, factor));
    }
}
