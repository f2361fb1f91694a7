//! `scaled_matmul`: products of 8-bit floats, whose scales make up for their range.

mod cases;

pub use cases::ROWS;

use super::{cast, check, copy, matmul, matmul::along, mul, on_stream, submit};
use crate::{
    DType, Error, Result, Tensor,
    kernels::sm90::{self, BLOCK},
    precision::{self, Precision},
    tensor::shape_of,
};

/// `(a·a_scale)·(b·b_scale)`, in elements of `dtype`: `a` is `[m, k]` and `b` `[k, n]`, of 8-bit floats.
///
/// Scales are `f32`: one for all, `[]`; or one for each row of `a`, `[m, 1]`, and each column of `b`,
/// `[1, n]`; or for blocks of 128, `[m, ⌈k/128⌉]` and `[⌈k/128⌉, ⌈n/128⌉]`. If one factor has
/// blocks along `k`, a scale of the other is for its blocks too, or for all of it.
///
/// Hopper's matrix units add up one block of the inner size, or two where scales are not of blocks,
/// with 13 bits below the largest product; those sums are added in `f32`. Elsewhere, and where rows do not start at multiples of 16
/// bytes, the factors are widened to `f32` first, which takes memory for both.
pub fn scaled_matmul(
    a: &Tensor,
    a_scale: &Tensor,
    b: &Tensor,
    b_scale: &Tensor,
    dtype: DType,
) -> Result<Tensor> {
    let op = "scaled_matmul";
    check::dtype(op, "a", a, &[DType::F8E4M3])?;
    check::same_dtype(op, &[("a", a), ("b", b)])?;
    check::dtype(op, "a_scale", a_scale, &[DType::F32])?;
    check::dtype(op, "b_scale", b_scale, &[DType::F32])?;
    check::element(op, "dtype", dtype, DType::FLOATS)?;
    let all = [
        ("a", a),
        ("a_scale", a_scale),
        ("b", b),
        ("b_scale", b_scale),
    ];
    check::same_device(op, &all)?;
    let mismatch = || Error::Shapes {
        op,
        left: a.shape(),
        right: b.shape(),
        verb: "multiply",
    };
    let (&[m, k], &[inner, n]) = (a.dims(), b.dims()) else {
        return Err(mismatch());
    };
    if inner != k {
        return Err(mismatch());
    }
    let blocks = k.div_ceil(BLOCK);
    let above = Scale::of(op, ("a_scale", a_scale), [[m, 1], [m, blocks]])?;
    let beside = [[1, n], [blocks, n.div_ceil(BLOCK)]];
    let beside = match above.kind {
        Kind::Blocks => Scale::of(op, ("b_scale", b_scale), [beside[1]; 2])?.in_blocks(),
        _ => Scale::of(op, ("b_scale", b_scale), beside)?,
    };
    let factors = [(a, above), (b, beside)];
    if m * n > 0
        && k > 0
        && let Some(out) = multiply(op, [m, n], &factors, dtype)?
    {
        return Ok(out);
    }
    // Each step's result is checked here, where the op is known.
    for dims in [[m, k], [k, n], [m, n]] {
        shape_of(op, DType::F32, &dims)?;
    }
    widened(&factors, dtype)
}

/// A factor's scales.
struct Scale<'a> {
    tensor: &'a Tensor,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One for all.
    One,
    /// One for each row or column.
    Lines,
    /// One for each block.
    Blocks,
}

impl<'a> Scale<'a> {
    /// The scales of an argument, which has one of these shapes if there are lines or blocks.
    fn of(
        op: &'static str,
        (argument, tensor): (&'static str, &'a Tensor),
        [lines, blocks]: [[usize; 2]; 2],
    ) -> Result<Scale<'a>> {
        let kind = match tensor.dims() {
            [] => Kind::One,
            dims if *dims == lines => Kind::Lines,
            dims if *dims == blocks => Kind::Blocks,
            _ => {
                let expected = match lines == blocks {
                    true => format!("[] or {blocks:?}"),
                    false => format!("[], {lines:?} or {blocks:?}"),
                };
                return Err(check::wrong_shape(op)(argument, tensor, expected));
            }
        };
        Ok(Scale { tensor, kind })
    }

    /// The same where what could be lines are blocks.
    fn in_blocks(self) -> Scale<'a> {
        let kind = match self.kind {
            Kind::One => Kind::One,
            _ => Kind::Blocks,
        };
        Scale { kind, ..self }
    }

    /// As the kernels find them, along the outer axis, which is `outer`, and the inner one; none
    /// where they lie backwards or too far apart.
    fn strided(&self, outer: usize) -> Option<sm90::Scales<'a>> {
        let layout = self.tensor.layout();
        let stride = |axis: usize| match layout.rank() == 0 || layout.dims()[axis] == 1 {
            true => Some(0),
            false => u32::try_from(layout.strides()[axis]).ok(),
        };
        Some(sm90::Scales {
            tensor: self.tensor,
            outer: stride(outer)?,
            step: stride(1 - outer)?,
        })
    }
}

type Factor<'a> = (&'a Tensor, Scale<'a>);

