//! What elementwise ops share: broadcasting, the plan, and the two kinds of kernel body, float and
//! integer.

use super::{check, on_stream, submit};
use crate::{
    DType, Error, Result, Shape, Tensor,
    cpu::{
        elementwise::{Walk, blocks},
        simd::{Float, Job, Simd, dispatch},
    },
};
use half::{bf16, f16};
use std::marker::PhantomData;
use wootz_runtime::{Body, Call, Grid, Kernel, NativeFn, Plan};

/// Elements widened to `f32` at a time: what a first-level cache holds several of.
const BLOCK: usize = 1 << 10;

/// An op on floats: one body over vectors of `f32`. f16 and bf16 are widened before and rounded
/// after it, a block at a time. A test gives 1 or 0.
pub(crate) trait Floats<const N: usize> {
    /// The result in each lane.
    fn lanes<S: Simd>(s: S, x: [S::F32; N]) -> S::F32;
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

/// Runs an op on operands that are broadcast to one shape.
pub(crate) fn run<const N: usize>(
    op: &'static str,
    operands: [(&'static str, &Tensor); N],
    gives: Gives,
    kernel: impl Fn(DType) -> NativeFn,
) -> Result<Tensor> {
    check::same_device(op, &operands)?;
    check::same_dtype(op, &operands)?;
    let tensors = operands.map(|(_, tensor)| tensor);
    let shape = broadcast(op, &tensors)?;
    let dtype = match gives {
        Gives::Same => tensors[0].dtype(),
        Gives::Truth => DType::U8,
    };
    launch(op, tensors, shape, dtype, kernel(tensors[0].dtype()))
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

/// Makes the output and submits `kernel`, whose parameters are the [`Walk`] alone.
pub(crate) fn launch<const N: usize>(
    op: &'static str,
    tensors: [&Tensor; N],
    shape: Shape,
    dtype: DType,
    kernel: NativeFn,
) -> Result<Tensor> {
    launch_with(op, tensors, shape, dtype, kernel, |walk| walk)
}

/// Makes the output and submits `kernel`, with the parameters that `params` makes of the [`Walk`].
pub(crate) fn launch_with<P: bytemuck::Pod, const N: usize>(
    op: &'static str,
    tensors: [&Tensor; N],
    shape: Shape,
    dtype: DType,
    kernel: NativeFn,
    params: impl FnOnce(Walk) -> P,
) -> Result<Tensor> {
    on_stream(tensors[0].device(), |stream| {
        let out = Tensor::output(op, stream, dtype, shape)?;
        if out.count() == 0 {
            return Ok(out);
        }
        let layouts = tensors.map(|tensor| {
            let layout = tensor.layout().broadcast_to(shape);
            layout.unwrap_or_else(|| *tensor.layout())
        });
        let walk = Walk::new(layouts.each_ref());
        // SAFETY: `broadcast` made the shape that each layout now has, and `out` is contiguous.
        unsafe {
            submit(
                stream,
                &plan(op, &walk, params(walk), tensors, &out, kernel),
            )?
        };
        Ok(out)
    })
}

/// The plan of a kernel over `walk`, with parameters that hold it.
pub(crate) fn plan<'a, P: bytemuck::Pod, const N: usize>(
    op: &'static str,
    walk: &Walk,
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
        .scratch(walk.scratch())
        .cost(bytes as u64, 0);
    let plan = tensors.iter().fold(plan, |plan, tensor| {
        plan.read(tensor.buffer(), tensor.byte_offset())
    });
    plan.write(out.buffer(), out.byte_offset())
}

/// The kernel of a float op.
pub(crate) fn float_kernel<O: Floats<N>, const N: usize>(dtype: DType, gives: Gives) -> NativeFn {
    match (dtype, gives) {
        (DType::F16, Gives::Same) => through::<O, f16, f16, N>,
        (DType::BF16, Gives::Same) => through::<O, bf16, bf16, N>,
        (DType::F16, Gives::Truth) => through::<O, f16, u8, N>,
        (DType::BF16, Gives::Truth) => through::<O, bf16, u8, N>,
        (_, Gives::Truth) => through::<O, f32, u8, N>,
        _ => direct::<O, N>,
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
/// As for [`NativeFn`], with a plan from [`plan`] over operands of `T`, as for all kernels here.
unsafe fn integers<O: Integers<N>, T: Integer, U: FromInteger<T>, const N: usize>(
    call: &mut Call<'_>,
) {
    let walk = *call.params::<Walk>();
    let out = call.pointer::<U>(N);
    let mut each = |x: [*const u8; N], first: usize, n: usize| {
        // SAFETY: the block's elements lie inside the operands and the output.
        let (x, out) = unsafe { (slices::<T, N>(x, n), slice_mut(out.add(first), n)) };
        for (i, out) in out.iter_mut().enumerate() {
            *out = U::from_integer(O::element(x.map(|x| x[i])));
        }
    };
    // SAFETY: the plan bound `N` operands of `T` that `walk` was made from.
    unsafe { blocks(call, &walk, [size_of::<T>(); N], &mut each) };
}

/// # Safety
/// As for [`integers`].
unsafe fn direct<O: Floats<N>, const N: usize>(call: &mut Call<'_>) {
    let walk = *call.params::<Walk>();
    let out = call.pointer::<f32>(N);
    let mut each = |x: [*const u8; N], first: usize, n: usize| {
        // SAFETY: the block's elements lie inside the operands and the output.
        let (x, out) = unsafe { (slices::<f32, N>(x, n), slice_mut(out.add(first), n)) };
        dispatch(Map::<O, N> {
            x,
            out,
            op: PhantomData,
        });
    };
    // SAFETY: the plan bound `N` operands of f32 that `walk` was made from.
    unsafe { blocks(call, &walk, [size_of::<f32>(); N], &mut each) };
}

/// # Safety
/// As for [`integers`].
unsafe fn through<O: Floats<N>, T: Float, U: Rounded, const N: usize>(call: &mut Call<'_>) {
    let walk = *call.params::<Walk>();
    let out = call.pointer::<U>(N);
    let mut wide = [[0.0; BLOCK]; N];
    let mut result = [0.0; BLOCK];
    let mut each = |x: [*const u8; N], first: usize, n: usize| {
        // SAFETY: the block's elements lie inside the operands and the output.
        let (x, out) = unsafe { (slices::<T, N>(x, n), slice_mut(out.add(first), n)) };
        for start in (0..n).step_by(BLOCK) {
            let m = BLOCK.min(n - start);
            for (wide, x) in wide.iter_mut().zip(x) {
                dispatch(Widen(&x[start..start + m], &mut wide[..m]));
            }
            let x = wide.each_ref().map(|wide| &wide[..m]);
            dispatch(Map::<O, N> {
                x,
                out: &mut result[..m],
                op: PhantomData,
            });
            U::round(&result[..m], &mut out[start..start + m]);
        }
    };
    // SAFETY: the plan bound `N` operands of `T` that `walk` was made from.
    unsafe { blocks(call, &walk, [size_of::<T>(); N], &mut each) };
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

struct Map<'a, O, const N: usize> {
    x: [&'a [f32]; N],
    out: &'a mut [f32],
    op: PhantomData<O>,
}

impl<O: Floats<N>, const N: usize> Job for Map<'_, O, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.out.len();
        let x = self.x.map(|x| &x[..n]);
        let whole = n - n % S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            let mut here = [s.splat(0.0); N];
            for (here, x) in here.iter_mut().zip(x) {
                // SAFETY: `i + LANES` is at most `whole`, and that at most every slice's length.
                *here = s.load(unsafe { x.get_unchecked(i..i + S::LANES) });
            }
            // SAFETY: as above.
            let out = unsafe { self.out.get_unchecked_mut(i..i + S::LANES) };
            s.store(out, O::lanes(s, here));
        }
        if whole < n {
            let mut rest = [s.splat(0.0); N];
            for (rest, x) in rest.iter_mut().zip(x) {
                *rest = s.load_first(&x[whole..], 0.0);
            }
            s.store_first(&mut self.out[whole..], O::lanes(s, rest));
        }
    }
}

/// Widens a block to `f32`.
pub(crate) struct Widen<'a, T>(pub &'a [T], pub &'a mut [f32]);

impl<T: Float> Job for Widen<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (x, out) in self.0.chunks(S::LANES).zip(self.1.chunks_mut(S::LANES)) {
            if x.len() == S::LANES {
                s.store(out, T::load(s, x));
            } else {
                s.store_first(out, T::load_first(s, x, 0.0));
            }
        }
    }
}

/// Rounds a block of `f32`.
struct Narrow<'a, T>(&'a [f32], &'a mut [T]);

impl<T: Float> Job for Narrow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (x, out) in self.0.chunks(S::LANES).zip(self.1.chunks_mut(S::LANES)) {
            if x.len() == S::LANES {
                T::store(s, out, s.load(x));
            } else {
                T::store_first(s, out, s.load_first(x, 0.0));
            }
        }
    }
}

