//! The CPU's kernels.

use super::Params;
use crate::cpu::{
    rows::{
        ACCUMULATORS, Deviations, Fold, Moments, PLACES, Rows, TILE, fold_and_map, inlined, lag,
        sum_of_squares, tiles,
    },
    simd::{Float, Job, Simd, Twice, bypass_done, bypasses, dispatch},
};
use wootz_runtime::Call;

/// Normalizes each row; `RMS` says how.
///
/// # Safety
/// As for [`wootz_runtime::NativeFn`], with a plan from [`super::plan`] over floats of `T`.
pub(super) unsafe fn rows<T: Float, const RMS: bool>(call: &mut Call<'_>) {
    let params: Params = *call.params();
    let (length, per_unit) = (params.length as usize, params.per_unit as usize);
    let weighted = params.weighted as usize;
    // SAFETY: the plan binds them, a row long, when its parameters say so.
    let affine = |present: u32, index: usize| unsafe {
        match present {
            0 => &[],
            _ => std::slice::from_raw_parts(call.pointer::<T>(index), length),
        }
    };
    let affine = (
        affine(params.weighted, 2),
        affine(params.biased, 2 + weighted),
    );
    let bypass = bypasses(params.outer.count() * length * size_of::<T>());
    let first = call.units.start * per_unit;
    let rows = params.outer.count().min(call.units.end * per_unit) - first;
    // SAFETY: the plan's rows are inside both tensors, and belong to one unit.
    let (x, out) = unsafe {
        let out = call.pointer::<T>(1).add(first * length);
        (
            Rows::new(call.pointer::<T>(0), &params.outer, first, length),
            std::slice::from_raw_parts_mut(out, rows * length),
        )
    };
    dispatch(Normalize::<T, RMS> {
        x,
        out,
        rows,
        length,
        affine,
        epsilon: params.epsilon,
        bypass,
    });
}

/// `(x − pivot) · scale + shift`: what a row is normalized by. The pivot is near the mean, so that
/// the difference loses no digits; the shift makes up for the rest.
#[derive(Clone, Copy, Default)]
pub(in crate::ops) struct Line {
    pub(in crate::ops) pivot: f32,
    pub(in crate::ops) scale: f32,
    pub(in crate::ops) shift: f32,
}

impl Line {
    /// The line that makes the mean 0 and the variance 1.
    pub(in crate::ops) fn of<T: Float>(x: &[T], epsilon: f64) -> Line {
        Line::centred(dispatch(MomentsOf(x)), epsilon)
    }

    #[inline(always)]
    fn centred(all: Moments, epsilon: f64) -> Line {
        let scale = 1.0 / (all.squares / all.count + epsilon).sqrt();
        let pivot = all.mean as f32;
        let shift = (f64::from(pivot) - all.mean) * scale;
        Line {
            pivot,
            scale: scale as f32,
            shift: shift as f32,
        }
    }

    /// The line that makes the mean square 1.
    #[inline(always)]
    fn uncentred(squares: f64, count: usize, epsilon: f64) -> Line {
        let scale = 1.0 / (squares / count as f64 + epsilon).sqrt();
        Line {
            scale: scale as f32,
            ..Line::default()
        }
    }
}

struct MomentsOf<'a, T>(&'a [T]);

impl<T: Float> Job for MomentsOf<'_, T> {
    type Output = Moments;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Moments {
        Moments::of_row(s, self.0)
    }
}

/// Rows to normalize; an empty weight or bias is none.
struct Normalize<'a, T, const RMS: bool> {
    x: Rows<'a, T>,
    out: &'a mut [T],
    rows: usize,
    length: usize,
    affine: (&'a [T], &'a [T]),
    epsilon: f64,
    bypass: bool,
}

impl<T: Float, const RMS: bool> Job for Normalize<'_, T, RMS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (rows, length) = (self.rows, self.length);
        if self.bypass {
            // Memory is what takes time: one stage after the other, and one row.
            for row in 0..rows {
                let line = self.turn(s, Some(row), None);
                self.turn(s, None, Some((row, line)));
            }
            return bypass_done();
        }
        let lag = lag(length * size_of::<T>());
        let mut lines = [Line::default(); PLACES];
        for row in 0..rows + lag {
            let line = lines[(row + PLACES - lag) % PLACES];
            let behind = row.checked_sub(lag).map(|row| (row, line));
            lines[row % PLACES] = self.turn(s, (row < rows).then_some(row), behind);
        }
    }
}

