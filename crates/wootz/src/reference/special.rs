//! Functions that the standard library lacks, in `f64`.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LN_2, PI};

/// Inverse hyperbolic sine; the standard library's loses small and huge arguments.
pub fn asinh(x: f64) -> f64 {
    let size = x.abs();
    let far = size.ln() + LN_2;
    let near = (size + size * size / (1.0 + (size * size + 1.0).sqrt())).ln_1p();
    (if size > 1e9 { far } else { near }).copysign(x)
}

/// The logistic function.
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `x·sigmoid(x)`, with its limit at −∞.
pub fn silu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY {
        -0.0
    } else {
        x * sigmoid(x)
    }
}

/// `ln(1 + e^x)`.
pub fn softplus(x: f64) -> f64 {
    if x > 0.0 {
        x + (-x).exp().ln_1p()
    } else {
        x.exp().ln_1p()
    }
}

/// Error function.
pub fn erf(x: f64) -> f64 {
    if x.abs() < 2.0 {
        x * erf_ratio(x)
    } else {
        (1.0 - erfc_far(x.abs())).copysign(x)
    }
}

/// `x·Φ(x)`, with its limit at −∞.
pub fn gelu(x: f64) -> f64 {
    let z = x.abs() * FRAC_1_SQRT_2;
    let erfc = if z < 2.0 {
        1.0 - z * erf_ratio(z)
    } else {
        erfc_far(z)
    };
    let tail = if x.is_infinite() {
        0.0
    } else {
        0.5 * x.abs() * erfc
    };
    if x < 0.0 { -tail } else { x - tail }
}

/// `x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2`, with its limit at −∞.
pub fn gelu_tanh(x: f64) -> f64 {
    let w = (8.0 / PI).sqrt() * (x + 0.044715 * x.powi(3));
    if w < -700.0 { -0.0 } else { x * sigmoid(w) }
}

/// erf(x)/x by its series, for small `x`.
fn erf_ratio(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..60 {
        term *= -x * x / f64::from(k);
        sum += term / f64::from(2 * k + 1);
    }
    sum * FRAC_2_SQRT_PI
}

/// erfc(x) for `x ≥ 2` by its continued fraction.
fn erfc_far(x: f64) -> f64 {
    let fraction = (1..200)
        .rev()
        .fold(x, |rest, k| x + f64::from(k) / 2.0 / rest);
    (-x * x).exp() / fraction / PI.sqrt()
}
