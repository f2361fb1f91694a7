//! Rows times weights of their own.

use super::{
    product::{Factors, takes},
    tile::{Extent, Sm90Tile, whole_tiles},
};
use crate::{
    DType, Tensor,
    kernels::{
        Buffer, Form, Id, Instance, KernelParams, element, launch, structs::Sm90MatmulParams,
    },
    precision,
};
use wootz_runtime::{Buffer as Memory, Caps, Plan};

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sm90Grouped {
    /// The type.
    pub dtype: DType,
    /// The tile, of a cluster of one group.
    pub tile: Sm90Tile,
}

fn tiles() -> impl Iterator<Item = Sm90Tile> {
    whole_tiles().filter(|tile| tile.cluster == 1)
}

impl Sm90Grouped {
    pub(super) fn all() -> Vec<Id> {
        let of_type = |dtype| tiles().map(move |tile| Id::Sm90Grouped(Sm90Grouped { dtype, tile }));
        [DType::F16, DType::BF16]
            .into_iter()
            .flat_map(of_type)
            .collect()
    }

    pub(crate) fn instance(self) -> Instance {
        let Sm90Grouped { dtype, tile } = self;
        let t = element(dtype);
        let Sm90Tile {
            rows,
            columns,
            slots,
            ..
        } = tile;
        let list = Buffer::input(element(DType::U32));
        let (map, x) = (Buffer::Map, Buffer::input(t));
        Instance {
            file: "sm90/grouped.h",
            name: format!("sm90_grouped_{t}_{rows}x{columns}s{slots}"),
            body: format!("sm90_grouped<{t}, {rows}, {columns}, {slots}>"),
            lanes: tile.lanes(),
            form: Form::Hopper(1),
            params: Sm90MatmulParams::C,
            buffers: vec![x.clone(), x, list, Buffer::output(t), map.clone(), map],
        }
    }
}

/// A product of rows with weights of their own, as Hopper's kernels compute it.
pub(crate) struct GroupedProduct<'a> {
    x: &'a Tensor,
    weight: &'a Tensor,
    factors: Factors,
    tile: Sm90Tile,
}

impl<'a> GroupedProduct<'a> {
    /// Of contiguous tensors, `x` `[rows, k]` and `weight` `[_, n, k]`; none where the kernels do not fit
    /// the device or the layouts.
    pub(crate) fn new(
        caps: &Caps,
        x: &'a Tensor,
        weight: &'a Tensor,
    ) -> Option<GroupedProduct<'a>> {
        let dtype = x.dtype();
        if dtype == DType::F32 || !takes(caps, dtype, precision::current()) {
            return None;
        }
        let turned = weight.layout().permute(&[0, 2, 1])?;
        let factors = Factors::of((x, x.layout()), (weight, &turned), true)?;
        // As if all weights had as many rows.
        let [rows, n, k] = factors.extent.sizes;
        let used = factors.extent.batch.min(rows);
        let extent = Extent {
            sizes: [rows.div_ceil(used), n, k],
            batch: used,
            ..factors.extent
        };
        let tile = Sm90Tile::whole(extent, caps.cores as u64, |tile| tile.cluster == 1)?;
        Some(GroupedProduct {
            x,
            weight,
            factors,
            tile,
        })
    }

    /// The most rows of a part.
    pub(crate) fn part(&self) -> usize {
        self.tile.rows
    }

    /// The plan, of the parts in a list.
    pub(crate) fn plan(&self, caps: &Caps, list: &'a Memory, out: &'a Tensor) -> Option<Plan<'a>> {
        let (x, weight, tile, dtype) = (self.x, self.weight, self.tile, out.dtype());
        let mut cut = self.factors.cut(tile, dtype)?;
        let [rows, n, k] = self.factors.extent.sizes;
        cut.params.x_batched = 1;
        let id = Id::Sm90Grouped(Sm90Grouped { dtype, tile });
        // How many parts there are the device knows.
        let groups = tile.resident(caps.cores);
        let used = self.factors.extent.batch.min(rows);
        let values = rows * (k + n) + (used * n).saturating_mul(k);
        let bytes = values.saturating_mul(dtype.size() as u64);
        let plan = launch(id, groups, &cut.params)
            .read(x.buffer(), x.byte_offset())
            .read(weight.buffer(), weight.byte_offset())
            .read(list, 0)
            .write(out.buffer(), out.byte_offset())
            .scratch(tile.scratch());
        Some(
            plan.maps(cut.maps)
                .cost(bytes, (2 * rows * n).saturating_mul(k)),
        )
    }
}
