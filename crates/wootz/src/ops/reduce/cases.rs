//! The rows of the table, their cases and their references.

use super::{all, any, argmax, argmin, logsumexp, max, mean, min, norm, prod, sum, var};
use crate::{
    DType, Result, Tensor,
    case::{Cases, Expected, Input},
    cpu::rows::steps,
    reference::Array,
    table::{Bench, Benches, Row},
};

/// A row of a reduction.
macro_rules! row {
    ($name:ident, $summary:expr, $dtypes:expr, |$x:ident| $bench:expr) => {
        Row {
            name: stringify!($name),
            family: "reductions",
            summary: $summary,
            dtypes: $dtypes,
            cases: of::$name,
            benches: Benches::of_tables(|dtype, dims| {
                Some(Bench::passes(dtype, dims, 1, |$x| $bench))
            }),
        }
    };
}

/// The rows of the table.
pub const ROWS: &[Row] = &[
    row!(sum, "the sum over axes", DType::NUMBERS, |x| sum(
        &x[0], -1, false
    )),
    row!(mean, "the mean over axes", DType::FLOATS, |x| mean(
        &x[0], -1, false
    )),
    row!(prod, "the product over axes", DType::NUMBERS, |x| prod(
        &x[0], -1, false
    )),
    row!(max, "the largest element over axes", DType::NUMBERS, |x| {
        max(&x[0], -1, false)
    }),
    row!(min, "the smallest element over axes", DType::NUMBERS, |x| {
        min(&x[0], -1, false)
    }),
    row!(
        argmax,
        "where the largest element along an axis stands",
        DType::NUMBERS,
        |x| { argmax(&x[0], -1, false) }
    ),
    row!(
        argmin,
        "where the smallest element along an axis stands",
        DType::NUMBERS,
        |x| { argmin(&x[0], -1, false) }
    ),
    row!(
        any,
        "whether some element over axes is not zero",
        DType::NUMBERS,
        |x| any(&x[0], -1, false)
    ),
    row!(
        all,
        "whether no element over axes is zero",
        DType::NUMBERS,
        |x| all(&x[0], -1, false)
    ),
    row!(var, "the variance over axes", DType::FLOATS, |x| var(
        &x[0], -1, 1.0, false
    )),
    row!(norm, "the p-norm over axes", DType::FLOATS, |x| norm(
        &x[0], 2.0, -1, false
    )),
    row!(
        logsumexp,
        "ln Σ exp(x) over axes, without overflow",
        DType::FLOATS,
        |x| { logsumexp(&x[0], -1, false) }
    ),
];

/// Unit roundoffs.
const U32: f64 = f32::EPSILON as f64 / 2.0;
const U64: f64 = f64::EPSILON / 2.0;

/// A call, a reference and the bound of its error.
#[derive(Clone, Copy)]
struct Op {
    call: fn(&Tensor, &[isize], bool) -> Result<Tensor>,
    /// The result over these values, and how far one may be from it.
    reference: fn(&[f64]) -> (f64, f64),
    /// The result's type, where it is not the input's.
    out: fn(DType) -> DType,
}

/// Shapes with the axes that go: around vector widths, tiles, strips, blocks and parts.
const SHAPES: &[(&[usize], &[isize])] = &[
    (&[], &[]),
    (&[1], &[0]),
    (&[7], &[0]),
    (&[5, 17], &[-1]),
    (&[5, 17], &[0]),
    (&[5, 17], &[]),
    (&[33, 1], &[0]),
    (&[2, 3, 33], &[1]),
    (&[2, 3, 33], &[0, 2]),
    (&[4, 2, 3, 20], &[1, 3]),
    (&[1, 257, 1, 3], &[1, 2]),
    (&[3, 0, 2], &[0]),
    (&[70, 130], &[0]),
    (&[3, 4099], &[1]),
    (&[40, 530], &[0]),
    (&[4, 150], &[0, 1]),
];
/// Shapes without elements to reduce.
const EMPTY: &[(&[usize], &[isize])] = &[(&[0], &[0]), (&[3, 0, 2], &[1]), (&[2, 0], &[0, 1])];
/// Shapes that are cut into parts.
const LARGE: &[(&[usize], &[isize])] = &[(&[131_100], &[0]), (&[5000, 30], &[0])];

