//! `gather` along an axis, and the plan under `index_select` and `embedding`.

use super::{
    index::{self, BATCH, Reader},
    on_stream, runs_source, submit,
};
use crate::{
    DType, Layout, Result, Shape, Tensor,
    case::{Cases, Expected, Input},
    cpu::walk::{Walk, copy_run},
    kernels,
    reference::Array,
    table::{Bench, Benches, INDICES, Row},
};
use wootz_runtime::{Body, Call, Grid, Kernel, NativeFn, Plan};

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "gather",
    family: "index",
    summary: "out[i, j] = x[i, index[i, j]] along an axis",
    dtypes: DType::ALL,
    cases,
    benches: Benches::of_indices(bench),
}];

/// Elements of `x` picked along `axis`: the result has the shape of `index`, and its element at
/// each place is the one of `x` there with the index in place of the place's own `axis`. In the
/// other axes `index` may be shorter than `x`, whose rest is then not looked at.
///
/// An index outside `0..x.dims()[axis]`, also a negative one, is an [`Error::Index`] on the CPU, and
/// an error of the replay in a recorded graph. On GPUs the element is undefined and the stream
/// reports the fault at its next wait; of a replayed graph it reports nothing.
///
/// [`Error::Index`]: crate::Error::Index
pub fn gather(x: &Tensor, axis: isize, index: &Tensor) -> Result<Tensor> {
    const OP: &str = "gather";
    let axis = x.axis(OP, "axis", axis)?;
    index::check(OP, ("x", x), index)?;
    index::check_inside(OP, "index", index, x, Some(axis))?;
    let mut lanes = *x.layout();
    for (i, &dim) in index.dims().iter().enumerate().filter(|&(i, _)| i != axis) {
        lanes = lanes.narrow(i, 0, dim).unwrap_or(lanes);
    }
    let picks = Picks {
        x,
        axis,
        lanes: along(&lanes, axis),
        index: *index.layout(),
    };
    picks.run(OP, index)
}

/// The first elements of the lanes along `axis`, as a layout whose size in `axis` is still 1.
fn along(layout: &Layout, axis: usize) -> Layout {
    let length = layout.dims()[axis].min(1);
    layout.narrow(axis, 0, length).unwrap_or(*layout)
}

/// Elements of `x`, each `index` strides of `axis` past one of `lanes`.
pub(super) struct Picks<'a> {
    pub(super) x: &'a Tensor,
    pub(super) axis: usize,
    /// Broadcasts to the shape of `index`.
    pub(super) lanes: Layout,
    /// Has the shape of the result.
    pub(super) index: Layout,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    reader: Reader,
    /// Elements between neighbours along the axis.
    step: i64,
    /// Lanes of `x`, indices, output.
    walk: Walk<3>,
}

impl Picks<'_> {
    /// The picked elements. `index` holds the indices that the layout maps.
    pub(super) fn run(&self, op: &'static str, index: &Tensor) -> Result<Tensor> {
        let (x, shape) = (self.x, self.index.shape());
        let limit = x.dims()[self.axis];
        on_stream(x.device(), |stream| {
            let out = Tensor::output(op, stream, x.dtype(), shape)?;
            if out.count() > 0 {
                if runs_source(x.device()) {
                    let refused = stream.refusals(op)?;
                    let lanes = self.lanes_over(shape);
                    let axis = (x.layout().strides()[self.axis], limit);
                    let plan = kernels::pick((x, lanes), (index, self.index), axis, &out, &refused);
                    // SAFETY: as below.
                    unsafe { submit(stream, &plan)? };
                    drop(plan);
                    return Ok(out);
                }
                let plan = self.plan(index, &out);
                // SAFETY: the walk covers `out`, reads `index` inside its layout, and `x` inside
                // its own at each index that the reader accepts.
                let done = unsafe { submit(stream, &plan) };
                done.map_err(|error| index::explain(op, index, limit, error))?;
            }
            Ok(out)
        })
    }

    fn plan<'a>(&'a self, index: &'a Tensor, out: &'a Tensor) -> Plan<'a> {
        let x = self.x;
        let lanes = self.lanes_over(self.index.shape());
        let walk = Walk::new([&lanes, &self.index, out.layout()]);
        let step = x.layout().strides()[self.axis] as i64;
        let params = Params {
            reader: Reader::new(index, x.dims()[self.axis]),
            step,
            walk,
        };
        let bytes = 2 * out.count() * x.dtype().size() + index.count() * index.dtype().size();
        let kernel = Kernel {
            name: "gather",
            body: Body::Native(kernel_of(x.dtype())),
        };
        Plan::new(kernel, Grid::units(walk.units()), &params)
            .read(x.buffer(), x.byte_offset())
            .read(index.buffer(), index.byte_offset())
            .write(out.buffer(), out.byte_offset())
            .cost(bytes as u64, 0)
    }

    /// The lanes over the shape of the result. Where `x` has no elements along the axis every
    /// index is refused, and it does not matter where its lanes would be.
    fn lanes_over(&self, shape: Shape) -> Layout {
        self.lanes
            .broadcast_to(shape)
            .unwrap_or_else(|| Layout::contiguous(shape))
    }
}

