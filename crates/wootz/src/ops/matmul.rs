//! `matmul`: the matrix product, over batches that broadcast.

mod small;

use super::{Epilogue, check, copy, on_stream, runs_source, submit};
use crate::{
    Activation, DType, Error, Layout, MAX_RANK, Result, Shape, Tensor,
    case::{Cases, Expected},
    cpu::{gemm, simd::Level},
    kernels::{self, Kind},
    packed::Found,
    path::{self, Path},
    precision::{self, Precision},
    reference::{self, Array},
    table::{Bench, Benches, Row},
    tuning::{self, Class},
    vendor,
};
use wootz_runtime::{Access, Body, Buffer, Call, Grid, Kernel, NativeFn, Plan, Stream};

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "matmul",
    family: "products",
    summary: "the matrix product, over batches that broadcast",
    dtypes: DType::FLOATS,
    cases,
    benches: Benches {
        shapes: &[&[16; 3], &[64; 3], &[256; 3], &[1024; 3], &[1, 4096, 4096]],
        takes: "m×n×k for [m, k] times [k, n], after the axes of a batch",
        at: bench,
    },
}];

/// The most batch axes.
const BATCH: usize = MAX_RANK - 2;

/// A [`gemm::Problem`] and the kernel chosen for it, as bytes that a plan can hold. How it is cut
/// into units follows from these alone, so each call works that out for itself.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    kernel: u32,
    element: u32,
    result: u32,
    activation: u32,
    bias: u16,
    /// Whether B's panels are made once for many products.
    packed: u16,
    rank: u32,
    /// m, n, k.
    sizes: [u64; 3],
    /// Row and column strides of A, B and C.
    strides: [[i64; 2]; 3],
    bias_stride: i64,
    axes: [gemm::Axis; BATCH],
    alpha: f32,
    beta: f32,
}

/// The operands of one product: `a` is `[…, m, k]`, `b` `[…, k, n]`, with one batch shape.
pub(super) struct Product<'a> {
    pub a: (&'a Tensor, Layout),
    pub b: (&'a Tensor, Layout),
    pub epilogue: Epilogue<'a>,
    /// What `b` is a view of, if that is used again and again.
    pub weight: Option<&'a Tensor>,
    /// Whether what is added is of the result's shape, contiguous and nobody else's, so that the
    /// result may take its place.
    pub in_place: bool,
}

/// The matrix product of the last two axes; axes before them are a batch and broadcast. A tensor
/// with one axis is a row on the left and a column on the right, and the result lacks that axis.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if let Some(out) = small::product(a, b) {
        let shape = Shape::new(&[a.dims()[0], b.dims()[1]]).expect("two axes");
        let layout = Layout::contiguous(shape);
        return Ok(Tensor::from_parts(out?, DType::F32, layout));
    }
    product("matmul", (a, b), Epilogue::NONE)
}

/// As [`matmul`], and what becomes of the product in the same pass. The bias has a value for each
/// column of `b`.
pub fn matmul_with(a: &Tensor, b: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
    product("matmul_with", (a, b), epilogue)
}

