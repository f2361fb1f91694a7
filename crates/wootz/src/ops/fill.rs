//! `fill`: one value everywhere.

use super::{copy, on_stream, runs_source, submit};
use crate::{
    DType, Device, Element, Result, Tensor,
    case::{Cases, Expected},
    kernels,
    reference::Array,
    table::{Bench, Benches, Row},
    tensor::shape_of,
    with_dtype,
};
use wootz_runtime::Stream;

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "fill",
    family: "memory",
    summary: "one value everywhere",
    dtypes: DType::ALL,
    cases,
    benches: Benches::of_tables(bench),
}];

/// A tensor of `dims` with `value` everywhere: one element, repeated by stride 0 and copied.
pub fn fill<T: Element>(value: T, dims: &[usize], device: Device) -> Result<Tensor> {
    const OP: &str = "fill";
    let shape = shape_of(OP, T::DTYPE, dims)?;
    if runs_source(device) {
        return on_stream(device, |stream| {
            let out = Tensor::output(OP, stream, T::DTYPE, shape)?;
            fill_all(stream, bits(value), &out)?;
            Ok(out)
        });
    }
    copy(&Tensor::scalar(value, device)?.broadcast_to(dims)?)
}

/// The bytes of a value, at the start of a word.
pub(super) fn bits<T: Element>(value: T) -> u64 {
    let mut word = [0u8; 8];
    word[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&value));
    u64::from_ne_bytes(word)
}

/// Puts an element's [`bits`] everywhere in `out`, on a device that runs kernels in source form.
pub(super) fn fill_all(stream: &Stream, bits: u64, out: &Tensor) -> Result<()> {
    if out.count() == 0 {
        return Ok(());
    }
    // SAFETY: the plan covers `out`, which is contiguous.
    unsafe { submit(stream, &kernels::fill(bits, out)) }
}

/// As [`fill`], of the type and on the device of `like`.
fn fill_like(like: &Tensor, value: f64, dims: &[usize]) -> Result<Tensor> {
    with_dtype!(like.dtype(), T => fill(T::from_f64(value), dims, like.device()))
}

fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    for dims in [&[][..], &[0], &[1], &[33], &[3, 0, 2], &[5, 1100]] {
        let like = cases.input(&[], 0.0, 1.0);
        let run = move |x: &[Tensor]| fill_like(&x[0], 3.0, dims);
        cases.add(format!("{dims:?}"), vec![like], run, move |_| {
            Expected::exact(dtype, Array::from_fn(dims, |_| 3.0))
        });
    }
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let sizes = dims.to_vec();
    let run = move |x: &[Tensor]| fill_like(&x[0], 3.0, &sizes);
    Some(Bench::memory(
        dims,
        vec![(dtype, vec![])],
        dtype.size(),
        run,
    ))
}
