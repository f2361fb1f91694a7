//! Conformance cases.

use super::{super::matmul::expected, Epilogue, linear, linear_with};
use crate::{
    Activation, DType, Tensor,
    case::{Cases, Expected},
    reference::Array,
};

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

pub(super) fn plain(cases: &mut Cases) {
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

/// Sizes around tiles, each with some of what an epilogue can be, the dear ones with little of it;
/// all of it meets in the first.
pub(super) fn with(cases: &mut Cases) {
    let from = cases.dtype();
    let shapes: [(&[usize], usize, &[usize]); 9] = [
        (&[9, 70], 33, &[9, 33]),
        (&[7], 5, &[]),
        (&[2, 3, 65], 40, &[3, 1]),
        (&[16, 96], 72, &[72]),
        (&[32, 256], 200, &[32, 200]),
        (&[150, 48], 136, &[150, 1]),
        (&[4, 0], 3, &[4, 3]),
        (&[0, 4], 3, &[1]),
        (&[136, 40], 264, &[136, 264]),
    ];
    for (i, (dims, outputs, added)) in shapes.into_iter().enumerate() {
        let dear = dims.iter().product::<usize>() * outputs > 1 << 19;
        for (j, activation) in Activation::ALL.into_iter().enumerate() {
            if dear && (i + j) % 5 > 1 {
                continue;
            }
            let one_of = |turn: usize| i == 0 || (i + j).is_multiple_of(turn);
            let (bias, adds) = (one_of(2), one_of(3));
            let to = DType::FLOATS[(i + j) % 3];
            let plain = Epilogue {
                scale: if one_of(4) { -1.5 } else { 1.0 },
                activation,
                dtype: (i + j).is_multiple_of(2).then_some(to),
                ..Epilogue::NONE
            };
            let result = plain.dtype.unwrap_or(from);
            let beta = if j == 2 { 0.0 } else { 0.75 };
            let mut tensors = vec![
                cases.input(dims, -1.0, 1.0),
                cases.input(&[outputs, dims[dims.len() - 1]], -1.0, 1.0),
            ];
            if adds {
                tensors.push(cases.input_of(result, added, -1.0, 1.0));
            }
            if bias {
                tensors.push(cases.input(&[outputs], -1.0, 1.0));
            }
            let run = move |x: &[Tensor]| {
                let epilogue = Epilogue {
                    bias: bias.then(|| &x[x.len() - 1]),
                    added: adds.then(|| (beta, &x[2])),
                    ..plain
                };
                linear_with(&x[0], &x[1], epilogue)
            };
            let label = format!(
                "{dims:?} to {outputs} {result}, {activation:?}, bias {bias}, added {adds}"
            );
            cases.add(label, tensors, run, move |x| {
                let product = reference(from, &x[..2]);
                let bias = bias.then(|| &x[x.len() - 1]);
                plain.expected(from, &product, bias, adds.then(|| (beta, &x[2])))
            });
        }
    }
}
