//! `pad`: a constant around a tensor.

use super::{
    copy,
    fill::{bits, fill_all},
    on_stream, runs_source, submit,
};
use crate::{
    DType, Element, Error, MAX_RANK, Result, Tensor,
    case::{Cases, Expected, round_to},
    cpu::walk::{Walk, copy_run},
    table::{Bench, Benches, Row},
    tensor::shape_of,
    with_dtype,
};
use smallvec::SmallVec;
use wootz_runtime::{Body, Call, Grid, Kernel, NativeFn, Plan};

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "pad",
    family: "memory",
    summary: "a constant around a tensor",
    dtypes: DType::ALL,
    cases,
    benches: Benches::of_tables(bench),
}];

#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    /// The bytes of the constant, in a word of the element's size.
    value: u64,
    /// Indices of the output before and from the end of `x` on, in each axis.
    start: [u64; MAX_RANK],
    end: [u64; MAX_RANK],
    /// The output, and `x` as if it went on where the output does.
    walk: Walk<2>,
}

/// `x` with `before` and `after` elements of `value` around it in each axis, of which `padding`
/// has one pair each. The value is rounded to the type of `x`, as a cast rounds it.
pub fn pad(x: &Tensor, padding: &[(usize, usize)], value: f64) -> Result<Tensor> {
    const OP: &str = "pad";
    if padding.len() != x.rank() {
        let (argument, found) = ("padding", format!("{} pairs", padding.len()));
        let expected = format!("one pair for each of the {} axes of x", x.rank());
        return Err(Error::Value {
            op: OP,
            argument,
            found,
            expected,
        });
    }
    if x.rank() == 0 {
        return copy::copy(x);
    }
    let sizes = x.dims().iter().zip(padding);
    let dims: SmallVec<[usize; MAX_RANK]> = sizes
        .map(|(dim, &(before, after))| dim.saturating_add(before).saturating_add(after))
        .collect();
    let shape = shape_of(OP, x.dtype(), &dims)?;
    on_stream(x.device(), |stream| {
        let out = Tensor::output(OP, stream, x.dtype(), shape)?;
        if runs_source(x.device()) {
            let bits = with_dtype!(x.dtype(), T => bits(T::from_f64(value)));
            fill_all(stream, bits, &out)?;
            let part = padding
                .iter()
                .zip(x.dims())
                .enumerate()
                .try_fold(out.clone(), |part, (axis, (&(before, _), &dim))| {
                    part.narrow(axis as isize, before, dim)
                })?;
            copy::into(stream, x, &part)?;
        } else if out.count() > 0 {
            // SAFETY: the plan covers `out`, and reads `x` where the padding puts it.
            unsafe { submit(stream, &plan(x, padding, value, &out))? };
        }
        Ok(out)
    })
}

fn plan<'a>(x: &'a Tensor, padding: &[(usize, usize)], value: f64, out: &'a Tensor) -> Plan<'a> {
    let (mut rank, mut length) = (x.rank(), out.dims()[x.rank() - 1]);
    let mut dims: SmallVec<[usize; MAX_RANK]> = out.dims().into();
    let mut strides: SmallVec<[isize; MAX_RANK]> = x.layout().strides().into();
    let mut start = [0u64; MAX_RANK];
    let mut end = [0u64; MAX_RANK];
    for (axis, &(before, _)) in padding.iter().enumerate() {
        start[axis] = before as u64;
        end[axis] = (before + x.dims()[axis]) as u64;
    }
    // Last axes without padding are part of the one before: rows of three channels become long.
    while rank > 1
        && padding[rank - 1] == (0, 0)
        && strides[rank - 2] == length as isize * strides[rank - 1]
    {
        rank -= 1;
        (start[rank - 1], end[rank - 1]) = (
            start[rank - 1] * length as u64,
            end[rank - 1] * length as u64,
        );
        strides[rank - 1] = strides[rank];
        length *= dims[rank - 1];
        dims[rank - 1] = length;
    }
    let mut steps = [1isize; MAX_RANK];
    for axis in (1..rank).rev() {
        steps[axis - 1] = steps[axis] * dims[axis] as isize;
    }
    let walk = Walk::of(&dims[..rank], [&steps[..rank], &strides[..rank]]);
    let params = Params {
        value: with_dtype!(x.dtype(), T => bits(T::from_f64(value))),
        start,
        end,
        walk,
    };
    let kernel = Kernel {
        name: "pad",
        body: Body::Native(kernel_of(x.dtype())),
    };
    Plan::new(kernel, Grid::units(walk.units()), &params)
        .read(x.buffer(), x.byte_offset())
        .write(out.buffer(), out.byte_offset())
        .cost(((x.count() + out.count()) * x.dtype().size()) as u64, 0)
}

