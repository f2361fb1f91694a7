//! Cases and references.

use crate::{
    DType, Result, Tensor,
    case::{Cases, Expected, Input},
    cpu::{math::rough, rows::steps},
    reference::Array,
};

/// A unit roundoff of `f32`.
const U: f64 = f32::EPSILON as f64 / 2.0;
/// What `math::rough` allows.
const ROUGH: f64 = rough::ULPS * 2.0 * U;

pub(super) fn softmax(cases: &mut Cases) {
    add(cases, super::softmax, |dtype, lane| {
        let all = All::of(lane);
        let value = |x: f64| (x - all.max).exp() / all.sum;
        // The exponent rounds and its unit is off by a quarter of a unit roundoff, the exponential
        // is off by three, or as `math::rough` says together with the sum of them, and the scaling
        // rounds; below the normal range each of the two steps loses half of the least number.
        let power = if dtype == DType::BF16 { ROUGH } else { 0.0 };
        let error = |x: f64| {
            let depth = (all.max - x).min(104.0);
            value(x) * (all.error + power + (1.25 * depth + 4.0) * U) + f64::from(f32::from_bits(1))
        };
        lane.iter().map(|&x| (value(x), error(x))).collect()
    });
}

pub(super) fn log_softmax(cases: &mut Cases) {
    add(cases, super::log_softmax, |_, lane| {
        let all = All::of(lane);
        let value = |x: f64| x - all.max - all.sum.ln();
        // The distance, the logarithm and their difference round.
        let error = |x: f64| all.error + U * (all.max - x + all.sum.ln() + value(x).abs());
        lane.iter().map(|&x| (value(x), error(x))).collect()
    });
}

/// What a lane has in common.
struct All {
    max: f64,
    sum: f64,
    /// Bound of the sum's relative error.
    error: f64,
}

impl All {
    fn of(lane: &[f64]) -> All {
        let max = lane.iter().fold(f64::NEG_INFINITY, |max, &x| max.max(x));
        let powers = || lane.iter().map(|x| (x - max).exp());
        let sum: f64 = powers().sum();
        let depth: f64 = powers()
            .zip(lane)
            .map(|(p, x)| p * (max - x).clamp(0.0, 104.0))
            .sum();
        All {
            max,
            sum,
            error: (steps(lane.len()) + 4.0 + 1.25 * depth / sum) * U,
        }
    }
}

type Call = fn(&Tensor, isize) -> Result<Tensor>;
type Reference = fn(DType, &[f64]) -> Vec<(f64, f64)>;

/// Shapes around vector widths, tiles, strips, and what is kept.
const SHAPES: &[&[usize]] = &[
    &[1],
    &[7],
    &[3, 0],
    &[0, 3],
    &[5, 17],
    &[2, 3, 33],
    &[2, 70, 40],
    &[2, 300, 16],
    &[3, 1025],
    &[1, 300, 1, 5],
    &[2, 4099],
    &[16_400],
    &[66, 515],
];

fn add(cases: &mut Cases, call: Call, reference: Reference) {
    for dims in SHAPES {
        for axis in 0..dims.len() {
            let input = cases.input(dims, -8.0, 8.0);
            add_one(
                cases,
                format!("{dims:?} axis {axis}"),
                input,
                axis,
                call,
                reference,
            );
        }
    }
    let input = cases.input(&[9, 70], -200.0, 90.0);
    add_one(cases, "wide range".to_owned(), input, 1, call, reference);
    let special = cases.specials().array.values;
    let array = Array::from_fn(&[special.len(), 21], |index| {
        if index[1] == 11 {
            special[index[0]]
        } else {
            (index[1] % 3) as f64
        }
    });
    let input = Input::new(cases.dtype(), array);
    for axis in [0, 1] {
        add_one(
            cases,
            format!("specials axis {axis}"),
            input.clone(),
            axis,
            call,
            reference,
        );
    }
    let nothing = Input::new(
        cases.dtype(),
        Array::from_fn(&[2, 9], |_| f64::NEG_INFINITY),
    );
    add_one(
        cases,
        "nothing but −∞".to_owned(),
        nothing,
        1,
        call,
        reference,
    );
}

fn add_one(
    cases: &mut Cases,
    label: String,
    input: Input,
    axis: usize,
    call: Call,
    reference: Reference,
) {
    let dtype = input.dtype;
    let run = move |x: &[Tensor]| call(&x[0], axis as isize);
    cases.add(label, vec![input], run, move |x| {
        let values = x[0].map_lanes(axis, |lane| {
            reference(dtype, lane).iter().map(|r| r.0).collect()
        });
        let errors = x[0].map_lanes(axis, |lane| {
            reference(dtype, lane).iter().map(|r| r.1).collect()
        });
        Expected::within(dtype, values, errors.values)
    });
}
