//! The plan of a product.

use super::{
    HOPPER, ROW_BYTES, Sm90Matmul, maps,
    tile::{Extent, Share, Sm90Tile},
};
use crate::{
    DType, Layout, Tensor,
    kernels::{Epilogue, Id, launch, operand::Operand, structs::Sm90MatmulParams},
    precision::Precision,
};
use wootz_runtime::{Caps, Plan, TensorMap};

/// Whether a device has these kernels for a type.
pub(crate) fn takes(caps: &Caps, dtype: DType, precision: Precision) -> bool {
    caps.level == HOPPER && (dtype != DType::F32 || precision == Precision::Tf32)
}

/// The plan of `a · b` and what becomes of it, taken as `matmul::Product::new` takes it, on a device that has the
/// kernels, in the tile that one says who has measured it; none where they do not fit the layouts.
pub(crate) fn plan<'a>(
    caps: &Caps,
    (a, a_layout): (&'a Tensor, &Layout),
    (b, b_layout): (&'a Tensor, &Layout),
    epilogue: &Epilogue<'a>,
    tile: Option<Sm90Tile>,
    out: &'a Tensor,
) -> Option<Plan<'a>> {
    let dtype = out.dtype();
    let flat = epilogue.lies_flat(a_layout);
    let factors = Factors::of((a, a_layout), (b, b_layout), flat)?;
    let tile = tile.filter(|tile| tile.fits(factors.extent));
    let tile = tile.or_else(|| Sm90Tile::choose(factors.extent, caps.cores as u64))?;
    let mut cut = factors.cut(tile, dtype)?;
    cut.params.epilogue = epilogue.params();
    cut.params.plain = epilogue.is_plain().into();
    cut.params.added_packs = (cut.params.packs != 0 && epilogue.adds_packs(4)).into();
    let id = Id::Sm90Matmul(Sm90Matmul {
        dtype,
        tile,
        a_inner: cut.inner[0],
        x_inner: cut.inner[1],
    });
    let plan = launch(id, cut.groups(caps), &cut.params)
        .read(a.buffer(), a.byte_offset())
        .read(b.buffer(), b.byte_offset());
    let plan = epilogue
        .bind(plan, b)
        .write(out.buffer(), out.byte_offset())
        .scratch(tile.scratch());
    let (bytes, flops) = factors.cost(dtype);
    let mut plan = plan.maps(cut.maps).cost(bytes, flops);
    plan.grid.lanes = tile.lanes();
    Some(plan)
}

/// Rows of clusters that go through all columns together.
const BAND: u32 = 4;

/// The factors of a product, as the copy engine takes them.
pub(super) struct Factors {
    left: Operand,
    right: Operand,
    pub(super) extent: Extent,
}

impl Factors {
    /// A batch of left matrices that meet one right one may be taken for one matrix if `flat` allows.
    pub(super) fn of(
        (a, a_layout): (&Tensor, &Layout),
        (b, b_layout): (&Tensor, &Layout),
        flat: bool,
    ) -> Option<Factors> {
        let left = Operand::of(a, a_layout, 1)?;
        let right = Operand::of(b, b_layout, 0)?;
        let left = match right.batch {
            [1, _] if flat => left.flat().unwrap_or(left),
            _ => left,
        };
        let extent = Extent {
            sizes: [left.sizes[0], right.sizes[0], left.sizes[1]],
            batch: left.batch[0].max(right.batch[0]),
            inner: [left.inner, right.inner],
            depth: ROW_BYTES as u64 / left.element,
        };
        Some(Factors {
            left,
            right,
            extent,
        })
    }

    /// How a tile cuts the product, whose result is of this type.
    pub(super) fn cut(&self, tile: Sm90Tile, dtype: DType) -> Option<Cut> {
        let Extent {
            sizes: [m, n, k],
            batch,
            ..
        } = self.extent;
        let turned = tile.share == Share::Turned;
        let [above, beside] = match turned {
            true => [&self.right, &self.left],
            false => [&self.left, &self.right],
        };
        let [high, wide] = tile.cover([m, n]);
        let row_tiles = high.div_ceil(tile.sharing() as u64);
        let element = dtype.size() as u64;
        let params = Sm90MatmulParams {
            epilogue: Epilogue::NONE.params(),
            rows: above.sizes[0] as u32,
            columns: beside.sizes[0] as u32,
            depth: k as u32,
            row_tiles: row_tiles as u32,
            column_tiles: wide as u32,
            batch: u32::try_from(batch).ok()?,
            band: BAND,
            a_batched: (above.batch[0] > 1).into(),
            x_batched: (beside.batch[0] > 1).into(),
            plain: 1,
            packs: (n * element).is_multiple_of(16).into(),
            a_scale_row: 0,
            a_scale_step: 0,
            x_scale_column: 0,
            x_scale_step: 0,
            added_packs: 0,
        };
        let (first, second) = if turned { (1, 0) } else { (0, 1) };
        let maps = vec![
            maps::factor(above, first, tile.rows),
            maps::factor(beside, second, tile.columns / tile.sharing()),
        ];
        Some(Cut {
            tile,
            params,
            maps,
            inner: [above.inner, beside.inner],
            clusters: u32::try_from((row_tiles * wide).checked_mul(batch)?).ok()?,
        })
    }

    /// Bytes that are moved, with results of this type, and multiplications and additions.
    pub(super) fn cost(&self, dtype: DType) -> (u64, u64) {
        let Extent {
            sizes: [m, n, k],
            batch,
            ..
        } = self.extent;
        let bytes = (m * k + k * n) * self.left.element + m * n * dtype.size() as u64;
        let flops = (2 * m * n).saturating_mul(k);
        (bytes.saturating_mul(batch), flops.saturating_mul(batch))
    }
}

/// A product as its tiles cut it.
pub(super) struct Cut {
    tile: Sm90Tile,
    pub(super) params: Sm90MatmulParams,
    pub(super) maps: Vec<TensorMap>,
    /// Whether the factor above, and the one beside, lie along the inner size.
    inner: [bool; 2],
    clusters: u32,
}

impl Cut {
    /// Groups of all clusters, those that stay for several parts as many as there is room for.
    pub(super) fn groups(&self, caps: &Caps) -> usize {
        let clusters = self.clusters as usize;
        let clusters = match self.tile.share {
            Share::Right => self.tile.resident(caps.cores).min(clusters),
            Share::Inner | Share::Turned => clusters,
        };
        clusters * self.tile.cluster
    }
}
