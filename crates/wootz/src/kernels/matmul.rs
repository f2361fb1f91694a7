//! Matrix products, of `ops/matmul.h`.

use super::{
    Buffer, Id, Instance, KernelParams, element, groups_of, launch, structs::MatmulParams,
};
use crate::{DType, Layout, Tensor};
use wootz_runtime::Plan;

/// Rows and columns of a tile, and the lanes of the group that computes it.
const TILE: usize = 64;
const LANES: u32 = 128;

pub(super) fn instance(dtype: DType) -> Instance {
    let t = element(dtype);
    let mut buffers = vec![Buffer::input(t); 3];
    buffers.push(Buffer::output(t));
    Instance {
        file: "ops/matmul.h",
        name: format!("matmul_{t}_{TILE}x{TILE}"),
        body: format!("matmul<{t}, {TILE}, {TILE}, 2, 2>"),
        lanes: LANES,
        params: MatmulParams::C,
        buffers,
    }
}

/// The plan of `a · b (+ bias)`: layouts `[…, m, k]` and `[…, k, n]` over one batch shape, a
/// contiguous bias, and a contiguous `out`, which is not empty.
pub(crate) fn plan<'a>(
    (a, left): (&'a Tensor, &Layout),
    (b, right): (&'a Tensor, &Layout),
    bias: Option<&'a Tensor>,
    out: &'a Tensor,
) -> Plan<'a> {
    let rank = left.rank() - 2;
    let (m, k, n) = (
        left.dims()[rank],
        left.dims()[rank + 1],
        right.dims()[rank + 1],
    );
    let (row_tiles, column_tiles) = (m.div_ceil(TILE), n.div_ceil(TILE));
    let batch = out.count() / (m * n);
    let stride = |layout: &Layout, axis: usize| layout.strides()[axis] as i64;
    let mut params = MatmulParams {
        rows: m as u64,
        columns: n as u64,
        depth: k as u64,
        row_tiles: row_tiles as u64,
        column_tiles: column_tiles as u64,
        batch: batch as u64,
        a_row: stride(left, rank),
        a_column: stride(left, rank + 1),
        x_row: stride(right, rank),
        x_column: stride(right, rank + 1),
        batch_shape: [1; 6],
        a_batch: [0; 6],
        x_batch: [0; 6],
        batch_rank: rank as u32,
        has_bias: bias.is_some().into(),
    };
    for axis in 0..rank {
        params.batch_shape[axis] = left.dims()[axis] as u64;
        params.a_batch[axis] = stride(left, axis);
        params.x_batch[axis] = stride(right, axis);
    }
    let size = out.dtype().size();
    let values = (m * k + k * n + m * n).saturating_mul(batch);
    let flops = (2 * m * n).saturating_mul(k).saturating_mul(batch);
    let bias = bias.unwrap_or(b);
    launch(
        Id::Matmul(out.dtype()),
        groups_of(row_tiles * column_tiles * batch),
        &params,
    )
    .read(a.buffer(), a.byte_offset())
    .read(b.buffer(), b.byte_offset())
    .read(bias.buffer(), bias.byte_offset())
    .write(out.buffer(), out.byte_offset())
    .scratch((TILE * (16 + 8) + 16 * (TILE + 8)) * size)
    .cost(values.saturating_mul(size) as u64, flops as u64)
}
