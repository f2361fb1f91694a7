//! Walking operands together: the parameters of `tile/walk.h`.

use super::structs::WalkParams;
use crate::{Layout, collapse};

/// Packs that a lane takes at once, as `tile/walk.h` has it.
pub(super) const PACKS_AHEAD: u64 = 2;

/// Where one operand lies.
pub(super) struct Operand {
    /// Its layout, broadcast to the shape that all have.
    pub(super) layout: Layout,
    /// Bytes of an element.
    pub(super) size: usize,
    /// Byte position of its first element.
    pub(super) start: usize,
}

impl Operand {
    /// Whether packs of `vector` elements can be moved as one: neighbours along the innermost axis
    /// that start at multiples of a pack, or one element for all.
    fn takes(&self, strides: &[i64], vector: usize) -> bool {
        let [outer @ .., inner] = strides else {
            return true;
        };
        let whole = |stride: &i64| stride % vector as i64 == 0;
        let aligned = self.start.is_multiple_of((vector * self.size).min(16));
        *inner == 0 || (*inner == 1 && aligned && outer.iter().all(whole))
    }
}

/// The walk over `operands`, the output first, in packs of `vector` elements if all of them take
/// that, and how many elements a pack has.
pub(super) fn walk<const N: usize>(operands: &[Operand; N], vector: usize) -> (WalkParams, usize) {
    const MOST: usize = 4;
    const { assert!(N >= 1 && N <= MOST) };
    // The output stands in for operands that are not there.
    let layouts: [&Layout; MOST] =
        std::array::from_fn(|k| &operands[if k < N { k } else { 0 }].layout);
    let joined = collapse(layouts);
    let rank = joined[0].rank().max(1);
    let mut params: WalkParams = bytemuck::Zeroable::zeroed();
    params.shape[0] = 1;
    for (axis, &dim) in joined[0].dims().iter().enumerate() {
        params.shape[axis] = dim as u64;
        for (k, layout) in joined.iter().enumerate() {
            params.strides[k * crate::MAX_RANK + axis] = layout.strides()[axis] as i64;
        }
    }
    let strides = |k: usize| &params.strides[k * crate::MAX_RANK..][..joined[0].rank()];
    let all = (0..N).all(|k| operands[k].takes(strides(k), vector));
    let vector = if all { vector } else { 1 };
    let (outer, inner) = params.shape[..rank].split_at(rank - 1);
    params.packs = inner[0].div_ceil(vector as u64);
    params.total = outer.iter().product::<u64>() * params.packs;
    params.rank = rank as u32;
    let neighbours = (0..N).all(|k| strides(k) == [1]);
    let whole = params.shape[0].is_multiple_of(vector as u64);
    params.flat = (vector > 1 && rank == 1 && neighbours && whole).into();
    (params, vector)
}

/// Whether counting packs takes 64 bits, with room for a step past the last.
pub(super) fn is_wide(params: &WalkParams) -> bool {
    params.total > u64::from(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;

    fn operand(dims: &[usize], start: usize) -> Operand {
        let layout = Layout::contiguous(Shape::new(dims).unwrap());
        Operand {
            layout,
            size: 4,
            start,
        }
    }

    #[test]
    fn contiguous_operands_are_one_axis_of_packs() {
        let (params, vector) = walk(&[operand(&[3, 5], 0), operand(&[3, 5], 32)], 4);
        assert_eq!(
            (vector, params.rank, params.packs, params.total),
            (4, 1, 4, 4)
        );
    }

    #[test]
    fn an_operand_that_starts_inside_a_pack_is_walked_by_elements() {
        let (params, vector) = walk(&[operand(&[16], 0), operand(&[16], 4)], 4);
        assert_eq!((vector, params.total), (1, 16));
    }

    #[test]
    fn rows_that_are_no_multiple_of_a_pack_apart_are_walked_by_elements() {
        let layout = Layout::contiguous(Shape::new(&[4, 6]).unwrap());
        let part = Operand {
            layout: layout.narrow(1, 0, 4).unwrap(),
            size: 4,
            start: 0,
        };
        assert_eq!(walk(&[operand(&[4, 4], 0), part], 4).1, 1);
    }

    #[test]
    fn no_axes_are_one_element() {
        let (params, _) = walk(&[operand(&[], 0)], 4);
        assert_eq!((params.rank, params.shape[0], params.total), (1, 1, 1));
    }
}
