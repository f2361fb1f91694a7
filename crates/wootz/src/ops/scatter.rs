//! `scatter`, `scatter_add` and `scatter_max` along an axis.
//!
//! The result starts as a copy of `x`; then each element of `source` goes where its index says.
//! Elements that meet in one place do so in the order of their indices, whatever runs beside: a
//! unit of work owns whole lanes, and walks its part of `index` in order.

mod cases;
mod meet;

use super::{
    cast, copy,
    index::{self, Reader},
    on_stream, runs_source, submit,
};
use crate::{
    DType, Element, Layout, Result, Tensor,
    cpu::walk::{UNIT, Walk},
    kernels::{self, Lanes},
    table::{Benches, Row},
};
use half::{bf16, f16};
use meet::{Add, Max, Meet, Set, kernel};
use wootz_runtime::{Body, Call, Grid, Kernel, NativeFn, Plan};

/// The rows of the table.
pub const ROWS: &[Row] = &[
    Row {
        name: "scatter",
        family: "index",
        summary: "x with out[i, index[i, j]] = source[i, j] along an axis; the last one stays",
        dtypes: DType::NUMBERS,
        cases: |cases| cases::add(cases, scatter, &Set),
        benches: Benches::of_indices(|dtype, dims| cases::bench(dtype, dims, scatter)),
    },
    Row {
        name: "scatter_add",
        family: "index",
        summary: "x with out[i, index[i, j]] += source[i, j] along an axis",
        dtypes: DType::NUMBERS,
        cases: |cases| cases::add(cases, scatter_add, &Add),
        benches: Benches::of_indices(|dtype, dims| cases::bench(dtype, dims, scatter_add)),
    },
    Row {
        name: "scatter_max",
        family: "index",
        summary: "x with the larger of out[i, index[i, j]] and source[i, j] along an axis",
        dtypes: DType::NUMBERS,
        cases: |cases| cases::add(cases, scatter_max, &Max),
        benches: Benches::of_indices(|dtype, dims| cases::bench(dtype, dims, scatter_max)),
    },
];

/// A copy of `x` in which each element of `source` is put at its own place, with the index in
/// place of the place's own `axis`. Where several go to one place the last in the order of their
/// indices stays.
///
/// `index` may be shorter than `source`, whose rest is then not looked at, and in the other axes
/// than `axis` shorter than `x`. An index outside the axis is treated as
/// [`gather`](super::gather()) does, and nothing is written there.
pub fn scatter(x: &Tensor, axis: isize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let job = Job::check("scatter", x, axis, index, source)?;
    if runs_source(x.device()) {
        return job.run_source("Replace", copy(x)?);
    }
    let out = copy(x)?;
    let kernel = match x.dtype().size() {
        1 => kernel::<u8, u8, Set>,
        2 => kernel::<u16, u16, Set>,
        4 => kernel::<u32, u32, Set>,
        _ => kernel::<u64, u64, Set>,
    };
    job.run(&out, kernel)?;
    Ok(out)
}

/// As [`scatter`], adding to what is there. Integers wrap. `f16` and `bf16` are added up in
/// `f32` and rounded once, so that many small elements in one place are not lost.
pub fn scatter_add(x: &Tensor, axis: isize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let job = Job::check("scatter_add", x, axis, index, source)?;
    if runs_source(x.device()) {
        return match x.dtype() {
            DType::F16 | DType::BF16 => {
                let source = cast(source, DType::F32)?;
                let job = Job {
                    source: &source,
                    ..job
                };
                cast(&job.run_source("Add", cast(x, DType::F32)?)?, x.dtype())
            }
            _ => job.run_source("Add", copy(x)?),
        };
    }
    match x.dtype() {
        DType::F16 => job.run_wide::<f16>(x),
        DType::BF16 => job.run_wide::<bf16>(x),
        dtype => {
            let out = copy(x)?;
            job.run(
                &out,
                match dtype {
                    DType::I32 => kernel::<i32, i32, Add>,
                    DType::U32 => kernel::<u32, u32, Add>,
                    DType::I64 => kernel::<i64, i64, Add>,
                    DType::U8 => kernel::<u8, u8, Add>,
                    _ => kernel::<f32, f32, Add>,
                },
            )?;
            Ok(out)
        }
    }
}

