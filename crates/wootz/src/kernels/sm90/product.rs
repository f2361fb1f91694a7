//! The plan of a product.

use super::{Sm90Matmul, Sm90Tile, maps};
use crate::{
    DType, Layout, Tensor,
    kernels::{Id, launch, operand::Operand, structs::Sm90MatmulParams},
};
use wootz_runtime::{Caps, Plan};

/// The plan of `a · b (+ bias)`, taken as `matmul::Product::new` takes it; none where these kernels
/// do not fit the device or the layouts.
pub(crate) fn plan<'a>(
    caps: &Caps,
    (a, a_layout): (&'a Tensor, &Layout),
    (b, b_layout): (&'a Tensor, &Layout),
    bias: Option<&'a Tensor>,
    out: &'a Tensor,
) -> Option<Plan<'a>> {
    let dtype = out.dtype();
    if caps.level != "sm_90" || dtype == DType::F32 {
        return None;
    }
    let left = Operand::of(a, a_layout, 1)?;
    let right = Operand::of(b, b_layout, 0)?;
    let left = match right.batch {
        [1, _] => left.flat().unwrap_or(left),
        _ => left,
    };
    let ([m, k], n) = (left.sizes, right.sizes[0]);
    let batch = left.batch[0].max(right.batch[0]);
    let tile = choose([m, n], batch, caps.cores as u64);
    let params = Sm90MatmulParams {
        rows: m as u32,
        columns: n as u32,
        depth: k as u32,
        row_tiles: m.div_ceil((tile.rows * tile.cluster) as u64) as u32,
        column_tiles: n.div_ceil(tile.columns as u64) as u32,
        batch: u32::try_from(batch).ok()?,
        band: BAND,
        a_batched: (left.batch[0] > 1).into(),
        x_batched: (right.batch[0] > 1).into(),
        has_bias: bias.is_some().into(),
        boxes: n.is_multiple_of(8).into(),
        pad: 0,
    };
    let tiles = u64::from(params.row_tiles) * u64::from(params.column_tiles);
    let tiles = u32::try_from(tiles.checked_mul(batch)?).ok()? as usize;
    let groups = tiles.min(caps.cores / tile.cluster) * tile.cluster;
    let id = Id::Sm90Matmul(Sm90Matmul {
        dtype,
        tile,
        a_inner: left.inner,
        x_inner: right.inner,
    });
    let maps = vec![
        maps::factor(&left, 0, tile.rows),
        maps::factor(&right, 1, tile.columns / tile.cluster),
        maps::result(3, [m, n], batch),
    ];
    let values = (m * k + k * n + m * n).saturating_mul(batch);
    let flops = (2 * m * n).saturating_mul(k).saturating_mul(batch);
    let bias = bias.unwrap_or(b);
    let plan = launch(id, groups, &params)
        .read(a.buffer(), a.byte_offset())
        .read(b.buffer(), b.byte_offset())
        .read(bias.buffer(), bias.byte_offset())
        .write(out.buffer(), out.byte_offset())
        .scratch(tile.scratch())
        .maps(maps)
        .cost(values.saturating_mul(dtype.size() as u64), flops);
    Some(plan)
}

/// The largest tile that still gives the device enough to do.
fn choose([m, n]: [u64; 2], batch: u64, cores: u64) -> Sm90Tile {
    let count = |tile: &Sm90Tile| {
        let tiles = m.div_ceil(tile.rows as u64) * n.div_ceil(tile.columns as u64);
        tiles.saturating_mul(batch)
    };
    let enough = |tile: &&Sm90Tile| count(tile) >= cores;
    *Sm90Tile::ALL
        .iter()
        .find(enough)
        .unwrap_or(&Sm90Tile::SMALL)
}

/// Rows of clusters that go through all columns together.
const BAND: u32 = 8;
