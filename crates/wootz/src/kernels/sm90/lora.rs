//! Few rows through weights and adapters in one launch, of `kernels/sm90/lora.h`.

use super::{
    HOPPER, Sm90Tile,
    product::Factors,
    tile::{Share, TURNED},
};
use crate::{
    DType,
    kernels::{
        Buffer, Form, Id, Instance, KernelParams, LoraLayer, element, index::INDICES, launch,
        structs::Sm90LoraParams,
    },
};
use wootz_runtime::{Buffer as Memory, Caps, Plan};

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sm90Lora {
    /// The type, of half width.
    pub dtype: DType,
    /// The indices' type.
    pub index: DType,
    /// The tile, of factors that have changed places.
    pub tile: Sm90Tile,
}

impl Sm90Lora {
    pub(super) fn all() -> Vec<Id> {
        let dtypes = [DType::F16, DType::BF16].into_iter();
        let both = dtypes.flat_map(|dtype| INDICES.map(|index| (dtype, index)));
        let of = |(dtype, index)| {
            let ids = TURNED
                .iter()
                .map(move |&tile| Sm90Lora { dtype, index, tile });
            ids.map(Id::Sm90Lora)
        };
        both.flat_map(of).collect()
    }

    pub(in crate::kernels) fn instance(self) -> Instance {
        let Sm90Lora { dtype, index, tile } = self;
        let [t, f32, u32, i] = [dtype, DType::F32, DType::U32, index].map(element);
        let (size, arguments) = (tile.suffix(), tile.arguments());
        let mut buffers: Vec<Buffer> = [t, t, t, t, t, i].map(Buffer::input).into();
        buffers.extend([t, f32, u32].map(Buffer::output));
        buffers.extend([Buffer::Map, Buffer::Map]);
        Instance {
            file: "sm90/lora.h",
            name: format!("sm90_lora_{t}_{i}_{size}"),
            body: format!("sm90_lora<{t}, {i}, {arguments}>"),
            // A group in front and another share a core.
            lanes: tile.lanes_of_all(),
            form: Form::Hopper(tile.cluster as u32),
            params: Sm90LoraParams::C,
            buffers,
        }
    }
}

/// Elements of x · aᵀ that a group in front computes at a time: of few rows fewer, so that more
/// groups share them.
fn ranks(tile: Sm90Tile) -> u64 {
    if tile.columns > 32 { 8 } else { 4 }
}

/// Bytes of a barrier and what keeps the next one apart.
const BARRIER: usize = 16;

/// The plan of all of a layer, whose inner values have this room; none where this kernel does
/// not fit the device or the layer.
pub(crate) fn lora<'a>(
    caps: &Caps,
    layer: &LoraLayer<'a>,
    room: &'a Memory,
    marks: &'a Memory,
) -> Option<Plan<'a>> {
    let dtype = layer.x.dtype();
    if caps.level != HOPPER || dtype == DType::F32 {
        return None;
    }
    let turned = layer.weight.layout().permute(&[1, 0])?;
    let factors = Factors::of((layer.x, layer.x.layout()), (layer.weight, &turned), true)?;
    let tile = Sm90Tile::choose(factors.extent, caps.cores as u64)?;
    if tile.share != Share::Turned {
        return None;
    }
    let cut = factors.cut(tile, dtype)?;
    let lora = layer.params();
    let tasks = lora.rank.div_ceil(ranks(tile)) * lora.rows;
    // As many groups in front as there are cores at most, whole clusters of them.
    let fronts = tasks.min(caps.cores as u64);
    let fronts = fronts.next_multiple_of(tile.cluster as u64);
    let params = Sm90LoraParams {
        product: cut.params,
        lora,
        tasks: tasks as u32,
        fronts: fronts as u32,
    };
    let id = Id::Sm90Lora(Sm90Lora {
        dtype,
        index: layer.index.map_or(DType::I64, |index| index.dtype()),
        tile,
    });
    let bias = layer.bias.unwrap_or(layer.weight);
    let index = layer.index.unwrap_or(layer.x);
    let groups = fronts as usize + cut.groups(caps);
    let (bytes, flops) = factors.cost(dtype);
    let (inner, ends) = (lora.rows * lora.rank, lora.columns + lora.depth);
    let adapters = lora.rows.min(lora.limit) * lora.rank * ends;
    let mut plan = launch(id, groups, &params)
        .read(layer.x.buffer(), layer.x.byte_offset())
        .read(layer.weight.buffer(), layer.weight.byte_offset())
        .read(bias.buffer(), bias.byte_offset())
        .read(layer.a.buffer(), layer.a.byte_offset())
        .read(layer.b.buffer(), layer.b.byte_offset())
        .read(index.buffer(), index.byte_offset())
        .write(layer.out.buffer(), layer.out.byte_offset())
        .write(room, 0)
        .update(marks, 0)
        .scratch(tile.scratch() + BARRIER)
        .maps(cut.maps)
        .cost(
            bytes + adapters * dtype.size() as u64,
            flops + 2 * inner * ends,
        );
    plan.grid.lanes = tile.lanes();
    Some(plan)
}
