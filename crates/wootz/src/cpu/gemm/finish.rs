//! From a tile's sums to C: scaling, bias, activation, what C held before, rounding, and where it
//! goes.

use half::{bf16, f16};
use std::marker::PhantomData;

use super::problem::{Element, Problem};
use super::transpose::transpose;
use crate::{
    Activation,
    cpu::{
        math::{
            self,
            rough::{self, Parts},
        },
        simd::{Float, Job, Level, Simd},
    },
};

/// The bias of a line of C.
#[derive(Clone, Copy, Debug)]
enum Bias {
    None,
    /// The same for a whole line, another for the next, this many elements on.
    Across(*const u8, isize),
    /// One value for each element of every line, this many elements apart.
    Along(*const u8, isize),
}

/// Lines of C: elements `step` apart that are written one after another.
#[derive(Clone, Copy, Debug)]
struct Lines {
    sums: *const f32,
    /// From one line of sums to the next, in f32.
    sums_row: usize,
    count: usize,
    length: usize,
    c: *mut u8,
    /// From one line of C to the next.
    c_row: isize,
    step: isize,
    bias: Bias,
    alpha: f32,
    activation: Activation,
    beta: f32,
}

/// Where a tile's sums lie, and which part of C they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums {
    pub from: *const f32,
    /// From one row of the sums to the next, in f32.
    pub row: usize,
    pub rows: usize,
    pub columns: usize,
    /// First element of this tile in C.
    pub c: *mut u8,
    /// First value of the bias for this tile.
    pub bias: *const u8,
    /// Room for `columns`×`rows` sums, for a C whose columns are runs.
    pub turned: *mut f32,
}

/// Whether sums may be written straight into C: nothing is left to do to them.
pub(super) fn direct(problem: &Problem) -> bool {
    problem.result == Element::F32
        && problem.c.column == 1
        && problem.c.row >= 0
        && problem.alpha == 1.0
        && problem.activation == Activation::None
        && problem.beta == 0.0
        && problem.bias.is_none()
}

/// Finishes one tile. `swapped` says that `problem` is the transposed of the one asked for, whose
/// columns have the bias.
///
/// # Safety
/// The pointers of `sums` are valid for the tile, elements aligned, and the machine has `level`.
pub(super) unsafe fn finish(level: Level, problem: &Problem, swapped: bool, sums: Sums) {
    let Sums { rows, columns, .. } = sums;
    let turn = problem.c.column != 1 && problem.c.row == 1;
    let (from, row, lines, length, line_step, step) = if turn {
        let from = (sums.from.cast(), (sums.row * 4) as isize);
        let to = (sums.turned.cast(), (rows * 4) as isize);
        // SAFETY: the sums are rows×columns and there is room to turn them.
        unsafe { transpose(level, from, to, rows, columns) };
        (
            sums.turned.cast_const(),
            rows,
            columns,
            rows,
            problem.c.column,
            1,
        )
    } else {
        (
            sums.from,
            sums.row,
            rows,
            columns,
            problem.c.row,
            problem.c.column,
        )
    };
    let lines = Lines {
        sums: from,
        sums_row: row,
        count: lines,
        length,
        c: sums.c,
        c_row: line_step,
        step,
        bias: match problem.bias {
            None => Bias::None,
            // The bias runs along the lines unless exactly one of the two transpositions happened.
            Some(stride) if swapped == turn => Bias::Along(sums.bias, stride),
            Some(stride) => Bias::Across(sums.bias, stride),
        },
        alpha: problem.alpha,
        activation: problem.activation,
        beta: problem.beta,
    };
    match problem.result {
        Element::F32 => write::<f32>(level, problem.element, lines),
        Element::F16 => write::<f16>(level, problem.element, lines),
        Element::Bf16 => write::<bf16>(level, problem.element, lines),
    }
}

fn write<T: Float>(level: Level, bias: Element, lines: Lines) {
    match bias {
        Element::F32 => level.dispatch(Write::<T, f32>(lines, PhantomData)),
        Element::F16 => level.dispatch(Write::<T, f16>(lines, PhantomData)),
        Element::Bf16 => level.dispatch(Write::<T, bf16>(lines, PhantomData)),
    }
}

/// Writes lines whose elements are of type `T`, with a bias of elements of `B`.
struct Write<T, B>(Lines, PhantomData<(T, B)>);

/// The activation of each lane, of sums that will be rounded to `T`.
#[inline(always)]
fn activated<S: Simd, T: Float>(s: S, activation: Activation, x: S::F32) -> S::F32 {
    match (activation, T::COARSE) {
        (Activation::None, _) => x,
        (Activation::Relu, _) => math::relu(s, x),
        (Activation::Gelu, false) => math::gelu(s, x),
        (Activation::Gelu, true) => rough::Gelu::whole(s, x),
        (Activation::GeluTanh, false) => math::gelu_tanh(s, x),
        (Activation::GeluTanh, true) => rough::GeluTanh::whole(s, x),
        (Activation::Silu, false) => math::silu(s, x),
        (Activation::Silu, true) => rough::Silu::whole(s, x),
    }
}

