//! `rope`: rotary position embedding.

use super::{cast, check, on_stream, or_copy, runs_source, submit};
use crate::{
    DType, Error, Layout, MAX_RANK, Result, Shape, Tensor, collapse,
    kernels::{self, MOST_PAIRS, Places},
    table::{Bench, Benches, Row},
};
use turn::kernel;
use wootz_runtime::{Body, Grid, Kernel, Plan};

mod cases;
mod turn;

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "rope",
    family: "rows",
    summary: "pairs of elements turned by an angle that grows with the position",
    dtypes: DType::FLOATS,
    cases: cases::rope,
    benches: Benches {
        shapes: &[&[1, 8, 128, 64], &[1, 32, 2048, 128]],
        takes: "two axes or more, the last of even size",
        at: bench,
    },
}];

/// Which elements of a row turn together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairs {
    /// Element `i` of the first half with element `i` of the second, as in LLaMA's and NeoX's.
    Halves,
    /// Elements `2i` and `2i + 1`, as in the paper.
    Neighbours,
}

/// Where the rows stand.
#[derive(Debug, Clone, Copy)]
pub enum Positions<'a> {
    /// One after another along the last axis but one, the first at this position.
    From(i64),
    /// As these integers say (i64, i32 or u32), which broadcast to the axes of the rows.
    Each(&'a Tensor),
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let &[.., _, size] = dims else { return None };
    let run = |x: &[Tensor]| rope(&x[0], Positions::From(0), 1e4, Pairs::Halves);
    let bench = Bench::passes(dtype, dims, 2, run);
    size.is_multiple_of(2).then_some(bench)
}

/// Elements in a unit of work.
const UNIT: usize = 1 << 13;

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    /// The axes of the rows: first those along which positions vary.
    dims: [u64; MAX_RANK],
    /// Strides of the input, the output and the positions.
    strides: [[i64; MAX_RANK]; 3],
    /// Number of axes, and how many of them positions vary along.
    rank: u32,
    varying: u32,
    /// Elements of a row.
    width: u64,
    /// Rows of one position in a unit.
    per_unit: u64,
    /// The first position, when there are no positions to read.
    start: i64,
    base: f64,
    neighbours: u32,
    /// What positions are: 0 counted from `start`, else bytes of an element, negative if signed.
    read: i32,
}

/// Turns pairs of elements of each row, the last axis, by the angle
/// `position · base^(−2i / width)` of pair `i`. Angles are computed in `f64`, so that far positions
/// are as exact as near ones.
pub fn rope(x: &Tensor, positions: Positions<'_>, base: f64, pairs: Pairs) -> Result<Tensor> {
    const OP: &str = "rope";
    check::dtype(OP, "x", x, DType::FLOATS)?;
    let rank = x.rank();
    if rank < 2 || !x.dims()[rank - 1].is_multiple_of(2) {
        let expected = "an axis of positions, then one of even size".to_owned();
        return Err(Error::Shape {
            op: OP,
            argument: "x",
            found: x.shape(),
            expected,
        });
    }
    if !base.is_finite() || base <= 0.0 {
        let (found, expected) = (base.to_string(), "a positive number".to_owned());
        return Err(Error::Value {
            op: OP,
            argument: "base",
            found,
            expected,
        });
    }
    let places = places(x, positions)?;
    if runs_source(x.device()) {
        return from_source(x, positions, &places, base, pairs);
    }
    let mut copied = None;
    let x = or_copy(x, x.layout().strides()[rank - 1] == 1, &mut copied)?;
    on_stream(x.device(), |stream| {
        let out = Tensor::output(OP, stream, x.dtype(), x.shape())?;
        if out.count() > 0 {
            // SAFETY: rows of the input follow each other, and positions broadcast to them.
            unsafe { submit(stream, &plan(x, positions, &places, base, pairs, &out))? };
        }
        Ok(out)
    })
}

/// As [`rope`], on a device that runs kernels in source form.
fn from_source(
    x: &Tensor,
    positions: Positions<'_>,
    places: &Layout,
    base: f64,
    pairs: Pairs,
) -> Result<Tensor> {
    const OP: &str = "rope";
    let last = x.rank() - 1;
    if x.dims()[last] / 2 > MOST_PAIRS {
        let expected = format!("rows of at most {} elements on this device", 2 * MOST_PAIRS);
        return Err(Error::Shape {
            op: OP,
            argument: "x",
            found: x.shape(),
            expected,
        });
    }
    let x = x.contiguous()?;
    // Axes before the first along which positions vary repeat them, those after the last share
    // them; whatever lies between is laid out.
    let rows = &x.dims()[..last];
    let varies = |&axis: &usize| places.strides()[axis] != 0 && rows[axis] != 1;
    let first = (0..last).find(varies).unwrap_or(last);
    let end = (0..last).rev().find(varies).map_or(last, |axis| axis + 1);
    let (mut given, mut start) = (None, 0);
    match positions {
        Positions::From(from) => start = from,
        Positions::Each(tensor) => {
            let mut own = *places;
            for axis in (0..last).filter(|axis| !(first..end).contains(axis)) {
                own = own.narrow(axis, 0, rows[axis].min(1)).unwrap_or(own);
            }
            let own = Tensor::from_parts(tensor.buffer().clone(), tensor.dtype(), own);
            given = Some(cast(&own, DType::I64)?.contiguous()?);
        }
    }
    let places = Places {
        given: given.as_ref(),
        start,
        same: rows[end..].iter().product(),
        count: rows[first..end].iter().product(),
    };
    on_stream(x.device(), |stream| {
        let out = Tensor::output(OP, stream, x.dtype(), x.shape())?;
        if out.count() > 0 {
            let neighbours = pairs == Pairs::Neighbours;
            let plan = kernels::rope(&x, &places, base, neighbours, &out);
            // SAFETY: all are contiguous, and there are as many positions as the places say.
            unsafe { submit(stream, &plan)? };
        }
        Ok(out)
    })
}

