//! Tensor maps of a product's matrices, of elements of 2 bytes.

use super::{DEPTH, ROW_BYTES};
use crate::kernels::operand::Operand;
use wootz_runtime::TensorMap;

/// The map of a factor, for boxes of `rows` along its outer axis.
pub(super) fn factor(factor: &Operand, binding: usize, rows: usize) -> TensorMap {
    let [outer, inner] = factor.sizes;
    let (sizes, high) = if factor.inner {
        ([inner, outer], rows)
    } else {
        ([outer, inner], DEPTH)
    };
    matrices(binding, sizes, factor.stride, factor.batch, high)
}

/// The map of contiguous results, for the boxes that a simd writes. Where their rows are no multiples
/// of 16 bytes it is never looked at, and no map of theirs.
pub(super) fn result(binding: usize, [m, n]: [u64; 2], batch: u64) -> TensorMap {
    let wide = n.next_multiple_of(8);
    matrices(binding, [n, m], wide, [batch, m * wide], 16)
}

fn matrices(
    binding: usize,
    [wide, high]: [u64; 2],
    stride: u64,
    [matrices, step]: [u64; 2],
    rows: usize,
) -> TensorMap {
    TensorMap {
        binding,
        element: 2,
        sizes: [wide, high, matrices],
        strides: [2 * stride, 2 * step],
        box_sizes: [ROW_BYTES as u32 / 2, rows as u32, 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_mapped_along_its_neighbours() {
        let turned = Operand {
            inner: false,
            sizes: [40, 24],
            stride: 48,
            batch: [3, 1152],
        };
        let map = factor(&turned, 1, 128);
        assert_eq!((map.binding, map.sizes), (1, [40, 24, 3]));
        assert_eq!((map.strides, map.box_sizes), ([96, 2304], [64, 64, 1]));
        let inner = Operand {
            inner: true,
            ..turned
        };
        let map = factor(&inner, 0, 128);
        assert_eq!((map.sizes, map.box_sizes), ([24, 40, 3], [64, 128, 1]));
    }
}
