//! Largest error of each function, in ulps, over a dense sample of all `f32`, at every level.

use crate::cpu::math::{self, rough::Parts};
use crate::cpu::simd::{Job, Level, Simd, dispatch};
use crate::reference;

/// Bit patterns between two samples: a prime, so that the samples meet every mantissa.
const STEP: usize = 9_973;

/// How far `got` is from `want`, in units of the last place that an `f32` near `want` has.
fn ulps(got: f32, want: f64) -> f64 {
    if want.is_nan() || got.is_nan() {
        return if want.is_nan() && got.is_nan() {
            0.0
        } else {
            f64::INFINITY
        };
    }
    if f64::from(got) == want || got == want as f32 {
        // Also where both are infinite; zeros must agree in sign.
        return if got == 0.0 && got.is_sign_negative() != want.is_sign_negative() {
            f64::INFINITY
        } else {
            0.0
        };
    }
    let exponent = (want.abs().log2().floor() as i32).clamp(-126, 127);
    (f64::from(got) - want).abs() / f64::from(exponent - 23).exp2()
}

/// Every sampled `f32`, and those around special values.
fn samples() -> impl Iterator<Item = f32> {
    let dense = (0..=u32::MAX).step_by(STEP).map(f32::from_bits);
    let edges = [
        0.0f32,
        0.5,
        1.0,
        2.0,
        88.0,
        104.0,
        16.0,
        f32::MIN_POSITIVE,
        f32::MAX,
        f32::INFINITY,
    ];
    let near = edges.into_iter().flat_map(|edge| {
        (-2..=2i32).map(move |d| f32::from_bits(edge.to_bits().wrapping_add_signed(d)))
    });
    dense.chain(near.flat_map(|x| [x, -x]))
}

/// Applies a function of two vectors to slices, a vector at a time.
macro_rules! apply {
    ($($f:ident)::+, $x:expr, $y:expr) => {{
        struct Run<'a>(&'a [f32], &'a [f32], &'a mut [f32]);
        impl Job for Run<'_> {
            type Output = ();
            #[inline(always)]
            fn run<S: Simd>(self, s: S) {
                let out = self.2.chunks_mut(S::LANES);
                for ((x, y), out) in self.0.chunks(S::LANES).zip(self.1.chunks(S::LANES)).zip(out) {
                    let (x, y) = (s.load_first(x, 0.0), s.load_first(y, 0.0));
                    s.store_first(out, apply!(@call $($f)::+, s, x, y));
                }
            }
        }
        let mut out = vec![0.0; $x.len()];
        dispatch(Run($x, $y, &mut out));
        out
    }};
    (@call atan2, $s:ident, $x:ident, $y:ident) => { math::atan2($s, $x, $y) };
    (@call pow, $s:ident, $x:ident, $y:ident) => { math::pow($s, $x, $y) };
    (@call rem, $s:ident, $x:ident, $y:ident) => { math::rem($s, $x, $y) };
    (@call $($f:ident)::+, $s:ident, $x:ident, $y:ident) => {{ let _ = $y; math::$($f)::+($s, $x) }};
}

/// Checks outputs at every level the machine has against `want`, within `bound` ulps.
fn check(
    x: &[f32],
    y: &[f32],
    run: impl Fn() -> Vec<f32>,
    want: impl Fn(f64, f64) -> f64,
    bound: f64,
) {
    let want: Vec<f64> = x
        .iter()
        .zip(y)
        .map(|(x, y)| want((*x).into(), (*y).into()))
        .collect();
    for level in Level::ALL {
        let Some(got) = level.scoped(&run) else {
            continue;
        };
        let mut worst = (0.0, 0);
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let error = ulps(*got, *want);
            if error > worst.0 {
                worst = (error, i);
            }
        }
        let (error, i) = worst;
        println!("{level}: {error:.2} ulp at {:e}, {:e}", x[i], y[i]);
        assert!(
            error <= bound,
            "{level}: {error} ulp at ({:e}, {:e}): {:e} is not {:e}",
            x[i],
            y[i],
            got[i],
            want[i]
        );
    }
}

macro_rules! unary {
    ($($f:ident <= $bound:expr, $want:expr;)*) => {$(
        #[test]
        fn $f() {
            let x: Vec<f32> = samples().collect();
            check(&x, &x, || apply!($f, &x, &x), |x, _| $want(x), $bound);
        }
    )*};
}

