//! Matrix products with few rows, of `ops/thin.h`.

use super::{
    Buffer, Epilogue, Id, Instance, KernelParams, element, groups_of, launch, operand::Operand,
    sm90::HOPPER, structs::ThinParams,
};
use crate::{DType, Layout, Tensor};
use wootz_runtime::{Caps, Family, Plan};

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thin {
    /// The type, of half width.
    pub dtype: DType,
    /// Blocks of 8 columns that a group computes,
    pub blocks: usize,
    /// and of 16 rows.
    pub high: usize,
}

/// Most rows.
pub(super) const ROWS: usize = 16 * HIGH;
const HIGH: usize = 2;
/// Weights that Hopper's copy engine brings faster, once it is under way.
const MANY_WEIGHTS: u64 = 1 << 22;
/// Lanes of a group, where the inner size is short, and where it is long.
const LANES: [u32; 2] = [384, 512];
const LONG: u64 = 1536;
/// Bytes of a simd's sums of a block.
const SUMS: usize = 16 * 8 * size_of::<f32>();
/// Elements of a pack.
const PACK: u64 = 8;

impl Thin {
    const BLOCKS: [usize; 3] = [4, 2, 1];

    /// Every kernel of a type.
    pub(super) fn all(dtype: DType) -> Vec<Id> {
        let mut all = vec![];
        for blocks in Thin::BLOCKS {
            for high in 1..=HIGH {
                all.push(Id::Thin(Thin {
                    dtype,
                    blocks,
                    high,
                }));
            }
        }
        all
    }

    pub(super) fn instance(self) -> Instance {
        let Thin {
            dtype,
            blocks,
            high,
        } = self;
        let t = element(dtype);
        let mut buffers = vec![Buffer::input(t); 4];
        buffers.push(Buffer::output(t));
        let name = format!("matmul_thin_{t}_{blocks}x{high}");
        let body = format!("matmul_thin<{t}, {blocks}, {high}>");
        Instance {
            lanes: LANES[1],
            ..Instance::new("ops/thin.h", name, body, ThinParams::C, buffers)
        }
    }
}

/// Whether a device has these kernels for a type: where lanes would have to pass their packs round, tiles
/// are faster.
pub(super) fn takes(caps: &Caps, dtype: DType) -> bool {
    dtype != DType::F32 && matches!(caps.family, Family::Cuda | Family::Emulated)
}

/// The plan of `a · b` and what becomes of it, taken as `matmul::Product::new` takes it; none where there are more
/// rows, or other layouts, than this kernel is for. Where it was measured as the fastest it is taken for
/// more.
pub(crate) fn plan<'a>(
    caps: &Caps,
    (a, a_layout): (&'a Tensor, &Layout),
    (b, b_layout): (&'a Tensor, &Layout),
    epilogue: &Epilogue<'a>,
    measured: bool,
    out: &'a Tensor,
) -> Option<Plan<'a>> {
    let dtype = out.dtype();
    if !takes(caps, dtype) {
        return None;
    }
    let left = Operand::of(a, a_layout, 1)?;
    let right = Operand::of(b, b_layout, 0)?;
    let left = match epilogue.lies_flat(a_layout) {
        true => left.flat().unwrap_or(left),
        false => left,
    };
    let ([m, k], n) = (left.sizes, right.sizes[0]);
    let one = left.batch[0] == 1 && right.batch[0] == 1;
    let along = left.inner && right.inner && k.is_multiple_of(PACK);
    let for_engine = caps.level == HOPPER && n * k > MANY_WEIGHTS;
    if m > ROWS as u64 || !one || !along || for_engine && !measured {
        return None;
    }
    let params = ThinParams {
        epilogue: epilogue.params(),
        columns: n,
        depth: k,
        a_row: left.stride as i64,
        x_column: right.stride as i64,
        rows: m as u32,
        plain: epilogue.is_plain().into(),
    };
    let groups = |blocks: usize| n.div_ceil(8 * blocks as u64);
    // Wider groups read the rows less often; narrower ones are more.
    let cores = caps.cores as u64;
    let wide = Thin::BLOCKS
        .into_iter()
        .find(|&blocks| groups(blocks) >= cores);
    let blocks = wide.unwrap_or(1);
    // More rows are worth it as long as all groups run at once.
    if m > 16 && groups(blocks) > cores && !measured {
        return None;
    }
    let values = m * k + k * n + m * n;
    let high = m.div_ceil(16) as usize;
    let id = Id::Thin(Thin {
        dtype,
        blocks,
        high,
    });
    let lanes = LANES[usize::from(k > LONG)];
    let scratch = lanes as usize / 32 * blocks * high * SUMS;
    if scratch > caps.scratch {
        return None;
    }
    let plan = launch(id, groups_of(groups(blocks) as usize), &params)
        .read(a.buffer(), a.byte_offset())
        .read(b.buffer(), b.byte_offset());
    let mut plan = epilogue
        .bind(plan, b)
        .write(out.buffer(), out.byte_offset())
        .scratch(scratch)
        .cost(values * dtype.size() as u64, 2 * m * n * k);
    plan.grid.lanes = lanes;
    Some(plan)
}