/// The product of `a` and `b` for `op`, and what becomes of it.
pub(super) fn product(
    op: &'static str,
    (a, b): (&Tensor, &Tensor),
    epilogue: Epilogue<'_>,
) -> Result<Tensor> {
    check::dtype(op, "a", a, DType::FLOATS)?;
    check::same_dtype(op, &[("a", a), ("b", b)])?;
    check::same_device(op, &[("a", a), ("b", b)])?;
    let mismatch = || Error::Shapes {
        op,
        left: a.shape(),
        right: b.shape(),
        verb: "multiply",
    };
    if a.rank() == 0 || b.rank() == 0 {
        return Err(mismatch());
    }
    let (mut row, mut column) = (None, None);
    let left = match a.rank() {
        1 => row.insert(a.unsqueeze(0)?),
        _ => a,
    };
    let right = match b.rank() {
        1 => column.insert(b.unsqueeze(1)?),
        _ => b,
    };
    let (left_batch, [m, k]) = split(left);
    let (right_batch, [inner, n]) = split(right);
    let batch = left_batch.broadcast(&right_batch).filter(|_| inner == k);
    let batch = batch.ok_or_else(mismatch)?;
    let spread = |x: &Tensor, rows, columns| {
        if x.rank() == batch.rank() + 2 && x.dims().starts_with(batch.dims()) {
            return Ok(*x.layout());
        }
        let shape = with_matrix(&batch, &[rows, columns]).ok_or_else(mismatch)?;
        x.layout().broadcast_to(shape).ok_or_else(mismatch)
    };
    let product = Product {
        a: (left, spread(left, m, k)?),
        b: (right, spread(right, k, n)?),
        epilogue,
        in_place: false,
        weight: None,
    };
    let matrix: &[usize] = match (a.rank(), b.rank()) {
        (1, 1) => &[],
        (1, _) => &[n],
        (_, 1) => &[m],
        _ => &[m, n],
    };
    let shape = with_matrix(&batch, matrix).ok_or_else(mismatch)?;
    epilogue.check(op, a, shape, n)?;
    on_stream(a.device(), |stream| product.run(op, stream, shape))
}

/// The batch axes, and the sizes of the matrices.
fn split(x: &Tensor) -> (Shape, [usize; 2]) {
    let (batch, matrix) = x.dims().split_at(x.rank() - 2);
    let batch = Shape::new(batch).expect("fewer axes than the tensor has");
    (batch, [matrix[0], matrix[1]])
}

fn with_matrix(batch: &Shape, matrix: &[usize]) -> Option<Shape> {
    let (first, last) = (batch.rank(), batch.rank() + matrix.len());
    let mut dims = [0; MAX_RANK + 2];
    dims[..first].copy_from_slice(batch.dims());
    dims[first..last].copy_from_slice(matrix);
    Shape::new(&dims[..last])
}

