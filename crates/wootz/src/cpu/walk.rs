//! Walking several layouts of one shape together, a run along the last axis at a time.

use crate::{Layout, MAX_RANK, collapse};
use std::ops::Range;

/// Elements in one unit of work, about.
pub(crate) const UNIT: usize = 1 << 14;

/// The axes of `N` layouts, as part of a kernel's parameters.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk<const N: usize> {
    rank: u64,
    dims: [u64; MAX_RANK],
    strides: [[i64; MAX_RANK]; N],
}

// SAFETY: all zero bytes are a walk without axes.
unsafe impl<const N: usize> bytemuck::Zeroable for Walk<N> {}
// SAFETY: `repr(C)` fields of 8 bytes each leave no padding, and any bytes are valid in them.
unsafe impl<const N: usize> bytemuck::Pod for Walk<N> {}

/// Elements that follow each other with one stride in each layout.
#[derive(Debug)]
pub(crate) struct Run<'a, const N: usize> {
    /// The index of the first one.
    pub(crate) index: &'a [usize],
    /// Where the first one lies in each layout.
    pub(crate) offsets: [isize; N],
    /// How far the next one is in each layout.
    pub(crate) strides: [isize; N],
    /// How many.
    pub(crate) length: usize,
}

impl<const N: usize> Walk<N> {
    /// A walk over layouts of one shape, with axes joined where all layouts can join them.
    pub(crate) fn new(layouts: [&Layout; N]) -> Walk<N> {
        let layouts = collapse(layouts);
        let strides = layouts.each_ref().map(|layout| layout.strides());
        Walk::of(layouts[0].dims(), strides)
    }

    /// A walk over these axes as they are.
    pub(crate) fn of(dims: &[usize], strides: [&[isize]; N]) -> Walk<N> {
        let mut walk = Walk {
            rank: dims.len() as u64,
            dims: [1; MAX_RANK],
            strides: [[0; MAX_RANK]; N],
        };
        for (axis, &dim) in dims.iter().enumerate() {
            walk.dims[axis] = dim as u64;
            for (to, from) in walk.strides.iter_mut().zip(strides) {
                to[axis] = from[axis] as i64;
            }
        }
        walk
    }

    pub(crate) fn rank(&self) -> usize {
        self.rank as usize
    }

    pub(crate) fn dim(&self, axis: usize) -> usize {
        self.dims[axis] as usize
    }

    /// The stride of layout `n` in `axis`.
    pub(crate) fn stride(&self, n: usize, axis: usize) -> isize {
        self.strides[n][axis] as isize
    }

    fn last(&self) -> usize {
        self.rank().saturating_sub(1)
    }

    /// Pieces that each run of the last axis is cut into, and how many pieces make a unit.
    fn cut(&self) -> (usize, usize) {
        let length = self.dim(self.last());
        (length.div_ceil(UNIT).max(1), (UNIT / length.max(1)).max(1))
    }

    /// How many elements each layout has.
    pub(crate) fn count(&self) -> usize {
        self.dims.iter().product::<u64>() as usize
    }

    /// Whether the elements follow each other in every layout: then, and only then, one axis of
    /// stride 1 is left of those that [`Walk::new`] joins, or none.
    pub(crate) fn is_contiguous(&self) -> bool {
        self.rank() == 0 || (self.rank() == 1 && (0..N).all(|n| self.stride(n, 0) == 1))
    }

    fn pieces(&self) -> usize {
        let rows: u64 = self.dims[..self.last()].iter().product();
        rows as usize * self.cut().0
    }

    /// The number of units of work: a matter of the shape alone.
    pub(crate) fn units(&self) -> usize {
        self.pieces().div_ceil(self.cut().1)
    }

    /// The part of the walk at `length` indices of `axis` from `start` on, and where it begins in
    /// each layout.
    pub(crate) fn narrow(&self, axis: usize, start: usize, length: usize) -> (Walk<N>, [isize; N]) {
        let mut part = *self;
        part.dims[axis] = length as u64;
        (
            part,
            std::array::from_fn(|n| start as isize * self.stride(n, axis)),
        )
    }

    /// The elements of `units`, counted in the order of their indices.
    pub(crate) fn elements(&self, units: &Range<usize>) -> Range<usize> {
        let (cut, group) = self.cut();
        let start = |unit: usize| {
            let piece = (unit * group).min(self.pieces());
            piece / cut * self.dim(self.last()) + piece % cut * UNIT
        };
        start(units.start)..start(units.end)
    }