/// The product by kernels that multiply 8-bit floats, if the device has some.
fn multiply(
    op: &'static str,
    dims: [usize; 2],
    [(a, above), (b, beside)]: &[Factor<'_>; 2],
    dtype: DType,
) -> Result<Option<Tensor>> {
    let caps = a.device().caps();
    if !sm90::takes_scaled(caps) {
        return Ok(None);
    }
    on_stream(a.device(), |stream| {
        let out = Tensor::output(op, stream, dtype, shape_of(op, dtype, &dims)?)?;
        let mut turned = [None, None];
        let [turned_a, turned_b] = &mut turned;
        let (a, left) = along(a, *a.layout(), 1, turned_a)?;
        let (b, right) = along(b, *b.layout(), 0, turned_b)?;
        let (Some(first), Some(second)) = (above.strided(0), beside.strided(1)) else {
            return Ok(None);
        };
        let blocks = [above, beside]
            .iter()
            .any(|scale| scale.kind == Kind::Blocks);
        let factors = [(a, &left), (b, &right)];
        let Some(plan) = sm90::scaled(caps, factors, [first, second], blocks, &out) else {
            return Ok(None);
        };
        // SAFETY: the layouts and the scales' strides are the tensors' own, and `out` has the
        // product's shape.
        unsafe { submit(stream, &plan)? };
        drop(plan);
        Ok(Some(out))
    })
}

/// The product of factors in `f32`. All 8-bit floats are numbers of tf32, and so are not rounded to
/// that; with the scales of blocks they may not be.
fn widened([(a, above), (b, beside)]: &[Factor<'_>; 2], dtype: DType) -> Result<Tensor> {
    let scales = [above, beside];
    let blocks = scales.iter().any(|scale| scale.kind == Kind::Blocks);
    let product = match blocks {
        true => precision::with(Precision::Full, || {
            matmul(&in_f32(a, above)?, &in_f32(b, beside)?)
        }),
        false => precision::with(Precision::Tf32, || {
            matmul(&cast(a, DType::F32)?, &cast(b, DType::F32)?)
        }),
    };
    let mut product = product?;
    for scale in scales {
        if !blocks || scale.kind != Kind::Blocks {
            product = mul(&product, scale.tensor)?;
        }
    }
    cast(&product, dtype)
}

/// A factor times the scales of its blocks, if it has some.
fn in_f32(x: &Tensor, scale: &Scale<'_>) -> Result<Tensor> {
    let wide = cast(x, DType::F32)?;
    if scale.kind != Kind::Blocks {
        return Ok(wide);
    }
    let (&[high, wide_blocks], &[rows, columns]) = (scale.tensor.dims(), x.dims()) else {
        return Ok(wide);
    };
    // Of rows with scales of their own there is one of each.
    let down = if high == rows { 1 } else { BLOCK };
    let spread = scale.tensor.unsqueeze(1)?.unsqueeze(3)?;
    let spread = copy(&spread.broadcast_to(&[high, down, wide_blocks, BLOCK])?)?;
    let spread = spread.reshape(&[high * down, wide_blocks * BLOCK])?;
    mul(&wide, &spread.narrow(0, 0, rows)?.narrow(1, 0, columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, F8E4M3};

    fn error(a: &[usize], above: &[usize], b: &[usize], beside: &[usize]) -> String {
        let device = Device::best();
        let small = |dims: &[usize]| {
            let values = vec![F8E4M3::from_f32(1.0); dims.iter().product()];
            Tensor::from_slice(&values, dims, device).unwrap()
        };
        let scale = |dims: &[usize]| {
            let values = vec![1.0f32; dims.iter().product()];
            Tensor::from_slice(&values, dims, device).unwrap()
        };
        let result = scaled_matmul(
            &small(a),
            &scale(above),
            &small(b),
            &scale(beside),
            DType::F32,
        );
        result.unwrap_err().to_string()
    }

    #[test]
    fn wrong_shapes_are_named() {
        let text = error(&[2, 300], &[3, 1], &[300, 5], &[]);
        let expected = "scaled_matmul: a_scale has shape [3, 1], expected [], [2, 1] or [2, 3]";
        assert_eq!(text, expected);
        let text = error(&[2, 300], &[2, 3], &[300, 5], &[1, 5]);
        let expected = "scaled_matmul: b_scale has shape [1, 5], expected [] or [3, 1]";
        assert_eq!(text, expected);
        let text = error(&[2, 3], &[], &[2, 3], &[]);
        let expected = "scaled_matmul: shapes [2, 3] and [2, 3] do not multiply";
        assert_eq!(text, expected);
    }

    #[test]
    fn results_are_floats() {
        let x = Tensor::from_slice(&[F8E4M3::from_f32(1.0)], &[1, 1], Device::best()).unwrap();
        let one = Tensor::scalar(1.0f32, Device::best()).unwrap();
        let result = scaled_matmul(&x, &one, &x, &one, DType::U8);
        let text = result.unwrap_err().to_string();
        let expected = "scaled_matmul: dtype has dtype u8, expected f32, f16, bf16";
        assert_eq!(text, expected);
    }
}
