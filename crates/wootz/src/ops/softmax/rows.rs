//! The CPU's kernels of rows.

use super::{KEPT, Params, constants};
use crate::cpu::{
    math::exp,
    rows::{Exponentials, PLACES, Pass, Powers, Turn, inlined, lag, largest, map, tiles},
    simd::{Float, Job, Simd, Twice, bypass_done, dispatch},
};
use std::ops::Range;
use wootz_runtime::Call;

/// Bytes that keep the exponentials of rows of so many elements until the last stage gets to them.
pub(super) fn kept(length: usize) -> usize {
    (rows_behind(length) + 1) * length * size_of::<f32>()
}

/// Rows that a stage is behind the one before, where a row and its exponentials share the cache.
fn rows_behind(length: usize) -> usize {
    lag(2 * length * size_of::<f32>())
}

/// # Safety
/// As for [`wootz_runtime::NativeFn`], with a plan from [`super::plan`] over floats of `T`.
pub(super) unsafe fn rows<T: Float>(call: &mut Call<'_>) {
    let params: Params = *call.params();
    let (length, per_unit) = (params.length as usize, params.per_unit as usize);
    let log = params.log != 0;
    // SAFETY: the plan's rows are inside both tensors, and belong to one unit.
    let pass = unsafe { Pass::<T>::of_call(call, &params.outer, length, per_unit) };
    if !log && length <= KEPT {
        let kept = bytemuck::cast_slice_mut(call.scratch);
        return dispatch(Kept { pass, kept });
    }
    let Pass { x, out, bypass, .. } = pass;
    for (row, out) in out.chunks_mut(length).enumerate() {
        let x = x.row(row);
        let all = dispatch(Measure(x));
        dispatch(ScaleRow {
            x,
            out,
            all,
            log,
            bypass,
        });
    }
}

/// Rows whose exponentials are kept until their sum is known.
struct Kept<'a, T> {
    pass: Pass<'a, T>,
    kept: &'a mut [f32],
}

impl<T: Float> Job for Kept<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (s, bypass) = (s.ties_away(), self.pass.bypass);
        if self.pass.in_stages() {
            self.in_stages(s);
        } else {
            self.in_turn(s);
        }
        if bypass {
            bypass_done();
        }
    }
}

impl<T: Float> Kept<'_, T> {
    #[inline(always)]
    fn in_stages<S: Simd>(self, s: S) {
        let Pass {
            x: all,
            rows,
            length,
            bypass,
            ..
        } = self.pass;
        let lag = rows_behind(length);
        let (mut maxima, mut scales) = ([0.0f32; PLACES], [0.0f32; PLACES]);
        let mut outs = self.pass.out.chunks_exact_mut(length);
        for row in 0..rows + 2 * lag {
            let before = (row + PLACES - lag) % PLACES;
            let ahead = if row < rows { all.row(row) } else { &[] };
            let (raises, ends) = ((lag..rows + lag).contains(&row), row >= 2 * lag);
            let x = if raises { all.row(row - lag) } else { &[] };
            let out = if ends { outs.next() } else { None };
            let out = out.unwrap_or_default();
            let (powers, kept) =
                kept_rows(self.kept, length, row % (lag + 1), (row + 1) % (lag + 1));
            let mut seen = [Twice(s).splat(f32::NEG_INFINITY); 2];
            let mut sum = Powers::new(s, maxima[before]);
            for tile in tiles(length) {
                let turn = Turn {
                    ahead: part(ahead, &tile),
                    x: part(x, &tile),
                    powers: &mut powers[tile.clone()],
                    kept: &kept[tile.clone()],
                    scale: scales[before],
                    out: out.get_mut(tile).unwrap_or_default(),
                    bypass,
                };
                turn.take(s, &mut seen, &mut sum);
                sum.settle(s);
            }
            maxima[row % PLACES] = largest(s, seen);
            scales[row % PLACES] = (1.0 / sum.total()) as f32;
        }
    }

    /// One stage after the other: memory is what takes time.
    #[inline(always)]
    fn in_turn<S: Simd>(self, s: S) {
        let Pass {
            x: all,
            out,
            length,
            ..
        } = self.pass;
        let kept = &mut self.kept[..length];
        for (row, out) in out.chunks_exact_mut(length).enumerate() {
            let x = all.row(row);
            let mut seen = [Twice(s).splat(f32::NEG_INFINITY); 2];
            let mut sum = Powers::new(s, 0.0);
            let ahead = Turn {
                ahead: x,
                ..Turn::default()
            };
            ahead.take(s, &mut seen, &mut sum);
            sum = Powers::new(s, largest(s, seen));
            for tile in tiles(length) {
                let raised = Turn {
                    x: &x[tile.clone()],
                    powers: &mut kept[tile],
                    bypass: true,
                    ..Turn::default()
                };
                raised.take(s, &mut seen, &mut sum);
                sum.settle(s);
            }
            let scaled = Turn {
                kept,
                scale: (1.0 / sum.total()) as f32,
                out,
                bypass: true,
                ..Turn::default()
            };
            scaled.take(s, &mut seen, &mut sum);
        }
    }
}

/// A part of a row, which may be empty.
#[inline(always)]
fn part<'a, T>(row: &'a [T], tile: &Range<usize>) -> &'a [T] {
    row.get(tile.clone()).unwrap_or_default()
}

/// One of the rows that are kept, to write, and another, to read.
#[inline(always)]
fn kept_rows(kept: &mut [f32], length: usize, to: usize, from: usize) -> (&mut [f32], &[f32]) {
    if to < from {
        let (low, high) = kept.split_at_mut(from * length);
        (&mut low[to * length..][..length], &high[..length])
    } else {
        let (low, high) = kept.split_at_mut(to * length);
        (&mut high[..length], &low[from * length..][..length])
    }
}

/// What a row's exponentials come to.
struct Measure<'a, T>(&'a [T]);

impl<T: Float> Job for Measure<'_, T> {
    type Output = Exponentials;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Exponentials {
        Exponentials::of_row(s, self.0)
    }
}

/// A row of which everything else is known.
struct ScaleRow<'a, T> {
    x: &'a [T],
    out: &'a mut [T],
    all: Exponentials,
    log: bool,
    bypass: bool,
}

impl<T: Float> Job for ScaleRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (max, factor) = constants(self.all, self.log);
        let (max, factor) = (s.splat(max), s.splat(factor));
        if self.log {
            let each = inlined(
                #[inline(always)]
                |[x]: [S::F32; 1]| s.sub(s.sub(x, max), factor),
            );
            map(s, [self.x], self.out, self.bypass, each);
        } else {
            let each = inlined(
                #[inline(always)]
                |[x]: [S::F32; 1]| s.mul(exp(s, s.sub(x, max)), factor),
            );
            map(s, [self.x], self.out, self.bypass, each);
        }
        if self.bypass {
            bypass_done();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{rows::written, simd::Level};
    use half::bf16;

    fn check<T: Float>(length: usize) {
        let mut room = vec![0.0; kept(length) / size_of::<f32>()];
        written(length, |pass: Pass<'_, T>, level: Level| {
            let kept = &mut room;
            level.dispatch(Kept { pass, kept });
        });
    }

    #[test]
    fn rows_that_go_around_the_caches_have_the_same_bits() {
        for length in [1, 9, 96, 1024, 1500, 4100] {
            check::<f32>(length);
            check::<bf16>(length);
        }
    }
}
