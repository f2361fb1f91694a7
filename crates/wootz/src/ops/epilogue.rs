//! What becomes of a product before it is rounded, as `linear_with` and `matmul_with` take it.

use super::{check, copy, runs_source, submit};
use crate::{
    Activation, DType, Error, Layout, Result, Shape, Tensor, case::Expected, kernels,
    reference::Array, tensor::shape_of,
};
use wootz_runtime::Stream;

/// What becomes of a product: `activation(scale·product + bias) + factor·added`, rounded to `dtype`.
/// Kernels that are for one machine, or for few rows, round the product to the factors' type before.
#[derive(Debug, Clone, Copy)]
pub struct Epilogue<'a> {
    /// The product's factor.
    pub scale: f64,
    /// A value for each column.
    pub bias: Option<&'a Tensor>,
    /// What becomes of each element.
    pub activation: Activation,
    /// A factor, and what it multiplies: of the result's element type, broadcast to its shape. A
    /// factor of zero adds nothing, whatever is there.
    pub added: Option<(f64, &'a Tensor)>,
    /// The result's element type, if not the factors'.
    pub dtype: Option<DType>,
}

impl Default for Epilogue<'_> {
    fn default() -> Self {
        Epilogue::NONE
    }
}

impl<'a> Epilogue<'a> {
    /// The product alone.
    pub const NONE: Epilogue<'static> = Epilogue {
        scale: 1.0,
        bias: None,
        activation: Activation::None,
        added: None,
        dtype: None,
    };

    /// Refuses what does not fit a product of `factor`'s type with this shape and so many columns.
    pub(super) fn check(
        &self,
        op: &'static str,
        factor: &Tensor,
        shape: Shape,
        columns: usize,
    ) -> Result<()> {
        let dtype = self.dtype.unwrap_or(factor.dtype());
        if !DType::FLOATS.contains(&dtype) {
            let expected = DType::FLOATS.iter().map(|dtype| dtype.name());
            return Err(Error::Value {
                op,
                argument: "the result's element type",
                found: dtype.name().to_owned(),
                expected: expected.collect::<Vec<_>>().join(", "),
            });
        }
        if let Some(bias) = self.bias {
            check::same_dtype(op, &[("the factors", factor), ("bias", bias)])?;
            check::same_device(op, &[("the factors", factor), ("bias", bias)])?;
            if bias.dims() != [columns] {
                return Err(check::wrong_shape(op)("bias", bias, format!("[{columns}]")));
            }
        }
        let Some((_, added)) = self.added else {
            return Ok(());
        };
        check::dtype(op, "what is added", added, &[dtype])?;
        check::same_device(op, &[("the factors", factor), ("what is added", added)])?;
        match added.layout().broadcast_to(shape) {
            Some(_) => Ok(()),
            None => Err(Error::Shapes {
                op,
                left: added.shape(),
                right: shape,
                verb: "broadcast one to the other",
            }),
        }
    }

    /// The factor of what is added.
    pub(super) fn beta(&self) -> f32 {
        self.added.map_or(0.0, |(beta, _)| beta as f32)
    }

    /// The result before the product: with what is added, where the product's kernel adds to it.
    /// That may be the tensor itself, if it is of the result's shape, contiguous and nobody else's.
    pub(super) fn output(
        &self,
        op: &'static str,
        stream: &Stream,
        dtype: DType,
        shape: Shape,
        in_place: bool,
    ) -> Result<Tensor> {
        match self.added.filter(|_| !runs_source(stream.device())) {
            Some((_, added)) if in_place => Ok(added.clone()),
            Some((_, added)) => copy(&added.broadcast_to(shape.dims())?),
            None => Tensor::output(op, stream, self.dtype.unwrap_or(dtype), shape),
        }
    }

    /// Calls `f` with this as kernels in source form take it, for a result of `shape` that is
    /// `[batch, rows, columns]` to them.
    pub(super) fn with_source<R>(
        &self,
        shape: Shape,
        matrices: [usize; 3],
        f: impl FnOnce(&kernels::Epilogue<'_>) -> Result<R>,
    ) -> Result<R> {
        let mut copied = None;
        let bias = super::or_contiguous_copy(self.bias, &mut copied)?;
        let flat = Shape::new(&matrices).expect("three axes");
        let mut whole = None;
        let added = match self.added {
            None => None,
            Some((beta, added)) => {
                let spread = added.broadcast_to(shape.dims())?;
                let (added, layout): (&Tensor, Layout) = match spread.layout().reshape(flat) {
                    Some(layout) => (added, layout),
                    None => (whole.insert(copy(&spread)?), Layout::contiguous(flat)),
                };
                let strides = [0, 1, 2].map(|axis| layout.strides()[axis] as i64);
                Some((beta as f32, added, strides))
            }
        };
        f(&kernels::Epilogue {
            alpha: self.scale as f32,
            bias,
            activation: self.activation,
            added,
        })
    }

    /// What becomes of products `[rows, columns]`, where their kernel leaves that to another.
    pub(super) fn of(&self, op: &'static str, stream: &Stream, x: Tensor) -> Result<Tensor> {
        let &[rows, columns] = x.dims() else {
            unreachable!("one product");
        };
        let dtype = self.dtype.unwrap_or(x.dtype());
        self.with_source(x.shape(), [1, rows, columns], |epilogue| {
            if epilogue.is_plain() && self.bias.is_none() && dtype == x.dtype() {
                return Ok(x.clone());
            }
            let out = Tensor::output(op, stream, dtype, shape_of(op, dtype, x.dims())?)?;
            let sums = (x.buffer(), x.byte_offset(), x.dtype());
            let plan = kernels::finish(epilogue, sums, &x, [1, rows, columns], &out);
            // SAFETY: the strides are those of a layout inside its tensor, `x` is contiguous, and
            // `out` has its shape.
            unsafe { submit(stream, &plan)? };
            drop(plan);
            Ok(out)
        })
    }

    /// What must come out of products that may be off as `product` says, of factors of a type, with
    /// this bias and this added; devices that finish in a kernel of their own may round the product
    /// to the factors' type first.
    pub(super) fn expected(
        &self,
        dtype: DType,
        product: &Expected,
        bias: Option<&Array>,
        added: Option<(f64, &Array)>,
    ) -> Expected {
        let to = self.dtype.unwrap_or(dtype);
        let unit = f64::from(f32::EPSILON) / 2.0;
        let first = match dtype {
            DType::F32 => 0.0,
            _ => dtype.epsilon() / 2.0,
        };
        // The spacing of f16 does not shrink below its least normal number.
        let tiny = match dtype {
            DType::F16 => 6e-8 * self.scale.abs(),
            _ => 0.0,
        };
        let flushed = 2.0 * f64::from(f32::MIN_POSITIVE);
        let columns = product.array.dims.last().copied().unwrap_or(1);
        let (mut errors, mut bounds) = (product.errors.iter(), vec![]);
        let mut place = 0;
        let array = Array::from_fn(&product.array.dims, |index| {
            let sum = product.array.values[place];
            let error = errors.next().expect("as many as values");
            let bias = bias.map_or(0.0, |bias| bias.values[place % columns]);
            place += 1;
            let scaled = self.scale * sum;
            let inner = scaled + bias;
            let value = self.activation.reference()(inner);
            let more = match added {
                None | Some((0.0, _)) => 0.0,
                Some((beta, added)) => beta * added.at_broadcast(index),
            };
            let off = 1.01 * (self.scale.abs() * error + first * scaled.abs())
                + tiny
                + 2.0 * unit * (scaled.abs() + bias.abs());
            let ulp = 2.0 * unit * value.abs().max(f64::from(f32::MIN_POSITIVE));
            let own = self.activation.ulps(to == DType::BF16, inner) * ulp;
            let last = 2.0 * unit * (value.abs() + more.abs());
            let error = self.activation.slope() * off + own + last + flushed;
            let exact = value + more;
            bounds.push(error + wider_spacing(to, exact.abs(), error));
            exact
        });
        Expected::within(to, array, bounds)
    }
}

/// How much more a rounding may lose where a value's error takes it past a power of two.
fn wider_spacing(dtype: DType, size: f64, error: f64) -> f64 {
    let below = |x: f64| 2f64.powf(x.log2().floor());
    match size > 0.0 {
        true => (below(size + error) - below(size)) * dtype.epsilon() / 2.0,
        false => 0.0,
    }
}
