//! How elementwise kernels walk their operands: any strides in, contiguous memory out.
//!
//! The output is cut into units of fixed size, those into blocks. Of each block an op sees
//! contiguous elements only: where an operand lies so already it is used in place, elsewhere its
//! elements are gathered into scratch memory that stays in the first-level cache. So an op is
//! written once, over contiguous blocks.

use crate::{DType, Layout, MAX_RANK, collapse};
use wootz_runtime::Call;

/// Output elements in one unit of work.
pub const UNIT: usize = 1 << 14;
/// Most elements in one block that is gathered.
const BLOCK: usize = 1 << 10;
/// Most operands of an op.
pub const MOST: usize = 3;

/// Where the operands of an elementwise kernel lie.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Walk {
    count: u64,
    rank: u32,
    operands: u32,
    /// The operands' type and the result's, as [`DType::index`] counts, for kernels that take
    /// several.
    dtypes: [u32; 2],
    dims: [u64; MAX_RANK],
    strides: [[i64; MAX_RANK]; MOST],
}

impl Walk {
    /// Over operands that were broadcast to one shape, in its order.
    pub fn new<const N: usize>(operands: [&Layout; N]) -> Walk {
        let joined = collapse(operands);
        let mut walk = Walk {
            count: operands[0].count() as u64,
            rank: joined[0].rank() as u32,
            operands: N as u32,
            dtypes: [0; 2],
            dims: [1; MAX_RANK],
            strides: [[0; MAX_RANK]; MOST],
        };
        for (to, &from) in walk.dims.iter_mut().zip(joined[0].dims()) {
            *to = from as u64;
        }
        for (strides, layout) in walk.strides.iter_mut().zip(&joined) {
            for (to, &from) in strides.iter_mut().zip(layout.strides()) {
                *to = from as i64;
            }
        }
        walk
    }

    /// The same walk over operands of type `input` to a result of type `output`.
    pub(crate) fn typed(self, input: DType, output: DType) -> Walk {
        let dtypes = [input.index() as u32, output.index() as u32];
        Walk { dtypes, ..self }
    }

    /// The operands' type.
    pub(crate) fn input(&self) -> DType {
        DType::ALL[self.dtypes[0] as usize]
    }

    /// The result's type.
    pub(crate) fn output(&self) -> DType {
        DType::ALL[self.dtypes[1] as usize]
    }

    /// Elements of the output.
    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    /// Units of work.
    pub fn units(&self) -> usize {
        (self.count as usize).div_ceil(UNIT)
    }

    /// Scratch bytes that [`blocks`] needs.
    pub fn scratch(&self) -> usize {
        if self.is_contiguous() {
            0
        } else {
            self.operands as usize * BLOCK * size_of::<u64>()
        }
    }

    /// Whether every operand is contiguous: then, and only then, one axis of stride 1 is left.
    fn is_contiguous(&self) -> bool {
        let used = &self.strides[..self.operands as usize];
        self.rank == 0 || (self.rank == 1 && used.iter().all(|strides| strides[0] == 1))
    }

    /// Length of a run: of the last axis that is left.
    fn row(&self) -> usize {
        self.dims[(self.rank as usize).saturating_sub(1)] as usize
    }

    /// Step of operand `k` inside a run.
    fn step(&self, k: usize) -> isize {
        self.strides[k][(self.rank as usize).saturating_sub(1)] as isize
    }

    /// Position in operand `k` of the output's element `at`.
    fn position(&self, k: usize, at: usize) -> isize {
        let (mut left, mut position) = (at as u64, 0);
        for axis in (0..self.rank as usize).rev() {
            position += (left % self.dims[axis]) as i64 * self.strides[k][axis];
            left /= self.dims[axis];
        }
        position as isize
    }
}

/// Calls `each` with every block of the call's units: a pointer to the contiguous elements of each
/// operand, the block's first output element, and its length.
///
/// # Safety
/// The call's first `N` bindings are the operands that `walk` was made from, of elements of `sizes`
/// bytes, and its plan asked for [`Walk::scratch`].
pub unsafe fn blocks<const N: usize>(
    call: &mut Call<'_>,
    walk: &Walk,
    sizes: [usize; N],
    each: &mut dyn FnMut([*const u8; N], usize, usize),
) {
    let end = (call.units.end * UNIT).min(walk.count as usize);
    let mut at = call.units.start * UNIT;
    let sources: [*const u8; N] = std::array::from_fn(|k| call.pointer::<u8>(k).cast_const());
    if walk.is_contiguous() {
        return each(
            std::array::from_fn(|k| sources[k].wrapping_add(at * sizes[k])),
            at,
            end - at,
        );
    }
    let row = walk.row();
    let mut operands: [Operand; N] = std::array::from_fn(|k| Operand {
        source: sources[k],
        size: sizes[k],
        scratch: call
            .scratch
            .as_mut_ptr()
            .wrapping_add(k * BLOCK * size_of::<u64>()),
        filled: None,
    });
    while at < end {
        // Long rows are cut at their ends, so that their blocks can be used in place.
        let room = if row >= BLOCK / 4 {
            row - at % row
        } else {
            BLOCK
        };
        let n = room.min(BLOCK).min(end - at);
        let inputs = std::array::from_fn(|k| {
            // SAFETY: the block is inside the shape that `walk` covers.
            unsafe { operands[k].block(walk, k, at, n) }
        });
        each(inputs, at, n);
        at += n;
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
    /// The `n` elements for the outputs from `at` on, in contiguous memory.
    ///
    /// # Safety
    /// `walk` covers this memory as its operand `k`, and `at + n` is inside its shape.
    unsafe fn block(&mut self, walk: &Walk, k: usize, at: usize, n: usize) -> *const u8 {
        let (row, step) = (walk.row(), walk.step(k));
        let first = walk.position(k, at);
        let one_run = at % row + n <= row;
        if one_run && step == 1 {
            return self.source.wrapping_offset(first * self.size as isize);
        }
        let known = self
            .filled
            .is_some_and(|(element, length)| element == first && length >= n);
        if one_run && step == 0 && known {
            return self.scratch;
        }
        let mut done = 0;
        while done < n {
            let run = (row - (at + done) % row).min(n - done);
            let from = walk.position(k, at + done) * self.size as isize;
            // SAFETY: the run is inside the operand, and the block inside its scratch memory.
            unsafe {
                let source = self.source.offset(from);
                let target = self.scratch.add(done * self.size);
                match self.size {
                    1 => copy_run::<u8>(source, step, target, run),
                    2 => copy_run::<u16>(source, step, target, run),
                    4 => copy_run::<u32>(source, step, target, run),
                    _ => copy_run::<u64>(source, step, target, run),
                }
            }
            done += run;
        }
        self.filled = (one_run && step == 0).then_some((first, n));
        self.scratch
    }
}

/// Copies `n` elements that lie `step` apart.
///
/// # Safety
/// They and the target are valid and aligned for `T`, and do not overlap.
unsafe fn copy_run<T: Copy>(source: *const u8, step: isize, target: *mut u8, n: usize) {
    let (source, target) = (source.cast::<T>(), target.cast::<T>());
    // SAFETY: passed on from the caller.
    unsafe {
        match step {
            1 => std::ptr::copy_nonoverlapping(source, target, n),
            0 => std::slice::from_raw_parts_mut(target, n).fill(*source),
            _ => {
                for i in 0..n {
                    *target.add(i) = *source.offset(i as isize * step);
                }
            }
        }
    }
}
