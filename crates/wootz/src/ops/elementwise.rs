//! What elementwise ops share: broadcasting, the plan, and the two kinds of kernel body, float and
//! integer.

use super::{check, on_stream, runs_source, submit};
use crate::{
    DType, Error, F8E4M3, Result, Shape, Tensor,
    cpu::{
        elementwise::{blocks, scratch},
        rows::{Narrow, Working, inlined, map},
        simd::{Float, Job, Simd, Twice, bypass_done, bypasses, dispatch, vectorized},
        walk::Walk,
    },
    kernels::{self, Numbers},
};
use half::{bf16, f16};
use std::marker::PhantomData;
use wootz_runtime::{Body, Call, Grid, Kernel, NativeFn, Plan};

/// Elements of a block where operands and result differ in type: what a first-level cache holds
/// several of.
const BLOCK: usize = 1 << 9;

/// An op on floats: one body over vectors of `f32`. f16 and bf16 are widened before and rounded
/// after it. A test gives 1 or 0.
pub(crate) trait Floats<const N: usize> {
    /// The result in each lane.
    fn lanes<S: Simd>(s: S, x: [S::F32; N]) -> S::F32;

    /// Writes the results for a block. Few digits of those outlast rounding to bf16, so there an op
    /// may have another way.
    #[inline(always)]
    fn write<S: Simd, T: Float>(s: S, x: [&[T]; N], out: &mut [T], bypass: bool) {
        let each = inlined(
            #[inline(always)]
            |x| Self::lanes(s, x),
        );
        map(s, x, out, bypass, each);
    }
}

/// An op on integers.
pub(crate) trait Integers<const N: usize> {
    /// The result for one element.
    fn element<T: Integer>(x: [T; N]) -> T;
}

/// The errors that a float op's results may have beside their last rounding, for results that its
/// arithmetic leaves `ulps` of `f32` off.
pub(crate) fn errors(dtype: DType, exact: &[f64], ulps: impl Fn(usize) -> f64) -> Vec<f64> {
    // Narrower types are rounded twice, to `f32` first.
    let first = if dtype == DType::F32 { 0.0 } else { 0.5 };
    let error = |(i, y): (usize, &f64)| {
        // An ulp is at most two unit roundoffs, and of a denormal the least normal number's.
        let ulp = f64::from(f32::EPSILON) * y.abs().max(f64::from(f32::MIN_POSITIVE));
        (ulps(i) + first) * ulp
    };
    exact.iter().enumerate().map(error).collect()
}

/// The integer that `dtype` holds for `x`: itself modulo the type's range.
pub(crate) fn wrap(dtype: DType, x: i64) -> f64 {
    match dtype {
        DType::I32 => f64::from(x as i32),
        DType::U32 => f64::from(x as u32),
        DType::U8 => f64::from(x as u8),
        _ => x as f64,
    }
}

/// As [`wrap`], of a number that a float keeps as it is.
pub(crate) fn wrap_number(dtype: DType, x: f64) -> f64 {
    if dtype.is_float() {
        x
    } else {
        wrap(dtype, x as i64)
    }
}

/// What an op's result holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    /// Elements of the operands' type.
    Same,
    /// Truth values.
    Truth,
}

/// The parameters of a kernel that takes several types.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Params<const N: usize> {
    pub(crate) walk: Walk<N>,
    /// The operands' type and the result's, as [`DType::index`] counts.
    dtypes: [u64; 2],
}

// SAFETY: all zero bytes are a walk without axes, of the first type.
unsafe impl<const N: usize> bytemuck::Zeroable for Params<N> {}
// SAFETY: a walk has fields of 8 bytes each, as the others are: no padding, and any bytes are valid.
unsafe impl<const N: usize> bytemuck::Pod for Params<N> {}

impl<const N: usize> Params<N> {
    /// The operands' type.
    pub(crate) fn input(&self) -> DType {
        DType::ALL[self.dtypes[0] as usize]
    }

    /// The result's type.
    pub(crate) fn output(&self) -> DType {
        DType::ALL[self.dtypes[1] as usize]
    }
}

