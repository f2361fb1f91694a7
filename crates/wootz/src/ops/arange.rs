//! `arange`: evenly spaced values.

use super::{check, on_stream, runs_source, submit};
use crate::{
    DType, Device, Element, Error, Result, Tensor,
    case::{Cases, Expected, round_to},
    cpu::walk::UNIT,
    kernels,
    reference::Array,
    table::{Bench, Benches, Row},
    tensor::shape_of,
    with_number,
};
use wootz_runtime::{Body, Call, Grid, Kernel, NativeFn, Plan};

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "arange",
    family: "memory",
    summary: "evenly spaced values",
    dtypes: DType::NUMBERS,
    cases,
    benches: Benches {
        shapes: &[&[1 << 16], &[1 << 24]],
        takes: "one axis",
        at: bench,
    },
}];

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    count: u64,
    start: f64,
    step: f64,
}

/// `count` values from `start` on, `step` apart. They are computed in `f64` and become elements of
/// `dtype` as by a cast, so integers are exact up to 2⁵³ and saturate at the ends of their range.
pub fn arange(start: f64, step: f64, count: usize, dtype: DType, device: Device) -> Result<Tensor> {
    let op = "arange";
    check::element(op, "dtype", dtype, DType::NUMBERS)?;
    for (argument, value) in [("start", start), ("step", step)] {
        if !value.is_finite() {
            let (found, expected) = (value.to_string(), "a finite number".to_owned());
            return Err(Error::Value {
                op,
                argument,
                found,
                expected,
            });
        }
    }
    let shape = shape_of(op, dtype, &[count])?;
    on_stream(device, |stream| {
        let out = Tensor::output(op, stream, dtype, shape)?;
        if runs_source(device) && count > 0 {
            let Some(plan) = kernels::arange(start, step, &out) else {
                let values = arange(start, step, count, dtype, Device::cpu())?;
                return values.to_device(device);
            };
            // SAFETY: the output is contiguous and has the parameters' count.
            unsafe { submit(stream, &plan)? };
            drop(plan);
            return Ok(out);
        }
        if count > 0 {
            let params = Params {
                count: count as u64,
                start,
                step,
            };
            // SAFETY: the output is contiguous and has the parameters' count.
            unsafe { submit(stream, &plan(params, &out))? };
        }
        Ok(out)
    })
}

fn plan(params: Params, out: &Tensor) -> Plan<'_> {
    let function: NativeFn = with_number!(out.dtype(), T => kernel::<T>);
    let kernel = Kernel {
        name: "arange",
        body: Body::Native(function),
    };
    Plan::new(kernel, Grid::units(out.count().div_ceil(UNIT)), &params)
        .write(out.buffer(), out.byte_offset())
        .cost((out.count() * out.dtype().size()) as u64, 0)
}

/// # Safety
/// As for [`NativeFn`], with a plan of [`plan`] for elements of `T`.
unsafe fn kernel<T: Element>(call: &mut Call<'_>) {
    let params = *call.params::<Params>();
    let first = call.units.start * UNIT;
    let end = (call.units.end * UNIT).min(params.count as usize);
    let out = call.pointer::<T>(0);
    for i in first..end {
        // SAFETY: the units lie inside the output.
        unsafe { *out.add(i) = T::from_f64(params.start + i as f64 * params.step) };
    }
}

fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    for (start, step, count) in [
        (0.0, 1.0, 0),
        (3.0, 1.0, 1),
        (5.0, -0.25, 33),
        (0.0, 0.5, 40_000),
    ] {
        let like = cases.input(&[], 0.0, 1.0);
        let run = move |x: &[Tensor]| arange(start, step, count, x[0].dtype(), x[0].device());
        cases.add(
            format!("{start} by {step}, {count}"),
            vec![like],
            run,
            move |_| {
                let exact = Array::from_fn(&[count], |i| start + i[0] as f64 * step);
                let exact = if dtype.is_float() {
                    exact
                } else {
                    exact.map(|x| round_to(dtype, x))
                };
                Expected::exact(dtype, exact)
            },
        );
    }
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let &[count] = dims else { return None };
    let run = move |x: &[Tensor]| arange(0.0, 1.0, count, x[0].dtype(), x[0].device());
    Some(Bench::memory(
        dims,
        vec![(dtype, vec![])],
        dtype.size(),
        run,
    ))
}