impl Product<'_> {
    /// Computes the product into a new tensor of `shape`.
    pub(super) fn run(&self, op: &'static str, stream: &Stream, shape: Shape) -> Result<Tensor> {
        let (epilogue, dtype) = (&self.epilogue, self.a.0.dtype());
        let out = epilogue.output(op, stream, dtype, shape, self.in_place)?;
        if out.count() == 0 {
            return Ok(out);
        }
        if self.vendor(op, stream, &out)? {
            return Ok(out);
        }
        if runs_source(stream.device()) {
            let matrices = self.matrices(&out);
            epilogue.with_source(shape, matrices, |epilogue| {
                self.run_source(op, stream, epilogue, &out)
            })?;
            return Ok(out);
        }
        let mut params = self.params(out.dtype());
        if self.multiply_kept(stream, &mut params, &out)? {
            return Ok(out);
        }
        let (_, blocking) = params.problem();
        let packed = match blocking.packed_bytes {
            0 => None,
            bytes => Some(stream.allocate(bytes)?),
        };
        if let Some(packed) = &packed {
            self.pack(stream, &params, &blocking, packed)?;
        }
        // Where nothing is packed ahead, the kernel does not look at the binding.
        let panels = match &packed {
            Some(packed) => (packed, 0),
            None => (self.b.0.buffer(), self.b.0.byte_offset()),
        };
        self.multiply(stream, &params, &blocking, panels, &out)?;
        Ok(out)
    }

    /// The result as `[batch, rows, columns]`.
    fn matrices(&self, out: &Tensor) -> [usize; 3] {
        let rank = self.a.1.rank() - 2;
        let (rows, columns) = (self.a.1.dims()[rank], self.b.1.dims()[rank + 1]);
        [out.count() / (rows * columns), rows, columns]
    }

    /// Multiplies with the panels that are kept beside the weight, or that are made now to be kept.
    fn multiply_kept(&self, stream: &Stream, params: &mut Params, out: &Tensor) -> Result<bool> {
        let Some(weight) = self.weight else {
            return Ok(false);
        };
        if !gemm::Blocking::reads_packed(&params.problem().0) {
            return Ok(false);
        }
        let found = weight.slot().look(params.kernel as usize);
        params.packed = u16::from(!matches!(found, Found::Nothing));
        let (_, blocking) = params.problem();
        let turn = match found {
            Found::Nothing => return Ok(false),
            Found::Form(form) => {
                self.multiply(stream, params, &blocking, (form.buffer(), 0), out)?;
                return Ok(true);
            }
            Found::Turn(turn) => turn,
        };
        let bytes = blocking.packed_bytes;
        // Elements that the kernel widens take twice the weight's memory.
        let widened = bytes >= 2 * weight.count() * weight.dtype().size();
        let claim = (!widened).then(|| turn.claim(stream.device(), bytes));
        let Some(claim) = claim.flatten() else {
            turn.refuse();
            params.packed = 0;
            return Ok(false);
        };
        let panels = stream.allocate(bytes)?;
        self.pack(stream, params, &blocking, &panels)?;
        self.multiply(stream, params, &blocking, (&panels, 0), out)?;
        // A recording's memory holds nothing yet.
        if !panels.is_recorded() {
            turn.keep(panels, claim);
        }
        Ok(true)
    }

    /// Lays B out in panels.
    fn pack(
        &self,
        stream: &Stream,
        params: &Params,
        blocking: &gemm::Blocking,
        packed: &Buffer,
    ) -> Result<()> {
        let ((a, _), (b, _)) = (&self.a, &self.b);
        let bias = self.epilogue.bias.unwrap_or(b);
        let kernel = native("matmul_pack", pack);
        let plan = Plan::new(kernel, Grid::units(blocking.pack_units), params)
            .read(a.buffer(), a.byte_offset())
            .read(b.buffer(), b.byte_offset())
            .read(bias.buffer(), bias.byte_offset())
            .write(packed, 0)
            .cost(2 * blocking.packed_bytes as u64, 0);
        // SAFETY: the plan reads the operands inside their layouts, and `packed` has room.
        unsafe { submit(stream, &plan) }
    }

    /// Multiplies, with the panels of B from an offset of a buffer on.
    fn multiply(
        &self,
        stream: &Stream,
        params: &Params,
        blocking: &gemm::Blocking,
        (panels, start): (&Buffer, usize),
        out: &Tensor,
    ) -> Result<()> {
        let ((a, _), (b, _)) = (&self.a, &self.b);
        let bias = self.epilogue.bias.unwrap_or(b);
        let [m, n, k] = params.sizes;
        let matrices = out.count() as u64 / (m * n);
        let values = (m * k + k * n + m * n).saturating_mul(matrices);
        let flops = (2 * m * n).saturating_mul(k).saturating_mul(matrices);
        let kernel = native("matmul", multiply);
        // In place: moving a plan from step to step takes as long as the smallest products.
        let mut plan = Plan::new(kernel, Grid::units(blocking.units), params);
        plan.scratch = blocking.scratch_bytes;
        plan.cost.bytes = values.saturating_mul(out.dtype().size() as u64);
        plan.cost.ops = flops;
        plan.bind(a.buffer(), a.byte_offset(), Access::Read);
        plan.bind(b.buffer(), b.byte_offset(), Access::Read);
        plan.bind(bias.buffer(), bias.byte_offset(), Access::Read);
        plan.bind(panels, start, Access::Read);
        let access = match self.epilogue.added {
            Some(_) => Access::Update,
            None => Access::Write,
        };
        plan.bind(out.buffer(), out.byte_offset(), access);
        // SAFETY: as in `pack`, and the plan covers `out`.
        unsafe { submit(stream, &plan) }
    }

    /// The same by a kernel for few rows or for one machine, if there is one for this product.
    fn run_special(
        &self,
        stream: &Stream,
        epilogue: &kernels::Epilogue<'_>,
        tuned: Option<Kind>,
        out: &Tensor,
    ) -> Result<bool> {
        let ((a, left), (b, right)) = (self.a, self.b);
        let (caps, dtype) = (stream.device().caps(), a.dtype());
        let any = path::current() != Path::Portable;
        let hopper = any && kernels::sm90::takes(caps, dtype, precision::current());
        if out.dtype() != dtype || dtype == DType::F32 && !hopper {
            return Ok(false);
        }
        let mut turned = [None, None];
        let [turned_a, turned_b] = &mut turned;
        let thin = |tuned| kernels::thin::plan(caps, (a, &left), (b, &right), epilogue, tuned, out);
        let (thin, tile) = match tuned {
            Some(Kind::Portable(_)) => return Ok(false),
            Some(Kind::Sm90(tile)) => (None, Some(tile)),
            Some(Kind::Thin) => (thin(true), None),
            None => (thin(false), None),
        };
        let ((a, left), (b, right)) = match dtype {
            DType::F32 => (along(a, left, 1, turned_a)?, along(b, right, 0, turned_b)?),
            _ => ((a, left), (b, right)),
        };
        let engine = || kernels::sm90::plan(caps, (a, &left), (b, &right), epilogue, tile, out);
        let Some(plan) = thin.or_else(|| hopper.then(engine).flatten()) else {
            return Ok(false);
        };
        // SAFETY: the layouts lie inside their tensors and have one batch shape, which `out` has as
        // well.
        unsafe { submit(stream, &plan)? };
        Ok(true)
    }

    /// The same on a device that runs kernels in source form, into `out`, which is not empty.
    fn run_source(
        &self,
        op: &'static str,
        stream: &Stream,
        epilogue: &kernels::Epilogue<'_>,
        out: &Tensor,
    ) -> Result<()> {
        let tuned = tuning::tiling(stream.device(), || self.class(out));
        if self.run_special(stream, epilogue, tuned, out)? {
            return Ok(());
        }
        let split = match tuned {
            Some(Kind::Portable(split)) => Some(split),
            _ => None,
        };
        let ((a, left), (b, right)) = (&self.a, &self.b);
        let caps = stream.device().caps();
        let product = kernels::Product::new(caps, (a, left), (b, right), epilogue, split, out);
        if !product.is_countable() {
            let dims = out.dims().into();
            return Err(Error::TooLarge { op, dims });
        }
        if product.parts() == 1 {
            // SAFETY: the layouts lie inside their tensors and have one batch shape, which `out`
            // has as well.
            return unsafe { submit(stream, &product.plan(None)) };
        }
        let sums = stream.allocate(product.room())?;
        let [_, rows, columns] = self.matrices(out);
        let parts = [product.parts(), rows, columns];
        // SAFETY: as above; there is room for each part's sums.
        unsafe {
            submit(stream, &product.plan(Some(&sums)))?;
            let sums = (&sums, 0, DType::F32);
            submit(stream, &kernels::finish(epilogue, sums, a, parts, out))
        }
    }

    /// What its measurement is found under, unless it may lose bits: what was measured loses none.
    fn class(&self, out: &Tensor) -> Option<Class> {
        let ((a, left), (_, right)) = (&self.a, &self.b);
        let dtype = a.dtype();
        if dtype == DType::F32 && precision::current() != Precision::Full {
            return None;
        }
        let turned = |layout: &Layout| {
            let (dims, strides) = (layout.dims(), layout.strides());
            dims[dims.len() - 1] > 1 && strides[dims.len() - 1] != 1
        };
        let [batch, m, n] = self.matrices(out).map(|size| size as u64);
        let k = left.dims()[left.rank() - 1] as u64;
        let turned = [turned(left), turned(right)];
        Some(Class::new(dtype, turned, [m, n, k], batch))
    }

    /// Lets a vendor's library compute the product, where that is the way to take.
    fn vendor(&self, op: &'static str, stream: &Stream, out: &Tensor) -> Result<bool> {
        let ((a, left), (b, right), Epilogue { scale, added, .. }) =
            (&self.a, &self.b, self.epilogue);
        // On the CPU what is added is in the result already.
        let added = added.map(|(beta, added)| match runs_source(stream.device()) {
            true => (beta as f32, added),
            false => (beta as f32, out),
        });
        let plain = self.epilogue.activation == Activation::None && out.dtype() == a.dtype();
        if !plain
            || added.is_some_and(|(_, x)| x.shape() != out.shape() || !x.layout().is_contiguous())
        {
            return Ok(false);
        }
        let product = vendor::Product {
            a: (a, left),
            b: (b, right),
            bias: self.epilogue.bias,
            alpha: scale as f32,
            added,
            out,
        };
        vendor::take(op, stream, &product)
    }

    fn params(&self, result: DType) -> Params {
        let (a, b) = (&self.a.1, &self.b.1);
        let rank = a.rank() - 2;
        let (m, k, n) = (a.dims()[rank], a.dims()[rank + 1], b.dims()[rank + 1]);
        let element = element(self.a.0.dtype());
        let pair = |layout: &Layout| {
            [
                layout.strides()[rank] as i64,
                layout.strides()[rank + 1] as i64,
            ]
        };
        let mut params = Params {
            kernel: gemm::Kernel::best(element, Level::current()).index() as u32,
            element: element as u32,
            result: self::element(result) as u32,
            activation: self.epilogue.activation as u32,
            bias: u16::from(self.epilogue.bias.is_some()),
            packed: 0,
            rank: rank as u32,
            sizes: [m as u64, n as u64, k as u64],
            strides: [pair(a), pair(b), [n as i64, 1]],
            bias_stride: self
                .epilogue
                .bias
                .map_or(0, |bias| bias.layout().strides()[0] as i64),
            axes: [gemm::Axis::default(); BATCH],
            alpha: self.epilogue.scale as f32,
            beta: self.epilogue.beta(),
        };
        let mut c = (m * n) as isize;
        for axis in (0..rank).rev() {
            let size = a.dims()[axis];
            params.axes[axis] = gemm::Axis {
                size,
                a: a.strides()[axis],
                b: b.strides()[axis],
                c,
            };
            c *= size as isize;
        }
        params
    }
}

