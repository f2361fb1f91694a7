//! `linear`: a product with transposed weights, a bias, and what else becomes of it.

mod cases;

use super::{Epilogue, check, matmul::Product, on_stream};
use crate::{
    Activation, DType, Error, MAX_RANK, Result, Shape, Tensor,
    table::{Bench, Benches, Row},
};
use smallvec::SmallVec;

/// The rows of the table.
pub const ROWS: &[Row] = &[
    Row {
        name: "linear",
        family: "products",
        summary: "x·weightᵀ + bias, weight being [outputs, inputs]",
        dtypes: DType::FLOATS,
        cases: cases::plain,
        benches: benches(|dtype, dims| bench(dtype, dims, |x| linear(&x[0], &x[1], None))),
    },
    Row {
        name: "linear_with",
        family: "products",
        summary: "activation(scale·x·weightᵀ + bias) + factor·added, rounded to a type of its own",
        dtypes: DType::FLOATS,
        cases: cases::with,
        benches: benches(|dtype, dims| {
            let epilogue = Epilogue {
                activation: Activation::Gelu,
                ..Epilogue::NONE
            };
            bench(dtype, dims, move |x| linear_with(&x[0], &x[1], epilogue))
        }),
    },
];

const fn benches(at: fn(DType, &[usize]) -> Option<Bench>) -> Benches {
    Benches {
        shapes: &[
            &[32, 768, 768],
            &[64, 384, 384],
            &[512, 3072, 768],
            &[1, 4096, 4096],
        ],
        takes: "m×n×k for m rows of k elements to n, after any more axes of x",
        at,
    }
}

/// `x·weightᵀ + bias`: `x` is `[…, inputs]`, `weight` `[outputs, inputs]`, `bias` `[outputs]`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let epilogue = Epilogue {
        bias,
        ..Epilogue::NONE
    };
    run("linear", x, weight, epilogue)
}

/// As [`linear`], and what becomes of the product in the same pass.
pub fn linear_with(x: &Tensor, weight: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
    run("linear_with", x, weight, epilogue)
}

fn run(op: &'static str, x: &Tensor, weight: &Tensor, epilogue: Epilogue<'_>) -> Result<Tensor> {
    let (batch, outputs, inputs) = sizes(op, x, weight, epilogue.bias)?;
    let dims = || batch.iter().copied().chain([outputs]);
    let too_large = || Error::TooLarge {
        op,
        dims: dims().collect(),
    };
    let shape = Shape::new(&dims().collect::<SmallVec<[usize; MAX_RANK]>>());
    let shape = shape.ok_or_else(too_large)?;
    let rows = Shape::new(batch).and_then(|batch| batch.checked_count());
    let rows = rows.ok_or_else(too_large)?;
    epilogue.check(op, x, shape, outputs)?;
    // All rows are one matrix: there is nothing that tells one batch axis from another.
    let flat = x.reshape(&[rows, inputs])?;
    let turned = weight.transpose(0, 1)?;
    let product = Product {
        a: (&flat, *flat.layout()),
        b: (&turned, *turned.layout()),
        epilogue,
        in_place: false,
        weight: Some(weight),
    };
    on_stream(x.device(), |stream| product.run(op, stream, shape))
}

/// The axes of `x` before its last, and the outputs and inputs of a layer whose arguments fit.
pub(super) fn sizes<'a>(
    op: &'static str,
    x: &'a Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<(&'a [usize], usize, usize)> {
    check::dtype(op, "x", x, DType::FLOATS)?;
    let arguments = [
        ("x", x),
        ("weight", weight),
        ("bias", bias.unwrap_or(weight)),
    ];
    check::same_dtype(op, &arguments)?;
    check::same_device(op, &arguments)?;
    let wrong = check::wrong_shape(op);
    let &[outputs, inputs] = weight.dims() else {
        return Err(wrong("weight", weight, "[outputs, inputs]".to_owned()));
    };
    let batch = match x.dims() {
        [batch @ .., last] if *last == inputs => batch,
        _ => return Err(wrong("x", x, format!("[…, {inputs}]"))),
    };
    if let Some(bias) = bias.filter(|bias| bias.dims() != [outputs]) {
        return Err(wrong("bias", bias, format!("[{outputs}]")));
    }
    Ok((batch, outputs, inputs))
}

fn bench(
    dtype: DType,
    dims: &[usize],
    run: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
) -> Option<Bench> {
    let &[ref outer @ .., m, n, k] = dims else {
        return None;
    };
    let rows = m * outer.iter().product::<usize>();
    Some(Bench {
        dims: dims.to_vec(),
        inputs: vec![(dtype, [outer, &[m, k]].concat()), (dtype, vec![n, k])],
        run: Box::new(run),
        bytes: ((rows * k + n * k + rows * n) * dtype.size()) as u64,
        flops: (2 * rows * n * k) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn wrong_shapes_are_named() {
        let tensor = |dims: &[usize]| {
            let values = vec![1.0f32; dims.iter().product()];
            Tensor::from_slice(&values, dims, Device::best()).unwrap()
        };
        let error = |x: &[usize], weight: &[usize], bias: Option<&[usize]>| {
            let bias = bias.map(tensor);
            let result = linear(&tensor(x), &tensor(weight), bias.as_ref());
            result.unwrap_err().to_string()
        };
        let text = error(&[2, 3], &[4, 2], None);
        assert_eq!(text, "linear: x has shape [2, 3], expected […, 2]");
        let text = error(&[2, 3], &[3], None);
        assert_eq!(
            text,
            "linear: weight has shape [3], expected [outputs, inputs]"
        );
        let text = error(&[2, 3], &[4, 3], Some(&[3]));
        assert_eq!(text, "linear: bias has shape [3], expected [4]");
        let text = error(&[], &[4, 3], None);
        assert_eq!(text, "linear: x has shape [], expected […, 3]");
    }

    #[test]
    fn an_epilogue_that_does_not_fit_is_named() {
        let tensor = |dims: &[usize]| {
            let values = vec![1.0f32; dims.iter().product()];
            Tensor::from_slice(&values, dims, Device::cpu()).unwrap()
        };
        let (three, odd) = (tensor(&[3]), tensor(&[2, 3]));
        let error = |epilogue: Epilogue<'_>| {
            let result = linear_with(&tensor(&[2, 3]), &tensor(&[4, 3]), epilogue);
            result.unwrap_err().to_string()
        };
        let none = Epilogue::NONE;
        let bias = Some(&three);
        assert_eq!(
            error(Epilogue { bias, ..none }),
            "linear_with: bias has shape [3], expected [4]"
        );
        let added = Some((1.0, &odd));
        assert_eq!(
            error(Epilogue { added, ..none }),
            "linear_with: shapes [2, 3] and [2, 4] do not broadcast one to the other"
        );
        let dtype = Some(DType::F16);
        let text = error(Epilogue {
            added,
            dtype,
            ..none
        });
        assert_eq!(
            text,
            "linear_with: what is added has dtype f32, expected f16"
        );
        let dtype = Some(DType::I64);
        assert_eq!(
            error(Epilogue { dtype, ..none }),
            "linear_with: the result's element type is i64, expected f32, f16, bf16"
        );
    }
}