/// As [`scatter`], keeping the largest of what is there and what comes. NaN is largest.
pub fn scatter_max(x: &Tensor, axis: isize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let job = Job::check("scatter_max", x, axis, index, source)?;
    if runs_source(x.device()) {
        return job.run_source("Maximum", copy(x)?);
    }
    let out = copy(x)?;
    job.run(
        &out,
        crate::with_number!(x.dtype(), T => kernel::<T, T, Max>),
    )?;
    Ok(out)
}

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    reader: Reader,
    /// Elements between neighbours along the axis.
    step: i64,
    /// The axis of the walk that is cut into units, and how much of it makes a unit.
    cut: u64,
    width: u64,
    /// Indices, source, lanes of the output, and the number of each index in order.
    walk: Walk<4>,
}

/// A checked call.
struct Job<'a> {
    op: &'static str,
    axis: usize,
    index: &'a Tensor,
    source: &'a Tensor,
}

impl<'a> Job<'a> {
    fn check(
        op: &'static str,
        x: &Tensor,
        axis: isize,
        index: &'a Tensor,
        source: &'a Tensor,
    ) -> Result<Job<'a>> {
        let axis = x.axis(op, "axis", axis)?;
        super::check::dtype(op, "x", x, DType::NUMBERS)?;
        index::check(op, ("x", x), index)?;
        super::check::same_device(op, &[("x", x), ("source", source)])?;
        super::check::same_dtype(op, &[("x", x), ("source", source)])?;
        index::check_inside(op, "index", index, x, Some(axis))?;
        index::check_inside(op, "index", index, source, None)?;
        Ok(Job {
            op,
            axis,
            index,
            source,
        })
    }

    /// Lets the source meet what is in `out`, which is contiguous and nobody else's yet.
    fn run(&self, out: &Tensor, kernel: NativeFn) -> Result<()> {
        if self.index.count() == 0 {
            return Ok(());
        }
        on_stream(out.device(), |stream| {
            // SAFETY: the walk stays inside the indices, the source and the lanes of `out`, and
            // the kernel writes at accepted indices only; no two units share a lane.
            let done = unsafe { submit(stream, &self.plan(out, kernel)) };
            let limit = out.dims()[self.axis];
            done.map_err(|error| index::explain(self.op, self.index, limit, error))
        })
    }

    /// As [`Job::run`], on a device that runs kernels in source form. `out` is of the source's
    /// type, contiguous and nobody else's yet.
    fn run_source(&self, meet: &'static str, out: Tensor) -> Result<Tensor> {
        let (index, source, axis) = (self.index, self.source, self.axis);
        if index.count() == 0 {
            return Ok(out);
        }
        // The lanes' starts: everything at index 0 of the axis.
        let first = |layout: &Layout| layout.narrow(axis, 0, 1).unwrap_or(*layout);
        let mut starts = index.dims().to_vec();
        starts[axis] = 1;
        let starts = crate::Shape::new(&starts).unwrap_or(index.shape());
        let to = lanes(out.layout(), axis, starts.dims());
        let from = inside(source.layout(), index.dims());
        let lanes = Lanes {
            layouts: [to, first(index.layout()), first(&from)],
            steps: [out.layout(), index.layout(), source.layout()]
                .map(|layout| layout.strides()[axis]),
            count: index.dims()[axis],
            limit: out.dims()[axis],
        };
        on_stream(out.device(), |stream| {
            let refused = stream.refusals(self.op)?;
            let plan = kernels::scatter(meet, &lanes, index, source, &out, &refused);
            // SAFETY: the lanes stay inside the indices, the source and `out`, and the kernel
            // writes at accepted indices only; no two lanes of the grid share one of `out`.
            unsafe { submit(stream, &plan) }
        })?;
        Ok(out)
    }

    /// [`Job::run`] on `f32` values of `x`, rounded to `T` in the end.
    fn run_wide<T: Element>(&self, x: &Tensor) -> Result<Tensor>
    where
        Add: Meet<f32, T>,
    {
        let out = converted(self.op, x, DType::F32, convert::<T, f32>)?;
        self.run(&out, kernel::<f32, T, Add>)?;
        converted(self.op, &out, x.dtype(), convert::<f32, T>)
    }

    fn plan<'b>(&'b self, out: &'b Tensor, kernel: NativeFn) -> Plan<'b> {
        let (index, source, shape) = (self.index, self.source, self.index.shape());
        let lanes = lanes(out.layout(), self.axis, shape.dims());
        let source_layout = inside(source.layout(), shape.dims());
        let numbers = Layout::contiguous(shape);
        let walk = Walk::new([index.layout(), &source_layout, &lanes, &numbers]);
        let (cut, width) = lanes_of_a_unit(&walk, index.count());
        let limit = out.dims()[self.axis];
        let params = Params {
            reader: Reader::new(index, limit),
            step: out.layout().strides()[self.axis] as i64,
            cut: cut as u64,
            width: width as u64,
            walk,
        };
        let units = if cut < walk.rank() {
            walk.dim(cut).div_ceil(width)
        } else {
            1
        };
        let each = index.dtype().size() + source.dtype().size() + 2 * out.dtype().size();
        Plan::new(
            Kernel {
                name: self.op,
                body: Body::Native(kernel),
            },
            Grid::units(units),
            &params,
        )
        .read(index.buffer(), index.byte_offset())
        .read(source.buffer(), source.byte_offset())
        .update(out.buffer(), out.byte_offset())
        .cost((index.count() * each) as u64, 0)
    }
}

