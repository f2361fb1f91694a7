//! The plans of a product.

use super::{
    Matmul, Ways,
    tile::{Extent, Family, Split, Tile},
};
use crate::{
    DType, Layout, Tensor,
    kernels::{Epilogue, Id, groups_of, launch, pack, structs::MatmulParams},
};
use wootz_runtime::{Buffer as Memory, Caps, Plan};

/// A product and how it is laid out.
pub(crate) struct Product<'a> {
    a: &'a Tensor,
    b: &'a Tensor,
    epilogue: &'a Epilogue<'a>,
    out: &'a Tensor,
    params: MatmulParams,
    tile: Tile,
    ways: Ways,
}

/// How a matrix lies: along its lines, which are the left one's rows and the right one's columns, or
/// along the inner size; and whether packs, which start where those of all matrices of the batch
/// start and fill its rows or columns, can be moved as one.
struct Way {
    inner: bool,
    packed: bool,
}

impl Way {
    /// With the axes of lines and of the inner size.
    fn of(tensor: &Tensor, layout: &Layout, [line, inner]: [usize; 2]) -> Way {
        let pack = pack(tensor.dtype()) as isize;
        let outer = &layout.strides()[..layout.rank() - 2];
        let is_inner = layout.strides()[inner] == 1;
        let (along, across) = if is_inner {
            (inner, line)
        } else {
            (line, inner)
        };
        let [stride, step] = [along, across].map(|axis| layout.strides()[axis]);
        let whole = layout.dims()[along] as isize % pack == 0;
        let apart = layout.dims()[across] == 1 || step % pack == 0;
        let whole = whole && apart && outer.iter().all(|stride| stride % pack == 0);
        Way {
            inner: is_inner,
            packed: stride == 1 && whole && tensor.byte_offset().is_multiple_of(16),
        }
    }
}

