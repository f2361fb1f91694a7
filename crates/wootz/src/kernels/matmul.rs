//! Matrix products, of `ops/matmul.h`.

use super::{
    Buffer, Form, Id, Instance, KernelParams, LANES, element, groups, groups_of, launch, pack,
    structs::MatmulParams,
};
use crate::{DType, Layout, Tensor};
use wootz_runtime::{Buffer as Memory, Plan};

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Matmul {
    /// The type.
    pub dtype: DType,
    /// The tile.
    pub tile: Tile,
    /// What it writes.
    pub step: MatmulStep,
}

/// What a kernel writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatmulStep {
    /// Products.
    Whole,
    /// Sums of parts of the inner size.
    Parts,
    /// Products, from the sums of parts.
    Join,
}

/// The part of a product that a group computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tile {
    rows: usize,
    columns: usize,
    /// Simds along both.
    simds: [u32; 2],
}

impl Tile {
    const LARGE: Tile = Tile {
        rows: 128,
        columns: 128,
        simds: [2, 4],
    };
    const MIDDLE: Tile = Tile {
        rows: 64,
        columns: 64,
        simds: [2, 2],
    };
    const LOW: Tile = Tile {
        rows: 32,
        columns: 64,
        simds: [1, 4],
    };
    const ALL: [Tile; 3] = [Tile::LARGE, Tile::MIDDLE, Tile::LOW];

    /// The inner size that passes through scratch at once.
    fn depth(dtype: DType) -> usize {
        64 / dtype.size()
    }

    fn count(self, [m, n]: [usize; 2]) -> usize {
        m.div_ceil(self.rows) * n.div_ceil(self.columns)
    }

    /// The largest tile that still gives a large device enough to do.
    fn choose(sizes: [usize; 2], batch: usize) -> Tile {
        if sizes[0] <= Tile::LOW.rows {
            return Tile::LOW;
        }
        let enough = Tile::LARGE.count(sizes).saturating_mul(batch) >= ENOUGH;
        let fits = sizes.iter().all(|&size| size >= 96);
        if enough && fits {
            Tile::LARGE
        } else {
            Tile::MIDDLE
        }
    }

    fn lanes(self) -> u32 {
        32 * self.simds[0] * self.simds[1]
    }

    fn scratch(self, dtype: DType) -> usize {
        let depth = Tile::depth(dtype);
        (self.rows * (depth + 8) + depth * (self.columns + 8)) * dtype.size()
    }
}

/// Groups that keep a large device busy: of few rows, which only memory limits, more; and the
/// least inner size of a part.
const ENOUGH: usize = 128;
const ENOUGH_LOW: usize = 1024;
const PART: usize = 128;

impl Matmul {
    /// Every kernel of a type.
    pub(super) fn all(dtype: DType) -> Vec<Id> {
        let mut all = vec![];
        for tile in Tile::ALL {
            for step in [MatmulStep::Whole, MatmulStep::Parts] {
                all.push(Id::Matmul(Matmul { dtype, tile, step }));
            }
        }
        let (tile, step) = (Tile::MIDDLE, MatmulStep::Join);
        all.push(Id::Matmul(Matmul { dtype, tile, step }));
        all
    }

    pub(super) fn instance(self) -> Instance {
        let Matmul { dtype, tile, step } = self;
        let t = element(dtype);
        let f32 = element(DType::F32);
        let Tile {
            rows,
            columns,
            simds: [high, wide],
        } = tile;
        let depth = Tile::depth(dtype);
        let product = |out: &str| {
            let body = format!("matmul<{t}, {out}, {rows}, {columns}, {depth}, {high}, {wide}>");
            let mut buffers = vec![Buffer::input(t); 3];
            buffers.push(Buffer::output(out));
            (body, tile.lanes(), buffers)
        };
        let (name, (body, lanes, buffers)) = match step {
            MatmulStep::Whole => (format!("matmul_{t}_{rows}x{columns}"), product(t)),
            MatmulStep::Parts => (format!("matmul_parts_{t}_{rows}x{columns}"), product(f32)),
            MatmulStep::Join => {
                let buffers = vec![Buffer::input(f32), Buffer::input(t), Buffer::output(t)];
                (
                    format!("matmul_join_{t}"),
                    (format!("matmul_join<{t}>"), LANES, buffers),
                )
            }
        };
        Instance {
            file: "ops/matmul.h",
            name,
            body,
            lanes,
            form: Form::Plain,
            params: MatmulParams::C,
            buffers,
        }
    }
}

/// A product and how it is laid out.
pub(crate) struct Product<'a> {
    a: &'a Tensor,
    b: &'a Tensor,
    bias: Option<&'a Tensor>,
    out: &'a Tensor,
    params: MatmulParams,
    tile: Tile,
}

/// How tiles of a matrix are taken: bit 0 if columns lie in memory, bit 1 if packs, which start
/// where those of all matrices of the batch start and fill its lines, can be moved as one.
fn way(tensor: &Tensor, layout: &Layout) -> u32 {
    let pack = pack(tensor.dtype()) as isize;
    let rank = layout.rank() - 2;
    let (outer, matrix) = layout.strides().split_at(rank);
    let along_rows = matrix[0] == 1 && matrix[1] != 1;
    let (along, across, size) = if along_rows {
        (matrix[0], matrix[1], layout.dims()[rank])
    } else {
        (matrix[1], matrix[0], layout.dims()[rank + 1])
    };
    let whole = across % pack == 0 && size as isize % pack == 0;
    let whole = whole && outer.iter().all(|stride| stride % pack == 0);
    let packed = along == 1 && whole && tensor.byte_offset().is_multiple_of(16);
    u32::from(along_rows) | u32::from(packed) << 1
}

