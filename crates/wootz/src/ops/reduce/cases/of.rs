//! The cases of each op.

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