impl Params {
    fn problem(&self) -> (gemm::Problem<'_>, gemm::Blocking) {
        let strides = |[row, column]: [i64; 2]| gemm::Strides {
            row: row as isize,
            column: column as isize,
        };
        let element = gemm::Element::ALL[self.element as usize];
        let [m, n, k] = self.sizes.map(|size| size as usize);
        let problem = gemm::Problem {
            a: strides(self.strides[0]),
            b: strides(self.strides[1]),
            c: strides(self.strides[2]),
            batch: gemm::Batch::new(&self.axes[..self.rank as usize]).unwrap_or_default(),
            bias: (self.bias != 0).then_some(self.bias_stride as isize),
            result: gemm::Element::ALL[self.result as usize],
            alpha: self.alpha,
            activation: Activation::ALL[self.activation as usize],
            beta: self.beta,
            ..gemm::Problem::plain(element, m, n, k)
        };
        let kernel = gemm::Kernel::at(self.kernel as usize);
        let blocking = match self.packed {
            0 => gemm::Blocking::choose(&problem, kernel),
            _ => gemm::Blocking::of_packed(&problem, kernel),
        };
        (problem, blocking)
    }
}

/// A factor for kernels that take elements only along the inner size, axis `inner` of its matrices:
/// as it is if it lies so, else a copy of it that does.
pub(super) fn along<'t>(
    x: &'t Tensor,
    layout: Layout,
    inner: usize,
    turned: &'t mut Option<Tensor>,
) -> Result<(&'t Tensor, Layout)> {
    let axis = layout.rank() - 2 + inner;
    let lies = layout.strides()[axis] == 1 || layout.dims()[axis] == 1;
    let spread = |x: &Tensor| x.layout().broadcast_to(layout.shape());
    if lies || x.rank() < 2 || spread(x) != Some(layout) {
        return Ok((x, layout));
    }
    let copied = copy(&x.transpose(-2, -1)?)?.transpose(-2, -1)?;
    let layout = spread(&copied).unwrap_or(*copied.layout());
    Ok((turned.insert(copied), layout))
}