impl<T: Float, const RMS: bool> Normalize<'_, T, RMS> {
    /// Normalizes the row `behind` by its line and meanwhile finds the line of the row `ahead`.
    #[inline(always)]
    fn turn<S: Simd>(&mut self, s: S, ahead: Option<usize>, behind: Option<(usize, Line)>) -> Line {
        let length = self.length;
        let ahead = ahead.map_or(&[][..], |row| self.x.row(row));
        let (x, out, line) = match behind {
            Some((row, line)) => {
                let out = &mut self.out[row * length..][..length];
                (self.x.row(row), out, line)
            }
            None => (&[][..], &mut [][..], Line::default()),
        };
        let (weight, bias) = self.affine;
        let (mut total, mut moments) = (0.0, Moments::EMPTY);
        for tile in tiles(length) {
            let part = Apply {
                x: x.get(tile.clone()).unwrap_or_default(),
                out: out.get_mut(tile.clone()).unwrap_or_default(),
                line,
                weight: weight.get(tile.clone()).unwrap_or_default(),
                bias: bias.get(tile.clone()).unwrap_or_default(),
            };
            let ahead = ahead.get(tile).unwrap_or_default();
            if RMS {
                total += part.write_and_square(s, ahead, self.bypass);
            } else {
                let part = part.write_and_measure(s, ahead, self.bypass);
                moments = if length <= TILE {
                    part
                } else {
                    moments.join(part)
                };
            }
        }
        match RMS {
            true => Line::uncentred(total, length, self.epsilon),
            false => Line::centred(moments, self.epsilon),
        }
    }
}

/// A part of a row and what normalizes it; an empty weight or bias is none.
pub(in crate::ops) struct Apply<'a, T> {
    pub(in crate::ops) x: &'a [T],
    pub(in crate::ops) out: &'a mut [T],
    pub(in crate::ops) line: Line,
    pub(in crate::ops) weight: &'a [T],
    pub(in crate::ops) bias: &'a [T],
}

impl<T: Float> Job for Apply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let nothing = inlined(
            #[inline(always)]
            |(), _| (),
        );
        self.write(s, (&[], &mut [()], 0.0, nothing), false);
    }
}

impl<T: Float> Apply<'_, T> {
    /// The sum of the squares of `ahead`, found meanwhile.
    #[inline(always)]
    fn write_and_square<S: Simd>(self, s: S, ahead: &[T], bypass: bool) -> f64 {
        let t = Twice(s);
        let mut squares = [t.splat(0.0); ACCUMULATORS];
        let step = inlined(
            #[inline(always)]
            |a, x| t.fma(x, x, a),
        );
        let scale = t.splat(self.line.scale);
        let fold = (ahead, &mut squares, 0.0, step);
        if self.weight.is_empty() {
            let each = inlined(
                #[inline(always)]
                |[x]: [_; 1]| t.mul(x, scale),
            );
            fold_and_map(t, fold, [self.x], self.out, bypass, each);
        } else {
            let each = inlined(
                #[inline(always)]
                |[x, w]: [_; 2]| t.mul(t.mul(x, scale), w),
            );
            fold_and_map(t, fold, [self.x, self.weight], self.out, bypass, each);
        }
        if ahead.is_empty() {
            return 0.0;
        }
        sum_of_squares(s, squares, ahead)
    }

    /// The moments of `ahead`, found meanwhile.
    #[inline(always)]
    fn write_and_measure<S: Simd>(self, s: S, ahead: &[T], bypass: bool) -> Moments {
        let mut deviations = Deviations::new(s, ahead);
        let (pivot, step) = (deviations.pivot, deviations.step(s));
        // In a variable of their own they stay in registers.
        let mut sums = deviations.sums;
        self.write(s, (ahead, &mut sums, pivot, step), bypass);
        deviations.sums = sums;
        if ahead.is_empty() {
            return Moments::EMPTY;
        }
        deviations.settle(s, ahead)
    }

    #[inline(always)]
    fn write<S: Simd, A: Copy, const N: usize>(
        self,
        s: S,
        fold: Fold<'_, T, A, N, impl Fn(A, <Twice<S> as Simd>::F32) -> A>,
        bypass: bool,
    ) {
        let Apply {
            x,
            out,
            line,
            weight,
            bias,
        } = self;
        let s = Twice(s);
        let (pivot, scale, shift) = (
            s.splat(line.pivot),
            s.splat(line.scale),
            s.splat(line.shift),
        );
        let normal = inlined(
            #[inline(always)]
            |x| s.fma(s.sub(x, pivot), scale, shift),
        );
        match (weight.is_empty(), bias.is_empty()) {
            (true, true) => {
                let each = inlined(
                    #[inline(always)]
                    |[x]: [_; 1]| normal(x),
                );
                fold_and_map(s, fold, [x], out, bypass, each);
            }
            (false, true) => {
                let each = inlined(
                    #[inline(always)]
                    |[x, w]: [_; 2]| s.mul(normal(x), w),
                );
                fold_and_map(s, fold, [x, weight], out, bypass, each);
            }
            (true, false) => {
                let each = inlined(
                    #[inline(always)]
                    |[x, b]: [_; 2]| s.add(normal(x), b),
                );
                fold_and_map(s, fold, [x, bias], out, bypass, each);
            }
            (false, false) => {
                let each = inlined(
                    #[inline(always)]
                    |[x, w, b]: [_; 3]| s.fma(normal(x), w, b),
                );
                fold_and_map(s, fold, [x, weight, bias], out, bypass, each);
            }
        }
    }
}
