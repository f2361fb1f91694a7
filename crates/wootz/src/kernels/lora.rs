//! Few rows through weights and adapters, of `ops/lora.h`.

use super::{
    Buffer, Form, Id, Instance, KernelParams, element, groups, groups_of,
    index::INDICES,
    launch,
    lines::{Cut, packed},
    sm90,
    structs::LoraParams,
};
use crate::{DType, Tensor};
use wootz_runtime::{Buffer as Memory, Caps, Plan};

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lora {
    /// The type.
    pub dtype: DType,
    /// The indices' type.
    pub index: DType,
    /// What it computes.
    pub step: LoraStep,
}

/// What a kernel computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoraStep {
    /// Sums of parts of the base product, in this cut, and the adapters' inner values.
    Parts(Cut),
    /// The result from those.
    Join,
    /// The result from a whole base product and the inner values.
    Add,
}

impl Lora {
    /// The most rows that this way is for.
    pub(crate) const ROWS: usize = 64;
    /// The most elements of x · aᵀ, where all rows have one adapter: of more, matrix products are
    /// faster than sums of their own.
    pub(crate) const INNER: usize = 2048;
    /// Lanes that keep a large device busy, and the least inner size of a part.
    const ENOUGH: usize = 50 << 10;
    const PART: usize = 128;
    /// Elements of x · aᵀ that a group computes.
    const RANKS: usize = 4;

    /// Every kernel of a type.
    pub(super) fn all(dtype: DType) -> Vec<Id> {
        let steps = || {
            let parts = Cut::ALL.map(LoraStep::Parts).into_iter();
            parts.chain([LoraStep::Join, LoraStep::Add])
        };
        let of_index = |index| steps().map(move |step| Id::Lora(Lora { dtype, index, step }));
        INDICES.into_iter().flat_map(of_index).collect()
    }

    pub(super) fn instance(self) -> Instance {
        let Lora { dtype, index, step } = self;
        let [t, f32, u32, i] = [dtype, DType::F32, DType::U32, index].map(element);
        let (part, parts) = match step {
            LoraStep::Parts(cut) => (t, Some(cut)),
            LoraStep::Join => (f32, None),
            LoraStep::Add => (t, None),
        };
        let (inputs, outputs) = match parts {
            Some(_) => (vec![t, t, t, i], vec![f32, f32, u32]),
            None => (vec![part, t, f32, t, i], vec![t]),
        };
        let name = match step {
            LoraStep::Parts(cut) => format!("lora_parts_{t}_{i}_{}", cut.rows),
            LoraStep::Join => format!("lora_join_{t}_{i}"),
            LoraStep::Add => format!("lora_add_{t}_{i}"),
        };
        let body = match parts {
            Some(cut) => format!("lora_parts<{t}, {i}, {}>", cut.arguments()),
            None => format!("lora_join<{t}, {i}, {part}>"),
        };
        let inputs = inputs.into_iter().map(Buffer::input);
        let outputs = outputs.into_iter().map(Buffer::output);
        Instance {
            file: "ops/lora.h",
            name,
            body,
            lanes: parts.map_or(super::LANES, Cut::lanes),
            form: Form::Plain,
            params: LoraParams::C,
            buffers: inputs.chain(outputs).collect(),
        }
    }
}

/// A layer with adapters. All tensors are contiguous: `x` `[rows, k]`, `weight` `[n, k]`, `bias`
/// `[n]`, `a` `[_, rank, k]`, `b` `[_, n, rank]`, `index` `[rows]`; `out` is not empty.
pub(crate) struct LoraLayer<'a> {
    pub(crate) x: &'a Tensor,
    pub(crate) weight: &'a Tensor,
    pub(crate) bias: Option<&'a Tensor>,
    pub(crate) a: &'a Tensor,
    pub(crate) b: &'a Tensor,
    pub(crate) index: Option<&'a Tensor>,
    pub(crate) scale: f32,
    /// The base product with its bias, where it is there already.
    pub(crate) base: Option<&'a Tensor>,
    pub(crate) out: &'a Tensor,
}

impl<'a> LoraLayer<'a> {
    fn cut(&self) -> Cut {
        Cut::of_rows(self.x.dims()[0])
    }