unary! {
    exp <= 1.0, f64::exp;
    exp2 <= 1.0, f64::exp2;
    expm1 <= 1.5, f64::exp_m1;
    log <= 1.0, f64::ln;
    log2 <= 1.5, f64::log2;
    log1p <= 1.5, f64::ln_1p;
    sin <= 1.5, f64::sin;
    cos <= 1.5, f64::cos;
    tan <= 4.0, f64::tan;
    asin <= 3.0, f64::asin;
    acos <= 3.0, f64::acos;
    atan <= 2.0, f64::atan;
    sinh <= 3.0, f64::sinh;
    cosh <= 2.5, f64::cosh;
    tanh <= 2.5, f64::tanh;
    asinh <= 4.0, reference::asinh;
    acosh <= 4.0, f64::acosh;
    atanh <= 4.0, f64::atanh;
    sigmoid <= 3.0, reference::sigmoid;
    silu <= 3.5, reference::silu;
    softplus <= 2.5, reference::softplus;
    erf <= 2.0, reference::erf;
    gelu <= 8.0, reference::gelu;
    relu <= 0.0, |x: f64| if x < 0.0 { 0.0 } else { x };
}

/// As `unary`, of the functions of `math::rough` and every bf16; beside the largest mantissa an ulp
/// is only half as much of the number.
macro_rules! rough {
    ($($name:ident $f:ident, $want:expr;)*) => {mod rough {$(
        #[test]
        fn $name() {
            use super::*;
            let x: Vec<f32> = (0..=u16::MAX).map(|bits| half::bf16::from_bits(bits).to_f32()).collect();
            check(&x, &x, || apply!(rough::$f::whole, &x, &x), |x, _| $want(x), 2.0 * math::rough::ULPS);
        }
    )*}};
}

rough! {
    exp Exp, f64::exp;
    sigmoid Sigmoid, reference::sigmoid;
    silu Silu, reference::silu;
    gelu Gelu, reference::gelu;
    gelu_tanh GeluTanh, reference::gelu_tanh;
}

/// The argument of the exponential, up to 2·46, is off by three roundings, and what the exponential
/// makes of that comes on top of its own error.
#[test]
fn gelu_tanh() {
    let x: Vec<f32> = samples().collect();
    let near: Vec<f32> = x
        .iter()
        .copied()
        .filter(|x| x.is_nan() || x.abs() <= 1.0)
        .collect();
    check(
        &near,
        &near,
        || apply!(gelu_tanh, &near, &near),
        |x, _| reference::gelu_tanh(x),
        6.0,
    );
    check(
        &x,
        &x,
        || apply!(gelu_tanh, &x, &x),
        |x, _| reference::gelu_tanh(x),
        4.0 + 3.0 * 92.0,
    );
}

/// Pairs of samples in an order that mixes them.
fn pairs() -> (Vec<f32>, Vec<f32>) {
    let x: Vec<f32> = samples().collect();
    let far = x
        .iter()
        .cycle()
        .skip(x.len() / 3 * 2 + 41)
        .step_by(7)
        .take(x.len());
    let near = x
        .iter()
        .enumerate()
        .map(|(i, x)| x * (0.5 + (i % 1009) as f32 / 500.0));
    let both = x.iter().chain(&x).copied().collect();
    (both, far.copied().chain(near).collect())
}

#[test]
fn atan2_by_pairs() {
    let (y, x) = pairs();
    check(&y, &x, || apply!(atan2, &y, &x), f64::atan2, 3.0);
}

#[test]
fn rem_by_pairs() {
    let (a, b) = pairs();
    check(&a, &b, || apply!(rem, &a, &b), |a, b| a % b, 0.0);
}

#[test]
fn pow_by_pairs() {
    let (a, b) = pairs();
    check(&a, &b, || apply!(pow, &a, &b), f64::powf, 4.0);
    // Exponents that keep the result in range, where most uses are.
    let b: Vec<f32> = a
        .iter()
        .zip(&b)
        .map(|(a, b)| (b.to_bits() % 2048) as f32 / 1024.0 * 126.0 / a.abs().log2())
        .collect();
    check(&a, &b, || apply!(pow, &a, &b), f64::powf, 4.0);
    // Whole exponents, for the signs.
    let b: Vec<f32> = b.iter().map(|b| b.round()).collect();
    check(&a, &b, || apply!(pow, &a, &b), f64::powf, 4.0);
}
