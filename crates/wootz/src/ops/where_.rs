//! `where`: one of two operands by a condition, element by element.

use super::check;
use super::elementwise::{Names, Params, broadcast, launch, slice_mut};
use crate::{
    DType, Result, Tensor,
    case::{Cases, Expected},
    cpu::{elementwise::blocks, simd::vectorized},
    table::{Bench, Benches, Row},
};
use wootz_runtime::{Call, NativeFn};

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "where",
    family: "selection",
    summary: "a where the condition is not 0, b elsewhere",
    dtypes: DType::ALL,
    cases,
    benches: Benches::of_tables(bench),
}];

const NAMES: Names = Names {
    op: "where",
    source: "Where",
};

/// `a` where `condition` is not 0, `b` elsewhere; all three are broadcast to one shape.
pub fn where_(condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let op = NAMES.op;
    check::same_device(op, &[("condition", condition), ("a", a), ("b", b)])?;
    check::dtype(op, "condition", condition, &[DType::U8])?;
    check::same_dtype(op, &[("a", a), ("b", b)])?;
    let shape = broadcast(op, &[condition, a, b])?;
    launch(
        NAMES,
        [condition, a, b],
        shape,
        a.dtype(),
        kernel(a.dtype()),
    )
}

/// Elements are moved, not looked at, so their size is all that counts.
fn kernel(dtype: DType) -> NativeFn {
    match dtype.size() {
        1 => select::<u8>,
        2 => select::<u16>,
        4 => select::<u32>,
        _ => select::<u64>,
    }
}

/// An element, as its bits.
trait Word: Copy {
    /// One of two. Of an `if` the compiler would make a choice of where to load from, and load them
    /// one by one.
    fn either(first: bool, a: Self, b: Self) -> Self;
}

macro_rules! word {
    ($($t:ty),*) => {$(
        impl Word for $t {
            #[inline(always)]
            fn either(first: bool, a: Self, b: Self) -> Self {
                let mask = <$t>::from(first).wrapping_neg();
                b ^ ((a ^ b) & mask)
            }
        }
    )*};
}
word!(u8, u16, u32, u64);

/// # Safety
/// As for [`NativeFn`], with a plan of this file over elements of the size of `T`.
unsafe fn select<T: Word>(call: &mut Call<'_>) {
    let Params { walk, .. } = *call.params::<Params<3>>();
    let out = call.pointer::<T>(3);
    let mut each = |x: [*const u8; 3], first: usize, n: usize| {
        // SAFETY: the block's elements lie inside the operands and the output.
        let (condition, a, b, out) = unsafe {
            (
                std::slice::from_raw_parts(x[0], n),
                std::slice::from_raw_parts(x[1].cast::<T>(), n),
                std::slice::from_raw_parts(x[2].cast::<T>(), n),
                slice_mut(out.add(first), n),
            )
        };
        vectorized(
            #[inline(always)]
            move || {
                for (((&c, &a), &b), out) in condition.iter().zip(a).zip(b).zip(out) {
                    *out = T::either(c != 0, a, b);
                }
            },
        );
    };
    // SAFETY: the plan bound a condition of bytes and two operands of `T`, which `walk` covers.
    unsafe { blocks(call, &walk, [1, size_of::<T>(), size_of::<T>()], &mut each) };
}

/// Shapes of condition, a and b.
type Shapes = (&'static [usize], &'static [usize], &'static [usize]);

const SHAPES: &[Shapes] = &[
    (&[], &[], &[]),
    (&[7], &[7], &[7]),
    (&[0], &[1], &[]),
    (&[5, 1], &[17], &[5, 17]),
    (&[3, 1100], &[1], &[1100]),
];

fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    for &(condition, a, b) in SHAPES {
        let label = format!("{condition:?} {a:?} {b:?}");
        let inputs = vec![
            cases.input_of(DType::U8, condition, 0.0, 2.0),
            cases.input(a, -9.0, 9.0),
            cases.input(b, -9.0, 9.0),
        ];
        cases.add(
            label,
            inputs,
            |x| where_(&x[0], &x[1], &x[2]),
            move |x| {
                let a = x[0].zip(&x[1], |c, a| if c != 0.0 { a } else { f64::NAN });
                Expected::exact(dtype, a.zip(&x[2], |a, b| if a.is_nan() { b } else { a }))
            },
        );
    }
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let inputs = [DType::U8, dtype, dtype].map(|dtype| (dtype, dims.to_vec()));
    let run = |x: &[Tensor]| where_(&x[0], &x[1], &x[2]);
    Some(Bench::memory(
        dims,
        inputs.into(),
        1 + 3 * dtype.size(),
        run,
    ))
}
