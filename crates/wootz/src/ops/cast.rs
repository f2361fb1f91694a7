//! `cast`: the same values in another element type.

use super::elementwise::{Rounded, Widen, launch, slice_mut, slices};
use crate::{
    DType, Element, Result, Tensor,
    case::{Cases, Expected, round_to},
    cpu::{
        elementwise::{Walk, blocks},
        simd::{Float, dispatch},
    },
    table::{Bench, Row},
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
    benches,
}];

/// Elements widened to `f32` at a time.
const BLOCK: usize = 1 << 10;

/// `x` as elements of `dtype`. Floats are rounded to nearest even; as integers they lose their
/// fraction, saturate, and become 0 from NaN. Integers as smaller ones lose their high bits.
pub fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if dtype == x.dtype() {
        return Ok(x.clone());
    }
    let kernel = match x.dtype() {
        DType::F32 => from_float::<f32>(dtype),
        DType::F16 => from_float::<f16>(dtype),
        DType::BF16 => from_float::<bf16>(dtype),
        DType::I32 => from_integer::<i32>(dtype),
        DType::U32 => from_integer::<u32>(dtype),
        DType::I64 => from_integer::<i64>(dtype),
        DType::U8 => from_integer::<u8>(dtype),
    };
    launch("cast", [x], x.shape(), dtype, kernel)
}

fn from_float<T: Float>(dtype: DType) -> NativeFn {
    match dtype {
        DType::F32 => floats::<T, f32>,
        DType::F16 => floats::<T, f16>,
        DType::BF16 => floats::<T, bf16>,
        DType::I32 => floats::<T, i32>,
        DType::U32 => floats::<T, u32>,
        DType::I64 => floats::<T, i64>,
        DType::U8 => floats::<T, u8>,
    }
}

fn from_integer<T: Copy>(dtype: DType) -> NativeFn
where
    i64: From<T>,
{
    match dtype {
        DType::F32 => integers::<T, f32>,
        DType::F16 => integers::<T, f16>,
        DType::BF16 => integers::<T, bf16>,
        DType::I32 => integers::<T, i32>,
        DType::U32 => integers::<T, u32>,
        DType::I64 => integers::<T, i64>,
        DType::U8 => integers::<T, u8>,
    }
}

/// # Safety
/// As for [`NativeFn`], with a plan of [`cast`] from elements of `T` to elements of `U`.
unsafe fn floats<T: Float, U: Rounded>(call: &mut Call<'_>) {
    let walk = *call.params::<Walk>();
    let out = call.pointer::<U>(1);
    let mut wide = [0.0; BLOCK];
    let mut each = |x: [*const u8; 1], first: usize, n: usize| {
        // SAFETY: the block's elements lie inside the operand and the output.
        let ([x], out) = unsafe { (slices::<T, 1>(x, n), slice_mut(out.add(first), n)) };
        for (x, out) in x.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
            let wide = &mut wide[..x.len()];
            dispatch(Widen(x, wide));
            U::round(wide, out);
        }
    };
    // SAFETY: the plan bound an operand of `T` that `walk` was made from.
    unsafe { blocks(call, &walk, [size_of::<T>()], &mut each) };
}

/// # Safety
/// As for [`floats`].
unsafe fn integers<T: Copy, U: FromInteger>(call: &mut Call<'_>)
where
    i64: From<T>,
{
    let walk = *call.params::<Walk>();
    let out = call.pointer::<U>(1);
    let mut each = |x: [*const u8; 1], first: usize, n: usize| {
        // SAFETY: the block's elements lie inside the operand and the output.
        let ([x], out) = unsafe { (slices::<T, 1>(x, n), slice_mut(out.add(first), n)) };
        for (x, out) in x.iter().zip(out) {
            *out = U::from_integer(i64::from(*x));
        }
    };
    // SAFETY: the plan bound an operand of `T` that `walk` was made from.
    unsafe { blocks(call, &walk, [size_of::<T>()], &mut each) };
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

fn benches(dtype: DType) -> Vec<Bench> {
    let to = if dtype == DType::F32 {
        DType::BF16
    } else {
        DType::F32
    };
    let shapes: &[&[usize]] = &[&[64, 1024], &[4096, 4096]];
    let bench = |dims: &&[usize]| Bench {
        dims: dims.to_vec(),
        inputs: vec![(dtype, dims.to_vec())],
        run: Box::new(move |x| cast(&x[0], to)),
        bytes: (dims.iter().product::<usize>() * (dtype.size() + to.size())) as u64,
        flops: 0,
    };
    shapes.iter().map(bench).collect()
}
