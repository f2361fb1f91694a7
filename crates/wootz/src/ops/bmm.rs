//! `bmm`: the matrix products of two batches of one size.

use super::{
    Epilogue, check,
    matmul::{expected, product},
};
use crate::{
    DType, Error, Result, Tensor,
    case::Cases,
    table::{Bench, Benches, Row},
};

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "bmm",
    family: "products",
    summary: "the matrix products of two batches of one size",
    dtypes: DType::FLOATS,
    cases,
    benches: Benches {
        shapes: &[&[64, 64, 64, 64], &[16, 256, 256, 256]],
        takes: "b×m×n×k for [b, m, k] times [b, k, n]",
        at: bench,
    },
}];

/// The matrix products of `a`, `[batch, m, k]`, and `b`, `[batch, k, n]`. Nothing broadcasts:
/// [`matmul`](super::matmul()) is for that.
pub fn bmm(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let op = "bmm";
    check::dtype(op, "a", a, DType::FLOATS)?;
    check::same_dtype(op, &[("a", a), ("b", b)])?;
    check::same_device(op, &[("a", a), ("b", b)])?;
    match (a.dims(), b.dims()) {
        ([one, _, k], [other, inner, _]) if one == other && k == inner => {
            product(op, (a, b), Epilogue::NONE)
        }
        ([..], [..]) => Err(Error::Shapes {
            op,
            left: a.shape(),
            right: b.shape(),
            verb: "multiply as [batch, m, k] and [batch, k, n]",
        }),
    }
}

fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    for [batch, m, n, k] in [
        [1, 1, 1, 1],
        [0, 2, 3, 4],
        [3, 5, 7, 0],
        [3, 5, 7, 9],
        [7, 16, 16, 16],
        [2, 64, 65, 33],
        [5, 1, 40, 70],
    ] {
        let inputs = [[batch, m, k], [batch, k, n]].map(|dims| cases.input(&dims, -1.0, 1.0));
        let run = |x: &[Tensor]| bmm(&x[0], &x[1]);
        cases.add(
            format!("{batch}×{m}×{n}×{k}"),
            inputs.into(),
            run,
            move |x| expected(dtype, &x[0], &x[1], None),
        );
    }
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let &[batch, m, n, k] = dims else {
        return None;
    };
    let inputs = [[batch, m, k], [batch, k, n]].map(|dims| (dtype, dims.to_vec()));
    Some(Bench {
        dims: dims.to_vec(),
        inputs: inputs.into(),
        run: Box::new(|x| bmm(&x[0], &x[1])),
        bytes: (batch * (m * k + k * n + m * n) * dtype.size()) as u64,
        flops: (2 * batch * m * n * k) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn what_is_no_pair_of_batches_is_named() {
        let tensor = |dims: &[usize]| {
            let values = vec![1f32; dims.iter().product()];
            Tensor::from_slice(&values, dims, Device::cpu()).unwrap()
        };
        let error = bmm(&tensor(&[1, 2, 3]), &tensor(&[4, 3, 2])).unwrap_err();
        let text = "bmm: shapes [1, 2, 3] and [4, 3, 2] do not multiply as [batch, m, k] and \
                    [batch, k, n]";
        assert_eq!(error.to_string(), text);
        assert!(bmm(&tensor(&[2, 3]), &tensor(&[3, 2])).is_err());
    }
}
