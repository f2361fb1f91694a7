//! Kernels that only Hopper runs: matrix products, of `kernels/sm90/matmul.h`.

mod maps;
mod product;

pub(crate) use product::plan;

use super::{Buffer, Form, Id, Instance, KernelParams, element, structs::Sm90MatmulParams};
use crate::DType;

/// Every kernel that only Hopper runs: those that `modules` leaves out.
pub fn sm90_kernels() -> Vec<Id> {
    Sm90Matmul::all()
}

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sm90Matmul {
    /// The type, of half width.
    pub dtype: DType,
    /// The tile.
    pub tile: Sm90Tile,
    /// Whether elements along the inner size are neighbours in the left matrix,
    pub a_inner: bool,
    /// and in the right one.
    pub x_inner: bool,
}

/// The part of a product that a group computes at a time, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sm90Tile {
    rows: usize,
    columns: usize,
    /// Tiles of the operands that scratch memory holds.
    slots: usize,
    /// Groups that share tiles of the right matrix.
    cluster: usize,
}

/// The inner size that a slot holds, and bytes of its rows.
const DEPTH: usize = 64;
const ROW_BYTES: usize = 128;

impl Sm90Tile {
    const LARGE: Sm90Tile = Sm90Tile::of(128, 256, 4, 2);
    const MIDDLE: Sm90Tile = Sm90Tile::of(128, 128, 6, 1);
    const SMALL: Sm90Tile = Sm90Tile::of(64, 128, 8, 1);
    const ALL: [Sm90Tile; 3] = [Sm90Tile::LARGE, Sm90Tile::MIDDLE, Sm90Tile::SMALL];

    const fn of(rows: usize, columns: usize, slots: usize, cluster: usize) -> Sm90Tile {
        Sm90Tile {
            rows,
            columns,
            slots,
            cluster,
        }
    }

    /// A warpgroup for each 64 rows, and one that feeds them.
    fn lanes(self) -> u32 {
        (self.rows as u32 / 64 + 1) * 128
    }

    /// Slots, two boxes of results for each 16 rows, and the slots' barriers.
    fn scratch(self) -> usize {
        let slot = (self.rows + self.columns) * ROW_BYTES;
        self.slots * (slot + 16) + self.rows / 16 * 2 * 16 * ROW_BYTES
    }
}

impl Sm90Matmul {
    fn all() -> Vec<Id> {
        let mut all = vec![];
        for dtype in [DType::F16, DType::BF16] {
            for tile in Sm90Tile::ALL {
                for ways in 0..4 {
                    all.push(Id::Sm90Matmul(Sm90Matmul {
                        dtype,
                        tile,
                        a_inner: ways & 1 != 0,
                        x_inner: ways & 2 != 0,
                    }));
                }
            }
        }
        all
    }

    pub(super) fn instance(self) -> Instance {
        let Sm90Matmul {
            dtype,
            tile,
            a_inner,
            x_inner,
        } = self;
        let t = element(dtype);
        let Sm90Tile {
            rows,
            columns,
            slots,
            cluster,
        } = tile;
        let way = |inner| if inner { "inner" } else { "outer" };
        let (left, right) = (way(a_inner), way(x_inner));
        let mut buffers = vec![Buffer::input(t); 3];
        buffers.push(Buffer::output(t));
        buffers.extend([Buffer::Map, Buffer::Map, Buffer::Map]);
        Instance {
            file: "sm90/matmul.h",
            name: format!("sm90_matmul_{t}_{rows}x{columns}_{left}_{right}"),
            body: format!(
                "sm90_matmul<{t}, {rows}, {columns}, {slots}, {cluster}, {a_inner}, {x_inner}>"
            ),
            lanes: tile.lanes(),
            form: Form::Hopper(cluster as u32),
            params: Sm90MatmulParams::C,
            buffers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_fits_scratch_memory() {
        for tile in Sm90Tile::ALL {
            assert!(tile.scratch() <= 227 << 10, "{tile:?}");
        }
    }
}
