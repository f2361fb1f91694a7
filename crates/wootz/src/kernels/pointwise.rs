//! Elementwise kernels, of `ops/pointwise.h`.

use super::{
    Buffer, Form, Id, Instance, KernelParams, element, groups_of, launch, pack,
    structs::WalkParams,
    walk::{Operand, PACKS_AHEAD, is_wide, walk},
    word,
};
use crate::{DType, Layout, Tensor};
use wootz_runtime::Plan;

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pointwise {
    /// The op's struct in the dialect.
    pub op: &'static str,
    /// How many operands it takes.
    pub operands: usize,
    /// The operands' type.
    pub from: DType,
    /// The result's.
    pub to: DType,
    /// Elements moved as one.
    pub vector: usize,
    /// How operands are walked.
    pub walk: Walk,
}

/// How operands are walked: `tile/walk.h` has both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Walk {
    /// By counting packs in 32 bits.
    Packs,
    /// In 64 bits.
    ManyPacks,
    /// By stretches of long lines.
    Lines,
}

/// Lanes of a group.
const POINTWISE_LANES: u32 = 128;
/// Packs of a line that is long, and of operands that are many: fewer are walked as packs.
const LONG: u64 = 192;
const MANY: u64 = 1 << 16;

impl Pointwise {
    /// Elements that are moved as one where operands allow it: 16 bytes of the result, and no more
    /// than 32 of an operand.
    fn pack(from: DType, to: DType) -> usize {
        pack(to).min(2 * pack(from))
    }

    /// This kernel in each of its forms.
    pub(super) fn all(op: &'static str, operands: usize, from: DType, to: DType) -> Vec<Id> {
        let mut all = vec![];
        let most = Pointwise::pack(from, to);
        let packs = [1, most].map(|vector| [(vector, Walk::Packs), (vector, Walk::ManyPacks)]);
        for (vector, walk) in packs.into_iter().flatten().chain([(most, Walk::Lines)]) {
            all.push(Id::Pointwise(Pointwise {
                op,
                operands,
                from,
                to,
                vector,
                walk,
            }));
        }
        all
    }

    pub(super) fn instance(self) -> Instance {
        let Pointwise {
            op,
            operands,
            from,
            to,
            vector,
            walk,
        } = self;
        let (mut t, mut out) = (element(from), element(to));
        let name = format!("{op}_{t}_{out}");
        let mut cast = format!("Cast<{out}>");
        if from == DType::F8E4M3 {
            cast = format!("FromFloat8<{out}>");
        } else if to == DType::F8E4M3 {
            cast = "ToFloat8".to_owned();
        }
        // Elements are only moved, or are bits to convert.
        let bits = |dtype: DType| matches!(op, "Copy" | "Where") || dtype == DType::F8E4M3;
        if bits(from) {
            t = word(from.size());
        }
        if bits(to) {
            out = word(to.size());
        }
        let (counter, suffix) = match walk {
            Walk::Packs => ("u32", "u32"),
            Walk::ManyPacks => ("u64", "u64"),
            Walk::Lines => ("Lines", "lines"),
        };
        let mut buffers = vec![Buffer::input(t); operands];
        let body = match op {
            "Where" => {
                buffers[0] = Buffer::input(element(DType::U8));
                format!("choose<{t}, {vector}, {counter}>")
            }
            "Clamp" => format!("clamp<{t}, {vector}, {counter}>"),
            "Cast" => format!("pointwise1<{cast}, {out}, {t}, {vector}, {counter}>"),
            _ => format!("pointwise{operands}<{op}, {out}, {t}, {vector}, {counter}>"),
        };
        buffers.push(Buffer::output(out));
        Instance {
            file: "ops/pointwise.h",
            name: format!("{name}_v{vector}_{suffix}"),
            body,
            lanes: POINTWISE_LANES,
            form: Form::Plain,
            params: WalkParams::C,
            buffers,
        }
    }
}

/// Numbers that an op takes beside its operands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Numbers {
    /// For floats.
    pub(crate) floats: [f32; 2],
    /// For integers.
    pub(crate) wholes: [i64; 2],
}

/// The plan of op `op` of the dialect over `tensors`, each seen through its layout, which has the
/// shape of `out`.
pub(crate) fn plan<'a, const N: usize>(
    op: &'static str,
    tensors: [&'a Tensor; N],
    layouts: [Layout; N],
    out: &'a Tensor,
    numbers: Numbers,
) -> Plan<'a> {
    let operand = |tensor: &Tensor, layout: Layout| Operand {
        layout,
        size: tensor.dtype().size(),
        start: tensor.byte_offset(),
    };
    // The last operand has the type that counts: of `where`, the first is a condition.
    let (from, to) = (tensors[N - 1].dtype(), out.dtype());
    let most = Pointwise::pack(from, to);
    let output = operand(out, *out.layout());
    let first = operand(tensors[0], layouts[0]);
    let (mut params, vector) = match N {
        1 => walk(&[output, first], most),
        2 => walk(&[output, first, operand(tensors[1], layouts[1])], most),
        _ => {
            let rest = [1, 2].map(|k| operand(tensors[k], layouts[k]));
            let [second, third] = rest;
            walk(&[output, first, second, third], most)
        }
    };
    params.floats = numbers.floats;
    params.wholes[..2].copy_from_slice(&numbers.wholes);
    let (walk, groups) = walk_of(&params, vector);
    let id = Id::Pointwise(Pointwise {
        op,
        operands: N,
        from,
        to,
        vector,
        walk,
    });
    let plan = launch(id, groups_of(groups as usize), &params);
    let plan = tensors.iter().fold(plan, |plan, tensor| {
        plan.read(tensor.buffer(), tensor.byte_offset())
    });
    let size = |tensor: &Tensor| tensor.dtype().size();
    let bytes = out.count() * (size(out) + tensors.iter().map(|x| size(x)).sum::<usize>());
    plan.write(out.buffer(), out.byte_offset())
        .cost(bytes as u64, 0)
}

/// How a walk of packs of `vector` elements is done, and by how many groups.
fn walk_of(params: &WalkParams, vector: usize) -> (Walk, u64) {
    let together = u64::from(POINTWISE_LANES) * PACKS_AHEAD;
    let innermost = params.shape[params.rank as usize - 1];
    let long = params.packs >= LONG && innermost.is_multiple_of(vector as u64);
    let many = params.total >= MANY && !is_wide(params);
    if vector > 1 && params.flat == 0 && long && many {
        let lines = params.total / params.packs;
        return (Walk::Lines, lines * params.packs.div_ceil(together));
    }
    let walk = match is_wide(params) {
        true => Walk::ManyPacks,
        false => Walk::Packs,
    };
    (walk, params.total.div_ceil(together))
}
