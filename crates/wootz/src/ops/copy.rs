//! `copy`: the same elements in contiguous memory.

use super::{
    elementwise::{Names, Params, launch},
    on_stream, runs_source, submit,
};
use crate::{
    DType, Result, Tensor,
    case::{Cases, Expected},
    cpu::elementwise::blocks,
    kernels,
    table::{Bench, Benches, Row},
};
use wootz_runtime::{Call, NativeFn, Stream};

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "copy",
    family: "memory",
    summary: "the same elements in contiguous memory",
    dtypes: DType::ALL,
    cases,
    benches: Benches::of_tables(bench),
}];

const NAMES: Names = Names {
    op: "copy",
    source: "Copy",
};

/// The same elements in contiguous memory of their own.
pub fn copy(x: &Tensor) -> Result<Tensor> {
    if runs_source(x.device()) {
        return on_stream(x.device(), |stream| {
            let out = Tensor::output(NAMES.op, stream, x.dtype(), x.shape())?;
            into(stream, x, &out)?;
            Ok(out)
        });
    }
    launch(NAMES, [x], x.shape(), x.dtype(), kernel(x.dtype()))
}

/// Copies `x` into `part`, a view of the same shape that nobody else writes, on a device that runs
/// kernels in source form.
pub(super) fn into(stream: &Stream, x: &Tensor, part: &Tensor) -> Result<()> {
    if part.count() == 0 {
        return Ok(());
    }
    let plan = kernels::copy(x, part);
    // SAFETY: both layouts lie inside their memory and have one shape.
    unsafe { submit(stream, &plan) }
}

/// Elements are moved, not looked at, so their size is all that counts.
fn kernel(dtype: DType) -> NativeFn {
    match dtype.size() {
        1 => move_elements::<u8>,
        2 => move_elements::<u16>,
        4 => move_elements::<u32>,
        _ => move_elements::<u64>,
    }
}

/// # Safety
/// As for [`NativeFn`], with a plan of [`copy`] over elements of the size of `T`.
unsafe fn move_elements<T: Copy>(call: &mut Call<'_>) {
    let Params { walk, .. } = *call.params::<Params<1>>();
    let out = call.pointer::<T>(1);
    let mut each = |[x]: [*const u8; 1], first: usize, n: usize| {
        // SAFETY: the block's elements lie inside the operand and the output.
        unsafe { std::ptr::copy_nonoverlapping(x.cast::<T>(), out.add(first), n) };
    };
    // SAFETY: the plan bound an operand of `T` that `walk` was made from.
    unsafe { blocks(call, &walk, [size_of::<T>()], &mut each) };
}

fn cases(cases: &mut Cases) {
    let specials = cases.specials();
    let dtype = cases.dtype();
    cases.add(
        "specials",
        vec![specials],
        |x| copy(&x[0]),
        move |x| Expected::exact(dtype, x[0].clone()).with_signed_zero(),
    );
    for dims in [
        &[][..],
        &[0],
        &[1],
        &[3, 0, 2],
        &[17, 5],
        &[2, 3, 1, 7],
        &[130, 70],
    ] {
        let input = cases.input(dims, 0.0, 100.0);
        cases.add(
            format!("{dims:?}"),
            vec![input],
            |x| copy(&x[0]),
            move |x| Expected::exact(dtype, x[0].clone()),
        );
    }
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    Some(Bench::passes(dtype, dims, 2, |x| copy(&x[0])))
}
