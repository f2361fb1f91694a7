//! The conformance suite as a product: every op, against an `f64` reference, on a device of yours.
//!
//! Each case runs in several dresses: the same values in contiguous memory, in the middle of a
//! larger buffer, with axes in another order, and backwards. What a layout looks like must not
//! change what comes out.

mod all;

pub use all::check_all;

use crate::{
    DType, Device, Element, Result, Tensor,
    case::{Case, Cases, Expected, Input, round_to},
    reference::Array,
    table::Row,
    with_dtype,
};
use std::sync::atomic::{AtomicUsize, Ordering};

/// How an op did.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The op.
    pub op: &'static str,
    /// The device's name.
    pub device: &'static str,
    /// The element type.
    pub dtype: DType,
    /// Number of cases, each in every dress.
    pub cases: usize,
    /// How many failed.
    pub failed: usize,
    /// The worst error, as a multiple of its bound.
    pub worst: f64,
    /// What the first failed case got and wanted.
    pub failure: Option<String>,
}

impl Outcome {
    /// Adds what became of other cases of the same check.
    fn add(&mut self, other: Outcome) {
        self.cases += other.cases;
        self.failed += other.failed;
        self.worst = self.worst.max(other.worst);
        self.failure = self.failure.take().or(other.failure);
    }
}

/// The cases of an op in an element type on a device, to be shared by any number of threads.
struct Check {
    device: Device,
    op: &'static str,
    dtype: DType,
    cases: Vec<Case>,
    /// Cases in their dresses that somebody has begun with.
    begun: AtomicUsize,
}

/// Runs all cases of `row` for `dtype` on `device`.
pub fn check(device: Device, row: &Row, dtype: DType) -> Outcome {
    Check::new(device, row, dtype).work()
}

impl Check {
    fn new(device: Device, row: &Row, dtype: DType) -> Check {
        let mut cases = Cases::new(dtype);
        (row.cases)(&mut cases);
        Check {
            device,
            op: row.name,
            dtype,
            cases: cases.finish(),
            begun: AtomicUsize::new(0),
        }
    }

    /// Runs cases until none is left to begin with.
    fn work(&self) -> Outcome {
        let mut outcome = Outcome {
            op: self.op,
            device: self.device.name(),
            dtype: self.dtype,
            cases: 0,
            failed: 0,
            worst: 0.0,
            failure: None,
        };
        loop {
            let at = self.begun.fetch_add(1, Ordering::Relaxed);
            let Some(case) = self.cases.get(at / Dress::ALL.len()) else {
                return outcome;
            };
            let dress = Dress::ALL[at % Dress::ALL.len()];
            outcome.cases += 1;
            match run(self.device, case, dress) {
                Ok(error) => outcome.worst = outcome.worst.max(error),
                Err(Failure { error, text }) => {
                    outcome.failed += 1;
                    outcome.worst = outcome.worst.max(error);
                    let text = format!("{} ({dress:?}): {text}", case.label);
                    outcome.failure.get_or_insert(text);
                }
            }
        }
    }
}

struct Failure {
    error: f64,
    text: String,
}

fn run(device: Device, case: &Case, dress: Dress) -> Result<f64, Failure> {
    let broken = |text: String| Failure {
        error: f64::INFINITY,
        text,
    };
    let inputs: Result<Vec<Tensor>> = case
        .inputs
        .iter()
        .map(|input| dress.tensor(device, input))
        .collect();
    let got = inputs
        .and_then(|inputs| (case.run)(&inputs))
        .map_err(|e| broken(e.to_string()))?;
    let arrays: Vec<Array> = case
        .inputs
        .iter()
        .map(|input| input.array.clone())
        .collect();
    let (want, flushed) = expectations(device, case, &arrays);
    if (got.dims(), got.dtype()) != (&want.array.dims[..], want.dtype) {
        let (dims, dtype) = (got.dims(), got.dtype());
        return Err(broken(format!(
            "got {dtype} {dims:?}, want {} {:?}",
            want.dtype, want.array.dims
        )));
    }
    let values = values_of(&got).map_err(|e| broken(e.to_string()))?;
    compare(&values, &want, flushed.as_ref())
}

/// What must come out; and, of a device that may take the least `f32` for zero, what else may: what
/// follows from such operands being zero. Such results may be off by as much.
fn expectations(device: Device, case: &Case, arrays: &[Array]) -> (Expected, Option<Expected>) {
    let mut want = (case.expect)(arrays);
    if device.caps().subnormals {
        return (want, None);
    }
    let least = f64::from(f32::MIN_POSITIVE);
    let flush = |(array, input): (&Array, &Input)| match input.dtype {
        DType::F32 | DType::BF16 => array.map(|value| {
            let keeps = value.abs() >= least || value.is_nan();
            if keeps { value } else { 0f64.copysign(value) }
        }),
        _ => array.clone(),
    };
    let flushed: Vec<Array> = arrays.iter().zip(&case.inputs).map(flush).collect();
    let mut other = (case.expect)(&flushed);
    for expected in [&mut want, &mut other] {
        if matches!(expected.dtype, DType::F32 | DType::BF16) {
            expected.errors.iter_mut().for_each(|error| *error += least);
        }
    }
    (want, Some(other))
}

