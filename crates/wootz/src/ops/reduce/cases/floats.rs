//! References of floats, with bounds for the steps that each kernel makes.

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
