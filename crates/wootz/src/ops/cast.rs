//! `cast`: the same values in another element type.

use super::elementwise::{Names, Params, launch, round, slice_mut};
use crate::{
    DType, Element, F8E4M3, Result, Tensor,
    case::{Cases, Expected, round_to},
    cpu::{elementwise::blocks, rows::Working, simd::vectorized},
    table::{Bench, Benches, Row},
    with_dtype,
};
use half::{bf16, f16};
use wootz_runtime::{Call, NativeFn};

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "cast",
    family: "memory",
    summary: "the same values in another element type",
    dtypes: DType::ALL,
    cases,
    benches: Benches::of_tables(bench),
}];

const NAMES: Names = Names {
    op: "cast",
    source: "Cast",
};

/// Elements widened to `f32` at a time.
const BLOCK: usize = 1 << 10;

/// `x` as elements of `dtype`. Floats are rounded to nearest even; as integers they lose their
/// fraction, saturate, and become 0 from NaN. Integers as smaller ones lose their high bits.
pub fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if dtype == x.dtype() {
        return Ok(x.clone());
    }
    let kernel: NativeFn = match x.dtype().is_float() {
        true => floats,
        false => integers,
    };
    launch(NAMES, [x], x.shape(), dtype, kernel)
}

/// # Safety
/// As for [`NativeFn`], with a plan of [`cast`] from floats.
unsafe fn floats(call: &mut Call<'_>) {
    let mut wide = [0.0; BLOCK];
    let each = |from: DType, x: *const u8, to: DType, out: *mut u8, n: usize| {
        let wide = &mut wide[..n];
        // SAFETY: `each_block` passes elements inside the operand and the output.
        unsafe {
            f32::gather(from, x, 1, wide);
            round(wide, to, out);
        }
    };
    // SAFETY: passed on from the caller.
    unsafe { each_block(call, each) };
}

/// # Safety
/// As for [`NativeFn`], with a plan of [`cast`] from integers.
unsafe fn integers(call: &mut Call<'_>) {
    let mut wide = [0; BLOCK];
    let each = |from: DType, x: *const u8, to: DType, out: *mut u8, n: usize| {
        let wide = &mut wide[..n];
        // SAFETY: `each_block` passes elements inside the operand and the output.
        unsafe {
            i64::gather(from, x, 1, wide);
            with_dtype!(to, T => {
                let out = slice_mut::<T>(out.cast(), n);
                vectorized(
                    #[inline(always)]
                    move || {
                        for (x, out) in wide.iter().zip(out) {
                            *out = T::from_integer(*x);
                        }
                    },
                );
            });
        }
    };
    // SAFETY: passed on from the caller.
    unsafe { each_block(call, each) };
}

/// Calls `each` with the types and the places of each block, and its length: [`BLOCK`] at most.
///
/// # Safety
/// As for [`NativeFn`], with a plan of [`cast`].
unsafe fn each_block(
    call: &mut Call<'_>,
    mut each: impl FnMut(DType, *const u8, DType, *mut u8, usize),
) {
    let params = *call.params::<Params<1>>();
    let (from, to) = (params.input(), params.output());
    let out = call.pointer::<u8>(1);
    let mut cut = |[x]: [*const u8; 1], first: usize, n: usize| {
        for start in (0..n).step_by(BLOCK) {
            let x = x.wrapping_add(start * from.size());
            let out = out.wrapping_add((first + start) * to.size());
            each(from, x, to, out, BLOCK.min(n - start));
        }
    };
    // SAFETY: the plan bound an operand of `from` that the walk was made from.
    unsafe { blocks(call, &params.walk, [from.size()], &mut cut) };
}

/// What an integer can be stored as.
trait FromInteger {
    fn from_integer(x: i64) -> Self;
}

macro_rules! from_integer {
    ($($t:ty: |$x:ident| $value:expr;)*) => {$(
        impl FromInteger for $t {
            #[inline(always)]
            fn from_integer($x: i64) -> $t {
                $value
            }
        }
    )*};
}

from_integer! {
    f32: |x| x as f32;
    f16: |x| f16::from_f32(to_odd(x));
    bf16: |x| bf16::from_f32(to_odd(x));
    i32: |x| x as i32;
    u32: |x| x as u32;
    i64: |x| x;
    u8: |x| x as u8;
    F8E4M3: |x| F8E4M3::from_f32(to_odd(x));
}

/// `x` cut to the 24 bits of an `f32`, the last of them set where something was cut off: rounding
/// that once more gives what rounding `x` at once would.
#[inline(always)]
fn to_odd(x: i64) -> f32 {
    let size = x.unsigned_abs();
    let cut = (64 - size.leading_zeros()).saturating_sub(24);
    let top = size >> cut;
    let lost = top << cut != size;
    let odd = ((top | u64::from(lost)) << cut) as f32;
    if x < 0 { -odd } else { odd }
}

fn cases(cases: &mut Cases) {
    let from = cases.dtype();
    for &to in DType::ALL {
        let inputs = [
            cases.specials(),
            cases.input(&[5, 17], -300.0, 300.0),
            cases.input(&[2, 1100], -70_000.0, 70_000.0),
            cases.input(&[0], 0.0, 1.0),
        ];
        for input in inputs {
            let label = format!("to {to} {:?}", input.array.dims);
            cases.add(
                label,
                vec![input],
                move |x| cast(&x[0], to),
                move |x| Expected::exact(to, x[0].map(|x| converted(from, to, x))),
            );
        }
    }
}

/// What `x` becomes, by way of 64-bit integers between integers.
fn converted(from: DType, to: DType, x: f64) -> f64 {
    if from.is_float() || to.is_float() {
        return if to.is_float() { x } else { round_to(to, x) };
    }
    let x = x as i64;
    match to {
        DType::I32 => Element::to_f64(x as i32),
        DType::U32 => Element::to_f64(x as u32),
        DType::U8 => Element::to_f64(x as u8),
        _ => x as f64,
    }
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let to = if dtype == DType::F32 {
        DType::BF16
    } else {
        DType::F32
    };
    let (inputs, bytes) = (vec![(dtype, dims.to_vec())], dtype.size() + to.size());
    Some(Bench::memory(dims, inputs, bytes, move |x| cast(&x[0], to)))
}
