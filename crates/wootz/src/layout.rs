//! Shapes and strides: how indices of a tensor map to elements of its buffer.

use std::fmt;

/// The most axes a tensor can have.
pub const MAX_RANK: usize = 8;

/// The sizes of a tensor's axes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    rank: u8,
    dims: [usize; MAX_RANK],
}

impl Shape {
    /// A shape; nothing when it has more than [`MAX_RANK`] axes.
    pub fn new(dims: &[usize]) -> Option<Shape> {
        let mut shape = Shape {
            rank: u8::try_from(dims.len()).ok()?,
            dims: [1; MAX_RANK],
        };
        shape.dims.get_mut(..dims.len())?.copy_from_slice(dims);
        Some(shape)
    }

    /// The sizes.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank as usize]
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// The number of elements; nothing when that overflows. One size of 0 makes it 0 whatever
    /// the others are.
    pub fn checked_count(&self) -> Option<usize> {
        if self.dims().contains(&0) {
            return Some(0);
        }
        self.dims()
            .iter()
            .try_fold(1usize, |count, &dim| count.checked_mul(dim))
    }

    /// Whether its elements, of `size` bytes, can be addressed. An empty axis hides no other: the
    /// sizes of any axes of a tensor can be multiplied.
    pub(crate) fn fits(&self, size: usize) -> bool {
        let mut sizes = self.dims().iter().map(|&dim| dim.max(1));
        let bytes = sizes.try_fold(size, usize::checked_mul);
        bytes.is_some_and(|bytes| isize::try_from(bytes).is_ok())
    }

    /// The number of elements of a shape that a tensor has, and so is known to fit.
    pub fn count(&self) -> usize {
        self.checked_count().unwrap_or(usize::MAX)
    }

