//! Conformance cases.

use super::{super::matmul::expected, Adapters, lora_linear};
use crate::{
    DType, Tensor,
    case::{Cases, Expected},
    ops::gather::{INDEX_DTYPES, indices},
    reference::Array,
};

const SCALE: f64 = 0.75;

/// What a case is of: x, weight, bias or none, a, b, index or none.
#[derive(Clone, Copy)]
struct Has {
    bias: bool,
    index: bool,
}

/// The bound of the base product, and of two products after another; narrower types than f32 may
/// be rounded between any two steps.
fn reference(dtype: DType, x: &[Array], has: Has) -> Expected {
    let mut rest = x[2..].iter();
    let bias = has.bias.then(|| rest.next().expect("as many as it has"));
    let (a, b) = (rest.next().expect("a"), rest.next().expect("b"));
    let index = has.index.then(|| rest.next().expect("index"));
    let turned = |x: &Array| Array::from_fn(&[x.dims[1], x.dims[0]], |i| x.at(&[i[1], i[0]]));
    let mut dims = x[0].dims.clone();
    let inputs = dims.pop().expect("x has an axis");
    let rows = dims.iter().product();
    let flat = Array {
        dims: vec![rows, inputs],
        values: x[0].values.clone(),
    };
    let base = expected(dtype, &flat, &turned(&x[1]), bias);
    let (outputs, rank) = (x[1].dims[0], a.dims[1]);
    let adapter = |row: usize| index.map_or(0, |index| index.values[row] as usize);
    let unit = f64::from(f32::EPSILON) / 2.0;
    let narrow = if dtype == DType::F32 {
        0.0
    } else {
        dtype.epsilon() / 2.0
    };
    // The spacing of f16 does not shrink below its least normal number.
    let tiny = if dtype == DType::F16 {
        6e-8
    } else {
        f64::from(f32::MIN_POSITIVE)
    };
    let inner: Vec<(f64, f64)> = (0..rows * rank)
        .map(|i| {
            let (row, r) = (i / rank, i % rank);
            let terms = (0..inputs).map(|k| flat.at(&[row, k]) * a.at(&[adapter(row), r, k]));
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size): (f64, f64), term| {
                (sum + term, size + term.abs())
            });
            let error = (inputs as f64 + 2.0) * unit * 1.001 * size + narrow * sum.abs() + tiny;
            (sum, error)
        })
        .collect();
    let mut errors = vec![];
    let array = Array::from_fn(&[rows, outputs], |i| {
        let (row, n) = (i[0], i[1]);
        let (mut low, mut size, mut error) = (0.0, 0.0, 0.0);
        for r in 0..rank {
            let up = b.at(&[adapter(row), n, r]);
            let (value, off) = inner[row * rank + r];
            low += value * up;
            size += (value * up).abs();
            error += off * up.abs();
        }
        let place = row * outputs + n;
        let first = base.array.values[place];
        let steps = (rank as f64 + 4.0) * unit * size + error;
        let both = first.abs() + (SCALE * low).abs();
        let rounded = (2.0 * narrow + 4.0 * unit) * both + 3.0 * tiny;
        errors.push(base.errors[place] + 1.02 * (SCALE * steps + rounded));
        first + SCALE * low
    });
    dims.push(outputs);
    Expected::within(dtype, Array { dims, ..array }, errors)
}

pub(super) fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    // Axes before the last of x, outputs, inputs, adapters, rank.
    let shapes: [(&[usize], usize, usize, usize, usize); 12] = [
        (&[], 5, 7, 1, 2),
        (&[1], 1, 1, 1, 1),
        (&[3], 40, 33, 4, 5),
        (&[2, 8], 130, 64, 3, 8),
        (&[20], 33, 600, 2, 16),
        (&[64], 24, 72, 9, 4),
        (&[70], 24, 40, 3, 4),
        (&[5], 16, 32, 2, 256),
        (&[4], 6, 8, 2, 0),
        (&[4], 6, 0, 2, 3),
        (&[0], 6, 8, 2, 3),
        (&[4], 0, 8, 2, 3),
    ];
    for (i, (outer, outputs, inputs, adapters, rank)) in shapes.into_iter().enumerate() {
        for (bias, index) in [(false, false), (true, true)] {
            let has = Has { bias, index };
            let adapters = if index { adapters } else { 1 };
            let mut tensors = vec![
                cases.input(&[outer, &[inputs]].concat(), -1.0, 1.0),
                cases.input(&[outputs, inputs], -1.0, 1.0),
            ];
            if bias {
                tensors.push(cases.input(&[outputs], -1.0, 1.0));
            }
            tensors.push(cases.input(&[adapters, rank, inputs], -1.0, 1.0));
            tensors.push(cases.input(&[adapters, outputs, rank], -1.0, 1.0));
            if index {
                tensors.push(indices(cases, INDEX_DTYPES[i % 3], outer, adapters));
            }
            let run = move |x: &[Tensor]| {
                let mut rest = x[2..].iter();
                let bias = has.bias.then(|| rest.next().expect("as many as it has"));
                let mut next = || rest.next().expect("as many as it has");
                let (a, b) = (next(), next());
                let index = rest.next();
                let adapters = Adapters {
                    a,
                    b,
                    index,
                    scale: SCALE,
                };
                lora_linear(&x[0], &x[1], bias, adapters)
            };
            let label = format!(
                "{outer:?}×{inputs} to {outputs}, {adapters} of rank {rank}, bias {bias}, index {index}"
            );
            cases.add(label, tensors, run, move |x| reference(dtype, x, has));
        }
    }
}