/// Adds a case for each of `shapes`, with inputs that `input` makes.
fn add(
    cases: &mut Cases,
    shapes: &[(&[usize], &'static [isize])],
    mut input: impl FnMut(&mut Cases, &[usize]) -> Input,
    op: Op,
) {
    for &(dims, over) in shapes {
        let input = input(cases, dims);
        add_one(cases, format!("{dims:?} over {over:?}"), input, over, op);
    }
}

fn add_one(cases: &mut Cases, label: String, input: Input, over: &'static [isize], op: Op) {
    let keep = over.len() == 1 && input.array.dims.len() > 1;
    let out = (op.out)(cases.dtype());
    let run = move |x: &[Tensor]| (op.call)(&x[0], over, keep);
    cases.add(label, vec![input], run, move |x| {
        expected(&x[0], over, keep, op.reference, out)
    });
}

fn expected(
    x: &Array,
    over: &[isize],
    keep: bool,
    reference: fn(&[f64]) -> (f64, f64),
    out: DType,
) -> Expected {
    let axes: Vec<usize> = over
        .iter()
        .map(|&axis| axis.rem_euclid(x.dims.len() as isize) as usize)
        .collect();
    let (mut dims, lanes) = x.over(&axes);
    let (values, errors) = lanes.iter().map(|lane| reference(lane)).unzip();
    if !keep {
        dims = (0..dims.len())
            .filter(|axis| !axes.contains(axis))
            .map(|axis| dims[axis])
            .collect();
    }
    Expected::within(out, Array { dims, values }, errors)
}

/// Rows each with one of the values that go wrong first.
fn specials(cases: &mut Cases) -> Input {
    let special = cases.specials().array.values;
    let array = Array::from_fn(&[special.len(), 19], |index| {
        if index[1] == 11 {
            special[index[0]]
        } else {
            (index[1] % 3) as f64
        }
    });
    Input::new(cases.dtype(), array)
}

fn spread(low: f64, high: f64) -> impl FnMut(&mut Cases, &[usize]) -> Input {
    move |cases, dims| cases.input(dims, low, high)
}

/// The usual cases of a reduction.
fn usual(cases: &mut Cases, low: f64, high: f64, op: Op) {
    add(cases, SHAPES, spread(low, high), op);
    add(cases, LARGE, spread(low, high), op);
    let input = specials(cases);
    add_one(cases, "specials".to_owned(), input.clone(), &[1], op);
    add_one(cases, "specials over rows".to_owned(), input, &[0], op);
}

fn same(dtype: DType) -> DType {
    dtype
}

/// The cases of each op.
mod of {
    use super::*;

    pub(super) fn sum(cases: &mut Cases) {
        let call = |x: &Tensor, over: &[isize], keep| super::sum(x, over, keep);
        let op = if cases.dtype().is_float() {
            Op {
                call,
                reference: floats::sum,
                out: same,
            }
        } else {
            Op {
                call,
                reference: integers::sum,
                out: |_| DType::I64,
            }
        };
        usual(cases, -8.0, 8.0, op);
        add(cases, EMPTY, spread(0.0, 1.0), op);
    }

    pub(super) fn mean(cases: &mut Cases) {
        let call = |x: &Tensor, over: &[isize], keep| super::mean(x, over, keep);
        let op = Op {
            call,
            reference: floats::mean,
            out: same,
        };
        usual(cases, -8.0, 8.0, op);
        add(cases, EMPTY, spread(0.0, 1.0), op);
    }

    pub(super) fn prod(cases: &mut Cases) {
        let call = |x: &Tensor, over: &[isize], keep| super::prod(x, over, keep);
        let (low, high, op) = if cases.dtype().is_float() {
            (
                0.75,
                1.33,
                Op {
                    call,
                    reference: floats::product,
                    out: same,
                },
            )
        } else {
            (
                1.0,
                4.0,
                Op {
                    call,
                    reference: integers::product,
                    out: |_| DType::I64,
                },
            )
        };
        usual(cases, low, high, op);
        add(cases, EMPTY, spread(0.0, 1.0), op);
    }

    pub(super) fn max(cases: &mut Cases) {
        let call = |x: &Tensor, over: &[isize], keep| super::max(x, over, keep);
        let reference = |x: &[f64]| (x[pick(x, |a, b| a > b)], 0.0);
        usual(
            cases,
            -90.0,
            90.0,
            Op {
                call,
                reference,
                out: same,
            },
        );
    }

    pub(super) fn min(cases: &mut Cases) {
        let call = |x: &Tensor, over: &[isize], keep| super::min(x, over, keep);
        let reference = |x: &[f64]| (x[pick(x, |a, b| a < b)], 0.0);
        usual(
            cases,
            -90.0,
            90.0,
            Op {
                call,
                reference,
                out: same,
            },
        );
    }

    pub(super) fn argmax(cases: &mut Cases) {
        let call = |x: &Tensor, over: &[isize], keep| super::argmax(x, over, keep);
        let reference = |x: &[f64]| (pick(x, |a, b| a > b) as f64, 0.0);
        places(
            cases,
            Op {
                call,
                reference,
                out: |_| DType::I64,
            },
        );
    }

    pub(super) fn argmin(cases: &mut Cases) {
        let call = |x: &Tensor, over: &[isize], keep| super::argmin(x, over, keep);
        let reference = |x: &[f64]| (pick(x, |a, b| a < b) as f64, 0.0);
        places(
            cases,
            Op {
                call,
                reference,
                out: |_| DType::I64,
            },
        );
    }

    /// Cases with values of which many are equal and with all different ones.
    fn places(cases: &mut Cases, op: Op) {
        add(cases, SHAPES, spread(-90.0, 90.0), op);
        add(cases, LARGE, spread(-90.0, 90.0), op);
        let few = |cases: &mut Cases, dims: &[usize]| {
            let input = cases.input(dims, -3.0, 3.0);
            Input::new(input.dtype, input.array.map(f64::floor))
        };
        add(cases, SHAPES, few, op);
        let input = specials(cases);
        add_one(cases, "specials".to_owned(), input.clone(), &[1], op);
        add_one(cases, "specials over rows".to_owned(), input, &[0], op);
    }

    pub(super) fn any(cases: &mut Cases) {
        let call = |x: &Tensor, over: &[isize], keep| super::any(x, over, keep);
        let reference = |x: &[f64]| (f64::from(u8::from(x.iter().any(|&x| x != 0.0))), 0.0);
        truths(
            cases,
            0.95,
            Op {
                call,
                reference,
                out: |_| DType::U8,
            },
        );
    }

    pub(super) fn all(cases: &mut Cases) {
        let call = |x: &Tensor, over: &[isize], keep| super::all(x, over, keep);
        let reference = |x: &[f64]| (f64::from(u8::from(x.iter().all(|&x| x != 0.0))), 0.0);
        truths(
            cases,
            0.05,
            Op {
                call,
                reference,
                out: |_| DType::U8,
            },
        );
    }

    /// Cases where this share of the elements is zero.
    fn truths(cases: &mut Cases, zeros: f64, op: Op) {
        let sparse = |cases: &mut Cases, dims: &[usize]| {
            let mut input = cases.input(dims, 1.0, 9.0);
            for value in &mut input.array.values {
                if cases.uniform() < zeros {
                    *value = 0.0;
                }
            }
            input
        };
        add(cases, SHAPES, sparse, op);
        add(cases, EMPTY, sparse, op);
        let input = specials(cases);
        add_one(cases, "specials".to_owned(), input.clone(), &[1], op);
        add_one(cases, "specials over rows".to_owned(), input, &[0], op);
    }

    pub(super) fn var(cases: &mut Cases) {
        let sample = Op {
            call: |x, over, keep| super::var(x, over, 1.0, keep),
            reference: |x| floats::variance(x, 1.0),
            out: same,
        };
        let whole = Op {
            call: |x, over, keep| super::var(x, over, 0.0, keep),
            reference: |x| floats::variance(x, 0.0),
            out: same,
        };
        usual(cases, -8.0, 8.0, whole);
        add(cases, SHAPES, spread(-8.0, 8.0), sample);
        add(cases, EMPTY, spread(0.0, 1.0), whole);
        // Far from zero the digits of the mean swamp those of the deviations.
        add(cases, SHAPES, spread(1000.0, 1001.0), sample);
    }

    pub(super) fn norm(cases: &mut Cases) {
        macro_rules! power {
            ($p:expr) => {
                Op {
                    call: |x, over, keep| super::norm(x, $p, over, keep),
                    reference: |x| floats::norm(x, $p),
                    out: same,
                }
            };
        }
        for op in [
            power!(0.0),
            power!(1.0),
            power!(2.0),
            power!(f64::INFINITY),
            power!(3.5),
        ] {
            add(cases, SHAPES, spread(-8.0, 8.0), op);
            add(cases, EMPTY, spread(0.0, 1.0), op);
            let input = specials(cases);
            add_one(cases, "specials".to_owned(), input.clone(), &[1], op);
            add_one(cases, "specials over rows".to_owned(), input, &[0], op);
        }
        add(cases, LARGE, spread(-8.0, 8.0), power!(2.0));
    }

    pub(super) fn logsumexp(cases: &mut Cases) {
        let call = |x: &Tensor, over: &[isize], keep| super::logsumexp(x, over, keep);
        let op = Op {
            call,
            reference: floats::logsumexp,
            out: same,
        };
        usual(cases, -8.0, 8.0, op);
        add(cases, SHAPES, spread(-900.0, 900.0), op);
        add(cases, EMPTY, spread(0.0, 1.0), op);
        let nothing = Array::from_fn(&[2, 9], |_| f64::NEG_INFINITY);
        let input = Input::new(cases.dtype(), nothing);
        add_one(cases, "nothing but −∞".to_owned(), input, &[1], op);
    }
}

/// The first place of a NaN, else of the value that is `better` than all others.
fn pick(x: &[f64], better: fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (i, &value) in x.iter().enumerate() {
        if !x[best].is_nan() && (value.is_nan() || better(value, x[best])) {
            best = i;
        }
    }
    best
}

/// References of integers, exact in 64 bits.
mod integers {
    pub(super) fn sum(x: &[f64]) -> (f64, f64) {
        (
            x.iter().fold(0i64, |acc, &x| acc.wrapping_add(x as i64)) as f64,
            0.0,
        )
    }

    pub(super) fn product(x: &[f64]) -> (f64, f64) {
        (
            x.iter().fold(1i64, |acc, &x| acc.wrapping_mul(x as i64)) as f64,
            0.0,
        )
    }
}

/// References of floats, with bounds for the steps that each kernel makes.
mod floats {
    use super::{U32, U64, steps};

    fn magnitude(x: &[f64]) -> f64 {
        x.iter().map(|x| x.abs()).sum()
    }

    pub(super) fn sum(x: &[f64]) -> (f64, f64) {
        (x.iter().sum(), steps(x.len()) * U32 * magnitude(x))
    }

    pub(super) fn mean(x: &[f64]) -> (f64, f64) {
        let ((sum, error), count) = (sum(x), x.len() as f64);
        (sum / count, error / count)
    }

    pub(super) fn product(x: &[f64]) -> (f64, f64) {
        let product: f64 = x.iter().product();
        (product, product.abs() * x.len() as f64 * U64 * 32.0)
    }

    /// Each deviation from a pivot and its square rounds, and the steps of their sum, of which the
    /// shift to the mean takes away an eighth at most, and what the mean's own steps lose.
    pub(super) fn variance(x: &[f64], correction: f64) -> (f64, f64) {
        let (count, steps) = (x.len() as f64, steps(x.len()));
        let mean = x.iter().sum::<f64>() / count;
        let squares: f64 = x.iter().map(|x| (x - mean) * (x - mean)).sum();
        let miss = (steps + 2.0) * U32 * magnitude(x) / count;
        let error = (steps + 8.0) * U32 * (1.15 * squares + 3.0 * count * miss * miss);
        let freedom = (count - correction).max(0.0);
        (squares / freedom, error / freedom)
    }

    pub(super) fn norm(x: &[f64], p: f64) -> (f64, f64) {
        let magnitudes = || x.iter().map(|x| x.abs());
        let value = if p == 0.0 {
            magnitudes().filter(|&x| x != 0.0).count() as f64
        } else if p == f64::INFINITY {
            magnitudes().fold(0.0, |acc, x| if x.is_nan() || x > acc { x } else { acc })
        } else {
            magnitudes().map(|x| x.powf(p)).sum::<f64>().powf(1.0 / p)
        };
        if ![0.0, 1.0, 2.0, f64::INFINITY].contains(&p) {
            // Of the powers, which may be four units of `f32` off, and of the root.
            return (value, value * 16.0 * U32);
        }
        // Each power, sum and root, here and there. Where there is no `f64` they are sums of two
        // floats.
        (value, value * (x.len() as f64 + 8.0) * U64 * 32.0)
    }

    /// The exponent's rounding grows with how far `x` lies below the maximum, weighted by what it
    /// contributes; the exponential's own error is two units, and the sum has its steps.
    pub(super) fn logsumexp(x: &[f64]) -> (f64, f64) {
        let max = x.iter().fold(
            f64::NEG_INFINITY,
            |max, &x| if x.is_nan() { x } else { max.max(x) },
        );
        if !max.is_finite() {
            return (
                if x.iter().any(|x| x.is_nan()) {
                    f64::NAN
                } else {
                    max
                },
                0.0,
            );
        }
        let powers = || x.iter().map(|x| (x - max).exp());
        let sum: f64 = powers().sum();
        let depth: f64 = powers()
            .zip(x)
            .map(|(power, x)| power * (max - x).min(104.0))
            .sum();
        (max + sum.ln(), (steps(x.len()) + 6.0 + depth / sum) * U32)
    }
}