/// The elements as `f64`.
fn values_of(tensor: &Tensor) -> Result<Vec<f64>> {
    with_dtype!(tensor.dtype(), T => {
        Ok(tensor.to_vec::<T>()?.into_iter().map(Element::to_f64).collect())
    })
}

/// The worst error as a multiple of its bound, or the worst place. A value may as well be what
/// `other` says.
fn compare(got: &[f64], want: &Expected, other: Option<&Expected>) -> Result<f64, Failure> {
    let mut worst = (0.0f64, 0);
    for (i, &got) in got.iter().enumerate() {
        let error_of = |want: &Expected| excess(want, got, want.array.values[i], want.errors[i]);
        let error = other.map_or(f64::INFINITY, error_of).min(error_of(want));
        // A NaN here is an error that cannot be measured: it must not pass.
        if error.is_nan() || error > worst.0 {
            worst = (if error.is_nan() { f64::INFINITY } else { error }, i);
        }
    }
    if worst.0 <= 1.0 {
        return Ok(worst.0);
    }
    let (error, i) = worst;
    let (got, exact, bound) = (got[i], want.array.values[i], want.errors[i]);
    let text =
        format!("at {i}: got {got:e}, want {exact:e} ± {bound:e}, {error:.3} times the bound");
    Err(Failure { error, text })
}

/// The error of one value as a multiple of what is allowed.
fn excess(want: &Expected, got: f64, exact: f64, error: f64) -> f64 {
    if exact.is_nan() || got.is_nan() {
        return if exact.is_nan() && got.is_nan() {
            0.0
        } else {
            f64::INFINITY
        };
    }
    let rounded = round_to(want.dtype, exact);
    if got == rounded {
        let sign =
            got != 0.0 || !want.signed_zero || got.is_sign_negative() == exact.is_sign_negative();
        return if sign { 0.0 } else { f64::INFINITY };
    }
    if got.is_infinite() {
        // Right when the exact value, or one within the bound, rounds there.
        let reached = round_to(want.dtype, exact + error.copysign(got));
        return if reached == got { 1.0 } else { f64::INFINITY };
    }
    (got - exact).abs() / (error + half_spacing(want.dtype, exact))
}

/// Half the distance between values of `dtype` near `value`.
fn half_spacing(dtype: DType, value: f64) -> f64 {
    let (smallest_normal, epsilon) = match dtype {
        DType::F32 | DType::BF16 => (f64::from(f32::MIN_POSITIVE), dtype.epsilon()),
        DType::F16 => (6.103515625e-5, dtype.epsilon()),
        DType::F8E4M3 => (0.015625, dtype.epsilon()),
        _ => return 0.0,
    };
    let magnitude = value.abs().max(smallest_normal);
    // A power of two's lower neighbours are nearer; taking the wider spacing lets a value that
    // was rounded up to it pass.
    2f64.powi(magnitude.log2().floor() as i32) * epsilon / 2.0
}

/// How the values of an input lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dress {
    /// One after another from the buffer's start.
    Contiguous,
    /// Inside a larger tensor: an offset, and gaps after each run of the last axis.
    Inside,
    /// With the order of the axes in memory reversed.
    Reversed,
    /// Backwards along each axis.
    Flipped,
}

impl Dress {
    const ALL: &[Dress] = &[
        Dress::Contiguous,
        Dress::Inside,
        Dress::Reversed,
        Dress::Flipped,
    ];

    fn tensor(self, device: Device, input: &Input) -> Result<Tensor> {
        let dims = &input.array.dims;
        match self {
            Dress::Contiguous => upload(device, input.dtype, &input.array),
            Dress::Inside => {
                let larger: Vec<usize> = dims.iter().map(|dim| dim + 2).collect();
                let array = Array::from_fn(&larger, |index| {
                    let inner: Option<Vec<usize>> = index
                        .iter()
                        .zip(dims)
                        .map(|(&i, &dim)| i.checked_sub(1).filter(|&i| i < dim))
                        .collect();
                    // What lies around must not be seen: 113 fits every element type.
                    inner.map_or(113.0, |inner| input.array.at(&inner))
                });
                let mut tensor = upload(device, input.dtype, &array)?;
                for (axis, &dim) in dims.iter().enumerate() {
                    tensor = tensor.narrow(axis as isize, 1, dim)?;
                }
                Ok(tensor)
            }
            Dress::Reversed => {
                let dims: Vec<usize> = dims.iter().rev().copied().collect();
                let array = Array::from_fn(&dims, |index| {
                    input
                        .array
                        .at(&index.iter().rev().copied().collect::<Vec<_>>())
                });
                let order: Vec<usize> = (0..dims.len()).rev().collect();
                upload(device, input.dtype, &array)?.permute(&order)
            }
            Dress::Flipped => {
                let array = Array::from_fn(dims, |index| {
                    let from_end = index.iter().zip(dims).map(|(&i, &dim)| dim - 1 - i);
                    input.array.at(&from_end.collect::<Vec<_>>())
                });
                let mut tensor = upload(device, input.dtype, &array)?;
                for axis in 0..dims.len() {
                    tensor = tensor.flip(axis as isize)?;
                }
                Ok(tensor)
            }
        }
    }
}

fn upload(device: Device, dtype: DType, array: &Array) -> Result<Tensor> {
    with_dtype!(dtype, T => {
        let values: Vec<T> = array.values.iter().map(|&value| T::from_f64(value)).collect();
        Tensor::from_slice(&values, &array.dims, device)
    })
}
