//! How elementwise kernels see their operands: any strides in, contiguous memory out.
//!
//! Of each block of the output an op sees contiguous elements only: where an operand lies so
//! already it is used in place, elsewhere its elements are gathered into scratch memory that stays
//! in the first-level cache. So an op is written once, over contiguous blocks.

use super::walk::{Run, Walk, copy_run};
use wootz_runtime::Call;

/// Most elements in one block that is gathered.
const BLOCK: usize = 1 << 10;

/// Runs of at least so many elements are blocks of their own, which may be used in place.
const LONG: usize = BLOCK / 4;

/// Scratch bytes that [`blocks`] needs.
pub(crate) fn scratch<const N: usize>(walk: &Walk<N>) -> usize {
    if walk.is_contiguous() {
        0
    } else {
        N * BLOCK * size_of::<u64>()
    }
}

/// Calls `each` with every block of the call's units: a pointer to the contiguous elements of each
/// operand, the block's first output element, and its length.
///
/// # Safety
/// The call's first `N` bindings are the operands that `walk` was made from, of elements of `sizes`
/// bytes, and its plan asked for [`scratch`].
pub(crate) unsafe fn blocks<const N: usize>(
    call: &mut Call<'_>,
    walk: &Walk<N>,
    sizes: [usize; N],
    each: &mut dyn FnMut([*const u8; N], usize, usize),
) {
    let all = walk.elements(&call.units);
    let sources: [*const u8; N] = std::array::from_fn(|k| call.pointer::<u8>(k).cast_const());
    if walk.is_contiguous() {
        let from = std::array::from_fn(|k| sources[k].wrapping_add(all.start * sizes[k]));
        return each(from, all.start, all.len());
    }
    let mut operands: [Operand; N] = std::array::from_fn(|k| Operand {
        source: sources[k],
        size: sizes[k],
        scratch: call
            .scratch
            .as_mut_ptr()
            .wrapping_add(k * BLOCK * size_of::<u64>()),
        filled: None,
    });
    // A block of short runs is gathered from `at` on; so much of it is there.
    let (mut at, mut gathered) = (all.start, 0);
    walk.for_each_of(call.units.clone(), |run| {
        if gathered > 0 && (run.length >= LONG || gathered + run.length > BLOCK) {
            each(operands.each_ref().map(Operand::gathered), at, gathered);
            (at, gathered) = (at + gathered, 0);
        }
        if run.length < LONG {
            for (k, operand) in operands.iter_mut().enumerate() {
                // SAFETY: the run is inside the operand, and the block inside its scratch memory.
                unsafe { operand.gather(&run, k, 0, run.length, gathered) };
            }
            gathered += run.length;
            return;
        }
        for start in (0..run.length).step_by(BLOCK) {
            let n = BLOCK.min(run.length - start);
            let inputs = std::array::from_fn(|k| {
                // SAFETY: as above.
                unsafe { operands[k].part(&run, k, start, n) }
            });
            each(inputs, at, n);
            at += n;
        }
    });
    if gathered > 0 {
        each(operands.each_ref().map(Operand::gathered), at, gathered);
    }
}

/// One operand while its blocks are walked.
struct Operand {
    source: *const u8,
    size: usize,
    scratch: *mut u8,
    /// The element that fills the scratch memory, and how much of it.
    filled: Option<(isize, usize)>,
}

impl Operand {
    fn gathered(&self) -> *const u8 {
        self.scratch
    }

    /// The `n` elements from `start` on of a run of operand `k`, in contiguous memory.
    ///
    /// # Safety
    /// They are inside the run and that inside this operand, and `n` is at most [`BLOCK`].
    unsafe fn part<const N: usize>(
        &mut self,
        run: &Run<'_, N>,
        k: usize,
        start: usize,
        n: usize,
    ) -> *const u8 {
        let (first, step) = (run.offsets[k], run.strides[k]);
        if step == 1 {
            let offset = (first + start as isize) * self.size as isize;
            return self.source.wrapping_offset(offset);
        }
        let known = |(element, length)| element == first && length >= n;
        if step != 0 || !self.filled.is_some_and(known) {
            // SAFETY: passed on from the caller.
            unsafe { self.gather(run, k, start, n, 0) };
            self.filled = (step == 0).then_some((first, n));
        }
        self.scratch
    }

    /// Copies `n` elements from `start` on of a run of operand `k` to the scratch memory, from
    /// element `at` on.
    ///
    /// # Safety
    /// As for [`Operand::part`], and `at + n` is at most [`BLOCK`].
    unsafe fn gather<const N: usize>(
        &mut self,
        run: &Run<'_, N>,
        k: usize,
        start: usize,
        n: usize,
        at: usize,
    ) {
        self.filled = None;
        let step = run.strides[k];
        let from = (run.offsets[k] + start as isize * step) * self.size as isize;
        // SAFETY: passed on from the caller.
        unsafe {
            let (from, to) = (self.source.offset(from), self.scratch.add(at * self.size));
            match self.size {
                1 => gather_run::<u8>(from, step, to, n),
                2 => gather_run::<u16>(from, step, to, n),
                4 => gather_run::<u32>(from, step, to, n),
                _ => gather_run::<u64>(from, step, to, n),
            }
        }
    }
}

/// Copies `n` elements that lie `step` apart.
///
/// # Safety
/// As for [`copy_run`].
unsafe fn gather_run<T: Copy>(from: *const u8, step: isize, to: *mut u8, n: usize) {
    let (from, to) = (from.cast::<T>(), to.cast::<T>());
    // SAFETY: passed on from the caller.
    unsafe {
        match step {
            0 => std::slice::from_raw_parts_mut(to, n).fill(*from),
            _ => copy_run((to, 1), (from, step), n),
        }
    }
}
