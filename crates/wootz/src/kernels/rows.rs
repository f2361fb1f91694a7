//! Kernels over rows: how a row is worked through, and the instances of softmax and the norms.

use super::{
    Buffer, Id, Instance, KernelParams, LANES, element, groups_of, launch, pack,
    structs::{NormParams, SoftmaxParams},
};
use crate::{DType, Tensor};
use smallvec::SmallVec;
use wootz_runtime::Plan;

/// Who takes a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Team {
    /// So many lanes of a simd.
    Lanes(u32),
    /// A whole group.
    Group,
}

impl Team {
    /// Its type in the dialect.
    pub(super) fn name(self) -> String {
        match self {
            Team::Lanes(size) => format!("LaneTeam<{size}>"),
            Team::Group => "GroupTeam".to_owned(),
        }
    }

    /// Its part of a kernel's name.
    pub(super) fn suffix(self) -> String {
        match self {
            Team::Lanes(size) => format!("t{size}"),
            Team::Group => "g".to_owned(),
        }
    }

    /// Groups of `lanes` lanes that take `rows` rows, one each at first.
    pub(super) fn groups(self, lanes: u32, rows: usize) -> usize {
        match self {
            Team::Lanes(size) => rows.div_ceil((lanes / size) as usize),
            Team::Group => rows,
        }
    }
}

/// How a team works through a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowWay {
    /// Lanes that take a row: 8, 32, or all of a group.
    pub team: Team,
    /// Elements moved as one.
    pub vector: usize,
    /// Packs that a lane holds; 0 for a row that is streamed.
    pub packs: usize,
    /// Lanes in a group.
    pub lanes: u32,
}

impl RowWay {
    /// Elements that a lane holds in registers at most.
    const HELD: usize = 32;
    /// The same where all rows together have no more than `SMALL` elements: then more lanes are
    /// worth more than fewer steps.
    pub(super) const HELD_OF_FEW: usize = 8;
    const SMALL: usize = 1 << 19;

    /// The way for `rows` rows of `length` elements, which start at multiples of 16 bytes if
    /// `aligned` and the length is a multiple of a pack.
    pub fn choose(dtype: DType, [rows, length]: [usize; 2], aligned: bool) -> RowWay {
        let most = if rows.saturating_mul(length) > RowWay::SMALL {
            RowWay::HELD
        } else {
            RowWay::HELD_OF_FEW
        };
        let whole = aligned && length.is_multiple_of(pack(dtype));
        let vector = if whole { pack(dtype) } else { 1 };
        let held = |lanes: u32| length.div_ceil(lanes as usize * vector).next_power_of_two();
        let fits = |lanes: &u32| held(*lanes) * vector <= most;
        if let Some(size) = [8, 32].into_iter().find(fits) {
            return RowWay {
                team: Team::Lanes(size),
                vector,
                packs: held(size),
                lanes: 256,
            };
        }
        let lanes = [128, 256, 512, 1024].into_iter().find(fits);
        let (lanes, packs) = lanes.map_or((1024, 0), |lanes| (lanes, held(lanes)));
        RowWay {
            team: Team::Group,
            vector,
            packs,
            lanes,
        }
    }

    fn groups(&self, rows: usize) -> usize {
        groups_of(self.team.groups(self.lanes, rows))
    }

    /// Bytes of the rows of one group, which are nobody else's; 0 when a group goes on to others.
    fn part(&self, [rows, length]: [usize; 2], size: usize) -> u32 {
        let each = match self.team {
            Team::Lanes(size) => self.lanes / size,
            Team::Group => 1,
        };
        let alone = self.team.groups(self.lanes, rows) == self.groups(rows);
        let part = (each as usize).saturating_mul(length).saturating_mul(size);
        u32::try_from(part).ok().filter(|_| alone).unwrap_or(0)
    }

