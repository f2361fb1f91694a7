//! `grouped_linear`: rows times transposed weights of their own, as layers of experts have them.

use super::{
    Epilogue, check,
    gather::{INDEX_DTYPES, indices},
    index::{self, Reader},
    matmul::{element, expected},
    on_stream, or_copy, runs_source, submit,
};
use crate::{
    DType, Result, Tensor,
    case::{Cases, Expected},
    cpu::{gemm, simd::Level},
    kernels,
    reference::Array,
    table::{Bench, Benches, INDICES, Row},
    tensor::shape_of,
};
use wootz_runtime::{Body, Buffer, Call, Grid, Kernel, Plan, Stream};

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "grouped_linear",
    family: "products",
    summary: "out[i] = x[i]·weight[index[i]]ᵀ: each row times weights of its own",
    dtypes: DType::FLOATS,
    cases,
    benches: Benches {
        shapes: &[&[8, 32, 1024, 512], &[8, 1024, 1024, 512]],
        takes: "w×m×n×k: m rows of k elements to n, by one of 8 weights or more",
        at: bench,
    },
}];

/// Rows, and columns, that one unit computes.
const UNIT_ROWS: usize = 64;
const UNIT_COLUMNS: usize = 512;

/// A product of rows that follow each other and have one index has a power of two of rows, up to
/// that of a unit: few sizes, for which a unit's scratch memory can be known before the indices.
const SIZES: u32 = UNIT_ROWS.ilog2() + 1;

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    reader: Reader,
    kernel: u32,
    element: u32,
    /// Rows, columns, the inner size.
    sizes: [u64; 3],
    /// Row and column strides of the rows and of a weight, from one weight to the next, and from
    /// one index to the next.
    x: [i64; 2],
    weight: [i64; 3],
    index: i64,
    /// Bytes of scratch memory before what is packed.
    scratch: u64,
    alpha: f32,
    beta: f32,
}

/// Each row of `x`, `[rows, inputs]`, times the transposed matrix that its entry of `index`, `[rows]`,
/// picks of `weight`, `[_, outputs, inputs]`. Rows that follow each other and have one index are
/// multiplied together: sort them by it where that is possible.
///
/// An index outside the weights is treated as [`gather`](super::gather()) does.
pub fn grouped_linear(x: &Tensor, weight: &Tensor, index: &Tensor) -> Result<Tensor> {
    let op = "grouped_linear";
    check::dtype(op, "x", x, DType::FLOATS)?;
    check::same_dtype(op, &[("x", x), ("weight", weight)])?;
    check::same_device(op, &[("x", x), ("weight", weight)])?;
    index::check(op, ("x", x), index)?;
    let wrong = check::wrong_shape(op);
    let &[_, _, inputs] = weight.dims() else {
        return Err(wrong(
            "weight",
            weight,
            "[weights, outputs, inputs]".to_owned(),
        ));
    };
    let &[rows, _] = x
        .dims()
        .first_chunk::<2>()
        .filter(|dims| x.rank() == 2 && dims[1] == inputs)
        .ok_or_else(|| wrong("x", x, format!("[rows, {inputs}]")))?;
    if index.dims() != [rows] {
        return Err(wrong("index", index, format!("[{rows}]")));
    }
    on_stream(x.device(), |stream| {
        run(op, stream, ([x, weight, index], Epilogue::NONE, false))
    })
}