impl<'a> Product<'a> {
    /// `a · b` and what becomes of it: layouts `[…, m, k]` and `[…, k, n]` over one batch shape, and a
    /// contiguous `out`, which is not empty; split as one says who has measured it.
    pub(crate) fn new(
        caps: &Caps,
        left: (&'a Tensor, &Layout),
        right: (&'a Tensor, &Layout),
        epilogue: &'a Epilogue<'a>,
        split: Option<Split>,
        out: &'a Tensor,
    ) -> Product<'a> {
        let extent = extent(left.1, right.1, out);
        let tiles = Family::of(caps).tiles(left.0.dtype());
        let split = split.unwrap_or_else(|| tiles.choose(extent, caps.cores));
        Product::with(split, left, right, epilogue, out)
    }

    /// The same in tiles of a choice.
    pub(super) fn with(
        Split { tile, parts }: Split,
        (a, left): (&'a Tensor, &Layout),
        (b, right): (&'a Tensor, &Layout),
        epilogue: &'a Epilogue<'a>,
        out: &'a Tensor,
    ) -> Product<'a> {
        let rank = left.rank() - 2;
        let extent = extent(left, right, out);
        let ([m, n], k) = (extent.sizes, extent.depth);
        let parts = parts.max(k.div_ceil(LONGEST));
        let part = k.div_ceil(parts).next_multiple_of(tile.depth).max(1);
        let parts = k.div_ceil(part).max(1);
        let a_way = Way::of(a, left, [rank, rank + 1]);
        let b_way = Way::of(b, right, [rank + 1, rank]);
        // Lanes move what lies along the inner size element by element.
        let ways = Ways {
            a_inner: a_way.inner,
            x_inner: b_way.inner,
            packed: a_way.packed && b_way.packed,
        };
        let stride = |layout: &Layout, axis: usize| layout.strides()[axis] as i64;
        let mut params = MatmulParams {
            epilogue: epilogue.params(),
            rows: m as u64,
            columns: n as u64,
            depth: k as u64,
            row_tiles: m.div_ceil(tile.rows) as u64,
            column_tiles: n.div_ceil(tile.columns) as u64,
            batch: extent.batch as u64,
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
            runs: (n.is_multiple_of(RUN) && out.byte_offset().is_multiple_of(16)).into(),
        };
        for axis in 0..rank {
            params.batch_shape[axis] = left.dims()[axis] as u64;
            params.a_batch[axis] = stride(left, axis);
            params.x_batch[axis] = stride(right, axis);
        }
        Product {
            a,
            b,
            epilogue,
            out,
            params,
            tile,
            ways,
        }
    }

    /// Parts that the inner size is cut into, whose sums are to be finished.
    pub(crate) fn parts(&self) -> usize {
        self.params.parts as usize
    }

    /// Whether kernels can count the tiles.
    pub(crate) fn is_countable(&self) -> bool {
        u32::try_from(self.tiles()).is_ok()
    }

    /// The tiles of all products and parts.
    fn tiles(&self) -> u64 {
        let MatmulParams {
            row_tiles,
            column_tiles,
            batch,
            parts,
            ..
        } = self.params;
        [column_tiles, batch, parts]
            .into_iter()
            .fold(row_tiles, u64::saturating_mul)
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
            epilogue,
            out,
            params,
            tile,
            ways,
        } = self;
        let dtype = a.dtype();
        let (m, n, k) = (params.rows, params.columns, params.depth);
        let values = (m * k + k * n + m * n).saturating_mul(params.batch);
        let flops = (2 * m * n).saturating_mul(k).saturating_mul(params.batch);
        let finished = sums.is_none() && !(epilogue.is_plain() && epilogue.bias.is_none());
        let id = Id::Matmul(Matmul {
            dtype,
            to: sums.map_or(out.dtype(), |_| DType::F32),
            finished,
            tile,
            ways,
        });
        let plan = launch(id, groups_of(self.tiles() as usize), &params)
            .read(a.buffer(), a.byte_offset())
            .read(b.buffer(), b.byte_offset());
        // Of sums as they are, a kernel reads neither bias nor what is added.
        let plan = match finished {
            true => epilogue.bind(plan, b),
            false => plan.read(b.buffer(), 0).read(b.buffer(), 0),
        };
        let (target, offset) = sums.map_or((out.buffer(), out.byte_offset()), |sums| (sums, 0));
        plan.write(target, offset)
            .scratch(tile.scratch(dtype))
            .cost(values.saturating_mul(dtype.size() as u64), flops)
    }
}

/// The longest inner size of a part, which kernels count in 32 bits.
const LONGEST: usize = 1 << 30;

/// Neighbours in a row that a lane writes as one, at most.
const RUN: usize = 4;

fn extent(left: &Layout, right: &Layout, out: &Tensor) -> Extent {
    let rank = left.rank() - 2;
    let sizes = [left.dims()[rank], right.dims()[rank + 1]];
    Extent {
        sizes,
        depth: left.dims()[rank + 1],
        batch: out.count() / (sizes[0] * sizes[1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn a_plan_is_of_the_tile_that_was_measured() {
        let x = Tensor::from_slice(&[0.0f32; 64 * 64], &[64, 64], Device::cpu()).unwrap();
        let caps = x.device().caps();
        let factor = (&x, x.layout());
        let tiles = Family::of(caps).tiles(DType::F32);
        let mut names = vec![];
        for split in [None].into_iter().chain(tiles.all_splits().map(Some)) {
            let product = Product::new(caps, factor, factor, &Epilogue::NONE, split, &x);
            let name = product.plan(None).kernel.name;
            if let Some(Split { tile, parts }) = split {
                assert!(name.contains(&tile.suffix()), "{name}");
                assert!(product.parts() <= parts, "{tile:?}");
            }
            names.push(name);
        }
        // What is picked by itself is one of them.
        assert!(names[1..].contains(&names[0]));
    }
}