pub(super) fn element(dtype: DType) -> gemm::Element {
    match dtype {
        DType::F16 => gemm::Element::F16,
        DType::BF16 => gemm::Element::Bf16,
        _ => gemm::Element::F32,
    }
}

const fn native(name: &'static str, function: NativeFn) -> Kernel {
    Kernel {
        name,
        body: Body::Native(function),
    }
}

unsafe fn pack(call: &mut Call<'_>) {
    let (problem, blocking) = call.params::<Params>().problem();
    let buffers = gemm::Buffers {
        packed: call.pointer(3),
        c: std::ptr::null_mut(),
        ..operands(call)
    };
    // SAFETY: `Product::run` bound operands that the problem describes, and room for the panels.
    unsafe { gemm::pack(&problem, &blocking, &buffers, call.units.clone()) }
}

unsafe fn multiply(call: &mut Call<'_>) {
    let scratch = call.scratch.as_mut_ptr();
    let (problem, blocking) = call.params::<Params>().problem();
    let buffers = gemm::Buffers {
        packed: call.pointer(3),
        c: call.pointer(4),
        ..operands(call)
    };
    // SAFETY: as in `pack`, whose plan the stream ran before; the scratch memory is as large as
    // the plan asked.
    unsafe { gemm::multiply(&problem, &blocking, &buffers, call.units.clone(), scratch) }
}

