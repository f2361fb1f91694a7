//! The kernels of every reduction: along rows, along columns, and the join of partial results.
//! They walk the memory; only what a tile or a strip of columns comes to is compiled for each
//! level.

use super::{
    fold::{Fold, Outcome},
    plan::{BLOCK, Params},
};
use crate::{
    DType,
    cpu::{
        rows::{Axes, STRIP, Source, TILE},
        simd::{Float, Job, Simd, dispatch},
    },
};
use half::{bf16, f16};
use std::ops::Range;
use wootz_runtime::Call;

/// What a tile comes to.
struct Tile<'a, F: Fold> {
    fold: F,
    x: &'a [F::In],
    start: usize,
}

impl<F: Fold> Job for Tile<'_, F> {
    type Output = F::Acc;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> F::Acc {
        self.fold.tile(s, self.x, self.start)
    }
}

/// What a tile of narrower floats comes to.
struct NarrowTile<'a, F, T> {
    fold: F,
    x: &'a [T],
}

impl<F: Fold, T: Float> Job for NarrowTile<'_, F, T> {
    type Output = Option<F::Acc>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Option<F::Acc> {
        self.fold.narrow_tile(s, self.x)
    }
}

/// The next tile, if it can be read as it is, and how many elements it has.
///
/// # Safety
/// `axes` describe readable elements of `T` from `base` on.
unsafe fn narrow<F: Fold, T: Float>(
    fold: F,
    base: Source,
    axes: &Axes,
    range: Range<usize>,
) -> Option<(F::Acc, usize)> {
    // SAFETY: passed on from the caller.
    let x: &[T] = unsafe { base.run_of(axes, range) }?;
    Some((dispatch(NarrowTile { fold, x })?, x.len()))
}

/// Joins rows into one accumulator a column.
struct Strip<'a, F: Fold> {
    fold: F,
    rows: &'a [&'a [F::In]],
    start: usize,
    accs: &'a mut [F::Acc],
}

impl<F: Fold> Job for Strip<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.fold.columns(s, self.rows, self.start, self.accs);
    }
}

/// Reduces each output's elements, tile by tile.
///
/// # Safety
/// As for [`wootz_runtime::NativeFn`].
pub(super) unsafe fn rows<F: Fold>(call: &mut Call<'_>) {
    let params: Params = *call.params();
    let fold = F::new(params.argument);
    let x = Source {
        base: call.pointer(0),
        dtype: params.input(),
    };
    let (outputs, chunks) = (params.kept.count(), params.chunks as usize);
    let (count, chunk) = (params.reduced.count(), params.chunk as usize);
    let per_unit = params.per_unit as usize;
    let scratch = std::mem::take(&mut call.scratch);
    let room: &mut [F::In] = &mut bytemuck::cast_slice_mut(scratch)[..TILE];
    for unit in call.units.clone() {
        let (block, part) = (unit / chunks, unit % chunks);
        let (start, end) = (part * chunk, count.min((part + 1) * chunk));
        for output in block * per_unit..outputs.min((block + 1) * per_unit) {
            let base = x.offset(params.kept.offset(output));
            let (mut acc, mut at) = (fold.empty(), start);
            while at < end {
                let axes = &params.reduced;
                // SAFETY: `base` and the reduced axes are those of the input's layout.
                let read = unsafe {
                    match x.dtype {
                        DType::BF16 => narrow::<F, bf16>(fold, base, axes, at..end),
                        DType::F16 => narrow::<F, f16>(fold, base, axes, at..end),
                        _ => None,
                    }
                };
                let (part, length) = match read {
                    Some(read) => read,
                    None => {
                        // SAFETY: as above.
                        let x = unsafe { base.tile(axes, at..end, room) };
                        let start = at;
                        (dispatch(Tile { fold, x, start }), x.len())
                    }
                };
                at += length;
                acc = fold.join(acc, part);
            }
            // SAFETY: the plan gives each output and part to one unit.
            unsafe { put(fold, call, &params, output, part, acc) };
        }
    }
}

/// Reduces columns that lie side by side, a few rows at a time.
///
/// # Safety
/// As for [`wootz_runtime::NativeFn`].
pub(super) unsafe fn columns<F: Fold>(call: &mut Call<'_>) {
    let params: Params = *call.params();
    let fold = F::new(params.argument);
    let x = Source {
        base: call.pointer(0),
        dtype: params.input(),
    };
    let (outer, (width, _)) = (params.kept.outer(), params.kept.innermost());
    let (blocks, chunks) = (width.div_ceil(BLOCK), params.chunks as usize);
    let (count, chunk) = (params.reduced.count(), params.chunk as usize);
    let scratch = std::mem::take(&mut call.scratch);
    let (accs, room) = scratch.split_at_mut(BLOCK * size_of::<F::Acc>());
    let accs: &mut [F::Acc] = bytemuck::cast_slice_mut(accs);
    let room: &mut [F::In] = bytemuck::cast_slice_mut(room);
    for unit in call.units.clone() {
        let (place, part) = (unit / chunks, unit % chunks);
        let (row, column) = (place / blocks, place % blocks * BLOCK);
        let columns = (width - column).min(BLOCK);
        let base = x.offset(outer.offset(row) + column as isize);
        let accs = &mut accs[..columns];
        accs.fill(fold.empty());
        let end = count.min((part + 1) * chunk);
        for start in (part * chunk..end).step_by(STRIP) {
            let count = STRIP.min(end - start);
            let place = |i: usize| params.reduced.offset(start + i);
            // SAFETY: the columns of one index of the reduced axes follow each other.
            let rows = unsafe { base.strip(count, columns, place, room) };
            let rows = &rows[..count];
            dispatch(Strip {
                fold,
                rows,
                start,
                accs,
            });
        }
        for (i, acc) in accs.iter().enumerate() {
            // SAFETY: the plan gives each output and part to one unit.
            unsafe { put(fold, call, &params, row * width + column + i, part, *acc) };
        }
    }
}

/// Writes an output, or what one of several parts leaves behind for it.
///
/// # Safety
/// Binding 1 has room for every output, or for an accumulator of each part of each, and nobody
/// else writes this one.
unsafe fn put<F: Fold>(
    fold: F,
    call: &Call<'_>,
    params: &Params,
    output: usize,
    part: usize,
    acc: F::Acc,
) {
    let chunks = params.chunks as usize;
    // SAFETY: passed on from the caller.
    unsafe {
        if chunks == 1 {
            fold.finish(acc)
                .store(params.output(), call.pointer(1), output);
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
        unsafe {
            fold.finish(acc)
                .store(params.output(), call.pointer(1), output)
        };
    }
}
