//! `lora_linear`: a linear layer and, for each row, a low-rank adapter.

mod cases;

use super::{
    Epilogue, check, grouped_linear, index, linear::sizes, matmul::Product, on_stream,
    or_contiguous_copy, or_copy, runs_source, submit,
};
use crate::{
    DType, Error, MAX_RANK, Result, Shape, Tensor, kernels,
    table::{Bench, Benches, INDICES, Row},
    tensor::shape_of,
};
use smallvec::SmallVec;
use wootz_runtime::Stream;

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "lora_linear",
    family: "products",
    summary: "x·weightᵀ + bias + scale·(x·aᵀ)·bᵀ, a row's adapter a, b picked by an index",
    dtypes: DType::FLOATS,
    cases: cases::cases,
    benches: Benches {
        shapes: &[&[8, 32, 768, 768], &[16, 16, 4096, 4096]],
        takes: "r×m×n×k: m rows of k elements to n, by 8 adapters of rank r",
        at: bench,
    },
}];

/// Low-rank adapters of a linear layer.
#[derive(Debug, Clone, Copy)]
pub struct Adapters<'a> {
    /// What takes rows down: `[adapters, rank, inputs]`.
    pub a: &'a Tensor,
    /// What takes them up again: `[adapters, outputs, rank]`.
    pub b: &'a Tensor,
    /// The adapter of each row: the shape of `x` but its last axis. Without it there is one adapter,
    /// for all rows.
    pub index: Option<&'a Tensor>,
    /// The factor of what they add.
    pub scale: f64,
}

/// `x·weightᵀ + bias`, as [`linear`](super::linear()) has it, and `scale·(x·aᵀ)·bᵀ` of each row's
/// adapter.
///
/// An index outside the adapters is treated as [`gather`](super::gather()) does.
pub fn lora_linear(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    adapters: Adapters<'_>,
) -> Result<Tensor> {
    let op = "lora_linear";
    let (batch, outputs, inputs) = sizes(op, x, weight, bias)?;
    let Adapters { a, b, index, scale } = adapters;
    let floats = [("x", x), ("a", a), ("b", b)];
    check::same_dtype(op, &floats)?;
    check::same_device(op, &floats)?;
    if let Some(index) = index {
        index::check(op, ("x", x), index)?;
    }
    let wrong = check::wrong_shape(op);
    let (count, rank) = match *a.dims() {
        [count, rank, last] if last == inputs && (count == 1 || index.is_some()) => (count, rank),
        _ => {
            let count = if index.is_some() { "adapters" } else { "1" };
            return Err(wrong("a", a, format!("[{count}, rank, {inputs}]")));
        }
    };
    if b.dims() != [count, outputs, rank] {
        return Err(wrong("b", b, format!("[{count}, {outputs}, {rank}]")));
    }
    if let Some(index) = index.filter(|index| index.dims() != batch) {
        return Err(wrong("index", index, format!("{batch:?}")));
    }
    let dims: SmallVec<[usize; MAX_RANK]> = batch.iter().copied().chain([outputs]).collect();
    let shape = shape_of(op, x.dtype(), &dims)?;
    let too_large = || Error::TooLarge {
        op,
        dims: x.dims().to_vec(),
    };
    let rows = Shape::new(batch).and_then(|batch| batch.checked_count());
    let rows = rows.ok_or_else(too_large)?;
    let x = x.reshape(&[rows, inputs])?;
    let index = index.map(|index| index.reshape(&[rows])).transpose()?;
    let layer = Layer {
        x: &x,
        weight,
        bias,
        a,
        b,
        index: index.as_ref(),
        scale: scale as f32,
    };
    on_stream(x.device(), |stream| {
        let sums = layer.index.map_or(rows * rank, |_| 0);
        let few = rows <= kernels::Lora::ROWS && sums <= kernels::Lora::INNER;
        let out = match runs_source(stream.device()) && rows > 0 && outputs > 0 {
            true if few => layer.fused(op, stream, None)?,
            true if layer.index.is_some() => {
                let base = layer.base(op, stream)?;
                layer.fused(op, stream, Some(&base))?
            }
            _ => layer.composed(op, stream)?,
        };
        out.reshape(shape.dims())
    })
}

/// Arguments that fit, of `[rows, inputs]` and `[rows]`.
struct Layer<'a> {
    x: &'a Tensor,
    weight: &'a Tensor,
    bias: Option<&'a Tensor>,
    a: &'a Tensor,
    b: &'a Tensor,
    index: Option<&'a Tensor>,
    scale: f32,
}