fn kernel_of(dtype: DType) -> NativeFn {
    match dtype.size() {
        1 => kernel::<u8>,
        2 => kernel::<u16>,
        4 => kernel::<u32>,
        _ => kernel::<u64>,
    }
}

unsafe fn kernel<T: Copy>(call: &mut Call<'_>) {
    let Params { reader, step, walk } = call.params::<Params>();
    let (x, index, out) = (
        call.pointer::<T>(0),
        call.pointer::<u8>(1),
        call.pointer::<T>(2),
    );
    let step = *step as isize;
    let mut batch = [0isize; BATCH];
    walk.for_each_of(call.units.clone(), |run| {
        let [from, at, to] = run.offsets;
        let [from_stride, at_stride, to_stride] = run.strides;
        // An index that the whole run shares picks the run as one.
        let (count, width) = if at_stride == 0 {
            (1, run.length)
        } else {
            (run.length, 1)
        };
        for start in (0..count).step_by(BATCH) {
            let batch = &mut batch[..BATCH.min(count - start)];
            let skip = start as isize;
            // SAFETY: the plan's walk stays inside the indices.
            if let Err(bad) = unsafe { reader.read(index, at + skip * at_stride, at_stride, batch) }
            {
                call.refuse((to + (skip + bad as isize) * to_stride) as usize);
                continue;
            }
            for (i, picked) in (skip..).zip(batch.iter()) {
                // SAFETY: the walk stays inside the output and the lanes of `x`, and the reader
                // accepted the index.
                unsafe {
                    let to = out.offset(to + i * to_stride);
                    let from = x.offset(from + i * from_stride + picked * step);
                    match width {
                        1 => *to = *from,
                        _ => copy_run((to, to_stride), (from, from_stride), width),
                    }
                }
            }
        }
    });
}

/// Indices of `dtype` in `0..limit`, in no order.
pub(super) fn indices(cases: &mut Cases, dtype: DType, dims: &[usize], limit: usize) -> Input {
    cases.input_of(dtype, dims, 0.0, limit as f64)
}

/// The element types of indices, one for each case in turn.
pub(super) const INDEX_DTYPES: [DType; 3] = [DType::I64, DType::I32, DType::U32];

fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    let shapes: &[(&[usize], &[usize], usize)] = &[
        (&[5], &[9], 0),
        (&[5], &[0], 0),
        (&[1], &[1], 0),
        (&[0, 3], &[0, 2], 1),
        (&[4, 6], &[4, 3], 1),
        (&[4, 6], &[7, 6], 0),
        (&[4, 6], &[2, 3], 1),
        (&[3, 5, 7], &[3, 5, 7], 2),
        (&[3, 5, 7], &[2, 9, 6], 1),
        (&[9, 2, 130], &[300, 1, 129], 0),
        (&[3, 300], &[2, 600], 1),
    ];
    for (i, &(dims, picked, axis)) in shapes.iter().enumerate() {
        let x = cases.input(dims, -50.0, 50.0);
        let index = indices(cases, INDEX_DTYPES[i % 3], picked, dims[axis]);
        let run = move |x: &[Tensor]| gather(&x[0], axis as isize, &x[1]);
        cases.add(
            format!("{dims:?} by {picked:?} axis {axis}"),
            vec![x, index],
            run,
            move |x| Expected::exact(dtype, reference(&x[0], axis, &x[1])),
        );
    }
    let x = cases.specials();
    let count = x.array.values.len();
    let index = Input::new(
        DType::I64,
        Array::from_fn(&[count], |i| (count - 1 - i[0]) as f64),
    );
    cases.add(
        "specials",
        vec![x, index],
        |x| gather(&x[0], 0, &x[1]),
        move |x| Expected::exact(dtype, reference(&x[0], 0, &x[1])).with_signed_zero(),
    );
}

fn reference(x: &Array, axis: usize, index: &Array) -> Array {
    Array::from_fn(&index.dims, |place| {
        let mut at = place.to_vec();
        at[axis] = index.at(place) as usize;
        x.at(&at)
    })
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let columns = *dims.last()?;
    let inputs = [dtype, DType::I64].map(|dtype| (dtype, dims.to_vec()));
    let bytes = 2 * dtype.size() + DType::I64.size();
    let bench = Bench::memory(dims, inputs.into(), bytes, |x| gather(&x[0], -1, &x[1]));
    (columns >= INDICES).then_some(bench)
}
