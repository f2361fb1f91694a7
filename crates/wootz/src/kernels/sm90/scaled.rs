//! Products of 8-bit floats with scales.

use super::{
    HOPPER,
    product::Factors,
    tile::{Sm90Tile, whole_tiles},
};
use crate::{
    DType, Layout, Tensor,
    kernels::{
        Buffer, Form, Id, Instance, KernelParams, element, launch, structs::Sm90MatmulParams,
    },
};
use wootz_runtime::{Caps, Plan};

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sm90Scaled {
    /// The result's type.
    pub dtype: DType,
    /// The tile.
    pub tile: Sm90Tile,
    /// Whether blocks of the inner size have scales of their own.
    pub blocks: bool,
}

/// The inner size, and the right matrix's columns, that a scale of a block is for.
pub(crate) const BLOCK: usize = 128;

impl Sm90Scaled {
    pub(super) fn all() -> Vec<Id> {
        let mut all = vec![];
        for &dtype in DType::FLOATS {
            for tile in whole_tiles() {
                for blocks in [false, true] {
                    let id = Sm90Scaled {
                        dtype,
                        tile,
                        blocks,
                    };
                    all.extend(id.fits().then_some(Id::Sm90Scaled(id)));
                }
            }
        }
        all
    }

    /// Whether a tile's columns are whole parts, of one block's scale each.
    fn fits(&self) -> bool {
        let columns = self.tile.columns;
        columns.is_multiple_of(BLOCK) || BLOCK.is_multiple_of(columns)
    }

    pub(crate) fn instance(self) -> Instance {
        let Sm90Scaled {
            dtype,
            tile,
            blocks,
        } = self;
        let (t, y) = (element(DType::F8E4M3), element(dtype));
        let (size, arguments) = (tile.suffix(), tile.arguments());
        let scales = if blocks { "blocks" } else { "whole" };
        let f32 = element(DType::F32);
        Instance {
            file: "sm90/matmul.h",
            name: format!("sm90_scaled_{y}_{size}_{scales}"),
            body: format!("sm90_scaled_matmul<{t}, {y}, {arguments}, {blocks}>"),
            lanes: tile.lanes(),
            form: Form::Hopper(tile.cluster as u32),
            params: Sm90MatmulParams::C,
            buffers: vec![
                Buffer::input(t),
                Buffer::input(t),
                Buffer::input(f32),
                Buffer::input(f32),
                Buffer::output(y),
                Buffer::Map,
                Buffer::Map,
            ],
        }
    }
}

/// Scales, and how far apart they are: from one row or column, or block of columns, to
/// the next, and from one block of the inner size to the next.
pub(crate) struct Scales<'a> {
    pub(crate) tensor: &'a Tensor,
    pub(crate) outer: u32,
    pub(crate) step: u32,
}

/// Whether a device has these kernels.
pub(crate) fn takes_scaled(caps: &Caps) -> bool {
    caps.level == HOPPER
}

/// The plan of `a · b` with scales, of matrices of 8-bit floats, on a device that has the kernels; none
/// where they do not fit the layouts.
pub(crate) fn scaled<'a>(
    caps: &Caps,
    [(a, left), (b, right)]: [(&'a Tensor, &Layout); 2],
    [above, beside]: [Scales<'a>; 2],
    blocks: bool,
    out: &'a Tensor,
) -> Option<Plan<'a>> {
    let dtype = out.dtype();
    let factors = Factors::of((a, left), (b, right), true)?;
    let id = |tile| Sm90Scaled {
        dtype,
        tile,
        blocks,
    };
    let fits = |tile: Sm90Tile| id(tile).fits();
    let tile = Sm90Tile::whole(factors.extent, caps.cores as u64, fits)?;
    let mut cut = factors.cut(tile, dtype)?;
    cut.params.a_scale_row = above.outer;
    cut.params.a_scale_step = above.step;
    cut.params.x_scale_column = beside.outer;
    cut.params.x_scale_step = beside.step;
    let plan = launch(Id::Sm90Scaled(id(tile)), cut.groups(caps), &cut.params)
        .read(a.buffer(), a.byte_offset())
        .read(b.buffer(), b.byte_offset())
        .read(above.tensor.buffer(), above.tensor.byte_offset())
        .read(beside.tensor.buffer(), beside.tensor.byte_offset())
        .write(out.buffer(), out.byte_offset())
        .scratch(tile.scratch());
    let (bytes, flops) = factors.cost(dtype);
    Some(plan.maps(cut.maps).cost(bytes, flops))
}
