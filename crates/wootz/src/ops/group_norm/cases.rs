//! Cases and the reference.

use crate::{
    DType, Tensor,
    case::{Cases, Expected},
    ops::layer_norm::normal,
    reference::Array,
};

/// A unit roundoff of `f32`.
const U: f64 = f32::EPSILON as f64 / 2.0;

/// Shapes and groups.
const SHAPES: &[(&[usize], usize)] = &[
    (&[1, 1], 1),
    (&[3, 12], 3),
    (&[3, 12], 12),
    (&[2, 6, 5], 2),
    (&[2, 6, 5, 7], 3),
    (&[2, 4, 1, 1], 2),
    (&[1, 4, 40, 33], 2),
    (&[0, 4, 3], 2),
    (&[2, 4, 0], 2),
];

pub(super) fn group_norm(cases: &mut Cases) {
    for &(dims, groups) in SHAPES {
        for (weighted, biased) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut inputs = vec![cases.input(dims, -8.0, 8.0)];
            let affine = usize::from(weighted) + usize::from(biased);
            inputs.extend((0..affine).map(|_| cases.input(&[dims[1]], -2.0, 2.0)));
            let label = format!("{dims:?} groups {groups}, weight {weighted}, bias {biased}");
            let weight = weighted.then_some(1);
            let bias = biased.then_some(1 + usize::from(weighted));
            let dtype = cases.dtype();
            let run = move |x: &[Tensor]| {
                let (weight, bias) = (weight.map(|i| &x[i]), bias.map(|i| &x[i]));
                super::group_norm(&x[0], groups, weight, bias, 1e-5)
            };
            cases.add(label, inputs, run, move |x| {
                let of = |index: Option<usize>| index.map(|index: usize| &x[index]);
                let (values, errors) = reference(dtype, &x[0], groups, of(weight), of(bias));
                Expected::within(dtype, values, errors)
            });
        }
    }
}

fn reference(
    dtype: DType,
    x: &Array,
    groups: usize,
    weight: Option<&Array>,
    bias: Option<&Array>,
) -> (Array, Vec<f64>) {
    let (mut out, mut errors) = (x.clone(), Vec::new());
    let (samples, channels) = (x.dims[0], x.dims[1]);
    let area: usize = x.dims[2..].iter().product();
    let length = (area * channels / groups).max(1);
    for (unit, group) in out.values.chunks_mut(length).enumerate() {
        debug_assert!(unit < samples * groups);
        for (i, (value, error)) in normal(dtype, group, 1e-5).into_iter().enumerate() {
            let channel = unit % groups * (channels / groups) + i / area;
            let weight = weight.map_or(1.0, |weight| weight.values[channel]);
            let bias = bias.map_or(0.0, |bias| bias.values[channel]);
            group[i] = value * weight + bias;
            // Weight and scale, shift and bias are multiplied first, each with a rounding.
            let rounding = U * (3.0 * (value * weight).abs() + 2.0 * bias.abs());
            errors.push(error * weight.abs() + rounding);
        }
    }
    (out, errors)
}
