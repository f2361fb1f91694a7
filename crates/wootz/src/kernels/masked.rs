//! Matrix products without the blocks that masks hide, of `ops/masked.h`.

use super::{
    Buffer, Form, Id, Instance, KernelParams, element, groups_of, launch, lines::Cut, pack,
    structs::MaskedParams,
};
use crate::{DType, Tensor};
use wootz_runtime::Plan;

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Masked {
    /// The type.
    pub dtype: DType,
    /// Rows, and columns, of a block.
    pub block: usize,
}

/// Rows, and columns, that a block may have.
pub(crate) const MASK_BLOCKS: [usize; 2] = [32, 64];

impl Masked {
    /// Every kernel of a type.
    pub(super) fn all(dtype: DType) -> Vec<Id> {
        let of = |block| Id::Masked(Masked { dtype, block });
        MASK_BLOCKS.map(of).into()
    }

    /// What a group computes: a block.
    fn cut(self) -> Cut {
        let simds = if self.block == 32 { [1, 2] } else { [2, 4] };
        Cut {
            rows: self.block,
            columns: self.block,
            simds,
            ahead: 2,
        }
    }

    pub(super) fn instance(self) -> Instance {
        let Masked { dtype, block } = self;
        let (t, cut) = (element(dtype), self.cut());
        let [high, wide] = cut.simds;
        let mut buffers = vec![Buffer::input(t); 2];
        buffers.extend([(); 3].map(|()| Buffer::input(element(DType::U8))));
        buffers.push(Buffer::output(t));
        Instance {
            file: "ops/masked.h",
            name: format!("masked_{t}_{block}"),
            body: format!("masked<{t}, {block}, {high}, {wide}, {}>", cut.ahead),
            lanes: cut.lanes(),
            form: Form::Plain,
            params: MaskedParams::C,
            buffers,
        }
    }
}

/// The plan of `a·bᵀ`, both `[batch, lines, k]` with neighbours along their lines and strides that
/// are not negative, without what masks of a, b and `out`, which is not empty, hide.
pub(crate) fn masked<'a>(
    a: &'a Tensor,
    b: &'a Tensor,
    masks: [Option<&'a Tensor>; 3],
    block: usize,
    out: &'a Tensor,
) -> Plan<'a> {
    let (&[batch, m, k], n) = (a.dims().first_chunk().expect("three axes"), b.dims()[1]);
    let dtype = a.dtype();
    let strides = |x: &Tensor| [0, 1, 2].map(|axis| x.layout().strides()[axis]);
    let [[a_batch, a_row, _], [b_batch, b_row, _]] = [a, b].map(strides);
    let pack = pack(dtype) as isize;
    let packed = |x: &Tensor, bit: u32| {
        let [batch, row, _] = strides(x);
        let whole = batch % pack == 0 && row % pack == 0 && x.byte_offset().is_multiple_of(16);
        u32::from(whole) << bit
    };
    let mut params = MaskedParams {
        batch: batch as u64,
        rows: m as u64,
        columns: n as u64,
        depth: k as u64,
        a_batch: a_batch as u64,
        a_row: a_row as u64,
        b_batch: b_batch as u64,
        b_row: b_row as u64,
        masks: [0; 9],
        has: 0,
        packed: packed(a, 0) | packed(b, 1),
    };
    for (which, mask) in masks.iter().enumerate() {
        let Some(mask) = mask else { continue };
        params.has |= 1 << which;
        for (to, stride) in params.masks[3 * which..].iter_mut().zip(strides(mask)) {
            *to = stride as i64;
        }
    }
    let kernel = Masked { dtype, block };
    let tiles = batch * m.div_ceil(block) * n.div_ceil(block);
    let values = batch * (m * k + k * n + m * n);
    let plan = launch(Id::Masked(kernel), groups_of(tiles), &params)
        .read(a.buffer(), a.byte_offset())
        .read(b.buffer(), b.byte_offset());
    let plan = masks.iter().fold(plan, |plan, mask| {
        let mask = mask.unwrap_or(a);
        plan.read(mask.buffer(), mask.byte_offset())
    });
    plan.write(out.buffer(), out.byte_offset())
        .scratch(kernel.cut().scratch(dtype))
        .cost(
            (values * dtype.size()) as u64,
            (2 * m * n).saturating_mul(k * batch) as u64,
        )
}