fn operands(call: &Call<'_>) -> gemm::Buffers {
    gemm::Buffers {
        a: call.pointer(0),
        b: call.pointer(1),
        bias: call.pointer(2),
        c: std::ptr::null_mut(),
        packed: std::ptr::null_mut(),
    }
}

/// The product in f64, and how far a sum of rounded products in f32 may be off: each of its k
/// additions rounds once, and instructions that flush subnormal numbers lose at most one each. Leave to
/// be less precise takes of each product of `f32` what tf32 may.
pub(super) fn expected(dtype: DType, a: &Array, b: &Array, bias: Option<&Array>) -> Expected {
    let (a_batch, a_matrix) = a.dims.split_at(a.dims.len() - 2);
    let (b_batch, b_matrix) = b.dims.split_at(b.dims.len() - 2);
    let mut dims = reference::broadcast(a_batch, b_batch);
    let (rank, k) = (dims.len(), a_matrix[1]);
    dims.extend([a_matrix[0], b_matrix[1]]);
    let mut errors = Vec::new();
    let leave = match precision::current() {
        Precision::Tf32 if dtype == DType::F32 => Precision::TF32_ERROR,
        _ => 0.0,
    };
    let array = Array::from_fn(&dims, |index| {
        let own = |x: &Array, row: usize, column: usize| {
            let added = rank + 2 - x.dims.len();
            let mut at: Vec<usize> = index[added..].to_vec();
            for (at, &dim) in at.iter_mut().zip(&x.dims) {
                *at = if dim == 1 { 0 } else { *at };
            }
            let last = at.len();
            (at[last - 2], at[last - 1]) = (row, column);
            x.at(&at)
        };
        let bias = bias.map_or(0.0, |bias| bias.values[index[rank + 1]]);
        let products = (0..k).map(|l| own(a, index[rank], l) * own(b, l, index[rank + 1]));
        let (sum, size) = products.fold((bias, bias.abs()), |(sum, size), product| {
            (sum + product, size + product.abs())
        });
        let unit = f64::from(f32::EPSILON) / 2.0;
        let flushed = (k + 1) as f64 * f64::from(f32::MIN_POSITIVE);
        errors.push(((k as f64 + 2.0) * unit * 1.001 + leave) * size + flushed);
        sum
    });
    Expected::within(dtype, array, errors)
}

fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    let shapes: [(&[usize], &[usize]); 16] = [
        (&[1, 1], &[1, 1]),
        (&[5, 7], &[7, 3]),
        (&[17, 33], &[33, 35]),
        (&[33, 64], &[64, 65]),
        (&[140, 70], &[70, 150]),
        (&[72, 136], &[136, 152]),
        (&[1, 300], &[300, 40]),
        (&[40, 600], &[600, 1]),
        (&[3, 0], &[0, 4]),
        (&[0, 3], &[3, 4]),
        (&[3, 4, 5], &[3, 5, 6]),
        (&[2, 72, 24], &[2, 24, 40]),
        (&[2, 1, 4, 5], &[3, 5, 6]),
        (&[4, 5], &[2, 3, 5, 6]),
        (&[2, 3, 4, 5], &[5, 6]),
        (&[0, 4, 5], &[1, 5, 6]),
    ];
    for (left, right) in shapes {
        let inputs = vec![cases.input(left, -1.0, 1.0), cases.input(right, -1.0, 1.0)];
        let run = |x: &[Tensor]| matmul(&x[0], &x[1]);
        cases.add(format!("{left:?}·{right:?}"), inputs, run, move |x| {
            expected(dtype, &x[0], &x[1], None)
        });
    }
    for (left, right, dims) in [
        (&[9][..], &[9, 4][..], vec![4]),
        (&[3, 9], &[9], vec![3]),
        (&[9], &[9], vec![]),
    ] {
        let inputs = vec![cases.input(left, -1.0, 1.0), cases.input(right, -1.0, 1.0)];
        let run = |x: &[Tensor]| matmul(&x[0], &x[1]);
        cases.add(format!("{left:?}·{right:?}"), inputs, run, move |x| {
            let mut x = x.to_vec();
            if x[0].dims.len() == 1 {
                x[0].dims.insert(0, 1);
            }
            if x[1].dims.len() == 1 {
                x[1].dims.push(1);
            }
            let mut expected = expected(dtype, &x[0], &x[1], None);
            expected.array.dims = dims.clone();
            expected
        });
    }
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let &[ref batch @ .., m, n, k] = dims else {
        return None;
    };
    let inputs = [[m, k], [k, n]].map(|sizes| (dtype, [batch, &sizes].concat()));
    let run = |x: &[Tensor]| matmul(&x[0], &x[1]);
    let matrices = batch.iter().product::<usize>();
    Some(Bench {
        dims: dims.to_vec(),
        inputs: inputs.into(),
        run: Box::new(run),
        bytes: (matrices * (m * k + k * n + m * n) * dtype.size()) as u64,
        flops: (2 * matrices * m * n * k) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn shapes_that_do_not_multiply_are_named() {
        let tensor = |dims: &[usize]| {
            let values = vec![1.0f32; dims.iter().product()];
            Tensor::from_slice(&values, dims, Device::best()).unwrap()
        };
        for (left, right) in [
            (&[2, 3][..], &[2, 3][..]),
            (&[], &[3]),
            (&[3], &[]),
            (&[2, 4, 3], &[3, 3, 4]),
        ] {
            let error = matmul(&tensor(left), &tensor(right)).unwrap_err();
            let text = format!("matmul: shapes {left:?} and {right:?} do not multiply");
            assert_eq!(error.to_string(), text);
        }
    }
}
