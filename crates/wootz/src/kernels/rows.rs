//! Kernels over rows: softmax and the norms.

use super::{
    Buffer, ColumnWay, Columns, Id, Instance, KernelParams, Room, RowWay, element, launch, pack,
    structs::{NormParams, SoftmaxParams},
};
use crate::{DType, Tensor};
use smallvec::SmallVec;
use wootz_runtime::Plan;

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
    pub(super) fn struct_name(self) -> &'static str {
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
            form: way.form(),
            params,
            buffers,
        }
    }
}

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
    let room = Room::of(x);
    let plan = if inner > 1 {
        let aligned = inner.is_multiple_of(pack(dtype)) && starts_aligned(&[x, out]);
        let way = ColumnWay::choose(dtype, [rows, length, inner], aligned, room);
        let id = Id::Columns(Columns { op, dtype, way });
        launch(id, way.groups([rows, inner]), &params).scratch(way.scratch(length))
    } else {
        let way = RowWay::choose(dtype, [rows, length], starts_aligned(&[x, out]), room);
        let id = Id::Rows(Rows { op, dtype, way });
        let part = way.part([rows, length], dtype.size(), room);
        launch(id, way.groups(rows, room), &params)
            .scratch(way.scratch())
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
    // The neighbours of a pack have weights of their own beside each other, or share one.
    let whole = packed || (params.inner as usize).is_multiple_of(pack(dtype));
    let (aligned, room) = (whole && starts_aligned(&[x, out]), Room::of(x));
    let way = RowWay::choose(dtype, [rows, length], aligned, room);
    let id = Id::Rows(Rows { op, dtype, way });
    let plan = launch(id, way.groups(rows, room), &params).read(x.buffer(), x.byte_offset());
    // A kernel has all its buffers; one that is not there is not looked at.
    let plan = affine.into_iter().fold(plan, |plan, tensor| {
        let tensor = tensor.unwrap_or(x);
        plan.read(tensor.buffer(), tensor.byte_offset())
    });
    let part = way.part([rows, length], dtype.size(), room);
    // What stands for a tensor that is not there is the input, of which nobody has others' rows.
    let [weight, bias] = affine.map(|tensor| tensor.map_or(part, |_| 0));
    plan.write(out.buffer(), out.byte_offset())
        .scratch(way.scratch())
        .parts([part, weight, bias, part])
        .cost((2 * x.count() * dtype.size()) as u64, 8 * x.count() as u64)
}

fn starts_aligned(tensors: &[&Tensor]) -> bool {
    let aligned = |tensor: &&Tensor| tensor.byte_offset().is_multiple_of(16);
    tensors.iter().all(aligned)
}

#[cfg(all(test, feature = "emulated"))]
mod tests {
    use super::*;
    use crate::{Device, kernels::Team, ops};

    /// What a small group does while the next row comes, which no row of the conformance suite is
    /// long enough for.
    #[test]
    fn rows_that_come_ahead_are_what_the_cpu_gives() {
        let (rows, length) = (5, 500);
        let value = |i: usize| ((i * 7919) % 1000) as f32 / 100.0 - 5.0;
        let values: Vec<f32> = (0..rows * length).map(value).collect();
        let [x, here] = [Device::emulated(), Device::cpu()]
            .map(|device| Tensor::from_slice(&values, &[rows, length], device).unwrap());
        let way = RowWay {
            team: Team::Group,
            vector: 4,
            packs: 1,
            lanes: 128,
            ahead: true,
        };
        let dtype = DType::F32;
        let norms = NormParams {
            rows: rows as u64,
            length: length as u64,
            groups: 1,
            weights: length as u64,
            inner: 1,
            eps: 1e-5,
            has_weight: 0,
            has_bias: 0,
            packed: 1,
        };
        let sizes = SoftmaxParams {
            rows: rows as u64,
            length: length as u64,
            inner: 1,
        };
        for op in [RowOp::Softmax, RowOp::Centred] {
            let out = Tensor::from_slice(&values, &[rows, length], x.device()).unwrap();
            let id = Id::Rows(Rows { op, dtype, way });
            let mut plan = match op {
                RowOp::Softmax => launch(id, 2, &sizes),
                _ => launch(id, 2, &norms),
            };
            for _ in 0..if op.is_norm() { 3 } else { 1 } {
                plan = plan.read(x.buffer(), x.byte_offset());
            }
            let plan = plan
                .write(out.buffer(), out.byte_offset())
                .scratch(way.scratch());
            // SAFETY: all are contiguous and of the sizes that the parameters say.
            let run = |stream: &wootz_runtime::Stream| unsafe { stream.submit(&plan) };
            wootz_runtime::Stream::with_current(x.device(), run).unwrap();
            let want = match op {
                RowOp::Softmax => ops::softmax(&here, -1),
                _ => ops::layer_norm(&here, 1, None, None, 1e-5),
            };
            let want: Vec<f32> = want.unwrap().to_vec().unwrap();
            for (got, want) in out.to_vec::<f32>().unwrap().iter().zip(want) {
                assert!((got - want).abs() < 1e-5, "{op:?}: {got} {want}");
            }
        }
    }
}
