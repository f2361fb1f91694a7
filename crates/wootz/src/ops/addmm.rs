//! `addmm`: a product, scaled and added to another tensor.

use super::{
    Epilogue, check,
    matmul::{expected, product},
};
use crate::{
    DType, Result, Tensor,
    case::{Cases, Expected},
    reference::Array,
    table::{Bench, Benches, Row},
};

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "addmm",
    family: "products",
    summary: "beta·c + alpha·(a·b), c broadcasting to the product",
    dtypes: DType::FLOATS,
    cases,
    benches: Benches {
        shapes: &[&[64; 3], &[1024; 3]],
        takes: "m×n×k for [m, k] times [k, n], after the axes of a batch",
        at: bench,
    },
}];

/// `beta·c + alpha·(a·b)`. `a` and `b` are multiplied as by [`matmul`](super::matmul()), and `c`
/// broadcasts to their product. Where `beta` is 0, `c` is not looked at: what is NaN there does not
/// come out.
pub fn addmm(c: &Tensor, a: &Tensor, b: &Tensor, alpha: f64, beta: f64) -> Result<Tensor> {
    let op = "addmm";
    check::dtype(op, "c", c, DType::FLOATS)?;
    check::same_dtype(op, &[("c", c), ("a", a), ("b", b)])?;
    check::same_device(op, &[("c", c), ("a", a), ("b", b)])?;
    let epilogue = Epilogue {
        scale: alpha,
        added: Some((beta, c)),
        ..Epilogue::NONE
    };
    product(op, (a, b), epilogue)
}

fn reference(dtype: DType, x: &[Array], [alpha, beta]: [f64; 2]) -> Expected {
    let epilogue = Epilogue {
        scale: alpha,
        ..Epilogue::NONE
    };
    let product = expected(dtype, &x[1], &x[2], None);
    epilogue.expected(dtype, &product, None, Some((beta, &x[0])))
}

fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    type Dims = &'static [usize];
    let shapes: [(Dims, Dims, Dims); 9] = [
        (&[1, 1], &[1, 1], &[1, 1]),
        (&[5, 3], &[5, 7], &[7, 3]),
        (&[35], &[17, 33], &[33, 35]),
        (&[140, 1], &[140, 40], &[40, 136]),
        (&[], &[1, 300], &[300, 40]),
        (&[3, 4], &[3, 0], &[0, 4]),
        (&[0, 4], &[0, 3], &[3, 4]),
        (&[3, 4, 6], &[3, 4, 5], &[3, 5, 6]),
        (&[1, 4, 6], &[2, 1, 4, 5], &[3, 5, 6]),
    ];
    for (added, left, right) in shapes {
        for factors in [[1.0, 1.0], [-0.5, 2.0], [1.5, 0.0]] {
            let inputs = [added, left, right].map(|dims| cases.input(dims, -1.0, 1.0));
            let [alpha, beta] = factors;
            let run = move |x: &[Tensor]| addmm(&x[0], &x[1], &x[2], alpha, beta);
            let label = format!("{beta}·{added:?} + {alpha}·{left:?}·{right:?}");
            cases.add(label, inputs.into(), run, move |x| {
                reference(dtype, x, factors)
            });
        }
    }
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let &[ref batch @ .., m, n, k] = dims else {
        return None;
    };
    let inputs = [[m, n], [m, k], [k, n]].map(|sizes| (dtype, [batch, &sizes].concat()));
    let matrices = batch.iter().product::<usize>();
    Some(Bench {
        dims: dims.to_vec(),
        inputs: inputs.into(),
        run: Box::new(|x| addmm(&x[0], &x[1], &x[2], 1.0, 1.0)),
        bytes: (matrices * (m * k + k * n + 2 * m * n) * dtype.size()) as u64,
        flops: (2 * matrices * m * n * k) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    fn tensor(values: &[f32], dims: &[usize]) -> Tensor {
        Tensor::from_slice(values, dims, Device::cpu()).unwrap()
    }

    #[test]
    fn a_factor_of_zero_hides_what_is_added() {
        let (a, b) = (tensor(&[2.0], &[1, 1]), tensor(&[3.0], &[1, 1]));
        let out = addmm(&tensor(&[f32::NAN], &[1]), &a, &b, 0.5, 0.0).unwrap();
        assert_eq!(out.to_vec::<f32>().unwrap(), [3.0]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (a, b) = (tensor(&[1.0; 6], &[2, 3]), tensor(&[1.0; 6], &[3, 2]));
        let error = addmm(&tensor(&[1.0; 3], &[3]), &a, &b, 1.0, 1.0).unwrap_err();
        let text = "addmm: shapes [3] and [2, 2] do not broadcast one to the other";
        assert_eq!(error.to_string(), text);
    }
}
