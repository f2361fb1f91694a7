//! `softmax` and `log_softmax` along an axis.

use super::{check, on_stream, or_copy, runs_source, submit};
use crate::{
    DType, Result, Tensor,
    cpu::{
        math::exp,
        rows::{Axes, Exponentials, STRIP, Source, inlined, map, write_floats},
        simd::{Job, Simd, dispatch},
    },
    kernels::{self, RowOp},
    table::{Bench, Benches, Row},
};
use wootz_runtime::{Body, Call, Grid, Kernel, NativeFn, Plan};

mod cases;
mod rows;

use rows::rows;

/// The rows of the table.
pub const ROWS: &[Row] = &[
    Row {
        name: "softmax",
        family: "rows",
        summary: "exp(x) / Σ exp(x) along an axis, without overflow",
        dtypes: DType::FLOATS,
        cases: cases::softmax,
        benches: Benches::of_tables(|dtype, dims| {
            Some(Bench::passes(dtype, dims, 2, |x| softmax(&x[0], -1)))
        }),
    },
    Row {
        name: "log_softmax",
        family: "rows",
        summary: "x − ln Σ exp(x) along an axis, without overflow",
        dtypes: DType::FLOATS,
        cases: cases::log_softmax,
        benches: Benches::of_tables(|dtype, dims| {
            Some(Bench::passes(dtype, dims, 2, |x| log_softmax(&x[0], -1)))
        }),
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
    /// Whether the logarithm is wanted.
    log: u32,
    /// The type, as [`DType::index`] counts.
    dtype: u32,
}

/// `exp(x) / Σ exp(x)` along `axis`. Where the largest element is +∞, where all are −∞, and where
/// one is NaN, the results along the axis are NaN.
pub fn softmax(x: &Tensor, axis: isize) -> Result<Tensor> {
    run("softmax", x, axis, false)
}

/// `x − ln Σ exp(x)` along `axis`; NaN where [`softmax`] is.
pub fn log_softmax(x: &Tensor, axis: isize) -> Result<Tensor> {
    run("log_softmax", x, axis, true)
}

fn run(name: &'static str, x: &Tensor, axis: isize, log: bool) -> Result<Tensor> {
    check::dtype(name, "x", x, DType::FLOATS)?;
    let axis = x.axis(name, "axis", axis)?;
    let mut copied = None;
    let source = runs_source(x.device());
    let fits = if source {
        x.layout().is_contiguous()
    } else {
        direct(x, axis)
    };
    let x = or_copy(x, fits, &mut copied)?;
    on_stream(x.device(), |stream| {
        let out = Tensor::output(name, stream, x.dtype(), x.shape())?;
        if source && out.count() > 0 {
            let op = if log {
                RowOp::LogSoftmax
            } else {
                RowOp::Softmax
            };
            let plan = kernels::softmax(op, x, &out, check::around(x, axis));
            // SAFETY: both tensors are contiguous and of one shape.
            unsafe { submit(stream, &plan)? };
            drop(plan);
            return Ok(out);
        }
        if out.count() > 0 {
            // SAFETY: the input lies as the kernels want it, and the output has its shape.
            unsafe { submit(stream, &plan(name, x, axis, log, &out))? };
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

fn plan<'a>(
    name: &'static str,
    x: &'a Tensor,
    axis: usize,
    log: bool,
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
        log: log.into(),
        dtype: x.dtype().index() as u32,
    };
    let (body, units, scratch) = if width == 1 {
        let kept = if log || length > KEPT {
            0
        } else {
            rows::kept(length)
        };
        (by_dtype!(x.dtype(), rows), lanes.div_ceil(per_unit), kept)
    } else {
        // Where elements are widened, a strip of them.
        let widened = if x.dtype() == DType::F32 { 0 } else { STRIP };
        let scratch = per_unit * (size_of::<Exponentials>() + (2 + widened) * size_of::<f32>());
        (
            columns as NativeFn,
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

/// What each element needs of the others: the maximum, and the sum's inverse or its logarithm.
fn constants(all: Exponentials, log: bool) -> (f32, f32) {
    let factor = if !all.max.is_finite() {
        f64::NAN
    } else if log {
        all.sum.ln()
    } else {
        1.0 / all.sum
    };
    (all.max as f32, factor as f32)
}

/// # Safety
/// As for [`wootz_runtime::NativeFn`], with a plan from [`plan`].
unsafe fn columns(call: &mut Call<'_>) {
    let params: Params = *call.params();
    let (length, width) = (params.length as usize, params.width as usize);
    let (step, per_unit) = (params.step as isize, params.per_unit as usize);
    let dtype = DType::ALL[params.dtype as usize];
    let blocks = width.div_ceil(per_unit);
    let (seen, rest) = call
        .scratch
        .split_at_mut(per_unit * size_of::<Exponentials>());
    let seen: &mut [Exponentials] = bytemuck::cast_slice_mut(seen);
    let (constant, room) = bytemuck::cast_slice_mut::<u8, f32>(rest).split_at_mut(2 * per_unit);
    let (maxima, factors) = constant.split_at_mut(per_unit);
    for unit in call.units.clone() {
        let (row, column) = (unit / blocks, unit % blocks * per_unit);
        let columns = (width - column).min(per_unit);
        let base = call.pointers[0].cast_const();
        let x = Source { base, dtype }.offset(params.outer.offset(row) + column as isize);
        let first = row * length * width + column;
        let seen = &mut seen[..columns];
        seen.fill(Exponentials::EMPTY);
        for start in (0..length).step_by(STRIP) {
            let count = STRIP.min(length - start);
            let place = |i: usize| (start + i) as isize * step;
            // SAFETY: the columns of each index follow each other, inside the input.
            let rows = unsafe { x.strip(count, columns, place, room) };
            let rows = &rows[..count];
            dispatch(MeasureColumns { rows, seen });
        }
        for (i, seen) in seen.iter().enumerate() {
            (maxima[i], factors[i]) = constants(*seen, params.log != 0);
        }
        for i in 0..length {
            let (x_room, out_room) = room.split_at_mut(room.len() / 2);
            let place = |_| i as isize * step;
            // SAFETY: as above; this unit alone writes these columns of the output.
            unsafe {
                let x = x.strip(1, columns, place, x_room)[0];
                let to = call.pointers[1].add((first + i * width) * dtype.size());
                write_floats(dtype, to, columns, out_room, |out| {
                    dispatch(ScaleColumns {
                        x,
                        out,
                        maxima,
                        factors,
                        log: params.log != 0,
                    });
                });
            }
        }
    }
}

/// Joins a few elements of each column to what its exponentials come to.
struct MeasureColumns<'a> {
    rows: &'a [&'a [f32]],
    seen: &'a mut [Exponentials],
}

impl Job for MeasureColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        Exponentials::of_columns(s, self.rows, self.seen);
    }
}

/// One element of each column.
struct ScaleColumns<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
    maxima: &'a [f32],
    factors: &'a [f32],
    log: bool,
}

impl Job for ScaleColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let x = [
            self.x,
            &self.maxima[..self.x.len()],
            &self.factors[..self.x.len()],
        ];
        if self.log {
            let each = inlined(
                #[inline(always)]
                |[x, max, factor]: [S::F32; 3]| s.sub(s.sub(x, max), factor),
            );
            map(s, x, self.out, false, each);
        } else {
            let each = inlined(
                #[inline(always)]
                |[x, max, factor]: [S::F32; 3]| s.mul(exp(s, s.sub(x, max)), factor),
            );
            map(s, x, self.out, false, each);
        }
    }
}
