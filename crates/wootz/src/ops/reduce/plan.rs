//! How a reduction is laid over units of work: a pure function of the layout.

use super::{fold::Fold, kernel};
use crate::{
    DType, Element, Layout, MAX_RANK, Result, Shape, Tensor,
    cpu::rows::{Axes, STRIP, TILE},
    kernels,
    ops::{copy, or_copy, runs_source, submit},
};
use smallvec::SmallVec;
use std::cmp::Reverse;
use wootz_runtime::{Body, Buffer, Grid, Kernel, NativeFn, Plan, Stream};

/// Columns that a unit of work folds together: long runs for the memory, in the first cache.
pub(super) const BLOCK: usize = 512;
/// Elements in a unit of work.
const UNIT: usize = 1 << 14;
/// Elements in a part of a reduction that several units share.
const CHUNK: usize = 1 << 16;
/// Reductions with fewer units than this are cut into parts.
const FEW: usize = 64;

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Params {
    /// The axes that stay.
    pub(super) kept: Axes,
    /// The axes that go.
    pub(super) reduced: Axes,
    /// The fold's argument.
    pub(super) argument: f64,
    /// Outputs in a unit, along rows.
    pub(super) per_unit: u64,
    /// Elements in a part: indices of the reduced axes.
    pub(super) chunk: u64,
    /// Parts of each output.
    pub(super) chunks: u64,
    /// The input's type and the output's, as [`DType::index`] counts them.
    dtypes: [u32; 2],
}

impl Params {
    /// The input's type.
    pub(super) fn input(&self) -> DType {
        DType::ALL[self.dtypes[0] as usize]
    }

    /// The output's type.
    pub(super) fn output(&self) -> DType {
        DType::ALL[self.dtypes[1] as usize]
    }
}

/// What a reduction computes.
pub(super) struct Reduction {
    /// The op's name.
    pub(super) op: &'static str,
    /// The fold.
    pub(super) kernels: Kernels,
    /// The fold in the kernel dialect.
    pub(super) fold: kernels::Fold,
    /// The fold's argument.
    pub(super) argument: f64,
    /// The result's type.
    pub(super) out: DType,
}

/// The kernels of one fold.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    rows: NativeFn,
    columns: NativeFn,
    join: NativeFn,
    acc: usize,
    working: DType,
}

impl Kernels {
    /// Those of `F`.
    pub(super) fn of<F: Fold>() -> Kernels {
        Kernels {
            rows: kernel::rows::<F>,
            columns: kernel::columns::<F>,
            join: kernel::join::<F>,
            acc: size_of::<F::Acc>(),
            working: F::In::DTYPE,
        }
    }
}

/// Where a reduction runs.
struct Way {
    params: Params,
    along_columns: bool,
    units: usize,
}

/// Reduces the marked axes of `x` to `out`, on a device that runs kernels in source form.
fn from_source(
    reduction: &Reduction,
    stream: &Stream,
    x: &Tensor,
    marked: &[bool; MAX_RANK],
    out: &Tensor,
) -> Result<()> {
    let mut copied = None;
    let (x, dims) = together(x, marked, &mut copied)?;
    let &Reduction { fold, argument, .. } = reduction;
    let reduction = kernels::Reduction::new(fold, x.dtype(), dims, argument);
    let Some(bytes) = reduction.states() else {
        let plan = reduction.plan(x, (out.buffer(), out.byte_offset()));
        // SAFETY: `x` is contiguous and has the sizes that the reduction was made for, and `out`
        // has an element for each fold.
        return unsafe { submit(stream, &plan) };
    };
    let states = stream.allocate(bytes)?;
    // SAFETY: as above, with room for the states of each part.
    unsafe {
        submit(stream, &reduction.plan(x, (&states, 0)))?;
        submit(stream, &reduction.join(&states, out))
    }
}

/// `x` as a contiguous `[outer, length, inner]`, of which the middle one is what the marked axes
/// hold: as it lies if it lies so, else copied with those axes last.
fn together<'a>(
    x: &'a Tensor,
    marked: &[bool; MAX_RANK],
    copied: &'a mut Option<Tensor>,
) -> Result<(&'a Tensor, [usize; 3])> {
    // Sizes of the runs of axes that go or stay together; those of size 1 are nowhere.
    let mut runs: SmallVec<[(bool, usize); MAX_RANK]> = SmallVec::new();
    for (axis, &dim) in x.dims().iter().enumerate().filter(|&(_, &dim)| dim != 1) {
        match runs.last_mut() {
            Some((goes, size)) if *goes == marked[axis] => *size *= dim,
            _ => runs.push((marked[axis], dim)),
        }
    }
    let dims = match runs[..] {
        [] => Some([1, 1, 1]),
        [(false, kept)] => Some([kept, 1, 1]),
        [(true, length)] => Some([1, length, 1]),
        [(false, outer), (true, length)] => Some([outer, length, 1]),
        [(true, length), (false, inner)] => Some([1, length, inner]),
        [(false, outer), (true, length), (false, inner)] => Some([outer, length, inner]),
        _ => None,
    };
    if let Some(dims) = dims {
        return Ok((or_copy(x, x.layout().is_contiguous(), copied)?, dims));
    }
    let kept = (0..x.rank()).filter(|&axis| !marked[axis]);
    let order: Vec<usize> = kept
        .chain((0..x.rank()).filter(|&axis| marked[axis]))
        .collect();
    let size = |goes: bool| {
        let axes = x
            .dims()
            .iter()
            .zip(marked)
            .filter(|&(_, &marked)| marked == goes);
        axes.map(|(&dim, _)| dim).product::<usize>()
    };
    let dims = [size(false), size(true), 1];
    Ok((copied.insert(copy(&x.permute(&order)?)?), dims))
}