/// The first indices of each axis.
fn inside(layout: &Layout, dims: &[usize]) -> Layout {
    let narrow = |layout: Layout, (axis, &dim)| layout.narrow(axis, 0, dim).unwrap_or(layout);
    dims.iter().enumerate().fold(*layout, narrow)
}

/// The lanes along `axis` over `dims`: every index of the axis is at the lane's start.
fn lanes(layout: &Layout, axis: usize, dims: &[usize]) -> Layout {
    let mut first = dims.to_vec();
    first[axis] = layout.dims()[axis].min(1);
    let first = inside(layout, &first);
    let shape = crate::Shape::new(dims).unwrap_or(first.shape());
    // Where the axis has no elements every index is refused, wherever its lane would be.
    first
        .broadcast_to(shape)
        .unwrap_or_else(|| Layout::contiguous(shape))
}

/// The axis that units cut, and how much of it each takes: the longest axis that is not the
/// lanes' own. No axis when there is one lane only.
fn lanes_of_a_unit(walk: &Walk<4>, count: usize) -> (usize, usize) {
    /// Neighbours in memory that stay in one unit, so that it works on whole cache lines.
    const NEIGHBOURS: usize = 64;
    let others = (0..walk.rank()).filter(|&axis| walk.stride(2, axis) != 0);
    let Some(cut) = others.max_by_key(|&axis| walk.dim(axis)) else {
        return (walk.rank(), 1);
    };
    let width = (UNIT * walk.dim(cut)).div_ceil(count).max(1);
    (
        cut,
        if cut + 1 == walk.rank() {
            width.max(NEIGHBOURS)
        } else {
            width
        },
    )
}

/// The elements of `x` as another type, in contiguous memory.
fn converted(op: &'static str, x: &Tensor, dtype: DType, body: NativeFn) -> Result<Tensor> {
    on_stream(x.device(), |stream| {
        let out = Tensor::output(op, stream, dtype, x.shape())?;
        if out.count() > 0 {
            let walk = Walk::new([x.layout(), out.layout()]);
            let kernel = Kernel {
                name: "convert",
                body: Body::Native(body),
            };
            let plan = Plan::new(kernel, Grid::units(walk.units()), &walk)
                .read(x.buffer(), x.byte_offset())
                .write(out.buffer(), out.byte_offset())
                .cost((x.count() * (x.dtype().size() + dtype.size())) as u64, 0);
            // SAFETY: the walk covers `out`, and reads `x` inside its layout.
            unsafe { submit(stream, &plan)? };
        }
        Ok(out)
    })
}

unsafe fn convert<A: Element, B: Element>(call: &mut Call<'_>) {
    let (x, out) = (call.pointer::<A>(0), call.pointer::<B>(1));
    call.params::<Walk<2>>()
        .for_each_of(call.units.clone(), |run| {
            for i in 0..run.length as isize {
                // SAFETY: the walk stays inside both tensors.
                unsafe {
                    let value = *x.offset(run.offsets[0] + i * run.strides[0]);
                    *out.offset(run.offsets[1] + i * run.strides[1]) = B::from_f64(value.to_f64());
                }
            }
        });
}
