//! Cases and references.

use crate::{
    DType, Result, Tensor,
    case::{Cases, Expected, Input},
    cpu::rows::steps,
    reference::Array,
};

/// A unit roundoff of `f32`.
const U: f64 = f32::EPSILON as f64 / 2.0;

/// Shapes and how many of their last axes are normalized: around vector widths and tiles.
const SHAPES: &[(&[usize], usize)] = &[
    (&[1], 1),
    (&[7], 1),
    (&[3, 0], 1),
    (&[0, 3], 1),
    (&[5, 17], 1),
    (&[5, 17], 2),
    (&[3, 1], 1),
    (&[2, 3, 33], 1),
    (&[2, 3, 33], 2),
    (&[3, 1025], 1),
    (&[2, 4099], 1),
];

/// A row's values, normalized, each with the bound of its error.
pub(in crate::ops) fn normal(dtype: DType, row: &[f64], epsilon: f64) -> Vec<(f64, f64)> {
    let (count, steps) = (row.len() as f64, steps(row.len()));
    let mean = row.iter().sum::<f64>() / count;
    let magnitude = row.iter().map(|x| x.abs()).sum::<f64>() / count;
    let squares: f64 = row.iter().map(|x| (x - mean) * (x - mean)).sum();
    let spread = (squares / count + epsilon).sqrt();
    // How many variances the square of the pivot's distance from the mean is at most. Results of half
    // width may come of farther ones: their rounding hides it.
    let reach = if dtype == DType::F32 { 1.0 / 7.0 } else { 16.0 };
    // As for the variance: steps of the sum of squares from a pivot, of which the shift to the mean
    // takes away what lies that far, and the square of how far rounding may set the pivot off; halved
    // by the root.
    let miss = (steps + 2.0) * U * magnitude;
    let scale = (steps + 8.0) * U * ((1.01 + reach) * squares / count + 3.0 * miss * miss)
        / (spread * spread);
    // The shift has the steps of a sum of deviations from the pivot.
    let pivot = (reach * squares / count).sqrt();
    let deviation = row.iter().map(|x| (x - mean).abs()).sum::<f64>() / count + pivot + miss;
    let shift = (steps + 4.0) * U * (deviation + miss) / spread;
    let value = |x: f64| (x - mean) / spread;
    row.iter()
        .map(|&x| (value(x), value(x).abs() * (scale + 4.0 * U) + shift))
        .collect()
}

/// As [`normal`], of the mean square.
fn unit(_: DType, row: &[f64], epsilon: f64) -> Vec<(f64, f64)> {
    let count = row.len() as f64;
    let scale = (row.iter().map(|x| x * x).sum::<f64>() / count + epsilon)
        .sqrt()
        .recip();
    let value = |x: f64| x * scale;
    row.iter()
        .map(|&x| (value(x), value(x).abs() * (steps(row.len()) + 6.0) * U))
        .collect()
}

pub(super) fn layer_norm(cases: &mut Cases) {
    add(
        cases,
        |x, axes, weight, bias| super::layer_norm(x, axes, weight, bias, 1e-5),
        normal,
        3,
    );
}

pub(super) fn rms_norm(cases: &mut Cases) {
    add(
        cases,
        |x, axes, weight, _| super::rms_norm(x, axes, weight, 1e-5),
        unit,
        1,
    );
}

type Call = fn(&Tensor, usize, Option<&Tensor>, Option<&Tensor>) -> Result<Tensor>;
type Reference = fn(DType, &[f64], f64) -> Vec<(f64, f64)>;

/// Cases without and with weight (bit 0 of `most`) and bias (bit 1).
fn add(cases: &mut Cases, call: Call, reference: Reference, most: usize) {
    for &(dims, axes) in SHAPES {
        for affine in 0..=most {
            let input = cases.input(dims, -8.0, 8.0);
            add_one(
                cases,
                format!("{dims:?}"),
                input,
                axes,
                affine,
                call,
                reference,
            );
        }
    }
    let far = cases.input(&[4, 300], 1000.0, 1001.0);
    add_one(
        cases,
        "far from zero".to_owned(),
        far,
        1,
        most,
        call,
        reference,
    );
    let equal = Input::new(cases.dtype(), Array::from_fn(&[2, 40], |_| 3.0));
    add_one(
        cases,
        "all equal".to_owned(),
        equal,
        1,
        most,
        call,
        reference,
    );
    let large = if cases.dtype() == DType::F16 {
        6e4
    } else {
        1e30
    };
    let large = cases.input(&[2, 40], -large, large);
    add_one(cases, "large".to_owned(), large, 1, most, call, reference);
}

fn add_one(
    cases: &mut Cases,
    label: String,
    input: Input,
    axes: usize,
    affine: usize,
    call: Call,
    reference: Reference,
) {
    let (dtype, first) = (input.dtype, input.array.dims.len() - axes);
    let inner = input.array.dims[first..].to_vec();
    let (weighted, biased) = (affine & 1 != 0, affine & 2 != 0);
    let mut inputs = vec![input];
    for _ in 0..affine.count_ones() {
        inputs.push(cases.input(&inner, -2.0, 2.0));
    }
    let label = format!("{label} over {axes}, weight {weighted}, bias {biased}");
    let pick = move |present: bool, index: usize| present.then_some(index);
    let (weight, bias) = (pick(weighted, 1), pick(biased, 1 + usize::from(weighted)));
    let run = move |x: &[Tensor]| call(&x[0], axes, weight.map(|i| &x[i]), bias.map(|i| &x[i]));
    cases.add(label, inputs, run, move |x| {
        let length: usize = inner.iter().product();
        let mut values = x[0].clone();
        let mut errors = Vec::new();
        for row in values.values.chunks_mut(length.max(1)) {
            for (i, (value, error)) in reference(dtype, row, 1e-5).into_iter().enumerate() {
                let weight = weight.map_or(1.0, |w| x[w].values[i]);
                let bias = bias.map_or(0.0, |b| x[b].values[i]);
                row[i] = value * weight + bias;
                // The product and the sum round too.
                let rounding = U * (2.0 * (value * weight).abs() + bias.abs());
                errors.push(error * weight.abs() + rounding);
            }
        }
        Expected::within(dtype, values, errors)
    });
}