/// The name of an op, and of its struct in the kernel dialect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    pub(crate) op: &'static str,
    pub(crate) source: &'static str,
}

/// Runs an op on operands that are broadcast to one shape.
pub(crate) fn run<const N: usize>(
    names: Names,
    operands: [(&'static str, &Tensor); N],
    gives: Gives,
    kernel: impl Fn(DType) -> NativeFn,
) -> Result<Tensor> {
    let op = names.op;
    check::same_device(op, &operands)?;
    check::same_dtype(op, &operands)?;
    let tensors = operands.map(|(_, tensor)| tensor);
    let shape = broadcast(op, &tensors)?;
    let dtype = match gives {
        Gives::Same => tensors[0].dtype(),
        Gives::Truth => DType::U8,
    };
    launch(names, tensors, shape, dtype, kernel(tensors[0].dtype()))
}

/// The shape that all operands broadcast to.
pub(crate) fn broadcast(op: &'static str, tensors: &[&Tensor]) -> Result<Shape> {
    let rest = tensors[1..].iter();
    rest.map(|tensor| tensor.shape())
        .try_fold(tensors[0].shape(), |left, right| {
            let verb = "broadcast";
            left.broadcast(&right).ok_or(Error::Shapes {
                op,
                left,
                right,
                verb,
            })
        })
}

/// Makes the output and submits `kernel`, whose parameters are [`Params`] alone.
pub(crate) fn launch<const N: usize>(
    names: Names,
    tensors: [&Tensor; N],
    shape: Shape,
    dtype: DType,
    kernel: NativeFn,
) -> Result<Tensor> {
    let numbers = Numbers::default();
    launch_with(names, tensors, shape, dtype, numbers, (kernel, |all| all))
}

/// Makes the output and submits the op, which takes `numbers` beside its operands: on the CPU as a
/// kernel, with the parameters that a function makes of [`Params`].
pub(crate) fn launch_with<P: bytemuck::Pod, const N: usize>(
    names: Names,
    tensors: [&Tensor; N],
    shape: Shape,
    dtype: DType,
    numbers: Numbers,
    (kernel, params): (NativeFn, impl FnOnce(Params<N>) -> P),
) -> Result<Tensor> {
    let op = names.op;
    on_stream(tensors[0].device(), |stream| {
        let out = Tensor::output(op, stream, dtype, shape)?;
        if out.count() == 0 {
            return Ok(out);
        }
        let layouts = tensors.map(|tensor| {
            let layout = tensor.layout().broadcast_to(shape);
            layout.unwrap_or_else(|| *tensor.layout())
        });
        if runs_source(stream.device()) {
            let plan = kernels::pointwise(names.source, tensors, layouts, &out, numbers);
            // SAFETY: as below.
            unsafe { submit(stream, &plan)? };
            drop(plan);
            return Ok(out);
        }
        // The last operand has the type that counts: of `where`, the first is a condition.
        let input = tensors[N - 1].dtype();
        let walk = Walk::new(layouts.each_ref());
        let dtypes = [input, dtype].map(|dtype| dtype.index() as u64);
        let params = params(Params { walk, dtypes });
        // SAFETY: `broadcast` made the shape that each layout now has, and `out` is contiguous.
        unsafe { submit(stream, &plan(op, &walk, params, tensors, &out, kernel))? };
        Ok(out)
    })
}

/// The plan of a kernel over `walk`, with parameters that hold it.
pub(crate) fn plan<'a, P: bytemuck::Pod, const N: usize>(
    op: &'static str,
    walk: &Walk<N>,
    params: P,
    tensors: [&'a Tensor; N],
    out: &'a Tensor,
    kernel: NativeFn,
) -> Plan<'a> {
    let kernel = Kernel {
        name: op,
        body: Body::Native(kernel),
    };
    let size = |tensor: &Tensor| tensor.dtype().size();
    let bytes =
        out.count() * (size(out) + tensors.iter().map(|tensor| size(tensor)).sum::<usize>());
    let plan = Plan::new(kernel, Grid::units(walk.units()), &params)
        .scratch(scratch(walk))
        .cost(bytes as u64, 0);
    let plan = tensors.iter().fold(plan, |plan, tensor| {
        plan.read(tensor.buffer(), tensor.byte_offset())
    });
    plan.write(out.buffer(), out.byte_offset())
}

/// The kernel of a float op.
///
/// # Safety
/// As for [`NativeFn`], with a plan from [`plan`], as for all kernels here.
pub(crate) unsafe fn floats<O: Floats<N>, const N: usize>(call: &mut Call<'_>) {
    /// The op over a block.
    fn map<O: Floats<N>, T: Float, const N: usize>(x: [&[T]; N], out: &mut [T], bypass: bool) {
        let op = PhantomData::<O>;
        dispatch(Map { x, out, bypass, op });
    }
    let params = *call.params::<Params<N>>();
    // SAFETY: passed on from the caller; the operands are what the parameters say.
    unsafe {
        match (params.input(), params.output()) {
            (DType::F32, DType::F32) => float_blocks(call, &params, map::<O, f32, N>),
            (DType::F16, DType::F16) => float_blocks(call, &params, map::<O, f16, N>),
            (DType::BF16, DType::BF16) => float_blocks(call, &params, map::<O, bf16, N>),
            _ => widened_blocks(call, &params, map::<O, f32, N>),
        }
    }
}

/// Runs `map` over blocks of operands of `T`, to a result of `T`.
///
/// # Safety
/// As for [`floats`].
unsafe fn float_blocks<T: Float, const N: usize>(
    call: &mut Call<'_>,
    params: &Params<N>,
    map: fn([&[T]; N], &mut [T], bool),
) {
    let out = call.pointer::<T>(N);
    let bypass = bypasses(params.walk.count() * size_of::<T>());
    let mut each = |x: [*const u8; N], first: usize, n: usize| {
        // SAFETY: the block's elements lie inside the operands and the output.
        let (x, out) = unsafe { (slices(x, n), slice_mut(out.add(first), n)) };
        map(x, out, bypass);
    };
    // SAFETY: the plan bound `N` operands of `T` that `walk` was made from.
    unsafe { blocks(call, &params.walk, [size_of::<T>(); N], &mut each) };
}

/// As [`float_blocks`], of operands of any type to a result of any type, by way of `f32`.
///
/// # Safety
/// As for [`floats`].
unsafe fn widened_blocks<const N: usize>(
    call: &mut Call<'_>,
    params: &Params<N>,
    map: fn([&[f32]; N], &mut [f32], bool),
) {
    let (input, output) = (params.input(), params.output());
    let out = call.pointer::<u8>(N);
    let mut wide = [[0.0; BLOCK]; N];
    let mut result = [0.0; BLOCK];
    let mut each = |x: [*const u8; N], first: usize, n: usize| {
        for start in (0..n).step_by(BLOCK) {
            let m = BLOCK.min(n - start);
            for (wide, x) in wide.iter_mut().zip(x) {
                let x = x.wrapping_add(start * input.size());
                // SAFETY: the block's elements lie inside the operands.
                unsafe { f32::gather(input, x, 1, &mut wide[..m]) };
            }
            let wide = wide.each_ref().map(|wide| &wide[..m]);
            map(wide, &mut result[..m], false);
            let out = out.wrapping_add((first + start) * output.size());
            // SAFETY: the block's elements lie inside the output, which nobody else touches.
            unsafe { round(&result[..m], output, out) };
        }
    };
    // SAFETY: the plan bound `N` operands of `input` that `walk` was made from.
    unsafe { blocks(call, &params.walk, [input.size(); N], &mut each) };
}

/// Rounds `x` to elements of type `dtype` from `out` on: floats to nearest even, integers towards
/// zero, saturating, with NaN as 0.
///
/// # Safety
/// There is room for as many, and nobody else touches them.
pub(crate) unsafe fn round(x: &[f32], dtype: DType, out: *mut u8) {
    fn whole<T>(x: &[f32], out: &mut [T], convert: impl Fn(f32) -> T) {
        vectorized(
            #[inline(always)]
            move || {
                for (x, out) in x.iter().zip(out) {
                    *out = convert(*x);
                }
            },
        );
    }
    let n = x.len();
    // SAFETY: passed on from the caller.
    unsafe {
        match dtype {
            DType::F32 => slice_mut(out.cast(), n).copy_from_slice(x),
            DType::F16 => dispatch(Narrow::<f16>(x, slice_mut(out.cast(), n))),
            DType::BF16 => dispatch(Narrow::<bf16>(x, slice_mut(out.cast(), n))),
            DType::I32 => whole(x, slice_mut(out.cast(), n), |x| x as i32),
            DType::U32 => whole(x, slice_mut(out.cast(), n), |x| x as u32),
            DType::I64 => whole(x, slice_mut(out.cast(), n), |x| x as i64),
            DType::U8 => whole(x, slice_mut(out, n), |x| {
                // Of a NaN too the larger one is 0, so what is left fits.
                let positive = if x > 0.0 { x } else { 0.0 };
                positive.min(255.0).to_int_unchecked()
            }),
            DType::F8E4M3 => whole(x, slice_mut(out.cast(), n), F8E4M3::from_f32),
        }
    }
}

/// The kernel of an integer op.
pub(crate) fn integer_kernel<O: Integers<N>, const N: usize>(
    dtype: DType,
    gives: Gives,
) -> NativeFn {
    match (dtype, gives) {
        (DType::I32, Gives::Same) => integers::<O, i32, i32, N>,
        (DType::U32, Gives::Same) => integers::<O, u32, u32, N>,
        (DType::I64, Gives::Same) => integers::<O, i64, i64, N>,
        (DType::I32, Gives::Truth) => integers::<O, i32, u8, N>,
        (DType::U32, Gives::Truth) => integers::<O, u32, u8, N>,
        (DType::I64, Gives::Truth) => integers::<O, i64, u8, N>,
        _ => integers::<O, u8, u8, N>,
    }
}

/// # Safety
/// As for [`floats`], over operands of `T` to a result of `U`.
unsafe fn integers<O: Integers<N>, T: Integer, U: FromInteger<T>, const N: usize>(
    call: &mut Call<'_>,
) {
    /// The op over a block.
    unsafe fn map<O: Integers<N>, T: Integer, U: FromInteger<T>, const N: usize>(
        x: [*const u8; N],
        out: *mut u8,
        n: usize,
    ) {
        // SAFETY: passed on from the caller.
        let (x, out) = unsafe { (slices::<T, N>(x, n), slice_mut::<U>(out.cast(), n)) };
        vectorized(
            #[inline(always)]
            move || {
                for (i, out) in out.iter_mut().enumerate() {
                    // SAFETY: every slice has `n` elements.
                    let x = x.map(|x| unsafe { *x.get_unchecked(i) });
                    *out = U::from_integer(O::element(x));
                }
            },
        );
    }
    // SAFETY: passed on from the caller.
    unsafe { integer_blocks(call, map::<O, T, U, N>) };
}

/// Runs `map` over blocks of operands.
///
/// # Safety
/// As for [`floats`]; `map` takes operands and a result of the plan's types, `n` of each.
unsafe fn integer_blocks<const N: usize>(
    call: &mut Call<'_>,
    map: unsafe fn([*const u8; N], *mut u8, usize),
) {
    let params = *call.params::<Params<N>>();
    let (input, output) = (params.input(), params.output());
    let out = call.pointer::<u8>(N);
    let mut each = |x: [*const u8; N], first: usize, n: usize| {
        // SAFETY: the block's elements lie inside the operands and the output.
        unsafe { map(x, out.wrapping_add(first * output.size()), n) };
    };
    // SAFETY: the plan bound `N` operands of `input` that `walk` was made from.
    unsafe { blocks(call, &params.walk, [input.size(); N], &mut each) };
}

/// `n` elements of each operand.
///
/// # Safety
/// They are there, and nobody writes them meanwhile.
pub(crate) unsafe fn slices<'a, T, const N: usize>(x: [*const u8; N], n: usize) -> [&'a [T]; N] {
    // SAFETY: passed on from the caller.
    x.map(|x| unsafe { std::slice::from_raw_parts(x.cast(), n) })
}

