//! One value, or evenly spaced ones, of `ops/fill.h`.

use super::{
    Buffer, Id, Instance, KernelParams, element, groups, launch, structs::FillParams, word,
};
use crate::{DType, Tensor};
use wootz_runtime::Plan;

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arange {
    /// The result's type.
    pub dtype: DType,
    /// Whether start and step are whole numbers.
    pub whole: bool,
}

impl Arange {
    pub(super) fn instance(self) -> Instance {
        let t = element(self.dtype);
        let body = if self.whole { "arange_whole" } else { "arange" };
        Instance::new(
            "ops/fill.h",
            format!("{body}_{t}"),
            format!("{body}<{t}>"),
            FillParams::C,
            vec![Buffer::output(t)],
        )
    }
}

/// The instance that puts one value of `size` bytes everywhere.
pub(super) fn fill_instance(size: usize) -> Instance {
    let t = word(size);
    Instance::new(
        "ops/fill.h",
        format!("fill_{t}"),
        format!("fill<{t}>"),
        FillParams::C,
        vec![Buffer::output(t)],
    )
}

/// The plan that puts `bits`, an element's at the start of a word, everywhere in `out`.
pub(crate) fn fill(bits: u64, out: &Tensor) -> Plan<'_> {
    let params = FillParams {
        count: out.count() as u64,
        whole_start: i64::from_ne_bytes(bits.to_ne_bytes()),
        whole_step: 0,
        start: [0.0; 2],
        step: [0.0; 2],
    };
    let size = out.dtype().size();
    launch(Id::Fill(size), groups(params.count), &params)
        .write(out.buffer(), out.byte_offset())
        .cost((out.count() * size) as u64, 0)
}

/// The plan that fills `out` with `start + i · step`, or `None` where a device has no numbers that
/// are exact enough: integers from fractions.
pub(crate) fn arange(start: f64, step: f64, out: &Tensor) -> Option<Plan<'_>> {
    // Up to here f64 counts each whole number.
    const LAST: f64 = 9_007_199_254_740_992.0;
    let end = start + step * out.count() as f64;
    let is_whole = |x: f64| x.fract() == 0.0 && x.abs() < LAST;
    let whole = is_whole(start) && is_whole(step) && end.abs() < LAST;
    let dtype = out.dtype();
    if !whole && !dtype.is_float() {
        return None;
    }
    let two = |x: f64| [x as f32, (x - f64::from(x as f32)) as f32];
    let params = FillParams {
        count: out.count() as u64,
        whole_start: if whole { start as i64 } else { 0 },
        whole_step: if whole { step as i64 } else { 0 },
        start: two(start),
        step: two(step),
    };
    let id = Id::Arange(Arange { dtype, whole });
    let plan = launch(id, groups(params.count), &params);
    let bytes = out.count() * dtype.size();
    Some(
        plan.write(out.buffer(), out.byte_offset())
            .cost(bytes as u64, 0),
    )
}