    /// Calls `f` with every run of all units.
    pub(crate) fn for_each(&self, f: impl FnMut(Run<'_, N>)) {
        self.for_each_of(0..self.units(), f);
    }

    /// Calls `f` with every run of `units`, in the order of their indices.
    pub(crate) fn for_each_of(&self, units: Range<usize>, mut f: impl FnMut(Run<'_, N>)) {
        let (cut, group) = self.cut();
        let last = self.last();
        let pieces = units.start * group..(units.end * group).min(self.pieces());
        let (mut index, mut offsets) = self.row(pieces.start / cut);
        for piece in pieces {
            let start = piece % cut * UNIT;
            index[last] = start;
            f(Run {
                index: &index[..self.rank()],
                offsets: std::array::from_fn(|n| {
                    offsets[n] + start as isize * self.stride(n, last)
                }),
                strides: std::array::from_fn(|n| self.stride(n, last)),
                length: (self.dim(last) - start).min(UNIT),
            });
            if piece % cut + 1 == cut {
                self.advance(&mut index, &mut offsets);
            }
        }
    }

    /// The index of row `row` and its offsets.
    fn row(&self, mut row: usize) -> ([usize; MAX_RANK], [isize; N]) {
        let (mut index, mut offsets) = ([0; MAX_RANK], [0; N]);
        for axis in (0..self.last()).rev() {
            index[axis] = row % self.dim(axis);
            row /= self.dim(axis);
            for (n, offset) in offsets.iter_mut().enumerate() {
                *offset += index[axis] as isize * self.stride(n, axis);
            }
        }
        (index, offsets)
    }

    /// Goes on to the next row.
    fn advance(&self, index: &mut [usize; MAX_RANK], offsets: &mut [isize; N]) {
        for axis in (0..self.last()).rev() {
            index[axis] += 1;
            let wraps = index[axis] == self.dim(axis);
            let steps = if wraps {
                1 - self.dim(axis) as isize
            } else {
                1
            };
            for (n, offset) in offsets.iter_mut().enumerate() {
                *offset += steps * self.stride(n, axis);
            }
            if !wraps {
                return;
            }
            index[axis] = 0;
        }
    }
}

/// Copies `length` elements from one run to another.
///
/// # Safety
/// Both runs are inside their memory, and the memories do not overlap.
pub(crate) unsafe fn copy_run<T: Copy>(
    (to, to_stride): (*mut T, isize),
    (from, from_stride): (*const T, isize),
    length: usize,
) {
    if to_stride == 1 && from_stride == 1 {
        // SAFETY: passed on from the caller.
        return unsafe { std::ptr::copy_nonoverlapping(from, to, length) };
    }
    for i in 0..length as isize {
        // SAFETY: passed on from the caller.
        unsafe { *to.offset(i * to_stride) = *from.offset(i * from_stride) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;

    /// Every element is met once, in order, however the units are dealt out.
    fn check(dims: &[usize]) {
        let whole = Layout::contiguous(Shape::new(dims).unwrap());
        let order: Vec<usize> = (0..dims.len()).rev().collect();
        let turned: Vec<usize> = dims.iter().rev().copied().collect();
        let turned = Layout::contiguous(Shape::new(&turned).unwrap())
            .permute(&order)
            .unwrap();
        let walk = Walk::new([&whole, &turned]);
        let mut next = 0;
        for unit in 0..walk.units() {
            assert_eq!(walk.elements(&(unit..unit + 1)).start, next as usize);
            walk.for_each_of(unit..unit + 1, |run| {
                for i in 0..run.length as isize {
                    assert_eq!(run.offsets[0] + i * run.strides[0], next);
                    assert_eq!(run.offsets[1] + i * run.strides[1], transposed(dims, next));
                    next += 1;
                }
            });
        }
        assert_eq!(next as usize, whole.count());
        assert_eq!(walk.elements(&(0..walk.units())), 0..walk.count());
    }

    fn transposed(dims: &[usize], position: isize) -> isize {
        let (mut left, mut step, mut at) = (position as usize, whole(dims), 0);
        for &dim in dims.iter().rev() {
            step /= dim;
            at += left % dim * step;
            left /= dim;
        }
        at as isize
    }

    fn whole(dims: &[usize]) -> usize {
        dims.iter().product()
    }

    #[test]
    fn units_cover_a_shape_once_and_in_order() {
        for dims in [
            &[][..],
            &[1],
            &[5],
            &[3, 4],
            &[2, 3, 4],
            &[UNIT + 1, 3],
            &[3, 2 * UNIT + 5],
        ] {
            check(dims);
        }
    }
}
