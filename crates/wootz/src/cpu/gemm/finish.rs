//! From a tile's sums to C: scaling, bias, what C held before, rounding, and where it goes.

use half::{bf16, f16};

use super::problem::{Element, Problem};
use super::transpose::transpose;
use crate::cpu::simd::{Float, Job, Level, Simd};

/// The bias of one line of C.
#[derive(Clone, Copy, Debug)]
enum Bias {
    None,
    /// The same for the whole line.
    One(*const u8),
    /// One value for each element of the line, this many elements apart.
    Each(*const u8, isize),
}

/// A line of C: elements `step` apart that are written one after another.
#[derive(Clone, Copy, Debug)]
struct Line {
    sums: *const f32,
    length: usize,
    c: *mut u8,
    step: isize,
    bias: Bias,
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
    problem.element == Element::F32
        && problem.c.column == 1
        && problem.c.row >= 0
        && problem.alpha == 1.0
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
    let size = problem.element.size() as isize;
    for i in 0..lines {
        let bias = match problem.bias {
            None => Bias::None,
            // The bias runs along the lines unless exactly one of the two transpositions happened.
            Some(stride) if swapped == turn => Bias::Each(sums.bias, stride),
            Some(stride) => Bias::One(sums.bias.wrapping_offset(i as isize * stride * size)),
        };
        let line = Line {
            sums: from.wrapping_add(i * row),
            length,
            c: sums.c.wrapping_offset(i as isize * line_step * size),
            step,
            bias,
        };
        let scale = (problem.alpha, problem.beta);
        // SAFETY: line `i` of the tile is inside what the caller vouches for.
        unsafe {
            match problem.element {
                Element::F32 => level.dispatch(Write::<f32>::new(line, scale)),
                Element::F16 => level.dispatch(Write::<f16>::new(line, scale)),
                Element::Bf16 => level.dispatch(Write::<bf16>::new(line, scale)),
            }
        }
    }
}

/// Writes one line whose elements are of type `T`.
struct Write<T> {
    line: Line,
    alpha: f32,
    beta: f32,
    element: std::marker::PhantomData<T>,
}

impl<T: Float> Write<T> {
    /// # Safety
    /// `line` describes valid memory with elements of type `T`.
    unsafe fn new(line: Line, (alpha, beta): (f32, f32)) -> Write<T> {
        Write {
            line,
            alpha,
            beta,
            element: std::marker::PhantomData,
        }
    }

    /// Up to a vector's worth of elements that lie `step` apart.
    #[inline(always)]
    fn gather<S: Simd>(s: S, from: *const T, step: isize, count: usize) -> S::F32 {
        // SAFETY: `new`'s caller vouches for the line's elements, of C and of the bias.
        unsafe {
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
    #[inline(always)]
    fn scatter<S: Simd>(s: S, x: S::F32, to: *mut T, step: isize, count: usize) {
        // SAFETY: as in `gather`.
        unsafe {
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
}

impl<T: Float> Job for Write<T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Line { length, step, .. } = self.line;
        let c = self.line.c.cast::<T>();
        for first in (0..length).step_by(S::LANES) {
            let count = S::LANES.min(length - first);
            // SAFETY: the line has `length` sums.
            let sums = unsafe { std::slice::from_raw_parts(self.line.sums.add(first), count) };
            let mut x = s.load_first(sums, 0.0);
            if self.alpha != 1.0 {
                x = s.mul(x, s.splat(self.alpha));
            }
            let c = c.wrapping_offset(first as isize * step);
            if self.beta != 0.0 {
                let before = Self::gather(s, c, step, count);
                x = s.fma(before, s.splat(self.beta), x);
            }
            match self.line.bias {
                Bias::None => {}
                Bias::One(bias) => {
                    // SAFETY: the bias of the line is one valid element.
                    let bias = unsafe { bias.cast::<T>().read() };
                    x = s.add(x, s.splat(bias.to_f32()));
                }
                Bias::Each(bias, stride) => {
                    let bias = bias.cast::<T>().wrapping_offset(first as isize * stride);
                    x = s.add(x, Self::gather(s, bias, stride, count));
                }
            }
            Self::scatter(s, x, c, step, count);
        }
    }
}