    /// Every way that `choose` can give.
    pub fn all(dtype: DType) -> Vec<RowWay> {
        let lengths = (0..=17).flat_map(|power| [1 << power, (1 << power) + 1]);
        let sizes = lengths.flat_map(|length| [[1, length], [RowWay::SMALL, length]]);
        let mut ways: Vec<RowWay> = vec![];
        for way in sizes.map(|size| RowWay::choose(dtype, size, true)) {
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        ways
    }

    /// `_g256_v4_p2`
    fn suffix(&self) -> String {
        let RowWay {
            team,
            vector,
            packs,
            lanes,
        } = self;
        format!("_{}{lanes}_v{vector}_p{packs}", team.suffix())
    }

    /// `held` with its packs, or `streamed`.
    fn body(&self, stem: &str, arguments: &str) -> String {
        let RowWay {
            vector,
            packs,
            team,
            ..
        } = self;
        let team = team.name();
        match packs {
            0 => format!("{stem}_streamed<{arguments}, {team}, {vector}>"),
            _ => format!("{stem}_held<{arguments}, {team}, {vector}, {packs}>"),
        }
    }
}

/// Which kernel over rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rows {
    /// What it computes.
    pub op: RowOp,
    /// The type.
    pub dtype: DType,
    /// How a row is worked through.
    pub way: RowWay,
}

/// What is computed over rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowOp {
    /// `softmax`.
    Softmax,
    /// `log_softmax`.
    LogSoftmax,
    /// `layer_norm` and `group_norm`.
    Centred,
    /// `rms_norm`.
    Uncentred,
}

impl RowOp {
    fn struct_name(self) -> &'static str {
        match self {
            RowOp::Softmax => "Softmax",
            RowOp::LogSoftmax => "LogSoftmax",
            RowOp::Centred => "Centred",
            RowOp::Uncentred => "Uncentred",
        }
    }

    pub(super) fn is_norm(self) -> bool {
        matches!(self, RowOp::Centred | RowOp::Uncentred)
    }
}

impl Rows {
    /// Every way of an op.
    pub(super) fn all(op: RowOp, dtype: DType) -> Vec<Id> {
        let id = |way| Id::Rows(Rows { op, dtype, way });
        RowWay::all(dtype).into_iter().map(id).collect()
    }

    pub(super) fn instance(self) -> Instance {
        let Rows { op, dtype, way } = self;
        let (t, name) = (element(dtype), op.struct_name());
        let (file, stem, inputs, params) = if op.is_norm() {
            ("ops/norm.h", "norm", 3, NormParams::C)
        } else {
            ("ops/softmax.h", "softmax", 1, SoftmaxParams::C)
        };
        let mut buffers = vec![Buffer::input(t); inputs];
        buffers.push(Buffer::output(t));
        Instance {
            file,
            name: format!("{name}_{t}{}", way.suffix()),
            body: way.body(stem, &format!("{name}, {t}")),
            lanes: way.lanes,
            cluster: None,
            params,
            buffers,
        }
    }
}

/// `softmax` or `log_softmax` along columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Columns {
    /// What it computes.
    pub op: RowOp,
    /// The type.
    pub dtype: DType,
}

impl Columns {
    pub(super) fn instance(self) -> Instance {
        let (t, name) = (element(self.dtype), self.op.struct_name());
        Instance::new(
            "ops/softmax.h",
            format!("{name}_{t}_columns"),
            format!("softmax_columns<{name}, {t}>"),
            SoftmaxParams::C,
            vec![Buffer::input(t), Buffer::output(t)],
        )
    }
}

/// Scratch of a team's reductions: two sets of 32 slots of 8 bytes.
const SLOTS: usize = 2 * 32 * 8;

/// The plan of a softmax over `length` of a contiguous `[rows, length, inner]`.
pub(crate) fn softmax<'a>(
    op: RowOp,
    x: &'a Tensor,
    out: &'a Tensor,
    [rows, length, inner]: [usize; 3],
) -> Plan<'a> {
    let params = SoftmaxParams {
        rows: rows as u64,
        length: length as u64,
        inner: inner as u64,
    };
    let dtype = x.dtype();
    let plan = if inner > 1 {
        let id = Id::Columns(Columns { op, dtype });
        launch(id, groups_of(rows * inner.div_ceil(32)), &params).scratch(LANES as usize * 8)
    } else {
        let way = RowWay::choose(dtype, [rows, length], starts_aligned(&[x, out]));
        let part = way.part([rows, length], dtype.size());
        launch(Id::Rows(Rows { op, dtype, way }), way.groups(rows), &params)
            .scratch(SLOTS)
            .parts([part, part, 0, 0])
    };
    plan.read(x.buffer(), x.byte_offset())
        .write(out.buffer(), out.byte_offset())
        .cost((2 * x.count() * dtype.size()) as u64, 8 * x.count() as u64)
}

