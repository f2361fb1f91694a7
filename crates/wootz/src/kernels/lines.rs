//! What kernels over `tile/lines.h` share: how a group cuts a product, and its scratch memory.

use super::pack;
use crate::{DType, Tensor};

/// The part of a product that a group computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cut {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Simds along both.
    pub simds: [u32; 2],
    /// Steps whose tiles are on their way.
    pub ahead: u32,
}

impl Cut {
    const fn new([rows, columns]: [usize; 2], simds: [u32; 2], ahead: u32) -> Cut {
        Cut {
            rows,
            columns,
            simds,
            ahead,
        }
    }

    /// For few, some and many rows.
    pub(super) const ALL: [Cut; 3] = [
        Cut::new([16, 64], [1, 4], 2),
        Cut::new([32, 64], [1, 4], 2),
        Cut::new([64, 64], [2, 4], 2),
    ];

    /// The least that holds so many rows, or the largest.
    pub(super) fn of_rows(rows: usize) -> Cut {
        let fits = |cut: &&Cut| cut.rows >= rows;
        *Cut::ALL.iter().find(fits).unwrap_or(&Cut::ALL[2])
    }

    pub(super) fn lanes(self) -> u32 {
        32 * self.simds[0] * self.simds[1]
    }

    /// Columns that pass through scratch at once.
    pub(super) fn depth(dtype: DType) -> usize {
        128 / dtype.size()
    }

    pub(super) fn scratch(self, dtype: DType) -> usize {
        (self.rows + self.columns) * (Cut::depth(dtype) + pack(dtype)) * dtype.size()
    }

    /// The template arguments.
    pub(super) fn arguments(self) -> String {
        let [high, wide] = self.simds;
        format!(
            "{}, {}, {high}, {wide}, {}",
            self.rows, self.columns, self.ahead
        )
    }
}

/// Bit `bit` if packs of a contiguous tensor can be moved as one, whose rows have `length` elements.
pub(super) fn packed(bit: u32, tensor: &Tensor, length: usize) -> u32 {
    let whole = length.is_multiple_of(pack(tensor.dtype()));
    u32::from(whole && tensor.byte_offset().is_multiple_of(16)) << bit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_fits_scratch_memory_everywhere() {
        for &dtype in DType::FLOATS {
            for cut in Cut::ALL {
                assert!(cut.scratch(dtype) <= 32 << 10, "{cut:?} {dtype}");
                assert!(cut.rows * 8 >= cut.lanes() as usize, "{cut:?}");
            }
        }
    }
}