    /// The shape that two shapes broadcast to, by NumPy's rule.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        let mut dims = [1; MAX_RANK];
        for (from_end, dim) in dims[..rank].iter_mut().rev().enumerate() {
            let at = |shape: &Shape| match shape.rank() > from_end {
                true => shape.dims[shape.rank() - 1 - from_end],
                false => 1,
            };
            *dim = match (at(self), at(other)) {
                (a, b) if a == b => a,
                (1, b) => b,
                (a, 1) => a,
                _ => return None,
            };
        }
        Some(Shape {
            rank: rank as u8,
            dims,
        })
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dims().fmt(f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

/// A shape with a stride for each axis and an offset, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    shape: Shape,
    strides: [isize; MAX_RANK],
    offset: usize,
}

impl Layout {
    /// Rows after rows from the buffer's start on.
    pub fn contiguous(shape: Shape) -> Layout {
        let mut strides = [0; MAX_RANK];
        let mut step = 1isize;
        for axis in (0..shape.rank()).rev() {
            strides[axis] = step;
            // A shape that a tensor has fits; of others only the strides are meaningless.
            step = step.wrapping_mul(shape.dims[axis].max(1) as isize);
        }
        Layout {
            shape,
            strides,
            offset: 0,
        }
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The sizes.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    /// The strides.
    pub fn strides(&self) -> &[isize] {
        &self.strides[..self.shape.rank()]
    }

    /// The position of the element at index 0 in every axis.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }

    /// The number of elements.
    pub fn count(&self) -> usize {
        self.shape.count()
    }

    /// Whether the elements follow each other in order. Axes of size 1 do not count, and an
    /// empty layout is contiguous.
    pub fn is_contiguous(&self) -> bool {
        if self.count() == 0 {
            return true;
        }
        let mut step = 1isize;
        for (&dim, &stride) in self.dims().iter().zip(self.strides()).rev() {
            if dim != 1 {
                if stride != step {
                    return false;
                }
                step *= dim as isize;
            }
        }
        true
    }

    /// The lowest and highest element position; nothing for an empty layout.
    pub fn extent(&self) -> Option<(usize, usize)> {
        if self.count() == 0 {
            return None;
        }
        let (mut low, mut high) = (self.offset, self.offset);
        for (&dim, &stride) in self.dims().iter().zip(self.strides()) {
            let reach = (dim - 1) * stride.unsigned_abs();
            if stride < 0 {
                low -= reach;
            } else {
                high += reach;
            }
        }
        Some((low, high))
    }

    /// The axes in another order. `order` is a permutation of the axes.
    pub fn permute(&self, order: &[usize]) -> Option<Layout> {
        let mut seen = [false; MAX_RANK];
        if order.len() != self.rank() {
            return None;
        }
        let mut out = *self;
        for (to, &from) in order.iter().enumerate() {
            if from >= self.rank() || std::mem::replace(&mut seen[from], true) {
                return None;
            }
            out.shape.dims[to] = self.shape.dims[from];
            out.strides[to] = self.strides[from];
        }
        Some(out)
    }

    /// `length` indices of `axis` from `start` on.
    pub fn narrow(&self, axis: usize, start: usize, length: usize) -> Option<Layout> {
        if axis >= self.rank() || start.checked_add(length)? > self.dims()[axis] {
            return None;
        }
        let mut out = *self;
        out.shape.dims[axis] = length;
        if out.count() > 0 {
            out.offset = self
                .offset
                .wrapping_add_signed(start as isize * self.strides[axis]);
        }
        Some(out)
    }

    /// Without `axis`, of which index 0 is left.
    pub(crate) fn without(&self, axis: usize) -> Layout {
        let mut out = *self;
        out.shape.dims[axis..].rotate_left(1);
        out.strides[axis..].rotate_left(1);
        out.shape.dims[MAX_RANK - 1] = 1;
        out.strides[MAX_RANK - 1] = 0;
        out.shape.rank -= 1;
        out
    }

    /// The diagonal of two axes of one size, in place of `first`.
    pub(crate) fn diagonal(&self, first: usize, second: usize) -> Layout {
        let mut out = *self;
        out.strides[first] += out.strides[second];
        out.without(second)
    }

    /// `axis` backwards.
    pub fn flip(&self, axis: usize) -> Option<Layout> {
        let last = self.dims().get(axis)?.saturating_sub(1);
        let mut out = *self;
        out.strides[axis] = -self.strides[axis];
        if self.count() > 0 {
            out.offset = self
                .offset
                .wrapping_add_signed(last as isize * self.strides[axis]);
        }
        Some(out)
    }

    /// The same elements seen in a larger shape, by NumPy's rule: repeated axes get stride 0.
    pub fn broadcast_to(&self, shape: Shape) -> Option<Layout> {
        let added = shape.rank().checked_sub(self.rank())?;
        let mut out = Layout {
            shape,
            strides: [0; MAX_RANK],
            offset: self.offset,
        };
        for axis in 0..self.rank() {
            let (from, to) = (self.shape.dims[axis], shape.dims[axis + added]);
            if from != to && from != 1 {
                return None;
            }
            out.strides[axis + added] = if from == to { self.strides[axis] } else { 0 };
        }
        Some(out)
    }

    /// The same elements in the same order under another shape, when strides can say it.
    pub fn reshape(&self, shape: Shape) -> Option<Layout> {
        if shape.checked_count()? != self.count() {
            return None;
        }
        let mut out = Layout::contiguous(shape);
        out.offset = self.offset;
        if self.count() == 0 || self.is_contiguous() {
            return Some(out);
        }
        // Each run of old axes that step evenly can be cut anew.
        let old = self.collapse();
        let mut axis = shape.rank();
        for (&size, &stride) in old.dims().iter().zip(old.strides()).rev() {
            let (mut left, mut step) = (size, stride);
            while left > 1 {
                axis = axis.checked_sub(1)?;
                let dim = shape.dims[axis];
                if left % dim != 0 {
                    return None;
                }
                out.strides[axis] = step;
                step *= dim as isize;
                left /= dim;
            }
        }
        Some(out)
    }

    /// The same elements in the same order with as few axes as strides can say: no axis of
    /// size 1, and no two neighbours that step as one.
    pub fn collapse(&self) -> Layout {
        let all = collapse([self]);
        all[0]
    }
}

/// Collapses several layouts of one shape together: axes are joined where all can join them.
/// This is how elementwise kernels get few and long runs.
pub fn collapse<const N: usize>(layouts: [&Layout; N]) -> [Layout; N] {
    let shape = layouts[0].shape;
    let mut out = layouts.map(|layout| Layout {
        shape: Shape {
            rank: 0,
            dims: [1; MAX_RANK],
        },
        strides: [0; MAX_RANK],
        offset: layout.offset,
    });
    let mut rank = 0;
    for axis in 0..shape.rank() {
        let dim = shape.dims[axis];
        if dim == 1 {
            continue;
        }
        let joins = rank > 0
            && layouts.iter().zip(&out).all(|(layout, out)| {
                layout.strides[axis].checked_mul(dim as isize) == Some(out.strides[rank - 1])
            });
        if !joins {
            rank += 1;
        }
        for (layout, out) in layouts.iter().zip(&mut out) {
            out.strides[rank - 1] = layout.strides[axis];
            out.shape.dims[rank - 1] = if joins {
                out.shape.dims[rank - 1] * dim
            } else {
                dim
            };
            out.shape.rank = rank as u8;
        }
    }
    out
}