    pub(super) fn params(&self) -> LoraParams {
        let ([rows, k], n) = (
            [0, 1].map(|axis| self.x.dims()[axis]),
            self.weight.dims()[0],
        );
        let (cut, rank) = (self.cut(), self.a.dims()[1]);
        // Nothing of the base product is left to do where it is there.
        let columns = if self.base.is_some() { 0 } else { n };
        let [row_tiles, column_tiles] = [rows.div_ceil(cut.rows), columns.div_ceil(cut.columns)];
        let parts = match row_tiles * column_tiles {
            0 => 1,
            tiles => {
                let parts = (Lora::ENOUGH / cut.lanes() as usize).div_ceil(tiles);
                parts.min(k / Lora::PART).max(1)
            }
        };
        let part = k
            .div_ceil(parts)
            .next_multiple_of(Cut::depth(self.x.dtype()));
        let packs = [(self.x, k), (self.weight, k), (self.a, k), (self.b, rank)];
        let packs = packs.into_iter().zip(0..);
        LoraParams {
            rows: rows as u64,
            columns: n as u64,
            depth: k as u64,
            rank: rank as u64,
            row_tiles: row_tiles as u64,
            column_tiles: column_tiles as u64,
            parts: k.div_ceil(part.max(1)).max(1) as u64,
            part: part as u64,
            limit: self.a.dims()[0] as u64,
            scale: self.scale,
            has_bias: (self.bias.is_some() && self.base.is_none()).into(),
            has_index: self.index.is_some().into(),
            packed: packs.fold(0, |bits, ((tensor, length), bit)| {
                bits | packed(bit, tensor, length)
            }),
        }
    }

    fn id(&self, step: LoraStep) -> Id {
        Id::Lora(Lora {
            dtype: self.x.dtype(),
            index: self.index.map_or(DType::I64, |index| index.dtype()),
            step,
        })
    }

    /// Bytes that the sums of the base product's parts and the adapters' inner values take.
    pub(crate) fn room(&self) -> [usize; 2] {
        let p = self.params();
        let sums = match self.base {
            Some(_) => 0,
            None => p.parts * p.rows * p.columns,
        };
        [sums, p.rows * p.rank].map(|values| values as usize * DType::F32.size())
    }

    /// The plan of all of it at once, where there is a kernel for that.
    pub(crate) fn whole(
        &self,
        caps: &Caps,
        inner: &'a Memory,
        refused: &'a Memory,
    ) -> Option<Plan<'a>> {
        match self.base {
            Some(_) => None,
            None => sm90::lora(caps, self, inner, refused),
        }
    }

    /// The plan of all that reads `x`.
    pub(crate) fn parts(&self, [sums, inner]: [&'a Memory; 2], refused: &'a Memory) -> Plan<'a> {
        let (p, cut) = (self.params(), self.cut());
        let tasks = (p.rank as usize).div_ceil(Lora::RANKS) * p.rows as usize;
        let units = tasks + (p.row_tiles * p.column_tiles * p.parts) as usize;
        let index = self.index.unwrap_or(self.x);
        let values = (p.rows + p.columns) * p.depth + p.rows.min(p.limit) * p.rank * p.depth;
        launch(self.id(LoraStep::Parts(cut)), groups_of(units), &p)
            .read(self.x.buffer(), self.x.byte_offset())
            .read(self.weight.buffer(), self.weight.byte_offset())
            .read(self.a.buffer(), self.a.byte_offset())
            .read(index.buffer(), index.byte_offset())
            .write(sums, 0)
            .write(inner, 0)
            .update(refused, 0)
            .scratch(cut.scratch(self.x.dtype()))
            .cost(
                values * self.x.dtype().size() as u64,
                2 * p.rows * p.depth * (p.columns + p.rank),
            )
    }

    /// The plan that adds them up.
    pub(crate) fn join(&self, [sums, inner]: [&'a Memory; 2]) -> Plan<'a> {
        let (p, out) = (self.params(), self.out);
        let bias = self.bias.unwrap_or(self.weight);
        let index = self.index.unwrap_or(self.x);
        let (step, sums, start) = match self.base {
            Some(base) => (LoraStep::Add, base.buffer(), base.byte_offset()),
            None => (LoraStep::Join, sums, 0),
        };
        launch(self.id(step), groups(p.rows * p.columns), &p)
            .read(sums, start)
            .read(bias.buffer(), bias.byte_offset())
            .read(inner, 0)
            .read(self.b.buffer(), self.b.byte_offset())
            .read(index.buffer(), index.byte_offset())
            .write(out.buffer(), out.byte_offset())
            .cost(
                p.parts * p.rows * p.columns * 4,
                2 * p.rows * p.columns * p.rank,
            )
    }
}
