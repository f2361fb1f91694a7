//! Copies between layouts that run along different axes, of `ops/transpose.h`.

use super::{
    Buffer, Form, Id, Instance, KernelParams, Numbers, groups_of, launch, pointwise,
    structs::WalkParams, word,
};
use crate::{Layout, MAX_RANK, Tensor, collapse};
use wootz_runtime::Plan;

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Transpose {
    /// Bytes of an element.
    pub size: usize,
    /// Elements moved as one.
    pub vector: usize,
}

/// Lanes of a group that moves elements, and of one that moves blocks, as `ops/transpose.h` has it.
const ELEMENT_LANES: u32 = 128;
const LANES: usize = 256;
/// Blocks of a tile along its rows.
const HIGH: usize = 16;
/// Rows and columns at least for tiles to be worth it.
const LEAST: usize = 16;

impl Transpose {
    /// Elements of a pack: a lane turns as many packs in registers.
    fn pack(size: usize) -> usize {
        (16 / size).min(8)
    }

    /// Rows and columns of a tile, and the bytes of scratch memory that it takes.
    fn tile(self) -> ([usize; 2], usize) {
        let Transpose { size, vector } = self;
        match vector {
            1 => ([32, 32], 32 * 33 * size),
            _ => (
                [HIGH * vector, LANES / HIGH * vector],
                LANES * vector * vector * size,
            ),
        }
    }

    /// The kernels for elements of this many bytes.
    pub(super) fn all(size: usize) -> [Id; 2] {
        [1, Transpose::pack(size)].map(|vector| Id::Transpose(Transpose { size, vector }))
    }

    pub(super) fn instance(self) -> Instance {
        let (t, vector) = (word(self.size), self.vector);
        let body = match vector {
            1 => format!("transpose<{t}>"),
            _ => format!("transpose_blocks<{t}, {vector}>"),
        };
        Instance {
            // Blocks of bytes take more registers than leave room for many lanes.
            form: if self.size == 1 {
                Form::Plain
            } else {
                Form::Dense
            },
            lanes: match vector {
                1 => ELEMENT_LANES,
                _ => LANES as u32,
            },
            ..Instance::new(
                "ops/transpose.h",
                format!("transpose_{t}_v{vector}"),
                body,
                WalkParams::C,
                vec![Buffer::input(t), Buffer::output(t)],
            )
        }
    }
}

/// The plan that copies `x` into `out`, a view of the same shape.
pub(crate) fn copy<'a>(x: &'a Tensor, out: &'a Tensor) -> Plan<'a> {
    let transposed = transposed(x, out);
    transposed.unwrap_or_else(|| pointwise("Copy", [x], [*x.layout()], out, Numbers::default()))
}

/// The plan by tiles, where it is worth it: both run along an axis, not the same one, and a tile's
/// worth of each is there.
fn transposed<'a>(x: &'a Tensor, out: &'a Tensor) -> Option<Plan<'a>> {
    let size = x.dtype().size();
    let layouts = collapse([out.layout(), x.layout()]);
    let [to, from] = &layouts;
    let neighbours = |layout: &Layout| layout.strides().iter().position(|&stride| stride == 1);
    let (columns, rows) = (neighbours(to)?, neighbours(from)?);
    let dims = to.dims();
    let pack = Transpose::pack(size);
    let aligned = |tensor: &Tensor, layout: &Layout| {
        let strides = || layout.strides().iter().filter(|&&stride| stride != 1);
        tensor.byte_offset().is_multiple_of(pack * size)
            && strides().all(|stride| stride % pack as isize == 0)
    };
    let whole = dims[columns].is_multiple_of(pack) && dims[rows].is_multiple_of(pack);
    let by_packs = whole && aligned(x, from) && aligned(out, to);
    let id = Transpose {
        size,
        vector: if by_packs { pack } else { 1 },
    };
    if columns == rows || dims[columns] < LEAST || dims[rows] < LEAST {
        return None;
    }
    let mut params: WalkParams = bytemuck::Zeroable::zeroed();
    let (mut rank, mut total) = (0, 1);
    params.shape[0] = 1;
    for axis in (0..dims.len()).filter(|&axis| axis != columns && axis != rows) {
        params.shape[rank] = dims[axis] as u64;
        params.strides[rank] = to.strides()[axis] as i64;
        params.strides[MAX_RANK + rank] = from.strides()[axis] as i64;
        total *= dims[axis];
        rank += 1;
    }
    params.rank = rank.max(1) as u32;
    params.packs = params.shape[rank.max(1) - 1];
    params.total = total as u64;
    params.wholes[..4].copy_from_slice(&[
        dims[rows] as i64,
        dims[columns] as i64,
        from.strides()[columns] as i64,
        to.strides()[rows] as i64,
    ]);
    let ([high, wide], scratch) = id.tile();
    let tiles = dims[rows].div_ceil(high) * dims[columns].div_ceil(wide);
    let plan = launch(Id::Transpose(id), groups_of(total * tiles), &params)
        .read(x.buffer(), x.byte_offset())
        .write(out.buffer(), out.byte_offset())
        .scratch(scratch)
        .cost((2 * x.count() * size) as u64, 0);
    Some(plan)
}
