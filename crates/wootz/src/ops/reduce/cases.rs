//! The rows of the table, their cases and their references.

mod floats;
mod of;

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
