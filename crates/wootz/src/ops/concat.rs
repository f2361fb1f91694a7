//! `concat`: tensors one after another along an axis; `stack`: along a new one.

use super::{check, copy, on_stream, runs_source, submit};
use crate::{
    DType, Error, MAX_RANK, Result, Tensor,
    case::{Cases, Expected},
    cpu::walk::{Walk, copy_run},
    reference::Array,
    table::{Bench, Benches, Row},
    tensor::axis_of,
};
use wootz_runtime::{Body, Call, Grid, Kernel, NativeFn, Plan};

/// The rows of the table.
pub const ROWS: &[Row] = &[
    Row {
        name: "concat",
        family: "memory",
        summary: "tensors one after another along an axis",
        dtypes: DType::ALL,
        cases: concat_cases,
        benches: Benches::of_tables(|dtype, dims| {
            bench(dtype, dims, |x| concat(&[&x[0], &x[1]], -1))
        }),
    },
    Row {
        name: "stack",
        family: "memory",
        summary: "tensors of one shape along a new axis",
        dtypes: DType::ALL,
        cases: stack_cases,
        benches: Benches {
            takes: "one axis or more, and room for another",
            ..Benches::of_tables(|dtype, dims| {
                let bench = bench(dtype, dims, |x| stack(&[&x[0], &x[1]], 0));
                bench.filter(|_| dims.len() < MAX_RANK)
            })
        },
    },
];

/// `tensors` one after another along `axis`; in the other axes they have the same sizes.
pub fn concat(tensors: &[&Tensor], axis: isize) -> Result<Tensor> {
    const OP: &str = "concat";
    let first = *tensors.first().ok_or_else(|| none(OP))?;
    let axis = first.axis(OP, "axis", axis)?;
    check_alike(OP, tensors, Some(axis))?;
    joined(OP, tensors, axis)
}

/// `tensors`, all of one shape, along a new axis before `axis`, which may be one past the last.
pub fn stack(tensors: &[&Tensor], axis: isize) -> Result<Tensor> {
    const OP: &str = "stack";
    let first = *tensors.first().ok_or_else(|| none(OP))?;
    let axis = axis_of(OP, "axis", axis, first.rank() + 1)?;
    check_alike(OP, tensors, None)?;
    let slices: Result<Vec<_>> = tensors.iter().map(|x| x.unsqueeze(axis as isize)).collect();
    let slices = slices.map_err(|_| {
        let mut dims = first.dims().to_vec();
        dims.insert(axis, tensors.len());
        Error::TooLarge { op: OP, dims }
    })?;
    joined(OP, &slices.iter().collect::<Vec<_>>(), axis)
}

fn none(op: &'static str) -> Error {
    let (found, expected) = ("empty".to_owned(), "at least one tensor".to_owned());
    Error::Value {
        op,
        argument: "tensors",
        found,
        expected,
    }
}

/// All tensors match the first one, but for their size in `axis`.
fn check_alike(op: &'static str, tensors: &[&Tensor], axis: Option<usize>) -> Result<()> {
    let first = tensors[0];
    for tensor in tensors {
        let pair = [("tensors", first), ("tensors", *tensor)];
        check::same_device(op, &pair)?;
        check::same_dtype(op, &pair)?;
        let mut sizes = tensor.dims().iter().zip(first.dims()).enumerate();
        if tensor.rank() != first.rank() || !sizes.all(|(i, (a, b))| a == b || Some(i) == axis) {
            let but = axis.map_or_else(String::new, |axis| format!(" but for axis {axis}"));
            let expected = format!("the first one's {}{but}", first.shape());
            let (argument, found) = ("tensors", tensor.shape());
            return Err(Error::Shape {
                op,
                argument,
                found,
                expected,
            });
        }
    }
    Ok(())
}

fn joined(op: &'static str, tensors: &[&Tensor], axis: usize) -> Result<Tensor> {
    let first = tensors[0];
    let mut dims = first.dims().to_vec();
    let length = tensors
        .iter()
        .try_fold(0usize, |sum, x| sum.checked_add(x.dims()[axis]));
    dims[axis] = length.ok_or_else(|| Error::TooLarge {
        op,
        dims: dims.clone(),
    })?;
    let shape = crate::tensor::shape_of(op, first.dtype(), &dims)?;
    on_stream(first.device(), |stream| {
        let out = Tensor::output(op, stream, first.dtype(), shape)?;
        let mut start = 0;
        for x in tensors {
            let part = out.narrow(axis as isize, start, x.dims()[axis])?;
            start += x.dims()[axis];
            if runs_source(first.device()) {
                copy::into(stream, x, &part)?;
            } else if part.count() > 0 {
                // SAFETY: the plan walks `x` and an equal part of `out` that no other plan writes.
                unsafe { submit(stream, &plan(x, &part))? };
            }
        }
        Ok(out)
    })
}