/// The products of arguments that fit, scaled and added, in the place of what is added if it may be.
pub(super) fn run(
    op: &'static str,
    stream: &Stream,
    ([x, weight, index], epilogue, in_place): ([&Tensor; 3], Epilogue<'_>, bool),
) -> Result<Tensor> {
    let (rows, outputs) = (x.dims()[0], weight.dims()[1]);
    let shape = shape_of(op, x.dtype(), &[rows, outputs])?;
    let out = epilogue.output(op, stream, x.dtype(), shape, in_place)?;
    if out.count() == 0 {
        return Ok(out);
    }
    if runs_source(stream.device()) {
        let mut copies = [None, None, None];
        let [first, second, third] = &mut copies;
        let x = or_copy(x, x.layout().is_contiguous(), first)?;
        let weight = or_copy(weight, weight.layout().is_contiguous(), second)?;
        let index = or_copy(index, index.layout().is_contiguous(), third)?;
        let refused = stream.refusals(op)?;
        if hopper(stream, [x, weight, index], &refused, &out)? {
            return epilogue.of(op, stream, out);
        }
        let plan = kernels::grouped(x, weight, index, &out, &refused);
        // SAFETY: all are contiguous, of the sizes that the plan takes from them.
        unsafe { submit(stream, &plan)? };
        drop(plan);
        return epilogue.of(op, stream, out);
    }
    let limit = weight.dims()[0];
    let factors = [epilogue.scale as f32, epilogue.beta()];
    let plan = plan([x, weight, index], factors);
    let plan = match epilogue.added {
        Some(_) => plan.update(out.buffer(), out.byte_offset()),
        None => plan.write(out.buffer(), out.byte_offset()),
    };
    // SAFETY: the strides are the tensors' own, indices are checked where they are read, and the
    // plan covers `out`.
    let done = unsafe { submit(stream, &plan) };
    done.map_err(|error| index::explain(op, index, limit, error))?;
    drop(plan);
    Ok(out)
}

/// Computes contiguous arguments' products by Hopper's kernels, where they fit.
fn hopper(
    stream: &Stream,
    [x, weight, index]: [&Tensor; 3],
    refused: &Buffer,
    out: &Tensor,
) -> Result<bool> {
    let caps = stream.device().caps();
    let Some(product) = kernels::sm90::GroupedProduct::new(caps, x, weight) else {
        return Ok(false);
    };
    let list = stream.allocate(kernels::list_bytes(index.count()))?;
    let Some(plan) = product.plan(caps, &list, out) else {
        return Ok(false);
    };
    let runs = kernels::runs(index, weight.dims()[0], product.part(), &list, refused);
    // SAFETY: all are contiguous, of the sizes that the plans take from them, and the list has room
    // for a part for each row.
    unsafe {
        submit(stream, &runs)?;
        submit(stream, &plan)?;
    }
    Ok(true)
}

/// The plan without its output: `alpha` times the products, and `beta` times what is there.
fn plan<'a>([x, weight, index]: [&'a Tensor; 3], [alpha, beta]: [f32; 2]) -> Plan<'a> {
    let (&[rows, inputs], &[limit, outputs, _]) = (x.dims(), weight.dims()) else {
        unreachable!("the shapes were checked");
    };
    let element = element(x.dtype());
    let strides = |tensor: &Tensor, axis: usize| tensor.layout().strides()[axis] as i64;
    let mut params = Params {
        reader: Reader::new(index, limit),
        kernel: gemm::Kernel::best(element, Level::current()).index() as u32,
        element: element as u32,
        sizes: [rows, outputs, inputs].map(|size| size as u64),
        x: [0, 1].map(|axis| strides(x, axis)),
        weight: [1, 2, 0].map(|axis| strides(weight, axis)),
        index: strides(index, 0),
        scratch: 0,
        alpha,
        beta,
    };
    let (mut scratch, mut packed) = (0, 0);
    for size in 0..SIZES.min(rows.ilog2() + 1) {
        for columns in [UNIT_COLUMNS.min(outputs), outputs % UNIT_COLUMNS] {
            if columns > 0 {
                let (_, blocking) = params.problem(1 << size, columns);
                scratch = scratch.max(blocking.scratch_bytes);
                packed = packed.max(blocking.packed_bytes);
            }
        }
    }
    let scratch = scratch.next_multiple_of(gemm::ALIGNMENT);
    params.scratch = scratch as u64;
    let units = rows.div_ceil(UNIT_ROWS) * outputs.div_ceil(UNIT_COLUMNS);
    let values = rows * (inputs + outputs) + limit.min(rows) * outputs * inputs;
    let kernel = Kernel {
        name: "grouped_linear",
        body: Body::Native(multiply),
    };
    Plan::new(kernel, Grid::units(units), &params)
        .read(x.buffer(), x.byte_offset())
        .read(weight.buffer(), weight.byte_offset())
        .read(index.buffer(), index.byte_offset())
        .scratch(scratch + packed)
        .cost(
            values.saturating_mul(x.dtype().size()) as u64,
            (2 * rows * outputs).saturating_mul(inputs) as u64,
        )
}

impl Params {
    /// The product of so many rows with one weight's rows for so many columns.
    fn problem(&self, rows: usize, columns: usize) -> (gemm::Problem<'static>, gemm::Blocking) {
        let strides = |row: i64, column: i64| gemm::Strides {
            row: row as isize,
            column: column as isize,
        };
        let element = gemm::Element::ALL[self.element as usize];
        let problem = gemm::Problem {
            a: strides(self.x[0], self.x[1]),
            // Transposed: the weight's rows are the product's columns.
            b: strides(self.weight[1], self.weight[0]),
            c: gemm::Strides::rows(self.sizes[1] as usize),
            alpha: self.alpha,
            beta: self.beta,
            ..gemm::Problem::plain(element, rows, columns, self.sizes[2] as usize)
        };
        let kernel = gemm::Kernel::at(self.kernel as usize);
        (problem, gemm::Blocking::choose(&problem, kernel))
    }
}

