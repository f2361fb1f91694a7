//! Rows times weights of their own, of `ops/grouped.h`.

use super::{
    Buffer, Form, Id, Instance, KernelParams, element, groups_of,
    index::INDICES,
    launch,
    lines::{Cut, packed},
    structs::GroupedParams,
};
use crate::{DType, Tensor};
use wootz_runtime::{Buffer as Memory, Plan};

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grouped {
    /// The type.
    pub dtype: DType,
    /// The indices' type.
    pub index: DType,
    /// What a group computes.
    pub cut: Cut,
}

impl Grouped {
    /// Every kernel of a type.
    pub(super) fn all(dtype: DType) -> Vec<Id> {
        let of_index = |index| Cut::ALL.map(|cut| Id::Grouped(Grouped { dtype, index, cut }));
        INDICES.into_iter().flat_map(of_index).collect()
    }

    pub(super) fn instance(self) -> Instance {
        let Grouped { dtype, index, cut } = self;
        let (t, i) = (element(dtype), element(index));
        Instance {
            file: "ops/grouped.h",
            name: format!("grouped_{t}_{i}_{}", cut.rows),
            body: format!("grouped<{t}, {i}, {}>", cut.arguments()),
            lanes: cut.lanes(),
            form: Form::Plain,
            params: GroupedParams::C,
            buffers: vec![
                Buffer::input(t),
                Buffer::input(t),
                Buffer::input(i),
                Buffer::output(t),
                Buffer::output(element(DType::U32)),
            ],
        }
    }
}

/// The plan of `out[i] = x[i] · weight[index[i]]ᵀ`: `x` is `[rows, k]`, `weight` `[_, n, k]`,
/// `index` `[rows]`, all contiguous, and `out` not empty.
pub(crate) fn grouped<'a>(
    x: &'a Tensor,
    weight: &'a Tensor,
    index: &'a Tensor,
    out: &'a Tensor,
    refused: &'a Memory,
) -> Plan<'a> {
    let (dtype, [limit, n, k]) = (x.dtype(), [0, 1, 2].map(|axis| weight.dims()[axis]));
    let rows = index.count();
    // Rows of many weights come in short runs.
    let cut = Cut::of_rows(rows / limit.clamp(1, rows));
    let params = GroupedParams {
        rows: rows as u64,
        columns: n as u64,
        depth: k as u64,
        row_tiles: rows.div_ceil(cut.rows) as u64,
        column_tiles: n.div_ceil(cut.columns) as u64,
        limit: limit as u64,
        packed: packed(0, x, k) | packed(1, weight, k),
        pad: 0,
    };
    let id = Id::Grouped(Grouped {
        dtype,
        index: index.dtype(),
        cut,
    });
    let used = limit.min(rows);
    let values = (rows * k + rows * n).saturating_add(used.saturating_mul(n * k));
    let tiles = params.row_tiles * params.column_tiles;
    launch(id, groups_of(tiles as usize), &params)
        .read(x.buffer(), x.byte_offset())
        .read(weight.buffer(), weight.byte_offset())
        .read(index.buffer(), index.byte_offset())
        .write(out.buffer(), out.byte_offset())
        .update(refused, 0)
        .scratch(cut.scratch(dtype))
        .cost(
            values.saturating_mul(dtype.size()) as u64,
            (2 * rows * n).saturating_mul(k) as u64,
        )
}
