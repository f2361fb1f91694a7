//! Lists of rows with one index, of `ops/runs.h`.

use super::{Buffer, Id, Instance, KernelParams, element, launch, structs::RunsParams};
use crate::{DType, Tensor};
use wootz_runtime::{Buffer as Memory, Plan};

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Runs {
    /// The indices' type.
    pub index: DType,
    /// The most rows of a part.
    pub rows: usize,
}

/// Lanes of the one group.
const LANES: u32 = 1024;

impl Runs {
    /// The most rows that a part may have.
    const ROWS: [usize; 2] = [64, 128];

    pub(super) fn all(index: DType) -> Vec<Id> {
        Runs::ROWS.map(|rows| Id::Runs(Runs { index, rows })).into()
    }

    pub(super) fn instance(self) -> Instance {
        let Runs { index, rows } = self;
        let (i, u32) = (element(index), element(DType::U32));
        let buffers = vec![Buffer::input(i), Buffer::output(u32), Buffer::output(u32)];
        let (name, body) = (format!("runs_{i}_{rows}"), format!("runs<{i}, {rows}>"));
        Instance {
            lanes: LANES,
            ..Instance::new("ops/runs.h", name, body, RunsParams::C, buffers)
        }
    }
}

/// Bytes of the list of so many rows' parts.
pub(crate) fn list_bytes(rows: usize) -> usize {
    (2 * rows + 2) * DType::U32.size()
}

/// The plan that lists the runs of `index`, which is contiguous, in parts of so many rows at most.
pub(crate) fn runs<'a>(
    index: &'a Tensor,
    limit: usize,
    part: usize,
    list: &'a Memory,
    refused: &'a Memory,
) -> Plan<'a> {
    let rows = index.count();
    let params = RunsParams {
        rows: rows as u32,
        limit: limit as u32,
    };
    let id = Id::Runs(Runs {
        index: index.dtype(),
        rows: part,
    });
    let bytes = rows * index.dtype().size() + list_bytes(rows);
    launch(id, 1, &params)
        .read(index.buffer(), index.byte_offset())
        .write(list, 0)
        .update(refused, 0)
        .scratch(LANES as usize / 32 * DType::U32.size())
        .cost(bytes as u64, 0)
}