/// # Safety
/// As for [`NativeFn`](wootz_runtime::NativeFn), with a plan of [`plan`].
unsafe fn multiply(call: &mut Call<'_>) {
    let params = *call.params::<Params>();
    let [rows, outputs, _] = params.sizes.map(|size| size as usize);
    let blocks = outputs.div_ceil(UNIT_COLUMNS);
    for unit in call.units.clone() {
        let (first, column) = (unit / blocks * UNIT_ROWS, unit % blocks * UNIT_COLUMNS);
        let columns = UNIT_COLUMNS.min(outputs - column);
        let (mut row, end) = (first, rows.min(first + UNIT_ROWS));
        let mut which = [0isize; UNIT_ROWS];
        // SAFETY: these entries are inside the index.
        let read = unsafe {
            let from = first as isize * params.index as isize;
            let which = &mut which[..end - first];
            params
                .reader
                .read(call.pointer(2), from, params.index as isize, which)
        };
        if let Err(bad) = read {
            call.refuse(first + bad);
            continue;
        }
        while row < end {
            let picked = which[row - first];
            let alike = which[row - first..end - first].iter();
            let run = alike.take_while(|&&other| other == picked).count();
            let size = 1 << run.ilog2();
            // SAFETY: the rows have this index, which the reader accepted; nobody else has this
            // part of the output.
            unsafe { product(call, &params, [row, size], [column, columns], picked) };
            row += size;
        }
    }
}

/// One product of some rows with one weight, for some columns.
///
/// # Safety
/// They are there, no other thread computes them, and the plan's scratch memory is the call's.
unsafe fn product(
    call: &mut Call<'_>,
    params: &Params,
    [row, rows]: [usize; 2],
    [column, columns]: [usize; 2],
    weight: isize,
) {
    let (problem, blocking) = params.problem(rows, columns);
    let size = problem.element.size() as isize;
    let at = |index: usize, stride: i64| index as isize * stride as isize * size;
    let scratch = call.scratch.as_mut_ptr();
    let (x, w) = (call.pointer::<u8>(0), call.pointer::<u8>(1));
    let to = (row * params.sizes[1] as usize + column) * size as usize;
    let buffers = gemm::Buffers {
        a: x.wrapping_offset(at(row, params.x[0])),
        b: w.wrapping_offset(at(column, params.weight[0]))
            .wrapping_offset(weight * params.weight[2] as isize * size),
        c: call.pointer::<u8>(3).wrapping_add(to),
        bias: std::ptr::null(),
        packed: scratch.wrapping_add(params.scratch as usize),
    };
    // SAFETY: passed on from the caller; the plan asked for scratch memory for this size.
    unsafe {
        gemm::pack(&problem, &blocking, &buffers, 0..blocking.pack_units);
        gemm::multiply(&problem, &blocking, &buffers, 0..blocking.units, scratch);
    }
}

/// The product of each row with its weight, in f64.
fn reference(dtype: DType, x: &[Array]) -> Expected {
    let (rows, inputs, outputs) = (x[0].dims[0], x[0].dims[1], x[1].dims[1]);
    let batch = Array {
        dims: vec![rows, 1, inputs],
        values: x[0].values.clone(),
    };
    let weights = Array::from_fn(&[rows, inputs, outputs], |i| {
        x[1].at(&[x[2].at(&[i[0]]) as usize, i[2], i[1]])
    });
    let mut expected = expected(dtype, &batch, &weights, None);
    expected.array.dims = vec![rows, outputs];
    expected
}

fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    for (i, [weights, rows, outputs, inputs]) in [
        [1, 1, 1, 1],
        [3, 7, 5, 9],
        [2, 70, 33, 40],
        [5, 40, 130, 64],
        [4, 0, 3, 4],
        [4, 3, 0, 4],
        [4, 3, 5, 0],
        [9, 17, 600, 24],
    ]
    .into_iter()
    .enumerate()
    {
        for sorted in [false, true] {
            let x = cases.input(&[rows, inputs], -1.0, 1.0);
            let weight = cases.input(&[weights, outputs, inputs], -1.0, 1.0);
            let mut index = indices(cases, INDEX_DTYPES[i % 3], &[rows], weights);
            if sorted {
                index.array.values.sort_by(f64::total_cmp);
            }
            let run = |x: &[Tensor]| grouped_linear(&x[0], &x[1], &x[2]);
            let label = format!("{weights}×{rows}×{outputs}×{inputs}, sorted {sorted}");
            cases.add(label, vec![x, weight, index], run, move |x| {
                reference(dtype, x)
            });
        }
    }
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let &[weights, m, n, k] = dims else {
        return None;
    };
    let inputs = vec![
        (dtype, vec![m, k]),
        (dtype, vec![weights, n, k]),
        (DType::I64, vec![m]),
    ];
    (weights >= INDICES).then(|| Bench {
        dims: dims.to_vec(),
        inputs,
        run: Box::new(|x| grouped_linear(&x[0], &x[1], &x[2])),
        bytes: ((m * k + weights.min(m) * n * k + m * n) * dtype.size()) as u64,
        flops: (2 * m * n * k) as u64,
    })
}
