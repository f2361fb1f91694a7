//! A factor of a product whose elements can be moved by packs.

use crate::{Layout, Tensor};

/// A matrix, or a batch of them, whose elements are neighbours along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operand {
    /// Bytes of an element.
    pub(super) element: u64,
    /// Whether that axis is the inner one.
    pub(super) inner: bool,
    /// Elements along the outer and the inner axis.
    pub(super) sizes: [u64; 2],
    /// From one element to the next along the axis where they are no neighbours.
    pub(super) stride: u64,
    /// Matrices, and from one to the next; one matrix serves a whole batch.
    pub(super) batch: [u64; 2],
}

/// Bytes of a pack.
const PACK: u64 = 16;
/// Where a stride ends that a map can hold, in bytes.
const STRIDES: u64 = 1 << 40;

impl Operand {
    /// The factor with this layout, whose last axes are the rows and the columns; `inner` says
    /// which of these two is the inner one. None where packs do not lie at multiples of their size,
    /// or where sizes are beyond what a copy engine takes.
    pub(super) fn of(tensor: &Tensor, layout: &Layout, inner: usize) -> Option<Operand> {
        let rank = layout.rank() - 2;
        let element = tensor.dtype().size() as u64;
        let pack = PACK / element;
        let (dims, strides) = (layout.dims(), layout.strides());
        let outer = 1 - inner;
        let [inner, outer] = [inner, outer].map(|axis| (dims[rank + axis], strides[rank + axis]));
        let takes = |stride: isize| {
            let stride = u64::try_from(stride).ok()?;
            let fits = stride > 0 && stride < STRIDES / element && stride.is_multiple_of(pack);
            fits.then_some(stride)
        };
        // Along an axis of one element there is no next.
        let far = |(size, stride): (usize, isize), beside: usize| match size {
            1 => Some((beside as u64).next_multiple_of(pack)),
            _ => takes(stride),
        };
        let near = |(size, stride): (usize, isize)| size == 1 || stride == 1;
        let along = |along, across: (usize, isize)| near(along).then(|| far(across, along.0));
        let (is_inner, stride) = match along(inner, outer).flatten() {
            Some(stride) => (true, stride),
            None => (false, along(outer, inner).flatten()?),
        };
        let [outer, inner] = [outer.0 as u64, inner.0 as u64];
        let matrices = matrices(&dims[..rank], &strides[..rank])?;
        let batch = match matrices {
            [1, _] => [1, pack],
            [count, step] => [count, takes(step as isize)?],
        };
        let largest = [outer, inner, batch[0]].into_iter().max()?;
        let inside = inner > 0 && largest <= u64::from(u32::MAX);
        let whole = inside && tensor.byte_offset().is_multiple_of(16);
        whole.then_some(Operand {
            element,
            inner: is_inner,
            sizes: [outer, inner],
            stride,
            batch,
        })
    }

    /// A batch of matrices that lie below each other, as one.
    pub(super) fn flat(self) -> Option<Operand> {
        let [count, step] = self.batch;
        let [outer, inner] = self.sizes;
        let rows = outer.checked_mul(count)?;
        let below = count > 1 && self.inner && step == outer * self.stride;
        (below && rows <= u64::from(u32::MAX)).then_some(Operand {
            sizes: [rows, inner],
            batch: [1, PACK / self.element],
            ..self
        })
    }
}

/// How many matrices there are and the step from one to the next, where one step says it all.
fn matrices(dims: &[usize], strides: &[isize]) -> Option<[u64; 2]> {
    let axes = dims.iter().zip(strides).rev();
    let mut axes = axes.filter(|&(&size, _)| size > 1);
    let Some((&count, &step)) = axes.next() else {
        return Some([1, 0]);
    };
    let mut count = count;
    for (&size, &stride) in axes {
        if stride != step * count as isize {
            return None;
        }
        count *= size;
    }
    match step {
        0 => Some([1, 0]),
        _ => Some([count as u64, u64::try_from(step).ok()?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    fn tensor(dims: &[usize]) -> Tensor {
        let zeros = vec![half::bf16::ZERO; dims.iter().product()];
        Tensor::from_slice(&zeros, dims, Device::cpu()).unwrap()
    }

    #[test]
    fn a_matrix_is_taken_along_its_rows_or_its_columns() {
        let x = tensor(&[24, 40]);
        let left = Operand::of(&x, x.layout(), 1).unwrap();
        assert_eq!((left.inner, left.sizes, left.stride), (true, [24, 40], 40));
        let right = Operand::of(&x, x.layout(), 0).unwrap();
        assert_eq!(
            (right.inner, right.sizes, right.stride),
            (false, [40, 24], 40)
        );
    }

    #[test]
    fn batches_have_one_step_or_none() {
        let x = tensor(&[2, 3, 8, 16]);
        let batch = |x: &Tensor| Operand::of(x, x.layout(), 1).map(|operand| operand.batch);
        assert_eq!(batch(&x), Some([6, 128]));
        assert_eq!(batch(&x.transpose(0, 1).unwrap()), None);
        let row = tensor(&[8, 16]);
        let spread = row.layout().broadcast_to(x.shape()).unwrap();
        let spread = Operand::of(&row, &spread, 1).unwrap();
        assert_eq!(spread.batch, [1, 8]);
    }

    #[test]
    fn what_packs_do_not_fit_is_left_to_others() {
        let odd = tensor(&[24, 41]);
        assert_eq!(Operand::of(&odd, odd.layout(), 1), None);
        let wide = tensor(&[24, 48]);
        let shifted = wide.narrow(1, 3, 40).unwrap();
        assert_eq!(Operand::of(&shifted, shifted.layout(), 1), None);
        let backwards = wide.flip(0).unwrap();
        assert_eq!(Operand::of(&backwards, backwards.layout(), 1), None);
    }
}
