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
use crate::{
    DType, Error, MAX_RANK, Result, Shape, Tensor,
    kernels::{Fold, Gives},
};
use lanes::{Lanes, Max, Min, Sum};
use logsumexp::LogSumExp;
use place::Place;
use plan::{Kernels, Reduction};
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
    check::dtype(op, "x", x, DType::NUMBERS)?;
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
    kernels: Kernels,
    fold: Fold,
    argument: f64,
) -> Result<Tensor> {
    let reduction = Reduction {
        op,
        kernels,
        fold,
        argument,
        out: fold.output(x.dtype()),
    };
    on_stream(x.device(), |stream| {
        plan::run(&reduction, stream, x, &checked.marked, checked.shape)
    })
}

/// The kernels of a fold of any elements: `F` of floats, `I` of integers.
fn of_numbers<F: fold::Fold<In = f32>, I: fold::Fold<In = i64>>(dtype: DType) -> Kernels {
    if dtype.is_float() {
        Kernels::of::<F>()
    } else {
        Kernels::of::<I>()
    }
}

/// A fold of the kernel dialect.
fn fold(name: &'static str, gives: Gives) -> Fold {
    Fold { name, gives }
}

/// The sum over some axes. Integers are summed in `i64`, wrapping, whatever their type.
pub fn sum<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    let checked = check("sum", x, over.into(), keep)?;
    let kernels = of_numbers::<Lanes<Sum>, Wholes<i64, WholeSum>>(x.dtype());
    run(
        "sum",
        x,
        &checked,
        kernels,
        fold("FoldSum", Gives::Total),
        1.0,
    )
}

/// The mean over some axes, of floats; NaN of no elements.
pub fn mean<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    check::dtype("mean", "x", x, DType::FLOATS)?;
    let checked = check("mean", x, over.into(), keep)?;
    let kernels = Kernels::of::<Lanes<Sum>>();
    run(
        "mean",
        x,
        &checked,
        kernels,
        fold("FoldMean", Gives::Same),
        checked.count as f64,
    )
}

/// The product over some axes. Integers are multiplied in `i64`, wrapping, whatever their type.
pub fn prod<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    let checked = check("prod", x, over.into(), keep)?;
    let kernels = of_numbers::<Wides<Product>, Wholes<i64, WholeProduct>>(x.dtype());
    run(
        "prod",
        x,
        &checked,
        kernels,
        fold("FoldProduct", Gives::Total),
        1.0,
    )
}

/// The largest element over some axes; NaN where there is one. Of no elements there is none.
pub fn max<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    let checked = check("max", x, over.into(), keep)?;
    check_some("max", x, &checked)?;
    let kernels = of_numbers::<Lanes<Max>, Wholes<i64, WholeMax>>(x.dtype());
    run(
        "max",
        x,
        &checked,
        kernels,
        fold("FoldMax", Gives::Same),
        1.0,
    )
}

/// The smallest element over some axes; NaN where there is one. Of no elements there is none.
pub fn min<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    let checked = check("min", x, over.into(), keep)?;
    check_some("min", x, &checked)?;
    let kernels = of_numbers::<Lanes<Min>, Wholes<i64, WholeMin>>(x.dtype());
    run(
        "min",
        x,
        &checked,
        kernels,
        fold("FoldMin", Gives::Same),
        1.0,
    )
}

/// Where the largest element over some axes stands first, as `i64`: its place along the axis, or
/// among those of several axes in their order, the last one's fastest. NaN counts as largest, as
/// in NumPy and PyTorch.
pub fn argmax<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    let kernels = of_numbers::<Place<Lanes<Max>>, Place<Wholes<i64, WholeMax>>>;
    place("argmax", x, over.into(), keep, kernels, "FoldArgMax")
}

/// Where the smallest element over some axes stands first, as [`argmax`] has the largest. NaN
/// counts as smallest.
pub fn argmin<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    let kernels = of_numbers::<Place<Lanes<Min>>, Place<Wholes<i64, WholeMin>>>;
    place("argmin", x, over.into(), keep, kernels, "FoldArgMin")
}

fn place(
    op: &'static str,
    x: &Tensor,
    over: Over<'_>,
    keep: bool,
    kernels: fn(DType) -> Kernels,
    name: &'static str,
) -> Result<Tensor> {
    let checked = check(op, x, over, keep)?;
    check_some(op, x, &checked)?;
    let find = |x: &Tensor, checked: &Checked| {
        let fold = fold(name, Gives::Place);
        run(op, x, checked, kernels(x.dtype()), fold, 1.0)
    };
    if checked.marked.iter().filter(|&&goes| goes).count() == 1 {
        return find(x, &checked);
    }
    // Folds go over several axes in an order of their own: here they become one.
    let mut order: Vec<usize> = (0..x.rank()).collect();
    order.sort_by_key(|&axis| checked.marked[axis]);
    let lanes = x.permute(&order)?;
    let lanes = lanes.reshape(&[checked.shape.count(), checked.count])?;
    let places = find(&lanes, &check(op, &lanes, Over::One(1), false)?)?;
    places.reshape(checked.shape.dims())
}

/// Whether some element is not zero, as `u8`. NaN is not zero.
pub fn any<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    let checked = check("any", x, over.into(), keep)?;
    let kernels = of_numbers::<Wholes<f32, AtLeast>, Wholes<i64, AtLeast>>(x.dtype());
    run(
        "any",
        x,
        &checked,
        kernels,
        fold("FoldAny", Gives::Truth),
        1.0,
    )
}

/// Whether no element is zero, as `u8`. NaN is not zero.
pub fn all<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    let checked = check("all", x, over.into(), keep)?;
    let kernels = of_numbers::<Wholes<f32, AtLeast>, Wholes<i64, AtLeast>>(x.dtype());
    let fold = fold("FoldAll", Gives::Truth);
    run("all", x, &checked, kernels, fold, checked.count as f64)
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
    let kernels = Kernels::of::<Variance>();
    run(
        "var",
        x,
        &checked,
        kernels,
        fold("FoldVariance", Gives::Same),
        correction,
    )
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
    let (kernels, name) = if p == 0.0 {
        (Kernels::of::<Wides<Count>>(), "FoldCount")
    } else if p == 1.0 {
        (Kernels::of::<Wides<Taxicab>>(), "FoldTaxicab")
    } else if p == 2.0 {
        (Kernels::of::<Wides<Euclid>>(), "FoldEuclid")
    } else if p == f64::INFINITY {
        (Kernels::of::<Wides<Largest>>(), "FoldLargest")
    } else {
        (Kernels::of::<Wides<Power>>(), "FoldNorm")
    };
    run("norm", x, &checked, kernels, fold(name, Gives::Same), p)
}

/// `ln Σ exp(x)` over some axes, without overflow; −∞ of no elements.
pub fn logsumexp<'a>(x: &Tensor, over: impl Into<Over<'a>>, keep: bool) -> Result<Tensor> {
    check::dtype("logsumexp", "x", x, DType::FLOATS)?;
    let checked = check("logsumexp", x, over.into(), keep)?;
    let kernels = Kernels::of::<LogSumExp>();
    run(
        "logsumexp",
        x,
        &checked,
        kernels,
        fold("FoldLogSumExp", Gives::Same),
        1.0,
    )
}