/// A type that a block of `f32` is rounded to: floats to nearest even, integers towards zero,
/// saturating, with NaN as 0.
pub(crate) trait Rounded: Sized {
    /// Rounds `x` into `out`, of the same length.
    fn round(x: &[f32], out: &mut [Self]);
}

macro_rules! rounded {
    ($($float:ty),*; $($integer:ty),*) => {
        $(impl Rounded for $float {
            fn round(x: &[f32], out: &mut [Self]) {
                dispatch(Narrow(x, out));
            }
        })*
        $(impl Rounded for $integer {
            fn round(x: &[f32], out: &mut [Self]) {
                for (x, out) in x.iter().zip(out) {
                    *out = *x as $integer;
                }
            }
        })*
    };
}
rounded!(f32, f16, bf16; i32, u32, i64, u8);

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
    /// Towards zero; 0 for a division by 0.
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
    ($($t:ty),*) => {$(
        impl Integer for $t {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const ONES: Self = !0;
            const WIDTH: u32 = <$t>::BITS;
            fn add(self, other: Self) -> Self { self.wrapping_add(other) }
            fn sub(self, other: Self) -> Self { self.wrapping_sub(other) }
            fn mul(self, other: Self) -> Self { self.wrapping_mul(other) }
            fn div(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_div(other) }
            }
            fn rem(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_rem(other) }
            }
            fn and(self, other: Self) -> Self { self & other }
            fn or(self, other: Self) -> Self { self | other }
            fn xor(self, other: Self) -> Self { self ^ other }
            fn shift_left(self, count: u32) -> Self { self.wrapping_shl(count) }
            fn shift_right(self, count: u32) -> Self { self.wrapping_shr(count) }
            fn count(self) -> u32 { u32::try_from(self).unwrap_or(u32::MAX) }
            fn low(self) -> u8 { self as u8 }
        }
        impl FromInteger<$t> for $t {
            fn from_integer(x: $t) -> $t { x }
        }
    )*};
}
integer!(i32, u32, i64, u8);

/// What an integer op's result is stored as: itself, or as a truth value.
trait FromInteger<T> {
    fn from_integer(x: T) -> Self;
}

macro_rules! truth {
    ($($t:ty),*) => {$(
        impl FromInteger<$t> for u8 {
            fn from_integer(x: $t) -> u8 { x.low() }
        }
    )*};
}
truth!(i32, u32, i64);
