//! `clamp`: every element kept inside a range.

use super::{
    check,
    elementwise::{self, Names, launch_with, slice_mut, slices},
};
use crate::{
    DType, Element, Result, Tensor,
    case::{Cases, Expected, round_to},
    cpu::{
        elementwise::blocks,
        rows::{inlined, map},
        simd::{Float, Job, Simd, Twice, bypass_done, bypasses, dispatch, vectorized},
    },
    kernels::Numbers,
    table::{Bench, Benches, Row},
    with_dtype,
};
use half::{bf16, f16};
use wootz_runtime::{Call, NativeFn};

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "clamp",
    family: "unary",
    summary: "x kept inside low..=high; a NaN stays one",
    dtypes: DType::NUMBERS,
    cases,
    benches: Benches::of_tables(bench),
}];

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    operands: elementwise::Params<1>,
    low: f64,
    high: f64,
}

/// `x` where it is in `low..=high`, the nearer of the two elsewhere; a NaN stays one. The bounds
/// become elements of the type of `x` first: integers saturate. Where `low` is above `high`, `high`
/// is the result.
pub fn clamp(x: &Tensor, low: f64, high: f64) -> Result<Tensor> {
    let dtype = x.dtype();
    check::dtype("clamp", "x", x, DType::NUMBERS)?;
    let kernel: NativeFn = match dtype {
        DType::F32 => floats::<f32>,
        DType::F16 => floats::<f16>,
        DType::BF16 => floats::<bf16>,
        DType::I32 => integers::<i32>,
        DType::U32 => integers::<u32>,
        DType::I64 => integers::<i64>,
        _ => integers::<u8>,
    };
    let params = |operands| Params {
        operands,
        low,
        high,
    };
    let names = Names {
        op: "clamp",
        source: "Clamp",
    };
    let bound = |x: f64| with_dtype!(dtype, T => T::from_f64(x).to_f64());
    let numbers = Numbers {
        floats: [low, high].map(|x| bound(x) as f32),
        wholes: [low, high].map(|x| bound(x) as i64),
    };
    launch_with(names, [x], x.shape(), dtype, numbers, (kernel, params))
}

/// # Safety
/// As for [`NativeFn`], with a plan of [`clamp`] over elements of `T`.
unsafe fn floats<T: Element + Float>(call: &mut Call<'_>) {
    let bypass = bypasses(call.params::<Params>().operands.walk.count() * size_of::<T>());
    // SAFETY: passed on from the caller.
    unsafe {
        keep_inside::<T>(call, |x, out, low, high| {
            let [low, high] = [low, high].map(Float::to_f32);
            dispatch(Inside {
                x,
                out,
                low,
                high,
                bypass,
            });
        });
    }
}

/// # Safety
/// As for [`floats`].
unsafe fn integers<T: Element + Ord>(call: &mut Call<'_>) {
    // SAFETY: passed on from the caller.
    unsafe {
        keep_inside::<T>(call, |x, out, low, high| {
            vectorized(
                #[inline(always)]
                move || {
                    for (&x, out) in x.iter().zip(out) {
                        *out = x.max(low).min(high);
                    }
                },
            );
        });
    }
}

/// Calls `each` with every block of the operand and the output, and the bounds.
///
/// # Safety
/// As for [`floats`].
unsafe fn keep_inside<T: Element>(call: &mut Call<'_>, each: impl Fn(&[T], &mut [T], T, T)) {
    let params = *call.params::<Params>();
    let (low, high) = (T::from_f64(params.low), T::from_f64(params.high));
    let out = call.pointer::<T>(1);
    let mut each = |x: [*const u8; 1], first: usize, n: usize| {
        // SAFETY: the block's elements lie inside the operand and the output.
        let ([x], out) = unsafe { (slices::<T, 1>(x, n), slice_mut(out.add(first), n)) };
        each(x, out, low, high);
    };
    // SAFETY: the plan bound an operand of `T` that the walk was made from.
    unsafe { blocks(call, &params.operands.walk, [size_of::<T>()], &mut each) };
}

struct Inside<'a, T> {
    x: &'a [T],
    out: &'a mut [T],
    low: f32,
    high: f32,
    bypass: bool,
}

impl<T: Float> Job for Inside<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let s = Twice(s);
        let (low, high) = (s.splat(self.low), s.splat(self.high));
        let each = inlined(
            #[inline(always)]
            |[x]: [_; 1]| {
                let above = s.select(s.lt(x, low), low, x);
                s.select(s.gt(above, high), high, above)
            },
        );
        map(s, [self.x], self.out, self.bypass, each);
        if self.bypass {
            bypass_done();
        }
    }
}

fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    for (low, high) in [
        (-1.0, 2.0),
        (0.5, f64::INFINITY),
        (f64::NEG_INFINITY, 1.5),
        (3.0, 1.0),
    ] {
        let mut inputs = vec![cases.specials()];
        for dims in [&[][..], &[0], &[33], &[5, 17], &[2, 1100]] {
            inputs.push(cases.input(dims, -3.0, 9.0));
        }
        for input in inputs {
            let label = format!("{low}..={high} {:?}", input.array.dims);
            cases.add(
                label,
                vec![input],
                move |x| clamp(&x[0], low, high),
                move |x| {
                    let (low, high) = (round_to(dtype, low), round_to(dtype, high));
                    let inside = |x: f64| {
                        let above = if x < low { low } else { x };
                        if above > high { high } else { above }
                    };
                    Expected::exact(dtype, x[0].map(inside))
                },
            );
        }
    }
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    Some(Bench::passes(dtype, dims, 2, |x| clamp(&x[0], -1.0, 1.0)))
}
