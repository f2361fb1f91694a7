//! Cases, references and benchmarks of `scatter`, `scatter_add` and `scatter_max`.

use super::{Add, Max, Set};
use crate::{
    DType, Result, Tensor,
    case::{Cases, Expected, Input},
    ops::gather::{INDEX_DTYPES, indices},
    reference::{Array, for_each_index, position},
    table::{Bench, INDICES},
};

/// How values meet in the reference: the value, and how far `f32` may be off it.
pub(super) trait Reference: Send + Sync {
    fn meet(&self, here: f64, comes: f64) -> f64;

    /// Magnitude that the sum's roundings are relative to; 0 where nothing is rounded.
    fn grows(&self, _comes: f64) -> f64 {
        0.0
    }
}

impl Reference for Set {
    fn meet(&self, _: f64, comes: f64) -> f64 {
        comes
    }
}

impl Reference for Add {
    fn meet(&self, here: f64, comes: f64) -> f64 {
        here + comes
    }

    fn grows(&self, comes: f64) -> f64 {
        comes.abs()
    }
}

impl Reference for Max {
    fn meet(&self, here: f64, comes: f64) -> f64 {
        if here.is_nan() || comes <= here {
            here
        } else {
            comes
        }
    }
}

/// Each sum of `n + 1` values is rounded `n` times, each time relative to at most the sum of
/// their magnitudes.
fn reference(
    meet: &dyn Reference,
    dtype: DType,
    axis: usize,
    [x, index, source]: [&Array; 3],
) -> Expected {
    let unit = f64::from(f32::EPSILON) / 2.0;
    let mut out = x.clone();
    let mut magnitudes: Vec<f64> = x.values.iter().map(|value| meet.grows(*value)).collect();
    let mut errors = vec![0.0; x.values.len()];
    for_each_index(&index.dims, |place| {
        let mut at = place.to_vec();
        at[axis] = index.at(place) as usize;
        let (at, comes) = (position(&x.dims, &at), source.at(place));
        out.values[at] = meet.meet(out.values[at], comes);
        magnitudes[at] += meet.grows(comes);
        errors[at] += unit * magnitudes[at];
    });
    if !dtype.is_float() {
        errors.fill(0.0);
    }
    Expected::within(dtype, out, errors)
}

pub(super) type Op = fn(&Tensor, isize, &Tensor, &Tensor) -> Result<Tensor>;

/// Adds the cases of one of the ops.
pub(super) fn add(cases: &mut Cases, op: Op, meet: &'static dyn Reference) {
    let dtype = cases.dtype();
    // Sizes of `x`, of the indices, of the source, and the axis. Sums of bytes stay under 256.
    type Dims = &'static [usize];
    let shapes: &[(Dims, Dims, Dims, usize)] = &[
        (&[5], &[9], &[9], 0),
        (&[5], &[0], &[0], 0),
        (&[0, 2], &[0, 1], &[0, 2], 1),
        (&[1], &[6], &[8], 0),
        (&[4, 6], &[4, 3], &[5, 3], 1),
        (&[4, 6], &[9, 6], &[9, 6], 0),
        (&[3, 5, 7], &[3, 5, 7], &[3, 5, 7], 2),
        (&[3, 5, 7], &[2, 9, 6], &[2, 9, 8], 1),
        (&[40, 2, 130], &[20, 1, 129], &[21, 2, 129], 0),
        (&[70, 300], &[70, 400], &[70, 400], 1),
        (&[300, 70], &[400, 70], &[400, 70], 0),
    ];
    for (i, &(dims, picked, given, axis)) in shapes.iter().enumerate() {
        let x = cases.input(dims, -10.0, 10.0);
        let index = indices(cases, INDEX_DTYPES[i % 3], picked, dims[axis]);
        let source = cases.input(given, -10.0, 10.0);
        let label = format!("{given:?} by {picked:?} into {dims:?} axis {axis}");
        let run = move |x: &[Tensor]| op(&x[0], axis as isize, &x[1], &x[2]);
        cases.add(label, vec![x, index, source], run, move |x| {
            reference(meet, dtype, axis, [&x[0], &x[1], &x[2]])
        });
    }
    if dtype.is_float() {
        let x = cases.specials();
        let count = x.array.values.len();
        let source = cases.input(&[count], -10.0, 10.0);
        let backwards = Array::from_fn(&[count], |i| (count - 1 - i[0]) as f64);
        let index = Input::new(DType::I64, backwards);
        let run = move |x: &[Tensor]| op(&x[0], 0, &x[1], &x[2]);
        cases.add("specials", vec![x, index, source], run, move |x| {
            reference(meet, dtype, 0, [&x[0], &x[1], &x[2]])
        });
    }
}

/// The benchmarks of one of the ops.
pub(super) fn bench(dtype: DType, dims: &[usize], op: Op) -> Option<Bench> {
    let columns = *dims.last()?;
    let inputs = [dtype, DType::I64, dtype].map(|dtype| (dtype, dims.to_vec()));
    let bytes = 3 * dtype.size() + DType::I64.size();
    let run = move |x: &[Tensor]| op(&x[0], -1, &x[1], &x[2]);
    let bench = Bench::memory(dims, inputs.into(), bytes, run);
    (columns >= INDICES).then_some(bench)
}