/// Reduces the marked axes of `x` to a result of shape `shape`.
pub(super) fn run(
    reduction: &Reduction,
    stream: &Stream,
    x: &Tensor,
    marked: &[bool; MAX_RANK],
    shape: Shape,
) -> Result<Tensor> {
    let &Reduction {
        op: name,
        ref kernels,
        argument,
        out,
        ..
    } = reduction;
    let out = Tensor::output(name, stream, out, shape)?;
    if out.count() == 0 {
        return Ok(out);
    }
    if runs_source(stream.device()) {
        from_source(reduction, stream, x, marked, &out)?;
        return Ok(out);
    }
    let dtypes = [x.dtype(), out.dtype()].map(|dtype| dtype.index() as u32);
    let way = way(x.layout(), marked, argument, dtypes);
    let chunks = way.params.chunks as usize;
    let room = if way.along_columns {
        let widened = if x.dtype() == kernels.working {
            0
        } else {
            STRIP
        };
        BLOCK * (kernels.acc + widened * kernels.working.size())
    } else {
        TILE * kernels.working.size()
    };
    let body = Body::Native(if way.along_columns {
        kernels.columns
    } else {
        kernels.rows
    });
    let parts = match chunks {
        1 => None,
        _ => Some(stream.allocate(out.count() * chunks * kernels.acc)?),
    };
    let (target, offset) = match &parts {
        None => (out.buffer(), out.byte_offset()),
        Some(parts) => (parts, 0),
    };
    let plan = Plan::new(Kernel { name, body }, Grid::units(way.units), &way.params)
        .read(x.buffer(), x.byte_offset())
        .write(target, offset)
        .scratch(room)
        .cost((x.count() * x.dtype().size()) as u64, x.count() as u64);
    // SAFETY: the way covers the input's layout, and each of the outputs or its parts once.
    unsafe { submit(stream, &plan)? };
    drop(plan);
    if let Some(parts) = &parts {
        join(name, stream, parts, &way.params, kernels, &out)?;
    }
    Ok(out)
}

/// Makes the parts of each output one.
fn join(
    name: &'static str,
    stream: &Stream,
    parts: &Buffer,
    params: &Params,
    kernels: &Kernels,
    out: &Tensor,
) -> Result<()> {
    let body = Body::Native(kernels.join);
    let bytes = out.count() * params.chunks as usize * kernels.acc;
    let plan = Plan::new(Kernel { name, body }, Grid::units(out.count()), params)
        .read(parts, 0)
        .write(out.buffer(), out.byte_offset())
        .cost(bytes as u64, 0);
    // SAFETY: the first plan wrote every accumulator that this one reads.
    unsafe { submit(stream, &plan) }
}

fn way(layout: &Layout, marked: &[bool; MAX_RANK], argument: f64, dtypes: [u32; 2]) -> Way {
    let (kept, reduced) = split(layout, marked);
    let (outputs, count) = (kept.count(), reduced.count());
    let (width, step) = kept.innermost();
    let along_columns = width > 1 && step == 1 && reduced.innermost().1 != 1;
    let per_unit = if along_columns {
        1
    } else {
        (UNIT / count.max(1)).max(1)
    };
    let (wide, places) = match along_columns {
        true => (width.min(BLOCK), outputs / width * width.div_ceil(BLOCK)),
        false => (1, outputs.div_ceil(per_unit)),
    };
    let chunk = (CHUNK / wide).next_multiple_of(STRIP);
    let chunk = if places < FEW && count >= 2 * chunk {
        chunk
    } else {
        count.max(1)
    };
    let chunks = count.div_ceil(chunk).max(1);
    let params = Params {
        kept,
        reduced,
        argument,
        per_unit: per_unit as u64,
        chunk: chunk as u64,
        chunks: chunks as u64,
        dtypes,
    };
    Way {
        params,
        along_columns,
        units: places * chunks,
    }
}

/// The axes that stay, in order, and those that go, in the order that memory likes: which of
/// their elements comes first does not matter.
fn split(layout: &Layout, marked: &[bool; MAX_RANK]) -> (Axes, Axes) {
    let axes = || {
        layout
            .dims()
            .iter()
            .copied()
            .zip(layout.strides().iter().copied())
            .enumerate()
    };
    let kept = Axes::new(
        axes()
            .filter(|&(axis, _)| !marked[axis])
            .map(|(_, axis)| axis),
    );
    let mut going = [(1, 0); MAX_RANK];
    for (axis, sizes) in axes().filter(|&(axis, _)| marked[axis]) {
        going[axis] = sizes;
    }
    going.sort_by_key(|&(_, stride)| Reverse(stride.unsigned_abs()));
    (kept, Axes::new(going))
}
