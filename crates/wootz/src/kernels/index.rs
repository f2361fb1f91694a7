//! Kernels that take indices, of `ops/index.h`.

use super::{
    Buffer, Id, Instance, KernelParams, element, groups, launch,
    structs::WalkParams,
    walk::{Operand, PACKS_AHEAD, is_wide, walk},
    word,
};
use crate::{DType, Layout, Tensor};
use wootz_runtime::{Buffer as Memory, Plan};

/// Elements picked by index. They are only moved, so their size is all that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pick {
    /// Bytes of an element.
    pub size: usize,
    /// The indices' type.
    pub index: DType,
    /// Elements moved as one.
    pub vector: usize,
    /// Whether counting takes 64 bits.
    pub wide: bool,
}

/// Elements that meet where their indices say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scatter {
    /// What becomes of those that meet: an op of two operands in the dialect, or `Replace`.
    pub meet: &'static str,
    /// The elements' type.
    pub dtype: DType,
    /// The indices' type.
    pub index: DType,
    /// Whether counting takes 64 bits.
    pub wide: bool,
}

/// The element types of indices.
pub(super) const INDICES: [DType; 3] = [DType::I32, DType::U32, DType::I64];

fn counter(wide: bool) -> &'static str {
    if wide { "u64" } else { "u32" }
}

fn instance(name: String, body: String, t: &str, index: DType) -> Instance {
    let mark = Buffer::output(element(DType::U32));
    Instance::new(
        "ops/index.h",
        name,
        body,
        WalkParams::C,
        vec![
            Buffer::input(t),
            Buffer::input(element(index)),
            Buffer::output(t),
            mark,
        ],
    )
}

impl Pick {
    /// Every kernel for elements of `size` bytes.
    pub(super) fn all(size: usize) -> Vec<Id> {
        let mut all = vec![];
        for index in INDICES {
            for vector in [1, 16 / size] {
                for wide in [false, true] {
                    all.push(Id::Pick(Pick {
                        size,
                        index,
                        vector,
                        wide,
                    }));
                }
            }
        }
        all
    }

    pub(super) fn instance(self) -> Instance {
        let Pick {
            size,
            index,
            vector,
            wide,
        } = self;
        let (t, i, counter) = (word(size), element(index), counter(wide));
        let name = format!("pick_{t}_{i}_v{vector}_{counter}");
        let body = format!("pick<{t}, {i}, {vector}, {counter}>");
        instance(name, body, t, index)
    }
}

impl Scatter {
    /// Every kernel that lets elements of `dtype` meet so.
    pub(super) fn all(meet: &'static str, dtype: DType) -> Vec<Id> {
        let mut all = vec![];
        for index in INDICES {
            for wide in [false, true] {
                all.push(Id::Scatter(Scatter {
                    meet,
                    dtype,
                    index,
                    wide,
                }));
            }
        }
        all
    }

    pub(super) fn instance(self) -> Instance {
        let Scatter {
            meet,
            dtype,
            index,
            wide,
        } = self;
        let (t, i, counter) = (element(dtype), element(index), counter(wide));
        let name = format!("scatter_{meet}_{t}_{i}_{counter}");
        instance(
            name,
            format!("scatter<{meet}, {t}, {i}, {counter}>"),
            t,
            index,
        )
    }
}

fn operand(tensor: &Tensor, layout: Layout) -> Operand {
    Operand {
        layout,
        size: tensor.dtype().size(),
        start: tensor.byte_offset(),
    }
}

/// The plan that picks, at each place of `out`, the element of `x` at that place of `lanes`, `step`
/// further for each step of the index there, which lies under `limit`.
pub(crate) fn pick<'a>(
    (x, lanes): (&'a Tensor, Layout),
    (index, places): (&'a Tensor, Layout),
    (step, limit): (isize, usize),
    out: &'a Tensor,
    refused: &'a Memory,
) -> Plan<'a> {
    let size = x.dtype().size();
    // A pack shares its index, and picked packs start where packs do.
    let shared = places
        .collapse()
        .strides()
        .last()
        .is_none_or(|&stride| stride == 0);
    let whole = step.unsigned_abs().is_multiple_of(16 / size);
    let most = if shared && whole { 16 / size } else { 1 };
    let operands = [
        operand(out, *out.layout()),
        operand(x, lanes),
        operand(index, places),
    ];
    let (mut params, mut vector) = walk(&operands, most);
    // Joined with the others an axis may be left along which indices differ.
    let inner = params.strides[2 * crate::MAX_RANK + params.rank as usize - 1];
    if vector > 1 && inner != 0 {
        (params, vector) = walk(&operands, 1);
    }
    params.wholes[..2].copy_from_slice(&[limit as i64, step as i64]);
    let id = Id::Pick(Pick {
        size,
        index: index.dtype(),
        vector,
        wide: is_wide(&params),
    });
    let bytes = 2 * out.count() * size + index.count() * index.dtype().size();
    launch(id, groups(params.total.div_ceil(PACKS_AHEAD)), &params)
        .read(x.buffer(), x.byte_offset())
        .read(index.buffer(), index.byte_offset())
        .write(out.buffer(), out.byte_offset())
        .update(refused, 0)
        .cost(bytes as u64, 0)
}

/// A scatter along an axis: the lanes of the output, the indices and the source at the axis'
/// first index, and each one's step along it.
pub(crate) struct Lanes {
    /// The lanes.
    pub(crate) layouts: [Layout; 3],
    /// The steps.
    pub(crate) steps: [isize; 3],
    /// Indices in a lane.
    pub(crate) count: usize,
    /// What they lie under.
    pub(crate) limit: usize,
}

/// The plan that lets the elements of `source` meet those of `out` as `meet` says.
pub(crate) fn scatter<'a>(
    meet: &'static str,
    lanes: &Lanes,
    index: &'a Tensor,
    source: &'a Tensor,
    out: &'a Tensor,
    refused: &'a Memory,
) -> Plan<'a> {
    let [to, at, from] = lanes.layouts;
    let operands = [operand(out, to), operand(index, at), operand(source, from)];
    let (mut params, _) = walk(&operands, 1);
    let [to, at, from] = lanes.steps.map(|step| step as i64);
    params.wholes = [lanes.limit as i64, lanes.count as i64, to, at, from];
    let id = Id::Scatter(Scatter {
        meet,
        dtype: out.dtype(),
        index: index.dtype(),
        wide: is_wide(&params),
    });
    let bytes = index.count() * (index.dtype().size() + 3 * out.dtype().size());
    launch(id, groups(params.total), &params)
        .read(source.buffer(), source.byte_offset())
        .read(index.buffer(), index.byte_offset())
        .update(out.buffer(), out.byte_offset())
        .update(refused, 0)
        .cost(bytes as u64, 0)
}
