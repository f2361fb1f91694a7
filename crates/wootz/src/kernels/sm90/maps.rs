//! Tensor maps of a product's matrices.

use super::{BOX, ROW_BYTES};
use crate::kernels::operand::Operand;
use wootz_runtime::TensorMap;

/// The map of a factor, for boxes of `rows` along its outer axis. `f32` is multiplied as tf32.
pub(super) fn factor(factor: &Operand, binding: usize, rows: usize) -> TensorMap {
    let [outer, inner] = factor.sizes;
    let (sizes, high) = if factor.inner {
        ([inner, outer], rows)
    } else {
        ([outer, inner], BOX)
    };
    let (element, [matrices, step]) = (factor.element, factor.batch);
    TensorMap {
        binding,
        element: element as u32,
        rounds: element == 4,
        sizes: [sizes[0], sizes[1], matrices],
        strides: [element * factor.stride, element * step],
        box_sizes: [(ROW_BYTES as u64 / element) as u32, high as u32, 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_mapped_along_its_neighbours() {
        let turned = Operand {
            element: 2,
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
        let wide = Operand {
            element: 4,
            ..inner
        };
        let map = factor(&wide, 0, 128);
        assert_eq!((map.strides, map.box_sizes), ([192, 4608], [32, 128, 1]));
    }
}
