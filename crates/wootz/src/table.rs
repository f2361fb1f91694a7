//! The op table: one row an op. Conformance tests, benchmarks, `wootz info` and the documentation
//! walk it.

use crate::{
    DType, Device, Error, Result, Shape, Tensor,
    case::{Cases, Run},
    ops,
};
use wootz_runtime::Family;

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
    /// Its benchmarks.
    pub benches: Benches,
}

impl Row {
    /// The element types that it takes on a device.
    pub fn dtypes_on(&self, device: Device) -> &'static [DType] {
        match device.caps().family {
            Family::Null => &[],
            _ => self.dtypes,
        }
    }

    /// Its benchmarks in one element type, at the shapes that people use.
    pub fn benches(&self, dtype: DType) -> Vec<Bench> {
        let shapes = self.benches.shapes.iter();
        let bench =
            |dims| (self.benches.at)(dtype, dims).expect("a row's shapes are ones it takes");
        shapes.map(|dims| bench(dims)).collect()
    }

    /// Its benchmark at another shape; an error says which shapes it takes.
    pub fn bench(&self, dtype: DType, dims: &[usize]) -> Result<Bench> {
        let op = self.name;
        if !fits(dims) {
            return Err(Error::TooLarge {
                op,
                dims: dims.to_vec(),
            });
        }
        let bench = (self.benches.at)(dtype, dims).filter(|_| !dims.is_empty());
        bench.ok_or_else(|| Error::Value {
            op,
            argument: "the benchmark's shape",
            found: sizes(dims),
            expected: self.benches.takes.to_owned(),
        })
    }
}

/// Whether the bytes of some tensors of these sizes can be counted; an empty axis hides no other.
fn fits(dims: &[usize]) -> bool {
    /// More than the bytes of an element times the operands of any op.
    const EACH: usize = 64;
    let mut sizes = dims.iter().map(|&size| size.max(1));
    let count = sizes.try_fold(EACH, usize::checked_mul);
    Shape::new(dims).is_some() && count.is_some_and(|count| isize::try_from(count).is_ok())
}

/// `64×1024`
fn sizes(dims: &[usize]) -> String {
    let sizes: Vec<String> = dims.iter().map(usize::to_string).collect();
    sizes.join("×")
}

/// Integers in the inputs of benchmarks are less than this, so that they are indices too.
pub const INDICES: usize = 8;

/// The benchmarks of an op.
#[derive(Debug, Clone, Copy)]
pub struct Benches {
    /// The shapes that people use.
    pub shapes: &'static [&'static [usize]],
    /// In words, the shapes that `at` takes.
    pub takes: &'static str,
    /// The benchmark in an element type at a shape, if it takes that shape.
    pub at: fn(DType, &[usize]) -> Option<Bench>,
}

impl Benches {
    /// Benchmarks at two tables, one that a cache holds and one that none does.
    pub const fn of_tables(at: fn(DType, &[usize]) -> Option<Bench>) -> Benches {
        Benches {
            shapes: &[&[64, 1024], &[4096, 4096]],
            takes: "one axis or more",
            at,
        }
    }

    /// The same, of an op that takes indices along an axis.
    pub const fn of_indices(at: fn(DType, &[usize]) -> Option<Bench>) -> Benches {
        Benches {
            takes: "one axis or more, with 8 elements or more along the one of the indices",
            ..Benches::of_tables(at)
        }
    }
}

/// A benchmark of an op.
pub struct Bench {
    /// The shape that names it, as in `64×1024`.
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
    /// A benchmark of an op that memory limits: `bytes` for each element of `dims`.
    pub fn memory(
        dims: &[usize],
        inputs: Vec<(DType, Vec<usize>)>,
        bytes: usize,
        run: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Bench {
        Bench {
            dims: dims.to_vec(),
            inputs,
            run: Box::new(run),
            bytes: (dims.iter().product::<usize>() * bytes) as u64,
            flops: 0,
        }
    }

    /// A benchmark of an op on one input that memory limits: the input's bytes go over the bus
    /// `passes` times.
    pub fn passes(
        dtype: DType,
        dims: &[usize],
        passes: usize,
        run: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Bench {
        let inputs = vec![(dtype, dims.to_vec())];
        Bench::memory(dims, inputs, passes * dtype.size(), run)
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
    ops::addmm::ROWS,
    ops::bmm::ROWS,
    ops::einsum::ROWS,
    ops::masked_matmul::ROWS,
    ops::grouped_linear::ROWS,
    ops::lora_linear::ROWS,
    ops::scaled_matmul::ROWS,
];

/// Every op.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().flat_map(|rows| rows.iter())
}

/// The op of this name.
pub fn find(name: &str) -> Option<&'static Row> {
    rows().find(|row| row.name == name)
}
