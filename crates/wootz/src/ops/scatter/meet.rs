//! What the CPU does: elements meet, in the order of their indices.

use super::Params;
use crate::{
    cpu::walk::Walk,
    ops::index::{BATCH, Reader},
};
use half::{bf16, f16};
use wootz_runtime::Call;

/// How an element of the source meets what is in its place.
pub(super) trait Meet<T, S> {
    fn meet(here: T, comes: S) -> T;
}

/// What comes stays.
pub(super) struct Set;
/// The sum stays.
pub(super) struct Add;
/// The larger one stays.
pub(super) struct Max;

impl<T> Meet<T, T> for Set {
    fn meet(_: T, comes: T) -> T {
        comes
    }
}

macro_rules! meets {
    ($($meet:ident, $type:ty, $source:ty: |$here:ident, $comes:ident| $result:expr;)*) => {$(
        impl Meet<$type, $source> for $meet {
            fn meet($here: $type, $comes: $source) -> $type {
                $result
            }
        }
    )*};
}

meets! {
    Add, f32, f32: |here, comes| here + comes;
    Add, f32, f16: |here, comes| here + comes.to_f32();
    Add, f32, bf16: |here, comes| here + comes.to_f32();
    Add, i32, i32: |here, comes| here.wrapping_add(comes);
    Add, u32, u32: |here, comes| here.wrapping_add(comes);
    Add, i64, i64: |here, comes| here.wrapping_add(comes);
    Add, u8, u8: |here, comes| here.wrapping_add(comes);
    Max, f32, f32: |here, comes| if here.is_nan() || comes <= here { here } else { comes };
    Max, f16, f16: |here, comes| if here.is_nan() || comes <= here { here } else { comes };
    Max, bf16, bf16: |here, comes| if here.is_nan() || comes <= here { here } else { comes };
    Max, i32, i32: |here, comes| here.max(comes);
    Max, u32, u32: |here, comes| here.max(comes);
    Max, i64, i64: |here, comes| here.max(comes);
    Max, u8, u8: |here, comes| here.max(comes);
}

/// Lets each element of the source meet what is in its place.
///
/// # Safety
/// As for [`wootz_runtime::NativeFn`], with a plan of the op over `T`, and a source of `S`.
pub(super) unsafe fn kernel<T: Copy, S: Copy, M: Meet<T, S>>(call: &mut Call<'_>) {
    let Params {
        reader,
        step,
        cut,
        width,
        walk,
    } = call.params::<Params>();
    let (cut, width) = (*cut as usize, *width as usize);
    for unit in call.units.clone() {
        let (part, [index, source, lane, number]) = match cut < walk.rank() {
            true => {
                let start = unit * width;
                walk.narrow(cut, start, width.min(walk.dim(cut) - start))
            }
            false => (*walk, [0; 4]),
        };
        let index = Side {
            memory: call.pointer::<u8>(0),
            offset: index,
        };
        let source = Side {
            memory: call.pointer::<S>(1),
            offset: source,
        };
        let lane = Side {
            memory: call.pointer::<T>(2),
            offset: lane,
        };
        // SAFETY: passed on from the caller.
        let refused =
            unsafe { scatter_part::<T, S, M>(&part, reader, *step as isize, index, source, lane) };
        if let Some(refused) = refused {
            call.refuse((refused + number) as usize);
        }
    }
}

/// Memory, and the element of it where a part of a walk begins.
struct Side<T> {
    memory: *mut T,
    offset: isize,
}

/// Does one part of the walk; gives the number of the first index that was refused.
///
/// # Safety
/// The walk stays inside the memory of its sides, and nobody else writes the lanes.
unsafe fn scatter_part<T: Copy, S: Copy, M: Meet<T, S>>(
    part: &Walk<4>,
    reader: &Reader,
    step: isize,
    index: Side<u8>,
    source: Side<S>,
    lane: Side<T>,
) -> Option<isize> {
    let mut refused = None;
    let mut batch = [0isize; BATCH];
    part.for_each(|run| {
        let [at, from, to, number] = run.offsets;
        let [at_stride, from_stride, to_stride, number_stride] = run.strides;
        for start in (0..run.length).step_by(BATCH) {
            let batch = &mut batch[..BATCH.min(run.length - start)];
            let skip = start as isize;
            let first = index.offset + at + skip * at_stride;
            // SAFETY: passed on from the caller.
            if let Err(bad) = unsafe { reader.read(index.memory, first, at_stride, batch) } {
                refused.get_or_insert(number + (skip + bad as isize) * number_stride);
                continue;
            }
            for (i, place) in (skip..).zip(batch.iter()) {
                // SAFETY: passed on from the caller; the reader accepted the index.
                unsafe {
                    let comes = *source.memory.offset(source.offset + from + i * from_stride);
                    let here = lane
                        .memory
                        .offset(lane.offset + to + i * to_stride + place * step);
                    *here = M::meet(*here, comes);
                }
            }
        }
    });
    refused
}