fn plan<'a>(x: &'a Tensor, part: &'a Tensor) -> Plan<'a> {
    let walk = Walk::new([x.layout(), part.layout()]);
    let kernel = Kernel {
        name: "concat",
        body: Body::Native(kernel_of(x.dtype())),
    };
    Plan::new(kernel, Grid::units(walk.units()), &walk)
        .read(x.buffer(), x.byte_offset())
        .write(part.buffer(), part.byte_offset())
        .cost((2 * x.count() * x.dtype().size()) as u64, 0)
}

fn kernel_of(dtype: DType) -> NativeFn {
    match dtype.size() {
        1 => kernel::<u8>,
        2 => kernel::<u16>,
        4 => kernel::<u32>,
        _ => kernel::<u64>,
    }
}

unsafe fn kernel<T: Copy>(call: &mut Call<'_>) {
    let (x, out) = (call.pointer::<T>(0), call.pointer::<T>(1));
    call.params::<Walk<2>>()
        .for_each_of(call.units.clone(), |run| {
            let ([from, to], [from_stride, to_stride]) = (run.offsets, run.strides);
            // SAFETY: the walk stays inside `x` and its part of the output.
            unsafe {
                copy_run(
                    (out.offset(to), to_stride),
                    (x.offset(from), from_stride),
                    run.length,
                );
            }
        });
}

/// What stands at `place` of arrays joined along `axis`.
fn reference(arrays: &[Array], axis: usize) -> Array {
    let mut dims = arrays[0].dims.clone();
    dims[axis] = arrays.iter().map(|array| array.dims[axis]).sum();
    Array::from_fn(&dims, |place| {
        let mut at = place.to_vec();
        for array in arrays {
            if at[axis] < array.dims[axis] {
                return array.at(&at);
            }
            at[axis] -= array.dims[axis];
        }
        f64::NAN
    })
}

fn concat_cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    let shapes: &[(&[usize], usize, &[usize])] = &[
        (&[1], 0, &[5]),
        (&[1], 0, &[3, 0, 4, 1]),
        (&[0, 4], 1, &[2, 3]),
        (&[1, 4], 0, &[2, 3]),
        (&[4, 1], 1, &[2, 3, 65]),
        (&[2, 1, 3], 1, &[1, 2]),
        (&[130, 1, 70], 1, &[2, 3]),
        (&[2, 3, 1, 2], 2, &[3, 3, 3]),
    ];
    for &(dims, axis, lengths) in shapes {
        let mut sized = |length: usize| {
            let mut dims = dims.to_vec();
            dims[axis] = length;
            cases.input(&dims, -50.0, 50.0)
        };
        let inputs = lengths.iter().map(|&length| sized(length)).collect();
        let run = move |x: &[Tensor]| concat(&x.iter().collect::<Vec<_>>(), axis as isize);
        cases.add(
            format!("{lengths:?} in axis {axis} of {dims:?}"),
            inputs,
            run,
            move |x| Expected::exact(dtype, reference(x, axis)),
        );
    }
    let specials = cases.specials();
    cases.add(
        "specials",
        vec![specials.clone(), specials],
        |x| concat(&[&x[0], &x[1]], 0),
        move |x| Expected::exact(dtype, reference(x, 0)).with_signed_zero(),
    );
}

fn stack_cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    let shapes: &[(&[usize], usize)] = &[
        (&[], 0),
        (&[3], 0),
        (&[3], 1),
        (&[0, 2], 1),
        (&[4, 5], 1),
        (&[4, 5], 2),
    ];
    for &(dims, axis) in shapes {
        let inputs = (0..3).map(|_| cases.input(dims, -50.0, 50.0)).collect();
        let run = move |x: &[Tensor]| stack(&x.iter().collect::<Vec<_>>(), axis as isize);
        cases.add(format!("{dims:?} axis {axis}"), inputs, run, move |x| {
            let widened = x.iter().map(|x| {
                let mut dims = x.dims.clone();
                dims.insert(axis, 1);
                Array {
                    dims,
                    values: x.values.clone(),
                }
            });
            Expected::exact(dtype, reference(&widened.collect::<Vec<_>>(), axis))
        });
    }
}

fn bench(
    dtype: DType,
    dims: &[usize],
    run: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
) -> Option<Bench> {
    let inputs = vec![(dtype, dims.to_vec()); 2];
    Some(Bench::memory(dims, inputs, 4 * dtype.size(), run))
}
