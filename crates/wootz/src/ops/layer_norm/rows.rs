//! The CPU's kernels.

use super::{Line, Params};
use crate::cpu::{
    rows::{
        ACCUMULATORS, Deviation, Deviations, Fold, Moments, PLACES, Pass, fold_and_map, inlined,
        lag, last_tile, pivot, sum_of_squares, tiles, total,
    },
    simd::{Float, Job, Simd, Twice, bypass_done, dispatch},
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
    // SAFETY: the plan's rows are inside both tensors, and belong to one unit.
    let pass = unsafe { Pass::<T>::of_call(call, &params.outer, length, per_unit) };
    dispatch(Normalize::<T, RMS> {
        pass,
        affine,
        epsilon: params.epsilon,
    });
}

/// Rows to normalize; an empty weight or bias is none.
struct Normalize<'a, T, const RMS: bool> {
    pass: Pass<'a, T>,
    affine: (&'a [T], &'a [T]),
    epsilon: f64,
}

/// What was seen of a row: of its last tile only sums, which are cheap to take.
#[derive(Clone, Copy)]
struct Seen {
    before: Moments,
    last: Deviation,
}

impl<T: Float, const RMS: bool> Job for Normalize<'_, T, RMS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let s = s.ties_away();
        if self.pass.in_stages() {
            self.in_stages(s);
        } else {
            self.in_turn(s);
        }
        if self.pass.bypass {
            bypass_done();
        }
    }
}

