//! Reductions over any axes: sums, extremes and where they stand, truth, variance, norms.
//!
//! A fold says what is computed, the plan how it is laid over units of work, and the kernel walks
//! the memory; any fold goes with any layout.

mod cases;
mod fold;
mod kernel;
mod lanes;
mod logsumexp;
mod place;
mod plan;
mod variance;
mod whole;
mod wide;

pub use cases::ROWS;

use super::{check, on_stream};
use crate::{DType, Error, MAX_RANK, Result, Shape, Tensor, with_dtype};
use lanes::{Lanes, Max, Min, Sum};
use logsumexp::LogSumExp;
use place::Place;
use plan::Kernels;
use variance::Variance;
use whole::{AtLeast, WholeMax, WholeMin, WholeProduct, WholeSum, Wholes};
use wide::{Count, Euclid, Largest, Power, Product, Taxicab, Wides};

/// The axes that a reduction removes: one, as in `1`; some, as in `&[0, -1]`; or all, as in `..`.
/// Negative axes count from the end.
#[derive(Debug, Clone, Copy)]
pub enum Over<'a> {
    /// Every axis.
    All,
    /// One axis.
    One(isize),
    /// These axes, each at most once. No axes reduce each element alone.
    Each(&'a [isize]),
}

impl From<std::ops::RangeFull> for Over<'_> {
    fn from(_: std::ops::RangeFull) -> Self {
        Over::All
    }
}

impl From<isize> for Over<'_> {
    fn from(axis: isize) -> Self {
        Over::One(axis)
    }
}

impl<'a> From<&'a [isize]> for Over<'a> {
    fn from(axes: &'a [isize]) -> Self {
        Over::Each(axes)
    }
}

impl<'a, const N: usize> From<&'a [isize; N]> for Over<'a> {
    fn from(axes: &'a [isize; N]) -> Self {
        Over::Each(axes)
    }
}

/// What a call reduces, once checked.
struct Checked {
    /// The axes that go.
    marked: [bool; MAX_RANK],
    /// The result's shape.
    shape: Shape,
    /// Elements that go into each result.
    count: usize,
}

fn check(op: &'static str, x: &Tensor, over: Over<'_>, keep: bool) -> Result<Checked> {
    let mut marked = [false; MAX_RANK];
    let mut mark = |axis: isize| {
        let index = x.axis(op, "over", axis)?;
        if std::mem::replace(&mut marked[index], true) {
            let (found, expected) = (axis.to_string(), "each axis at most once".to_owned());
            return Err(Error::Value {
                op,
                argument: "over",
                found,
                expected,
            });
        }
        Ok(())
    };
    match over {
        Over::All => (0..x.rank()).try_for_each(|axis| mark(axis as isize))?,
        Over::One(axis) => mark(axis)?,
        Over::Each(axes) => axes.iter().try_for_each(|&axis| mark(axis))?,
    }
    let (mut dims, mut rank, mut count) = ([1; MAX_RANK], 0, 1usize);
    for (axis, &dim) in x.dims().iter().enumerate() {
        if marked[axis] {
            count = count.saturating_mul(dim);
        }
        if keep || !marked[axis] {
            dims[rank] = if marked[axis] { 1 } else { dim };
            rank += 1;
        }
    }
    // Fewer axes than the input has always fit.
    let shape = Shape::new(&dims[..rank]).unwrap_or(x.shape());
    Ok(Checked {
        marked,
        shape,
        count,
    })
}

/// Each result needs an element to be.
fn check_some(op: &'static str, x: &Tensor, checked: &Checked) -> Result<()> {
    if checked.count > 0 || checked.shape.count() == 0 {
        return Ok(());
    }
    let expected = "at least one element along the reduced axes".to_owned();
    Err(Error::Shape {
        op,
        argument: "x",
        found: x.shape(),
        expected,
    })
}

fn run(
    op: &'static str,
    x: &Tensor,
    checked: &Checked,
    kernels: &Kernels,
    argument: f64,
) -> Result<Tensor> {
    on_stream(x.device(), |stream| {
        plan::run(
            op,
            stream,
            x,
            &checked.marked,
            checked.shape,
            kernels,
            argument,
        )
    })
}

/// The kernels of a fold of floats, with `$T` as their type.
macro_rules! of_floats {
    ($dtype:expr, $T:ident => $fold:ty) => {
        match $dtype {
            DType::F16 => {
                type $T = half::f16;
                Kernels::of::<$fold>()
            }
            DType::BF16 => {
                type $T = half::bf16;
                Kernels::of::<$fold>()
            }
            _ => {
                type $T = f32;
                Kernels::of::<$fold>()
            }
        }
    };
}

/// The kernels of a fold of any elements: one of floats, one of integers.
macro_rules! of_numbers {
    ($dtype:expr, $T:ident => $float:ty, $whole:ty) => {
        match $dtype {
            DType::F32 | DType::F16 | DType::BF16 => of_floats!($dtype, $T => $float),
            DType::I32 => { type $T = i32; Kernels::of::<$whole>() }
            DType::U32 => { type $T = u32; Kernels::of::<$whole>() }
            DType::I64 => { type $T = i64; Kernels::of::<$whole>() }
            DType::U8 => { type $T = u8; Kernels::of::<$whole>() }
        }
    };
}

/// The sum over some axes. Integers are summed in `i64`, wrapping, whatever their type.
pub fn sum<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    let checked = check("sum", x, over.into(), keep)?;
    let kernels = of_numbers!(x.dtype(), T => Lanes<T, Sum>, Wholes<T, WholeSum>);
    run("sum", x, &checked, &kernels, 1.0)
}