/// Up to a vector's worth of elements that lie `step` apart.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn gather<S: Simd, T: Float>(s: S, from: *const T, step: isize, count: usize) -> S::F32 {
    // SAFETY: passed on from the caller.
    unsafe {
        if step == 1 && count == S::LANES {
            return T::load(s, std::slice::from_raw_parts(from, count));
        }
        if step == 1 {
            return T::load_first(s, std::slice::from_raw_parts(from, count), 0.0);
        }
        let mut values = [0f32; 64];
        for (i, value) in values.iter_mut().enumerate().take(count) {
            *value = from.wrapping_offset(i as isize * step).read().to_f32();
        }
        s.load(&values[..S::LANES])
    }
}

/// Writes `count` lanes to elements that lie `step` apart.
///
/// # Safety
/// They are there, and nobody else touches them.
#[inline(always)]
unsafe fn scatter<S: Simd, T: Float>(s: S, x: S::F32, to: *mut T, step: isize, count: usize) {
    // SAFETY: passed on from the caller.
    unsafe {
        if step == 1 && count == S::LANES {
            return T::store(s, std::slice::from_raw_parts_mut(to, count), x);
        }
        if step == 1 {
            return T::store_first(s, std::slice::from_raw_parts_mut(to, count), x);
        }
        let mut values = [0f32; 64];
        s.store(&mut values[..S::LANES], x);
        for (i, &value) in values.iter().enumerate().take(count) {
            to.wrapping_offset(i as isize * step)
                .write(T::from_f32(value));
        }
    }
}

impl<T: Float, B: Float> Job for Write<T, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let lines = &self.0;
        let plain = lines.alpha == 1.0
            && lines.beta == 0.0
            && lines.activation == Activation::None
            && matches!(lines.bias, Bias::None);
        for i in 0..lines.count {
            // SAFETY: `finish`'s caller vouches for every line, with elements of `T` and a bias of
            // elements of `B`.
            unsafe {
                match plain && lines.step == 1 {
                    true => round::<S, T>(s, lines, i),
                    false => line::<S, T, B>(s, lines, i),
                }
            }
        }
    }
}

/// A line that is its sums, rounded: nearly all are.
///
/// # Safety
/// Line `i` is there, of C, whose elements are neighbours, and of the sums.
#[inline(always)]
unsafe fn round<S: Simd, T: Float>(s: S, lines: &Lines, i: usize) {
    let to = lines
        .c
        .cast::<T>()
        .wrapping_offset(i as isize * lines.c_row);
    let from = lines.sums.wrapping_add(i * lines.sums_row);
    // SAFETY: passed on from the caller.
    let (from, to) = unsafe {
        (
            std::slice::from_raw_parts(from, lines.length),
            std::slice::from_raw_parts_mut(to, lines.length),
        )
    };
    let whole = from.len() - from.len() % S::LANES;
    let (from, from_rest) = from.split_at(whole);
    let (to, to_rest) = to.split_at_mut(whole);
    let vectors = from.chunks_exact(S::LANES);
    for (from, to) in vectors.zip(to.chunks_exact_mut(S::LANES)) {
        T::store(s, to, s.load(from));
    }
    if !from_rest.is_empty() {
        T::store_first(s, to_rest, s.load_first(from_rest, 0.0));
    }
}

/// # Safety
/// Line `i` is there, of C, of the sums and of the bias.
#[inline(always)]
unsafe fn line<S: Simd, T: Float, B: Float>(s: S, lines: &Lines, i: usize) {
    let (length, step) = (lines.length, lines.step);
    let from = lines.sums.wrapping_add(i * lines.sums_row);
    let to = lines.c.cast::<T>();
    let to = to.wrapping_offset(i as isize * lines.c_row);
    for first in (0..length).step_by(S::LANES) {
        let count = S::LANES.min(length - first);
        let c = to.wrapping_offset(first as isize * step);
        // SAFETY: passed on from the caller, here and below.
        unsafe {
            let mut x = gather::<S, f32>(s, from.add(first), 1, count);
            if lines.alpha != 1.0 {
                x = s.mul(x, s.splat(lines.alpha));
            }
            match lines.bias {
                Bias::None => {}
                Bias::Across(bias, stride) => {
                    let bias = bias.cast::<B>().wrapping_offset(i as isize * stride);
                    x = s.add(x, s.splat(bias.read().to_f32()));
                }
                Bias::Along(bias, stride) => {
                    let bias = bias.cast::<B>().wrapping_offset(first as isize * stride);
                    x = s.add(x, gather(s, bias, stride, count));
                }
            }
            x = activated::<S, T>(s, lines.activation, x);
            if lines.beta != 0.0 {
                x = s.fma(gather(s, c, step, count), s.splat(lines.beta), x);
            }
            scatter(s, x, c, step, count);
        }
    }
}