impl Layer<'_> {
    /// All of it, or all but the base product, in one pass over `x` and the weights.
    fn fused(&self, op: &'static str, stream: &Stream, base: Option<&Tensor>) -> Result<Tensor> {
        let dims = [self.x.dims()[0], self.weight.dims()[0]];
        let out = Tensor::output(
            op,
            stream,
            self.x.dtype(),
            shape_of(op, self.x.dtype(), &dims)?,
        )?;
        let mut copies = [None, None, None, None];
        let [first, second, third, fourth] = &mut copies;
        let (mut bias, mut index) = (None, None);
        let whole = |x: &Tensor| x.layout().is_contiguous();
        let layer = kernels::LoraLayer {
            x: or_copy(self.x, whole(self.x), first)?,
            weight: or_copy(self.weight, whole(self.weight), second)?,
            bias: or_contiguous_copy(self.bias, &mut bias)?,
            a: or_copy(self.a, whole(self.a), third)?,
            b: or_copy(self.b, whole(self.b), fourth)?,
            index: or_contiguous_copy(self.index, &mut index)?,
            scale: self.scale,
            base,
            out: &out,
        };
        let [sums, inner] = layer.room();
        let inner = stream.allocate(inner.max(1))?;
        let refused = stream.refusals(op)?;
        // SAFETY: all are contiguous, of the sizes that the plans take from them, and there is room
        // for the sums.
        unsafe {
            match layer.whole(stream.device().caps(), &inner, &refused) {
                Some(plan) => submit(stream, &plan)?,
                None => {
                    let sums = stream.allocate(sums.max(1))?;
                    submit(stream, &layer.parts([&sums, &inner], &refused))?;
                    submit(stream, &layer.join([&sums, &inner]))?;
                }
            }
        }
        Ok(out)
    }

    /// The layer without its adapters.
    fn base(&self, op: &'static str, stream: &Stream) -> Result<Tensor> {
        let epilogue = Epilogue {
            bias: self.bias,
            ..Epilogue::NONE
        };
        turned_product(op, stream, (self.x, self.weight), epilogue, false)
    }

    /// One product after another, the last added to what is there.
    fn composed(&self, op: &'static str, stream: &Stream) -> Result<Tensor> {
        let base = self.base(op, stream)?;
        if base.count() == 0 {
            return Ok(base);
        }
        let more = Epilogue {
            scale: self.scale.into(),
            added: Some((1.0, &base)),
            ..Epilogue::NONE
        };
        let Some(index) = self.index else {
            let [a, b] = [self.a, self.b].map(|x| x.reshape(&x.dims()[1..]));
            let inner = turned_product(op, stream, (self.x, &a?), Epilogue::NONE, false)?;
            return turned_product(op, stream, (&inner, &b?), more, true);
        };
        let down = ([self.x, self.a, index], Epilogue::NONE, false);
        let inner = grouped_linear::run(op, stream, down)?;
        grouped_linear::run(op, stream, ([&inner, self.b, index], more, true))
    }
}

/// `x·weightᵀ`, and what becomes of it, in the place of what is added if it may be.
fn turned_product(
    op: &'static str,
    stream: &Stream,
    (x, weight): (&Tensor, &Tensor),
    epilogue: Epilogue<'_>,
    in_place: bool,
) -> Result<Tensor> {
    let turned = weight.transpose(0, 1)?;
    let shape = shape_of(op, x.dtype(), &[x.dims()[0], weight.dims()[0]])?;
    let product = Product {
        a: (x, *x.layout()),
        b: (&turned, *turned.layout()),
        epilogue,
        in_place,
        weight: Some(weight),
    };
    product.run(op, stream, shape)
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let &[rank, m, n, k] = dims else {
        return None;
    };
    let inputs = vec![
        (dtype, vec![m, k]),
        (dtype, vec![n, k]),
        (dtype, vec![INDICES, rank, k]),
        (dtype, vec![INDICES, n, rank]),
        (DType::I64, vec![m]),
    ];
    let run = |x: &[Tensor]| {
        let adapters = Adapters {
            a: &x[2],
            b: &x[3],
            index: Some(&x[4]),
            scale: 0.5,
        };
        lora_linear(&x[0], &x[1], None, adapters)
    };
    let adapters = INDICES.min(m) * rank * (n + k);
    Some(Bench {
        dims: dims.to_vec(),
        inputs,
        run: Box::new(run),
        bytes: ((m * k + n * k + m * n + adapters) * dtype.size()) as u64,
        flops: (2 * m * (n * k + rank * (n + k))) as u64,
    })
}
