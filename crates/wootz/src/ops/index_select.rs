//! `index_select`: whole slices picked along an axis; `embedding`: rows of a table.

use super::{
    gather::{INDEX_DTYPES, Picks, indices},
    index,
};
use crate::{
    DType, Error, Layout, MAX_RANK, Result, Shape, Tensor,
    case::{Cases, Expected},
    reference::Array,
    table::{Bench, Benches, INDICES, Row},
};

/// The rows of the table.
pub const ROWS: &[Row] = &[
    Row {
        name: "index_select",
        family: "index",
        summary: "out[i, j, k] = x[i, index[j], k]: whole slices along an axis",
        dtypes: DType::ALL,
        cases: index_select_cases,
        benches: Benches::of_indices(|dtype, dims| {
            bench(dtype, dims, |x| index_select(&x[0], 0, &x[1]))
        }),
    },
    Row {
        name: "embedding",
        family: "index",
        summary: "out[i, j, k] = weight[index[i, j], k]: rows of a table",
        dtypes: DType::ALL,
        cases: embedding_cases,
        benches: Benches::of_indices(|dtype, dims| bench(dtype, dims, |x| embedding(&x[0], &x[1]))),
    },
];

/// Slices of `x` along `axis`, one for each entry of `index`, which has one axis.
///
/// An index outside the axis is treated as [`gather`](super::gather()) does.
pub fn index_select(x: &Tensor, axis: isize, index: &Tensor) -> Result<Tensor> {
    const OP: &str = "index_select";
    let axis = x.axis(OP, "axis", axis)?;
    if index.rank() != 1 {
        let (found, expected) = (index.shape(), "one axis".to_owned());
        return Err(Error::Shape {
            op: OP,
            argument: "index",
            found,
            expected,
        });
    }
    take(OP, ("x", x), axis, index)
}

/// Rows of `weight`, one for each entry of `index`: the result has the axes of `index`, then
/// those of `weight` but its first.
///
/// An index outside the first axis is treated as [`gather`](super::gather()) does.
pub fn embedding(weight: &Tensor, index: &Tensor) -> Result<Tensor> {
    const OP: &str = "embedding";
    if weight.rank() == 0 {
        let (found, expected) = (weight.shape(), "at least one axis".to_owned());
        return Err(Error::Shape {
            op: OP,
            argument: "weight",
            found,
            expected,
        });
    }
    take(OP, ("weight", weight), 0, index)
}

/// Slices of `x` along `axis`, whose place in the result the axes of `index` take.
fn take(
    op: &'static str,
    (argument, x): (&'static str, &Tensor),
    axis: usize,
    index: &Tensor,
) -> Result<Tensor> {
    index::check(op, (argument, x), index)?;
    let dims = spliced(x.dims(), axis, index.dims());
    let shape = Shape::new(&dims).filter(|shape| shape.checked_count().is_some());
    let shape = shape.ok_or_else(|| Error::TooLarge {
        op,
        dims: dims.clone(),
    })?;
    // Where `x` has no elements its lanes do not matter: there is nothing to pick.
    let ones = &[1; MAX_RANK][..index.rank()];
    let first = x
        .layout()
        .narrow(axis, 0, 1)
        .and_then(|first| first.reshape(Shape::new(&spliced(first.dims(), axis, ones))?));
    let lanes = first.unwrap_or_else(|| Layout::contiguous(shape));
    let after = x.rank() - axis - 1;
    let aligned = spliced(&[1; MAX_RANK][..after + 1], 0, index.dims());
    let index_layout = Shape::new(&aligned)
        .and_then(|aligned| index.layout().reshape(aligned)?.broadcast_to(shape));
    // Axes of size 1 can always be added, and the sizes are those of the result.
    let layout = index_layout.ok_or(Error::TooLarge { op, dims })?;
    Picks {
        x,
        axis,
        lanes,
        index: layout,
    }
    .run(op, index)
}

/// `dims` with `inner` in place of the size of `axis`.
fn spliced(dims: &[usize], axis: usize, inner: &[usize]) -> Vec<usize> {
    [&dims[..axis], inner, &dims[axis + 1..]].concat()
}

fn reference(x: &Array, axis: usize, index: &Array) -> Array {
    Array::from_fn(&spliced(&x.dims, axis, &index.dims), |place| {
        let (inner, after) = place[axis..].split_at(index.dims.len());
        let at = [&place[..axis], &[index.at(inner) as usize], after].concat();
        x.at(&at)
    })
}

fn index_select_cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    let shapes: &[(&[usize], usize, usize)] = &[
        (&[5], 0, 9),
        (&[5], 0, 0),
        (&[1], 0, 1),
        (&[0, 3], 1, 2),
        (&[6, 0], 0, 2),
        (&[4, 6], 0, 7),
        (&[4, 6], 1, 7),
        (&[3, 5, 7], 1, 300),
        (&[3, 5, 130], 2, 300),
        (&[9, 2, 129], 0, 20),
    ];
    for (i, &(dims, axis, count)) in shapes.iter().enumerate() {
        let x = cases.input(dims, -50.0, 50.0);
        let index = indices(cases, INDEX_DTYPES[i % 3], &[count], dims[axis]);
        let run = move |x: &[Tensor]| index_select(&x[0], axis as isize, &x[1]);
        cases.add(
            format!("{dims:?} by {count} axis {axis}"),
            vec![x, index],
            run,
            move |x| Expected::exact(dtype, reference(&x[0], axis, &x[1])),
        );
    }
}

fn embedding_cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    let shapes: &[(&[usize], &[usize])] = &[
        (&[5], &[9]),
        (&[7, 3], &[]),
        (&[7, 3], &[0]),
        (&[7, 0], &[4]),
        (&[7, 130], &[2, 5]),
        (&[7, 3, 4], &[5, 1, 3]),
        (&[300, 2], &[700]),
    ];
    for (i, &(dims, picked)) in shapes.iter().enumerate() {
        let weight = cases.input(dims, -50.0, 50.0);
        let index = indices(cases, INDEX_DTYPES[i % 3], picked, dims[0]);
        let run = move |x: &[Tensor]| embedding(&x[0], &x[1]);
        cases.add(
            format!("{dims:?} by {picked:?}"),
            vec![weight, index],
            run,
            move |x| Expected::exact(dtype, reference(&x[0], 0, &x[1])),
        );
    }
}

/// As many rows of a table as it has.
fn bench(
    dtype: DType,
    dims: &[usize],
    run: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
) -> Option<Bench> {
    let rows = *dims.first()?;
    let inputs = vec![(dtype, dims.to_vec()), (DType::I64, vec![rows])];
    let mut bench = Bench::memory(dims, inputs, 2 * dtype.size(), run);
    bench.bytes += (rows * DType::I64.size()) as u64;
    (rows >= INDICES).then_some(bench)
}