impl<T: Float, const RMS: bool> Normalize<'_, T, RMS> {
    /// One stage after the other, and one row: memory is what takes time.
    #[inline(always)]
    fn in_turn<S: Simd>(&mut self, s: S) {
        for row in 0..self.pass.rows {
            let pivot = self.pivot(s, row);
            let seen = self.turn(s, Some((row, pivot)), None);
            let line = self.line(s, row, seen);
            self.turn(s, None, Some((row, line)));
        }
    }

    #[inline(always)]
    fn in_stages<S: Simd>(&mut self, s: S) {
        let Pass { rows, length, .. } = self.pass;
        let lag = lag(length * size_of::<T>());
        let mut lines = [Line::default(); PLACES];
        let mut pivot = self.pivot(s, 0);
        let mut before = None;
        for row in 0..rows + lag {
            let line = lines[(row + PLACES - lag) % PLACES];
            let behind = row.checked_sub(lag).map(|row| (row, line));
            let ahead = (row < rows).then_some((row, pivot));
            let seen = ahead.map(|_| row).zip(Some(self.turn(s, ahead, behind)));
            // A line is a long chain of operations, each of which waits for the one before. Where
            // it is not due yet, it is that of the row before: the chain need not wait for this
            // row's sums, and the next row need not wait for the chain.
            let due = if lag > 1 { before } else { seen };
            if let Some((row, seen)) = due {
                lines[row % PLACES] = self.line(s, row, seen);
            }
            before = seen;
            pivot = self.pivot(s, row + 1);
        }
    }

    /// What deviations of a row's first tile are taken from.
    #[inline(always)]
    fn pivot<S: Simd>(&self, s: S, row: usize) -> f32 {
        match RMS || row >= self.pass.rows {
            true => 0.0,
            false => {
                let tile = tiles(self.pass.length).next().unwrap_or_default();
                pivot(s, &self.pass.x.row(row)[tile])
            }
        }
    }

    /// Normalizes the row `behind` by its line and meanwhile sees the row `ahead`, which comes with
    /// its pivot.
    #[cfg_attr(unoptimized, inline(never))]
    #[cfg_attr(not(unoptimized), inline(always))]
    fn turn<S: Simd>(
        &mut self,
        s: S,
        ahead: Option<(usize, f32)>,
        behind: Option<(usize, Line)>,
    ) -> Seen {
        let Pass { length, bypass, .. } = self.pass;
        let (ahead, mut at) = match ahead {
            Some((row, pivot)) => (self.pass.x.row(row), pivot),
            None => (&[][..], 0.0),
        };
        let (x, out, line) = match behind {
            Some((row, line)) => {
                let out = &mut self.pass.out[row * length..][..length];
                (self.pass.x.row(row), out, line)
            }
            None => (&[][..], &mut [][..], Line::default()),
        };
        let (weight, bias) = self.affine;
        let mut seen = Seen {
            before: Moments::EMPTY,
            last: Deviation::default(),
        };
        let mut before = 0..0;
        for tile in tiles(length) {
            let part = Apply {
                x: x.get(tile.clone()).unwrap_or_default(),
                out: out.get_mut(tile.clone()).unwrap_or_default(),
                line,
                weight: weight.get(tile.clone()).unwrap_or_default(),
                bias: bias.get(tile.clone()).unwrap_or_default(),
            };
            let last = ahead.get(before).unwrap_or_default();
            let ahead = ahead.get(tile.clone()).unwrap_or_default();
            if tile.start > 0 {
                seen.before = Self::joined(s, seen, last);
                at = if RMS { 0.0 } else { pivot(s, ahead) };
            }
            seen.last = if RMS {
                part.write_and_square(s, ahead, bypass)
            } else {
                part.write_and_measure(s, (ahead, at), bypass)
            };
            before = tile;
        }
        seen
    }

    /// The moments of all that was seen, the last of which is this tile; about 0 with `RMS`.
    #[inline(always)]
    fn joined<S: Simd>(s: S, seen: Seen, tile: &[T]) -> Moments {
        if tile.is_empty() {
            return seen.before;
        }
        let last = match RMS {
            true => Moments {
                count: tile.len() as f64,
                mean: 0.0,
                squares: sum_of_squares(seen.last.second, tile),
            },
            false => seen.last.settle(s, tile),
        };
        match seen.before.count == 0.0 {
            true => last,
            false => seen.before.join(last),
        }
    }

    /// The line of a row.
    #[cfg_attr(unoptimized, inline(never))]
    #[cfg_attr(not(unoptimized), inline(always))]
    fn line<S: Simd>(&self, s: S, row: usize, seen: Seen) -> Line {
        let length = self.pass.length;
        let tile = &self.pass.x.row(row)[last_tile(length)..];
        let all = Self::joined(s, seen, tile);
        match RMS {
            true => Line::uncentred(all.squares, length, self.epsilon),
            false => Line::centred(all, self.epsilon),
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
    fn write_and_square<S: Simd>(self, s: S, ahead: &[T], bypass: bool) -> Deviation {
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
        Deviation {
            second: total(s, squares),
            ..Deviation::default()
        }
    }

    /// The sums of what is `ahead`, from a pivot, found meanwhile.
    #[inline(always)]
    fn write_and_measure<S: Simd>(
        self,
        s: S,
        (ahead, pivot): (&[T], f32),
        bypass: bool,
    ) -> Deviation {
        let mut deviations = Deviations::from_pivot(s, pivot);
        let step = deviations.step(s);
        // In a variable of their own they stay in registers.
        let mut sums = deviations.sums;
        self.write(s, (ahead, &mut sums, pivot, step), bypass);
        deviations.sums = sums;
        deviations.sum(s)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{rows::written, simd::Level};
    use half::bf16;

    fn check<T: Float, const RMS: bool>(length: usize, affine: [bool; 2]) {
        let row = |present: bool, at: usize| -> Vec<T> {
            let values = (0..if present { length } else { 0 }).map(|i| ((i + at) % 7) as f32);
            values.map(T::from_f32).collect()
        };
        let (weight, bias) = (row(affine[0], 1), row(affine[1], 3));
        written(length, |pass: Pass<'_, T>, level: Level| {
            level.dispatch(Normalize::<T, RMS> {
                pass,
                affine: (&weight, &bias),
                epsilon: 1e-5,
            });
        });
    }

    #[test]
    fn rows_that_go_around_the_caches_have_the_same_bits() {
        for length in [1, 9, 96, 1024, 1500, 4100] {
            for affine in [[false, false], [true, false], [false, true], [true, true]] {
                check::<f32, false>(length, affine);
                check::<bf16, false>(length, affine);
            }
            for weighted in [false, true] {
                check::<f32, true>(length, [weighted, false]);
                check::<bf16, true>(length, [weighted, false]);
            }
        }
    }
}