/// The mean over some axes, of floats; NaN of no elements.
pub fn mean<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    check::dtype("mean", "x", x, DType::FLOATS)?;
    let checked = check("mean", x, over.into(), keep)?;
    let kernels = of_floats!(x.dtype(), T => Lanes<T, Sum>);
    run("mean", x, &checked, &kernels, checked.count as f64)
}

/// The product over some axes. Integers are multiplied in `i64`, wrapping, whatever their type.
pub fn prod<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    let checked = check("prod", x, over.into(), keep)?;
    let kernels = of_numbers!(x.dtype(), T => Wides<T, Product>, Wholes<T, WholeProduct>);
    run("prod", x, &checked, &kernels, 1.0)
}

/// The largest element over some axes; NaN where there is one. Of no elements there is none.
pub fn max<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    let checked = check("max", x, over.into(), keep)?;
    check_some("max", x, &checked)?;
    let kernels = of_numbers!(x.dtype(), T => Lanes<T, Max>, Wholes<T, WholeMax>);
    run("max", x, &checked, &kernels, 1.0)
}

/// The smallest element over some axes; NaN where there is one. Of no elements there is none.
pub fn min<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    let checked = check("min", x, over.into(), keep)?;
    check_some("min", x, &checked)?;
    let kernels = of_numbers!(x.dtype(), T => Lanes<T, Min>, Wholes<T, WholeMin>);
    run("min", x, &checked, &kernels, 1.0)
}

/// Where the largest element along an axis stands first, as `i64`. NaN counts as largest, as in
/// NumPy and PyTorch.
pub fn argmax(x: &Tensor, axis: isize, keep: bool) -> Result<Tensor> {
    let checked = check("argmax", x, Over::One(axis), keep)?;
    check_some("argmax", x, &checked)?;
    let kernels = of_numbers!(x.dtype(), T => Place<Lanes<T, Max>>, Place<Wholes<T, WholeMax>>);
    run("argmax", x, &checked, &kernels, 1.0)
}

/// Where the smallest element along an axis stands first, as `i64`. NaN counts as smallest, as in
/// NumPy and PyTorch.
pub fn argmin(x: &Tensor, axis: isize, keep: bool) -> Result<Tensor> {
    let checked = check("argmin", x, Over::One(axis), keep)?;
    check_some("argmin", x, &checked)?;
    let kernels = of_numbers!(x.dtype(), T => Place<Lanes<T, Min>>, Place<Wholes<T, WholeMin>>);
    run("argmin", x, &checked, &kernels, 1.0)
}

/// Whether some element is not zero, as `u8`. NaN is not zero.
pub fn any<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    let checked = check("any", x, over.into(), keep)?;
    let kernels = with_dtype!(x.dtype(), T => Kernels::of::<Wholes<T, AtLeast>>());
    run("any", x, &checked, &kernels, 1.0)
}

/// Whether no element is zero, as `u8`. NaN is not zero.
pub fn all<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    let checked = check("all", x, over.into(), keep)?;
    let kernels = with_dtype!(x.dtype(), T => Kernels::of::<Wholes<T, AtLeast>>());
    run("all", x, &checked, &kernels, checked.count as f64)
}

/// The variance over some axes: the sum of squared distances from the mean, over the count less
/// `correction` (0 for the values themselves, 1 when they are a sample). NaN of no elements; when
/// nothing is left to divide by, the division's result.
pub fn var<'a>(
    x: &Tensor,
    over: impl Into<Over<'a>>,
    correction: f64,
    keep: bool,
) -> Result<Tensor> {
    check::dtype("var", "x", x, DType::FLOATS)?;
    if !correction.is_finite() {
        let (found, expected) = (correction.to_string(), "a number".to_owned());
        return Err(Error::Value {
            op: "var",
            argument: "correction",
            found,
            expected,
        });
    }
    let checked = check("var", x, over.into(), keep)?;
    let kernels = of_floats!(x.dtype(), T => Variance<T>);
    run("var", x, &checked, &kernels, correction)
}

/// The `p`-norm over some axes: the `p`th root of the sum of `p`th powers of magnitudes. 0 counts
/// what is not zero, and infinity takes the largest magnitude. Powers are taken in `f64`.
pub fn norm<'a>(x: &Tensor, p: f64, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    check::dtype("norm", "x", x, DType::FLOATS)?;
    if p.is_nan() || p < 0.0 {
        let (found, expected) = (p.to_string(), "0, a positive number or infinity".to_owned());
        return Err(Error::Value {
            op: "norm",
            argument: "p",
            found,
            expected,
        });
    }
    let checked = check("norm", x, over.into(), keep)?;
    let kernels = if p == 0.0 {
        of_floats!(x.dtype(), T => Wides<T, Count>)
    } else if p == 1.0 {
        of_floats!(x.dtype(), T => Wides<T, Taxicab>)
    } else if p == 2.0 {
        of_floats!(x.dtype(), T => Wides<T, Euclid>)
    } else if p == f64::INFINITY {
        of_floats!(x.dtype(), T => Wides<T, Largest>)
    } else {
        of_floats!(x.dtype(), T => Wides<T, Power>)
    };
    run("norm", x, &checked, &kernels, p)
}

/// `ln Σ exp(x)` over some axes, without overflow; −∞ of no elements.
pub fn logsumexp<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    check::dtype("logsumexp", "x", x, DType::FLOATS)?;
    let checked = check("logsumexp", x, over.into(), keep)?;
    let kernels = of_floats!(x.dtype(), T => LogSumExp<T>);
    run("logsumexp", x, &checked, &kernels, 1.0)
}