fn kernel_of(dtype: DType) -> NativeFn {
    match dtype.size() {
        1 => kernel::<u8>,
        2 => kernel::<u16>,
        4 => kernel::<u32>,
        _ => kernel::<u64>,
    }
}

unsafe fn kernel<T: bytemuck::Pod>(call: &mut Call<'_>) {
    let Params {
        value,
        start,
        end,
        walk,
    } = call.params::<Params>();
    let value: T = bytemuck::cast_slice::<u64, T>(std::slice::from_ref(value))[0];
    let (x, out) = (call.pointer::<T>(0), call.pointer::<T>(1));
    let last = walk.rank() - 1;
    // Where `x` would begin if it went on over the output's first index.
    let shift: isize = (0..=last)
        .map(|axis| start[axis] as isize * walk.stride(1, axis))
        .sum();
    walk.for_each_of(call.units.clone(), |run| {
        // SAFETY: the walk covers the output once.
        let row = unsafe { std::slice::from_raw_parts_mut(out.offset(run.offsets[0]), run.length) };
        let inside = |axis: usize| {
            let i = run.index[axis] as u64;
            start[axis] <= i && i < end[axis]
        };
        if !(0..last).all(inside) {
            return row.fill(value);
        }
        // The part of the run where `x` is.
        let first = run.index[last];
        let place = |at: u64| (at as usize).saturating_sub(first).min(run.length);
        let (low, high) = (place(start[last]), place(end[last]));
        row[..low].fill(value);
        row[high..].fill(value);
        let from = run.offsets[1] - shift + low as isize * run.strides[1];
        if low < high {
            // SAFETY: every index of this part lies inside `x`.
            unsafe {
                let to = (row.as_mut_ptr().add(low), 1);
                copy_run(to, (x.offset(from), run.strides[1]), high - low);
            }
        }
    });
}

fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    let value = if dtype.is_float() { -2.5 } else { 7.0 };
    type Case = (&'static [usize], &'static [(usize, usize)]);
    let shapes: &[Case] = &[
        (&[], &[]),
        (&[5], &[(0, 0)]),
        (&[5], &[(2, 3)]),
        (&[0], &[(2, 3)]),
        (&[0, 3], &[(0, 0), (1, 1)]),
        (&[3, 0], &[(1, 0), (0, 0)]),
        (&[4, 6], &[(1, 0), (0, 0)]),
        (&[4, 6], &[(0, 0), (0, 65)]),
        (&[1, 3, 4, 3], &[(0, 0), (1, 2), (2, 1), (0, 0)]),
        (&[2, 3, 130], &[(1, 1), (0, 2), (3, 0)]),
        (&[2, 9], &[(0, 1), (16_380, 16_400)]),
    ];
    for &(dims, padding) in shapes {
        let input = cases.input(dims, -50.0, 50.0);
        let run = move |x: &[Tensor]| pad(&x[0], padding, value);
        cases.add(
            format!("{dims:?} by {padding:?}"),
            vec![input],
            run,
            move |x| Expected::exact(dtype, reference(&x[0], padding, round_to(dtype, value))),
        );
    }
    let specials = cases.specials();
    cases.add(
        "specials",
        vec![specials],
        |x| pad(&x[0], &[(1, 1)], f64::NEG_INFINITY),
        move |x| {
            let value = round_to(dtype, f64::NEG_INFINITY);
            Expected::exact(dtype, reference(&x[0], &[(1, 1)], value)).with_signed_zero()
        },
    );
}

fn reference(
    x: &crate::reference::Array,
    padding: &[(usize, usize)],
    value: f64,
) -> crate::reference::Array {
    let sizes = x.dims.iter().zip(padding);
    let dims: Vec<usize> = sizes
        .map(|(dim, (before, after))| dim + before + after)
        .collect();
    crate::reference::Array::from_fn(&dims, |place| {
        let inner = place.iter().zip(padding).zip(&x.dims);
        let inner: Option<Vec<usize>> = inner
            .map(|((i, (before, _)), dim)| i.checked_sub(*before).filter(|i| i < dim))
            .collect();
        inner.map_or(value, |inner| x.at(&inner))
    })
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let padding = vec![(1, 1); dims.len()];
    Some(Bench::passes(dtype, dims, 2, move |x| {
        pad(&x[0], &padding, 0.0)
    }))
}