/// `n` elements of the output.
///
/// # Safety
/// They are there, and nobody else touches them meanwhile.
pub(crate) unsafe fn slice_mut<'a, T>(out: *mut T, n: usize) -> &'a mut [T] {
    // SAFETY: passed on from the caller.
    unsafe { std::slice::from_raw_parts_mut(out, n) }
}

struct Map<'a, O, T, const N: usize> {
    x: [&'a [T]; N],
    out: &'a mut [T],
    bypass: bool,
    op: PhantomData<O>,
}

impl<O: Floats<N>, T: Float, const N: usize> Job for Map<'_, O, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        O::write(Twice(s), self.x, self.out, self.bypass);
        if self.bypass {
            bypass_done();
        }
    }
}

/// An integer element type. Arithmetic wraps.
pub(crate) trait Integer: Copy + PartialOrd + 'static {
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Every bit set.
    const ONES: Self;
    /// Bits.
    const WIDTH: u32;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// Towards zero; 0 for a division by 0. Short ones by way of floats, of which processors divide
    /// vectors: those with more digits than the dividend do not round up to a whole quotient.
    fn div(self, other: Self) -> Self;
    /// With the sign of `self`; 0 for a division by 0.
    fn rem(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    /// By an in-range count.
    fn shift_left(self, count: u32) -> Self;
    /// By an in-range count; keeps the sign.
    fn shift_right(self, count: u32) -> Self;
    /// As a count of bits; out-of-range and negative ones give [`Integer::WIDTH`] or more.
    fn count(self) -> u32;
    /// The low byte.
    fn low(self) -> u8;
}

