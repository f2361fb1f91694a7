//! The plan of a product.

use super::{
    HOPPER, Sm90Matmul, Sm90Tile, maps,
    tile::{Extent, Share},
};
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
    if caps.level != HOPPER || dtype == DType::F32 {
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
    let extent = Extent {
        sizes: [m, n, k],
        batch,
        inner: left.inner && right.inner,
    };
    let tile = Sm90Tile::choose(extent, caps.cores as u64);
    let turned = tile.share == Share::Turned;
    let [above, beside] = if turned { [right, left] } else { [left, right] };
    let [high, wide] = tile.cover([m, n]);
    let row_tiles = high.div_ceil(tile.sharing() as u64);
    let params = Sm90MatmulParams {
        rows: above.sizes[0] as u32,
        columns: beside.sizes[0] as u32,
        depth: k as u32,
        row_tiles: row_tiles as u32,
        column_tiles: wide as u32,
        batch: u32::try_from(batch).ok()?,
        band: BAND,
        a_batched: (above.batch[0] > 1).into(),
        x_batched: (beside.batch[0] > 1).into(),
        has_bias: bias.is_some().into(),
        boxes: n.is_multiple_of(8).into(),
        pad: 0,
    };
    let clusters = u32::try_from((row_tiles * wide).checked_mul(batch)?).ok()?;
    let clusters = match tile.share {
        Share::Right => tile.resident(caps.cores).min(clusters as usize),
        Share::Inner | Share::Turned => clusters as usize,
    };
    let id = Id::Sm90Matmul(Sm90Matmul {
        dtype,
        tile,
        a_inner: above.inner,
        x_inner: beside.inner,
    });
    let (first, second) = if turned { (1, 0) } else { (0, 1) };
    let maps = vec![
        maps::factor(&above, first, tile.rows),
        maps::factor(&beside, second, tile.columns / tile.sharing()),
        maps::result(3, [m, n], batch),
    ];
    let values = (m * k + k * n + m * n).saturating_mul(batch);
    let flops = (2 * m * n).saturating_mul(k).saturating_mul(batch);
    let bias = bias.unwrap_or(b);
    let plan = launch(id, clusters * tile.cluster, &params)
        .read(a.buffer(), a.byte_offset())
        .read(b.buffer(), b.byte_offset())
        .read(bias.buffer(), bias.byte_offset())
        .write(out.buffer(), out.byte_offset())
        .scratch(tile.scratch())
        .maps(maps)
        .cost(values.saturating_mul(dtype.size() as u64), flops);
    Some(plan)
}

/// Rows of clusters that go through all columns together.
const BAND: u32 = 4;
