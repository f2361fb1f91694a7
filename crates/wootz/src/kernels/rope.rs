//! Rotary position embedding, of `ops/rope.h`.

use super::{
    Buffer, Id, Instance, KernelParams, element, groups, launch, pack, structs::RopeParams,
};
use crate::{DType, Tensor};
use std::f64::consts::TAU;
use wootz_runtime::Plan;

/// Most pairs that the tables of a base's powers reach.
pub(crate) const MOST_PAIRS: usize = 16 * 16 * 16;

/// Rows of one position that a lane turns, as `ops/rope.h` has it.
const ROPE_ROWS: u64 = 8;

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rope {
    /// The type.
    pub dtype: DType,
    /// Pairs that a lane turns at once.
    pub vector: usize,
}

impl Rope {
    /// The kernels for this type.
    pub(super) fn all(dtype: DType) -> [Id; 2] {
        [1, pack(dtype)].map(|vector| Id::Rope(Rope { dtype, vector }))
    }

    pub(super) fn instance(self) -> Instance {
        let (t, vector) = (element(self.dtype), self.vector);
        Instance::new(
            "ops/rope.h",
            format!("rope_{t}_v{vector}"),
            format!("rope<{t}, {vector}>"),
            RopeParams::C,
            vec![
                Buffer::input(t),
                Buffer::input(element(DType::I64)),
                Buffer::output(t),
            ],
        )
    }
}

/// Which row has which position.
pub(crate) struct Places<'a> {
    /// The positions, as contiguous `i64`; otherwise they count from `start`.
    pub(crate) given: Option<&'a Tensor>,
    /// The first position.
    pub(crate) start: i64,
    /// Rows of one position that follow each other.
    pub(crate) same: usize,
    /// Positions until they repeat.
    pub(crate) count: usize,
}

/// The plan that turns the rows of a contiguous `x`, of at most [`MOST_PAIRS`] pairs each.
pub(crate) fn plan<'a>(
    x: &'a Tensor,
    places: &Places<'a>,
    base: f64,
    neighbours: bool,
    out: &'a Tensor,
) -> Plan<'a> {
    let pairs = x.dims()[x.rank() - 1] / 2;
    // Powers that fall from 1: from the first pair on, or for a base under 1 from the last.
    let reversed = base < 1.0;
    let exponent = if reversed { 1.0 } else { -1.0 } / pairs as f64;
    let power = |i: usize| base.powf(exponent * i as f64);
    let table = |step: usize| std::array::from_fn(|i| fraction(power(i * step)));
    let greatest = if reversed {
        base.powf(-((pairs - 1) as f64) / pairs as f64)
    } else {
        1.0
    };
    let (lead, shift) = halved(greatest / TAU);
    let params = RopeParams {
        rows: (x.count() / (2 * pairs)) as u64,
        pairs: pairs as u64,
        same: places.same as u64,
        places: places.count as u64,
        start: places.start,
        lead: fraction(lead),
        ones: table(1),
        sixteens: table(16),
        rest: table(256),
        shift,
        reversed: reversed.into(),
        neighbours: neighbours.into(),
        given: places.given.is_some().into(),
    };
    let positions = places.given.unwrap_or(x);
    let (dtype, most) = (x.dtype(), pack(x.dtype()));
    let aligned = [x, out].map(|tensor| tensor.byte_offset().is_multiple_of(16));
    let vector = if aligned == [true; 2] && pairs.is_multiple_of(most) {
        most
    } else {
        1
    };
    let parts = (params.rows / params.places.max(1)).div_ceil(ROPE_ROWS);
    let lanes = parts * params.places * (params.pairs / vector as u64);
    launch(Id::Rope(Rope { dtype, vector }), groups(lanes), &params)
        .read(x.buffer(), x.byte_offset())
        .read(positions.buffer(), positions.byte_offset())
        .write(out.buffer(), out.byte_offset())
        .cost(
            (2 * x.count() * x.dtype().size()) as u64,
            3 * x.count() as u64,
        )
}

/// A number of at most 1 as a fraction of 2⁶³.
fn fraction(x: f64) -> u64 {
    (x * (1u64 << 63) as f64) as u64
}

/// A number as one of at most 1 and a power of two. What the kernel shifts counts fractions of 2⁶⁴
/// from fractions of 2⁶³, which is one more.
fn halved(mut x: f64) -> (f64, u32) {
    let mut shift = 1;
    while x > 1.0 && shift < 63 {
        x /= 2.0;
        shift += 1;
    }
    (x, shift)
}
