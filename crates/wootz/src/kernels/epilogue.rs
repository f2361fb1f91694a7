//! What becomes of a product's sums: parameters of the kernels that have them, and a kernel of its
//! own, of `ops/finish.h`, for sums that lie in memory.

use super::{
    Buffer, Id, Instance, KernelParams, element, groups, launch, pack,
    structs::{EpilogueParams, FinishParams},
};
use crate::{Activation, DType, Layout, Tensor};
use wootz_runtime::{Buffer as Memory, Plan};

/// What becomes of the sums of products, `[batch, rows, columns]`:
/// `activation(alpha·sum + bias) + beta·added`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    pub(crate) alpha: f32,
    /// Contiguous, a value for each column, of the factors' type.
    pub(crate) bias: Option<&'a Tensor>,
    pub(crate) activation: Activation,
    /// Its factor and, of the result's type, what is added, with its strides from product to
    /// product, row to row and column to column.
    pub(crate) added: Option<(f32, &'a Tensor, [i64; 3])>,
}

impl<'a> Epilogue<'a> {
    /// Sums as they are.
    pub(super) const NONE: Epilogue<'static> = Epilogue {
        alpha: 1.0,
        bias: None,
        activation: Activation::None,
        added: None,
    };

    /// Whether nothing becomes of sums but their bias.
    pub(crate) fn is_plain(&self) -> bool {
        self.alpha == 1.0 && self.activation == Activation::None && self.added.is_none()
    }

    /// Whether what is added lies by a batch of left matrices' rows as by those of one.
    pub(super) fn lies_flat(&self, left: &Layout) -> bool {
        let rows = left.dims()[left.rank() - 2] as i64;
        self.added
            .is_none_or(|(_, _, [batch, row, _])| row.checked_mul(rows) == Some(batch))
    }

    /// Whether what is added comes in packs of `count` elements, along columns.
    pub(super) fn adds_packs(&self, count: usize) -> bool {
        self.added.is_some_and(|(_, added, [batch, row, column])| {
            let whole = |stride: i64| stride % count as i64 == 0;
            let start = added.byte_offset() / added.dtype().size();
            column == 1 && whole(row) && whole(batch) && whole(start as i64)
        })
    }

    /// As kernels are given it.
    pub(super) fn params(&self) -> EpilogueParams {
        let (beta, strides) = match self.added {
            Some((beta, _, strides)) => (beta, strides),
            None => (0.0, [0; 3]),
        };
        let [added_batch, added_row, added_column] = strides;
        EpilogueParams {
            alpha: self.alpha,
            beta,
            has_bias: self.bias.is_some().into(),
            activation: self.activation as u32,
            added_batch,
            added_row,
            added_column,
        }
    }

    /// Binds the bias and what is added; where there is none, `instead`, which nobody looks at.
    pub(super) fn bind(&self, plan: Plan<'a>, instead: &'a Tensor) -> Plan<'a> {
        let bias = self.bias.unwrap_or(instead);
        let added = self.added.map_or(instead, |(_, added, _)| added);
        plan.read(bias.buffer(), bias.byte_offset())
            .read(added.buffer(), added.byte_offset())
    }
}

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Finish {
    /// The sums' type,
    pub from: DType,
    /// that of the factors and the bias,
    pub dtype: DType,
    /// and the results'.
    pub to: DType,
    /// Elements of a row that are moved as one.
    pub vector: usize,
}

impl Finish {
    /// As many as 16 bytes of the results, where rows are made of such packs.
    fn packs(to: DType, columns: usize, offsets: [usize; 2]) -> usize {
        let aligned = |offset: &usize| offset.is_multiple_of(16);
        match columns.is_multiple_of(pack(to)) && offsets.iter().all(aligned) {
            true => pack(to),
            false => 1,
        }
    }

    /// The kernels that products of a type use.
    pub(super) fn all(dtype: DType) -> Vec<Id> {
        let mut all = vec![];
        for &to in DType::FLOATS {
            let mut from = vec![DType::F32, dtype];
            from.dedup();
            // Sums of less than all their digits are for results of no more.
            from.retain(|&from| from == DType::F32 || from == to);
            for (from, vector) in from.into_iter().flat_map(|x| [(x, 1), (x, pack(to))]) {
                all.push(Id::Finish(Finish {
                    from,
                    dtype,
                    to,
                    vector,
                }));
            }
        }
        all
    }

    pub(super) fn instance(self) -> Instance {
        let [from, dtype, to] = [self.from, self.dtype, self.to].map(element);
        let vector = self.vector;
        let mut buffers: Vec<Buffer> = [from, dtype, to].map(Buffer::input).into();
        buffers.push(Buffer::output(to));
        let name = format!("finish_{from}_{dtype}_{to}_v{vector}");
        let body = format!("finish<{vector}, {from}, {dtype}, {to}>");
        Instance::new("ops/finish.h", name, body, FinishParams::C, buffers)
    }
}

/// The plan that finishes sums of products of `factor`'s type, `[parts, batch, rows, columns]` of
/// type `from` in memory from an offset on, into `out`, which is contiguous and not empty.
pub(crate) fn finish<'a>(
    epilogue: &Epilogue<'a>,
    (sums, offset, from): (&'a Memory, usize, DType),
    factor: &'a Tensor,
    [parts, rows, columns]: [usize; 3],
    out: &'a Tensor,
) -> Plan<'a> {
    let count = out.count();
    let vector = Finish::packs(out.dtype(), columns, [offset, out.byte_offset()]);
    let params = FinishParams {
        epilogue: epilogue.params(),
        batch: (count / (rows * columns)) as u64,
        rows: rows as u64,
        columns: columns as u64,
        parts: parts as u64,
    };
    let id = Id::Finish(Finish {
        from,
        dtype: factor.dtype(),
        to: out.dtype(),
        vector,
    });
    let read = from.size() * parts + epilogue.added.map_or(0, |_| out.dtype().size());
    let plan = launch(id, groups((count / vector) as u64), &params).read(sums, offset);
    epilogue
        .bind(plan, factor)
        .write(out.buffer(), out.byte_offset())
        .cost((count * (read + out.dtype().size())) as u64, 0)
}