macro_rules! integer {
    ($($t:ty: $div:expr;)*) => {$(
        impl Integer for $t {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const ONES: Self = !0;
            const WIDTH: u32 = <$t>::BITS;
            #[inline(always)]
            fn add(self, other: Self) -> Self { self.wrapping_add(other) }
            #[inline(always)]
            fn sub(self, other: Self) -> Self { self.wrapping_sub(other) }
            #[inline(always)]
            fn mul(self, other: Self) -> Self { self.wrapping_mul(other) }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                let quotient: fn(Self, Self) -> Self = $div;
                if other == 0 { 0 } else { quotient(self, other) }
            }
            #[inline(always)]
            fn rem(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_sub(self.div(other).wrapping_mul(other)) }
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self { self & other }
            #[inline(always)]
            fn or(self, other: Self) -> Self { self | other }
            #[inline(always)]
            fn xor(self, other: Self) -> Self { self ^ other }
            #[inline(always)]
            fn shift_left(self, count: u32) -> Self { self.wrapping_shl(count) }
            #[inline(always)]
            fn shift_right(self, count: u32) -> Self { self.wrapping_shr(count) }
            #[inline(always)]
            fn count(self) -> u32 { u32::try_from(self).unwrap_or(u32::MAX) }
            #[inline(always)]
            fn low(self) -> u8 { self as u8 }
        }
        impl FromInteger<$t> for $t {
            #[inline(always)]
            fn from_integer(x: $t) -> $t { x }
        }
    )*};
}
integer! {
    i32: |x, y| match y {
        -1 => x.wrapping_neg(),
        // SAFETY: of no other divisor but 0 is the quotient larger than the dividend.
        _ => unsafe { (f64::from(x) / f64::from(y)).to_int_unchecked() },
    };
    // SAFETY: the divisor is not 0, so the quotient is at most the dividend.
    u32: |x, y| unsafe { (f64::from(x) / f64::from(y)).to_int_unchecked() };
    i64: i64::wrapping_div;
    // SAFETY: as above.
    u8: |x, y| unsafe { (f32::from(x) / f32::from(y)).to_int_unchecked() };
}

/// What an integer op's result is stored as: itself, or as a truth value.
trait FromInteger<T> {
    fn from_integer(x: T) -> Self;
}

macro_rules! truth {
    ($($t:ty),*) => {$(
        impl FromInteger<$t> for u8 {
            #[inline(always)]
            fn from_integer(x: $t) -> u8 { x.low() }
        }
    )*};
}
truth!(i32, u32, i64);