/// How the rows of a norm lie, and what their elements are multiplied by.
pub(crate) struct NormShape {
    /// How many rows.
    pub(crate) rows: usize,
    /// Elements of a row.
    pub(crate) length: usize,
    /// Sets of weights that the rows go through in turn.
    pub(crate) groups: usize,
    /// Weights in a set.
    pub(crate) weights: usize,
}

/// The plan of a norm over the rows of a contiguous `x`.
pub(crate) fn norm<'a>(
    op: RowOp,
    x: &'a Tensor,
    affine: [Option<&'a Tensor>; 2],
    eps: f64,
    out: &'a Tensor,
    shape: NormShape,
) -> Plan<'a> {
    let NormShape {
        rows,
        length,
        groups,
        weights,
    } = shape;
    let given: SmallVec<[&Tensor; 2]> = affine.into_iter().flatten().collect();
    let packed = weights == length && starts_aligned(&given);
    let params = NormParams {
        rows: rows as u64,
        length: length as u64,
        groups: groups as u64,
        weights: weights as u64,
        inner: (length / weights.max(1)).max(1) as u64,
        eps: eps as f32,
        has_weight: affine[0].is_some().into(),
        has_bias: affine[1].is_some().into(),
        packed: packed.into(),
    };
    let dtype = x.dtype();
    let way = RowWay::choose(dtype, [rows, length], starts_aligned(&[x, out]));
    let id = Id::Rows(Rows { op, dtype, way });
    let plan = launch(id, way.groups(rows), &params).read(x.buffer(), x.byte_offset());
    // A kernel has all its buffers; one that is not there is not looked at.
    let plan = affine.into_iter().fold(plan, |plan, tensor| {
        let tensor = tensor.unwrap_or(x);
        plan.read(tensor.buffer(), tensor.byte_offset())
    });
    let part = way.part([rows, length], dtype.size());
    plan.write(out.buffer(), out.byte_offset())
        .scratch(SLOTS)
        .parts([part, 0, 0, part])
        .cost((2 * x.count() * dtype.size()) as u64, 8 * x.count() as u64)
}

fn starts_aligned(tensors: &[&Tensor]) -> bool {
    let aligned = |tensor: &&Tensor| tensor.byte_offset().is_multiple_of(16);
    tensors.iter().all(aligned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_its_rows_to_itself() {
        for rows in [1, 7, 64, 1000] {
            for length in [1, 24, 100, 1024, 5000] {
                let way = RowWay::choose(DType::F32, [rows, length], true);
                let part = way.part([rows, length], 4) as usize;
                let (groups, bytes) = (way.groups(rows), 4 * rows * length);
                assert!(part * groups >= bytes && part * (groups - 1) < bytes);
                assert!(part.is_multiple_of(4 * length), "whole rows: {way:?}");
            }
        }
    }

    #[test]
    fn a_way_covers_its_row() {
        for &dtype in DType::FLOATS {
            let all = RowWay::all(dtype);
            for length in (1..3000).chain([1 << 14, (1 << 14) + 8, 1 << 18]) {
                for rows in [1, 64, 4096] {
                    let way = RowWay::choose(dtype, [rows, length], true);
                    assert!(all.contains(&way), "{dtype:?} {rows} x {length} {way:?}");
                    let team = match way.team {
                        Team::Lanes(size) => size as usize,
                        Team::Group => way.lanes as usize,
                    };
                    assert!(way.packs == 0 || team * way.vector * way.packs >= length);
                    assert_eq!(length % way.vector, 0);
                }
            }
        }
    }
}