impl<'a> Product<'a> {
    /// `a · b (+ bias)`: layouts `[…, m, k]` and `[…, k, n]` over one batch shape, a contiguous
    /// bias, and a contiguous `out`, which is not empty.
    pub(crate) fn new(
        (a, left): (&'a Tensor, &Layout),
        (b, right): (&'a Tensor, &Layout),
        bias: Option<&'a Tensor>,
        out: &'a Tensor,
    ) -> Product<'a> {
        let rank = left.rank() - 2;
        let sizes = [left.dims()[rank], right.dims()[rank + 1]];
        let ([m, n], k) = (sizes, left.dims()[rank + 1]);
        let batch = out.count() / (m * n);
        let tile = Tile::choose(sizes, batch);
        // Few tiles and a long inner size are cut into parts.
        let enough = if tile == Tile::LOW {
            ENOUGH_LOW
        } else {
            ENOUGH
        };
        let parts = enough.div_ceil(tile.count(sizes).saturating_mul(batch));
        let parts = parts.min(k / PART).max(1);
        let part = k.div_ceil(parts).next_multiple_of(Tile::depth(a.dtype()));
        let parts = k.div_ceil(part.max(1)).max(1);
        let stride = |layout: &Layout, axis: usize| layout.strides()[axis] as i64;
        let biased = bias.is_some();
        let mut params = MatmulParams {
            rows: m as u64,
            columns: n as u64,
            depth: k as u64,
            row_tiles: m.div_ceil(tile.rows) as u64,
            column_tiles: n.div_ceil(tile.columns) as u64,
            batch: batch as u64,
            a_row: stride(left, rank),
            a_column: stride(left, rank + 1),
            x_row: stride(right, rank),
            x_column: stride(right, rank + 1),
            batch_shape: [1; 6],
            a_batch: [0; 6],
            x_batch: [0; 6],
            parts: parts as u64,
            part: part as u64,
            batch_rank: rank as u32,
            has_bias: (biased && parts == 1).into(),
            adds_bias: (biased && parts > 1).into(),
            ways: way(a, left) | way(b, right) << 2,
        };
        for axis in 0..rank {
            params.batch_shape[axis] = left.dims()[axis] as u64;
            params.a_batch[axis] = stride(left, axis);
            params.x_batch[axis] = stride(right, axis);
        }
        Product {
            a,
            b,
            bias,
            out,
            params,
            tile,
        }
    }

    /// Parts that the inner size is cut into.
    pub(crate) fn parts(&self) -> usize {
        self.params.parts as usize
    }

    /// Bytes that the sums of all parts take.
    pub(crate) fn room(&self) -> usize {
        self.out.count() * self.parts() * DType::F32.size()
    }

    /// The plan of the products, or of the sums of their parts.
    pub(crate) fn plan(&self, sums: Option<&'a Memory>) -> Plan<'a> {
        let &Product {
            a,
            b,
            out,
            params,
            tile,
            ..
        } = self;
        let dtype = a.dtype();
        let step = match sums {
            Some(_) => MatmulStep::Parts,
            None => MatmulStep::Whole,
        };
        let tiles = params.row_tiles * params.column_tiles * params.batch * params.parts;
        let (m, n, k) = (params.rows, params.columns, params.depth);
        let values = (m * k + k * n + m * n).saturating_mul(params.batch);
        let flops = (2 * m * n).saturating_mul(k).saturating_mul(params.batch);
        let bias = self.bias.unwrap_or(b);
        let (target, offset) = sums.map_or((out.buffer(), out.byte_offset()), |sums| (sums, 0));
        let id = Id::Matmul(Matmul { dtype, tile, step });
        launch(id, groups_of(tiles as usize), &params)
            .read(a.buffer(), a.byte_offset())
            .read(b.buffer(), b.byte_offset())
            .read(bias.buffer(), bias.byte_offset())
            .write(target, offset)
            .scratch(tile.scratch(dtype))
            .cost(values.saturating_mul(dtype.size() as u64), flops)
    }

    /// The plan that adds up the sums of parts.
    pub(crate) fn join(&self, sums: &'a Memory) -> Plan<'a> {
        let out = self.out;
        let bias = self.bias.unwrap_or(self.b);
        let id = Id::Matmul(Matmul {
            dtype: out.dtype(),
            tile: Tile::MIDDLE,
            step: MatmulStep::Join,
        });
        launch(id, groups(out.count() as u64), &self.params)
            .read(sums, 0)
            .read(bias.buffer(), bias.byte_offset())
            .write(out.buffer(), out.byte_offset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_fits_scratch_memory_everywhere() {
        for &dtype in DType::FLOATS {
            for tile in Tile::ALL {
                assert!(tile.scratch(dtype) <= 32 << 10, "{tile:?} {dtype}");
            }
        }
    }
}
