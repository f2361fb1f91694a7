//! The kernels of every reduction: along rows, along columns, and the join of partial results.

use super::{
    fold::Fold,
    plan::{BLOCK, Params},
};
use crate::cpu::{
    rows::{Axes, STRIP, TILE, strip},
    simd::{Job, Simd, dispatch},
};
use std::marker::PhantomData;
use wootz_runtime::Call;

/// Runs of at least so many elements are folded where they lie; shorter ones are gathered first.
const DIRECT: usize = 128;

/// Reduces each output's elements, tile by tile.
///
/// # Safety
/// As for [`wootz_runtime::NativeFn`].
pub(super) unsafe fn rows<F: Fold>(call: &mut Call<'_>) {
    dispatch(Rows::<F>(call, PhantomData));
}

struct Rows<'a, 'b, F>(&'a mut Call<'b>, PhantomData<F>);

impl<F: Fold> Job for Rows<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let call = self.0;
        let params: Params = *call.params();
        let (fold, x) = (F::new(params.argument), call.pointer::<F::In>(0));
        let (outputs, chunks) = (params.kept.count(), params.chunks as usize);
        let (count, chunk) = (params.reduced.count(), params.chunk as usize);
        let per_unit = params.per_unit as usize;
        for unit in call.units.clone() {
            let (block, part) = (unit / chunks, unit % chunks);
            let (start, end) = (part * chunk, count.min((part + 1) * chunk));
            for output in block * per_unit..outputs.min((block + 1) * per_unit) {
                // SAFETY: inside the input's layout, by the plan.
                let base = unsafe { x.offset(params.kept.offset(output)) };
                let (mut acc, mut at) = (fold.empty(), start);
                while at < end {
                    // SAFETY: `base` and the reduced axes are those of the input's layout.
                    let tile = unsafe { tile(base, &params.reduced, at..end, call.scratch) };
                    let part = fold.tile(s, tile, at);
                    acc = if at == start {
                        part
                    } else {
                        fold.join(acc, part)
                    };
                    at += tile.len();
                }
                // SAFETY: the plan gives each output and part to one unit.
                unsafe { put(fold, call, chunks, output, part, acc) };
            }
        }
    }
}

/// Elements of a reduction from `range.start` on, a tile at most: where they lie when they follow
/// each other there, else gathered into `scratch`. How many depends on the layout alone.
///
/// # Safety
/// `base` and `axes` describe readable elements, and `scratch` has room for a tile.
#[inline(always)]
unsafe fn tile<'a, T: bytemuck::Pod>(
    base: *const T,
    axes: &Axes,
    range: std::ops::Range<usize>,
    scratch: &'a mut [u8],
) -> &'a [T] {
    let (length, stride) = axes.innermost();
    let most = range.len().min(TILE);
    let run = most.min(length - range.start % length);
    if stride == 1 && (run == most || run >= DIRECT) {
        // SAFETY: inside the innermost axis, whose elements follow each other.
        return unsafe { std::slice::from_raw_parts(base.offset(axes.offset(range.start)), run) };
    }
    let out: &mut [T] = &mut bytemuck::cast_slice_mut(scratch)[..most];
    let mut done = 0;
    while done < most {
        let at = range.start + done;
        let run = (most - done).min(length - at % length);
        // SAFETY: `at` is an index of the axes.
        let from = unsafe { base.offset(axes.offset(at)) };
        for (i, out) in out[done..done + run].iter_mut().enumerate() {
            // SAFETY: `run` indices of the innermost axis are left from `at` on.
            *out = unsafe { *from.offset(i as isize * stride) };
        }
        done += run;
    }
    out
}

/// Reduces columns that lie side by side, a few rows at a time.
///
/// # Safety
/// As for [`wootz_runtime::NativeFn`].
pub(super) unsafe fn columns<F: Fold>(call: &mut Call<'_>) {
    dispatch(Columns::<F>(call, PhantomData));
}

struct Columns<'a, 'b, F>(&'a mut Call<'b>, PhantomData<F>);

impl<F: Fold> Job for Columns<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let call = self.0;
        let params: Params = *call.params();
        let (fold, x) = (F::new(params.argument), call.pointer::<F::In>(0));
        let (outer, (width, _)) = (params.kept.outer(), params.kept.innermost());
        let (blocks, chunks) = (width.div_ceil(BLOCK), params.chunks as usize);
        let (count, chunk) = (params.reduced.count(), params.chunk as usize);
        for unit in call.units.clone() {
            let (place, part) = (unit / chunks, unit % chunks);
            let (row, column) = (place / blocks, place % blocks * BLOCK);
            let columns = (width - column).min(BLOCK);
            // SAFETY: inside the input's layout, by the plan.
            let base = unsafe { x.offset(outer.offset(row) + column as isize) };
            let scratch = std::mem::take(&mut call.scratch);
            let accs: &mut [F::Acc] = &mut bytemuck::cast_slice_mut(scratch)[..columns];
            accs.fill(fold.empty());
            let end = count.min((part + 1) * chunk);
            for start in (part * chunk..end).step_by(STRIP) {
                let rows = STRIP.min(end - start);
                let place = |i: usize| params.reduced.offset(start + i);
                // SAFETY: the columns of one index of the reduced axes follow each other.
                let strip = unsafe { strip(base, columns, rows, place) };
                fold.columns(s, &strip[..rows], start, accs);
            }
            for (i, acc) in accs.iter().enumerate() {
                // SAFETY: the plan gives each output and part to one unit.
                unsafe { put(fold, call, chunks, row * width + column + i, part, *acc) };
            }
            call.scratch = scratch;
        }
    }
}

/// Writes an output, or what one of several parts leaves behind for it.
///
/// # Safety
/// Binding 1 has room for every output, or for `chunks` accumulators of each, and nobody else
/// writes this one.
#[inline(always)]
unsafe fn put<F: Fold>(
    fold: F,
    call: &Call<'_>,
    chunks: usize,
    output: usize,
    part: usize,
    acc: F::Acc,
) {
    // SAFETY: passed on from the caller.
    unsafe {
        if chunks == 1 {
            *call.pointer::<F::Out>(1).add(output) = fold.finish(acc);
        } else {
            *call.pointer::<F::Acc>(1).add(output * chunks + part) = acc;
        }
    }
}

/// Joins what the parts of each output left behind.
///
/// # Safety
/// As for [`wootz_runtime::NativeFn`].
pub(super) unsafe fn join<F: Fold>(call: &mut Call<'_>) {
    let params: Params = *call.params();
    let (fold, chunks) = (F::new(params.argument), params.chunks as usize);
    for output in call.units.clone() {
        // SAFETY: the first plan wrote this many accumulators for each output.
        let parts = unsafe {
            std::slice::from_raw_parts(call.pointer::<F::Acc>(0).add(output * chunks), chunks)
        };
        let acc = parts
            .iter()
            .fold(fold.empty(), |acc, &part| fold.join(acc, part));
        // SAFETY: each output belongs to one unit.
        unsafe { *call.pointer::<F::Out>(1).add(output) = fold.finish(acc) };
    }
}
