//! The op table: one row an op. Conformance tests, benchmarks, `wootz info` and the documentation
//! walk it.

use crate::{
    DType, Result, Tensor,
    case::{Cases, Run},
    ops,
};

/// One op.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The op's name everywhere.
    pub name: &'static str,
    /// The heading it stands under.
    pub family: &'static str,
    /// What it computes, in one line.
    pub summary: &'static str,
    /// The element types that it takes.
    pub dtypes: &'static [DType],
    /// Adds its conformance cases for one element type.
    pub cases: fn(&mut Cases),
    /// Its benchmarks for one element type.
    pub benches: fn(DType) -> Vec<Bench>,
}

/// A benchmark of an op.
pub struct Bench {
    /// The shape that names it, as in `64x1024`.
    pub dims: Vec<usize>,
    /// Element type and sizes of each input.
    pub inputs: Vec<(DType, Vec<usize>)>,
    /// The call.
    pub run: Run,
    /// Fewest bytes it must move: each input read once, the output written once.
    pub bytes: u64,
    /// Multiplications and additions of a matrix product; 0 where bytes are the limit.
    pub flops: u64,
}

impl Bench {
    /// Benchmarks of an op on one input of each of these shapes, limited by memory: `passes`
    /// times the input's bytes go over the bus.
    pub fn memory(
        dtype: DType,
        shapes: &[&[usize]],
        passes: u64,
        run: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + Copy + 'static,
    ) -> Vec<Bench> {
        let bench = |dims: &&[usize]| Bench {
            dims: dims.to_vec(),
            inputs: vec![(dtype, dims.to_vec())],
            run: Box::new(run),
            bytes: passes * (dims.iter().product::<usize>() * dtype.size()) as u64,
            flops: 0,
        };
        shapes.iter().map(bench).collect()
    }
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench")
            .field("dims", &self.dims)
            .finish_non_exhaustive()
    }
}

/// The rows, by file.
static ROWS: &[&[Row]] = &[
    ops::unary::FLOAT_ROWS,
    ops::unary::NUMBER_ROWS,
    ops::unary::BITWISE_ROWS,
    ops::binary::FLOAT_ROWS,
    ops::binary::NUMBER_ROWS,
    ops::binary::BITWISE_ROWS,
    ops::where_::ROWS,
    ops::clamp::ROWS,
    ops::cast::ROWS,
    ops::fill::ROWS,
    ops::arange::ROWS,
    ops::copy::ROWS,
    ops::concat::ROWS,
    ops::pad::ROWS,
    ops::gather::ROWS,
    ops::index_select::ROWS,
    ops::scatter::ROWS,
    ops::reduce::ROWS,
    ops::softmax::ROWS,
    ops::layer_norm::ROWS,
    ops::group_norm::ROWS,
    ops::rope::ROWS,
    ops::matmul::ROWS,
    ops::linear::ROWS,
];

/// Every op.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().flat_map(|rows| rows.iter())
}

/// The op of this name.
pub fn find(name: &str) -> Option<&'static Row> {
    rows().find(|row| row.name == name)
}