/// The positions' layout, broadcast to the rows, whose own axis has size 1.
fn places(x: &Tensor, positions: Positions<'_>) -> Result<Layout> {
    const OP: &str = "rope";
    let last = x.rank() - 1;
    let rows = x
        .layout()
        .narrow(last, 0, x.dims()[last].min(1))
        .unwrap_or(*x.layout())
        .shape();
    let own = match positions {
        Positions::From(_) => Shape::new(&[x.dims()[last - 1], 1]).map(Layout::contiguous),
        Positions::Each(tensor) => {
            check::same_device(OP, &[("x", x), ("positions", tensor)])?;
            check::dtype(
                OP,
                "positions",
                tensor,
                &[DType::I64, DType::I32, DType::U32],
            )?;
            let mut dims = [1; MAX_RANK + 1];
            dims[..tensor.rank()].copy_from_slice(tensor.dims());
            let shape = Shape::new(&dims[..tensor.rank() + 1]);
            shape.and_then(|shape| tensor.layout().reshape(shape))
        }
    };
    let shape = match positions {
        Positions::From(_) => x.shape(),
        Positions::Each(tensor) => tensor.shape(),
    };
    own.and_then(|own| own.broadcast_to(rows))
        .ok_or(Error::Shapes {
            op: OP,
            left: x.shape(),
            right: shape,
            verb: "broadcast, rows to positions",
        })
}

fn plan<'a>(
    x: &'a Tensor,
    positions: Positions<'a>,
    places: &Layout,
    base: f64,
    pairs: Pairs,
    out: &'a Tensor,
) -> Plan<'a> {
    let (width, last) = (x.dims()[x.rank() - 1], x.rank() - 1);
    let layouts = [*x.layout(), *out.layout(), *places].map(|layout| {
        let rows = layout.narrow(last, 0, 1).unwrap_or(layout);
        let mut order = [0; MAX_RANK];
        let mut at = 0;
        for varies in [true, false] {
            for axis in (0..=last).filter(|&axis| (places.strides()[axis] != 0) == varies) {
                order[at] = axis;
                at += 1;
            }
        }
        rows.permute(&order[..=last]).unwrap_or(rows)
    });
    let layouts = collapse([&layouts[0], &layouts[1], &layouts[2]]);
    let mut params = Params {
        dims: [1; MAX_RANK],
        strides: [[0; MAX_RANK]; 3],
        rank: layouts[0].rank() as u32,
        varying: layouts[2]
            .strides()
            .iter()
            .filter(|&&stride| stride != 0)
            .count() as u32,
        width: width as u64,
        per_unit: (UNIT / width).max(1) as u64,
        start: 0,
        base,
        neighbours: u32::from(pairs == Pairs::Neighbours),
        read: 0,
    };
    for axis in 0..layouts[0].rank() {
        params.dims[axis] = layouts[0].dims()[axis] as u64;
        for (strides, layout) in params.strides.iter_mut().zip(&layouts) {
            strides[axis] = layout.strides()[axis] as i64;
        }
    }
    let read = match positions {
        Positions::From(start) => {
            params.start = start;
            None
        }
        Positions::Each(tensor) => {
            let size = tensor.dtype().size() as i32;
            params.read = if tensor.dtype() == DType::U32 {
                size
            } else {
                -size
            };
            Some(tensor)
        }
    };
    let body = Body::Native(by_dtype!(x.dtype(), kernel));
    let (varying, same) = params.counts();
    let units = varying * same.div_ceil(params.per_unit as usize);
    let scratch = width / 2 * size_of::<f64>() + width * size_of::<f32>();
    let bytes = 2 * x.count() * x.dtype().size();
    let plan = Plan::new(Kernel { name: "rope", body }, Grid::units(units), &params)
        .read(x.buffer(), x.byte_offset())
        .write(out.buffer(), out.byte_offset())
        .scratch(scratch)
        .cost(bytes as u64, 3 * x.count() as u64);
    match read {
        Some(tensor) => plan.read(tensor.buffer(), tensor.byte_offset()),
        None => plan,
    }
}

impl Params {
    /// Positions, and rows of each.
    fn counts(&self) -> (usize, usize) {
        let (varying, same) = self.dims[..self.rank as usize].split_at(self.varying as usize);
        (
            varying.iter().product::<u64>() as usize,
            same.iter().product::<u64>() as usize,
        )
    }

    /// Where index `index` of some of the axes lies in the input, the output and the positions.
    fn offsets(&self, axes: std::ops::Range<u32>, index: usize) -> [isize; 3] {
        let (mut left, mut offsets) = (index as u64, [0; 3]);
        for axis in (axes.start as usize..axes.end as usize).rev() {
            let at = (left % self.dims[axis]) as i64;
            left /= self.dims[axis];
            for (offset, strides) in offsets.iter_mut().zip(&self.strides) {
                *offset += (at * strides[axis]) as isize;
            }
        }
        offsets
    }
}
