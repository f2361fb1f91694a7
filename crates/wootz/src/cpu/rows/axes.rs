//! Axes as kernels get them: sizes and strides in a parameter struct.

use crate::MAX_RANK;

/// Some axes of a tensor, outermost first, joined where they step as one.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Axes {
    rank: u64,
    dims: [u64; MAX_RANK],
    strides: [i64; MAX_RANK],
}

impl Axes {
    /// These sizes and strides, without axes of size 1.
    pub(crate) fn new(axes: impl IntoIterator<Item = (usize, isize)>) -> Axes {
        let mut out = Axes {
            rank: 0,
            dims: [1; MAX_RANK],
            strides: [0; MAX_RANK],
        };
        for (dim, stride) in axes {
            let (dim, stride) = (dim as u64, stride as i64);
            let last = (out.rank as usize).wrapping_sub(1);
            if dim == 1 {
                continue;
            }
            if out.rank > 0 && Some(out.strides[last]) == stride.checked_mul(dim as i64) {
                out.dims[last] *= dim;
                out.strides[last] = stride;
            } else {
                out.dims[out.rank as usize] = dim;
                out.strides[out.rank as usize] = stride;
                out.rank += 1;
            }
        }
        out
    }

    /// The number of indices.
    pub(crate) fn count(&self) -> usize {
        self.dims[..self.rank as usize].iter().product::<u64>() as usize
    }

    /// Size and stride of the innermost axis; one element that follows itself when there is none.
    #[inline(always)]
    pub(crate) fn innermost(&self) -> (usize, isize) {
        match self.rank {
            0 => (1, 1),
            rank => (
                self.dims[rank as usize - 1] as usize,
                self.strides[rank as usize - 1] as isize,
            ),
        }
    }

    /// The axes but the innermost.
    pub(crate) fn outer(mut self) -> Axes {
        if self.rank > 0 {
            self.rank -= 1;
            self.dims[self.rank as usize] = 1;
            self.strides[self.rank as usize] = 0;
        }
        self
    }

    /// Where index `index`, counted in order, lies, in elements from index 0.
    #[inline(always)]
    pub(crate) fn offset(&self, index: usize) -> isize {
        let (mut left, mut offset) = (index as u64, 0);
        for axis in (1..self.rank as usize).rev() {
            offset += (left % self.dims[axis]) as i64 * self.strides[axis];
            left /= self.dims[axis];
        }
        (offset + left as i64 * self.strides[0]) as isize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_step_as_one_are_joined() {
        let joined = Axes::new([(2, 12), (1, 5), (3, 4), (4, 1)]);
        assert_eq!(joined, Axes::new([(24, 1)]));
        assert_eq!(Axes::new([(3, 0), (4, 0)]), Axes::new([(12, 0)]));
        assert_eq!(Axes::new([(1, 7)]).count(), 1);
        assert_eq!(Axes::new([(4, 3), (0, 1)]).count(), 0);
    }

    #[test]
    fn offsets_follow_the_index() {
        let axes = Axes::new([(2, -50), (3, 7), (4, 2)]);
        let mut expected = Vec::new();
        for a in 0..2 {
            for b in 0..3 {
                for c in 0..4 {
                    expected.push(-50 * a + 7 * b + 2 * c);
                }
            }
        }
        assert_eq!(
            (0..axes.count())
                .map(|i| axes.offset(i))
                .collect::<Vec<_>>(),
            expected
        );
        assert_eq!(axes.innermost(), (4, 2));
        assert_eq!(axes.outer(), Axes::new([(2, -50), (3, 7)]));
    }
}
