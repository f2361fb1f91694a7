//! Cases and the reference.

use super::{Pairs, Positions};
use crate::{
    DType, Tensor,
    case::{Cases, Expected, Input},
    reference::Array,
};

/// A unit roundoff of `f32`.
const U: f64 = f32::EPSILON as f64 / 2.0;

/// Shapes around vector widths, and the first position.
const SHAPES: &[(&[usize], i64)] = &[
    (&[1, 2], 0),
    (&[5, 8], 3),
    (&[0, 4], 0),
    (&[3, 0], 0),
    (&[2, 3, 34], 1_000_000),
    (&[2, 3, 5, 64], -7),
    (&[1, 4, 70, 130], 11),
];

pub(super) fn rope(cases: &mut Cases) {
    for pairs in [Pairs::Halves, Pairs::Neighbours] {
        for &(dims, start) in SHAPES {
            let (input, dtype) = (cases.input(dims, -8.0, 8.0), cases.dtype());
            let run = move |x: &[Tensor]| super::rope(&x[0], Positions::From(start), 1e4, pairs);
            let label = format!("{dims:?} from {start} {pairs:?}");
            cases.add(label, vec![input], run, move |x| {
                let along = x[0].dims.len() - 2;
                expected(dtype, &x[0], pairs, |index| {
                    (start + index[along] as i64) as f64
                })
            });
        }
        for integer in [DType::I64, DType::I32, DType::U32] {
            for own in [&[7][..], &[3, 1, 7], &[3, 1, 1], &[1]] {
                let (x, dtype) = (cases.input(&[3, 2, 7, 20], -8.0, 8.0), cases.dtype());
                let positions = cases.input_of(integer, own, 0.0, 50_000.0);
                let run =
                    move |x: &[Tensor]| super::rope(&x[0], Positions::Each(&x[1]), 1e4, pairs);
                let label = format!("positions {integer} {own:?} {pairs:?}");
                let inputs: Vec<Input> = vec![x, positions];
                cases.add(label, inputs, run, move |x| {
                    expected(dtype, &x[0], pairs, |index| x[1].at_broadcast(&index[..3]))
                });
            }
        }
    }
}

fn expected(dtype: DType, x: &Array, pairs: Pairs, position: impl Fn(&[usize]) -> f64) -> Expected {
    let (width, last) = (x.dims[x.dims.len() - 1], x.dims.len() - 1);
    let mut errors = Vec::new();
    let array = Array::from_fn(&x.dims, |index| {
        let i = index[last];
        let (pair, first, other) = match pairs {
            Pairs::Halves => (i % (width / 2), i < width / 2, (i + width / 2) % width),
            Pairs::Neighbours => (i / 2, i % 2 == 0, i ^ 1),
        };
        let mut beside = index.to_vec();
        beside[last] = other;
        let (own, other) = (x.at(index), x.at(&beside));
        let angle = position(index) * 1e4f64.powf(-2.0 * pair as f64 / width as f64);
        // An angle below half a turn rounds by up to 2 units; then the function, by 2 units of a
        // value up to 1, the products and the sum round.
        errors.push((own.abs() + other.abs()) * 7.0 * U);
        let sine = if first { -angle.sin() } else { angle.sin() };
        own * angle.cos() + other * sine
    });
    Expected::within(dtype, array, errors)
}
