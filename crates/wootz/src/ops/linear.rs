//! `linear`: a product with transposed weights, and a bias.

use super::matmul::{Blend, Product, expected};
use super::{check, on_stream};
use crate::{
    DType, Error, MAX_RANK, Result, Shape, Tensor,
    case::{Cases, Expected},
    reference::Array,
    table::{Bench, Benches, Row},
};
use smallvec::SmallVec;

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "linear",
    family: "products",
    summary: "x·weightᵀ + bias, weight being [outputs, inputs]",
    dtypes: DType::FLOATS,
    cases,
    benches: Benches {
        shapes: &[
            &[32, 768, 768],
            &[64, 384, 384],
            &[512, 3072, 768],
            &[1, 4096, 4096],
        ],
        takes: "m×n×k for m rows of k elements to n, after any more axes of x",
        at: bench,
    },
}];

/// `x·weightᵀ + bias`: `x` is `[…, inputs]`, `weight` `[outputs, inputs]`, `bias` `[outputs]`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let op = "linear";
    let (batch, outputs, inputs) = sizes(op, x, weight, bias)?;
    let dims = || batch.iter().copied().chain([outputs]);
    let too_large = || Error::TooLarge {
        op,
        dims: dims().collect(),
    };
    let shape = Shape::new(&dims().collect::<SmallVec<[usize; MAX_RANK]>>());
    let shape = shape.ok_or_else(too_large)?;
    let rows = Shape::new(batch).and_then(|batch| batch.checked_count());
    let rows = rows.ok_or_else(too_large)?;
    // All rows are one matrix: there is nothing that tells one batch axis from another.
    let flat = x.reshape(&[rows, inputs])?;
    let turned = weight.transpose(0, 1)?;
    let product = Product {
        a: (&flat, *flat.layout()),
        b: (&turned, *turned.layout()),
        bias,
        blend: Blend::NONE,
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

fn reference(dtype: DType, x: &[Array]) -> Expected {
    let (outputs, inputs) = (x[1].dims[0], x[1].dims[1]);
    let mut flat = x[0].clone();
    let mut dims = x[0].dims.clone();
    let last = dims.len() - 1;
    flat.dims = vec![dims[..last].iter().product(), inputs];
    dims[last] = outputs;
    let turned = Array::from_fn(&[inputs, outputs], |i| x[1].at(&[i[1], i[0]]));
    let mut expected = expected(dtype, &flat, &turned, x.get(2));
    expected.array.dims = dims;
    expected
}

fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    for (dims, outputs) in [
        (&[7][..], 5),
        (&[1, 1], 1),
        (&[5, 17], 33),
        (&[2, 3, 65], 40),
        (&[32, 96], 200),
        (&[1, 200], 70),
        (&[9, 1096], 24),
        (&[150, 48], 150),
        (&[4, 0], 3),
        (&[0, 4], 3),
        (&[3, 4], 0),
    ] {
        let inputs = dims[dims.len() - 1];
        for bias in [false, true] {
            let mut tensors = vec![
                cases.input(dims, -1.0, 1.0),
                cases.input(&[outputs, inputs], -1.0, 1.0),
            ];
            if bias {
                tensors.push(cases.input(&[outputs], -1.0, 1.0));
            }
            let run = |x: &[Tensor]| linear(&x[0], &x[1], x.get(2));
            let label = format!("{dims:?} to {outputs}, bias {bias}");
            cases.add(label, tensors, run, move |x| reference(dtype, x));
        }
    }
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let &[ref outer @ .., m, n, k] = dims else {
        return None;
    };
    let rows = m * outer.iter().product::<usize>();
    Some(Bench {
        dims: dims.to_vec(),
        inputs: vec![(dtype, [outer, &[m, k]].concat()), (dtype, vec![n, k])],
        run: Box::new(|x| linear(&x[0], &x[1], None)),
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
}
