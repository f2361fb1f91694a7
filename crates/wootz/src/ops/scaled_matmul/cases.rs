//! The table's row of `scaled_matmul`, its cases and benchmarks.

use super::{BLOCK, scaled_matmul};
use crate::{
    DType, Tensor,
    case::{Cases, Expected},
    reference::Array,
    table::{Bench, Benches, Row},
};

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "scaled_matmul",
    family: "products",
    summary: "the product of 8-bit floats times scales of rows and columns, or of blocks of 128",
    dtypes: &[DType::F8E4M3],
    cases,
    benches: Benches {
        shapes: &[&[64, 1024, 1024], &[1024; 3]],
        takes: "m×n×k for [m, k] times [k, n], after any more axes of rows",
        at: bench,
    },
}];

/// The product in f64, and how far it may be off.
///
/// Hopper adds up 32 products and what there was before with 13 bits below the largest of them, so
/// each of these loses less than a 2¹³th of the largest. So it does for `together` elements, whose
/// sums are added in `f32`.
/// Elsewhere each of the k additions rounds once. Scales are up to four more roundings.
fn expected(dtype: DType, x: &[Array], together: usize) -> Expected {
    /// Products that one instruction adds up, and what each may lose of the largest.
    const AT_ONCE: usize = 32;
    const LOST: f64 = 1.0 / 8192.0;
    let [a, above, b, beside] = x else {
        unreachable!("two factors with scales");
    };
    let (m, k, n) = (a.dims[0], a.dims[1], b.dims[1]);
    let scale = |scale: &Array, at: [usize; 2], of: [usize; 2]| match scale.dims[..] {
        [] => scale.values[0],
        [high, wide] => {
            let place = |size: usize, at: usize, of: usize| match size {
                1 => 0,
                _ if size == of => at,
                _ => at / BLOCK,
            };
            scale.at(&[place(high, at[0], of[0]), place(wide, at[1], of[1])])
        }
        _ => unreachable!("scales of a matrix"),
    };
    let mut errors = Vec::new();
    let array = Array::from_fn(&[m, n], |i| {
        let (mut sum, mut size, mut lost, mut part) = (0.0, 0.0, 0.0, 0.0f64);
        for first in (0..k).step_by(AT_ONCE) {
            if first.is_multiple_of(together) {
                part = 0.0;
            }
            let factor = scale(above, [i[0], first], [m, k]) * scale(beside, [first, i[1]], [k, n]);
            let mut largest = part.abs();
            for l in first..k.min(first + AT_ONCE) {
                let product = a.at(&[i[0], l]) * b.at(&[l, i[1]]);
                largest = largest.max(product.abs());
                part += product;
                sum += product * factor;
                size += (product * factor).abs();
            }
            lost += (AT_ONCE + 1) as f64 * LOST * largest * factor.abs();
        }
        let unit = f64::from(f32::EPSILON) / 2.0;
        errors.push((k as f64 + 8.0) * unit * 1.001 * size + lost);
        sum
    });
    Expected::within(dtype, array, errors)
}

fn cases(cases: &mut Cases) {
    for (i, [m, n, k]) in [
        [1, 1, 1],
        [5, 3, 7],
        [33, 40, 64],
        [64, 72, 160],
        [70, 150, 272],
        [130, 264, 400],
        [3, 4, 0],
        [0, 4, 3],
        [4, 0, 200],
    ]
    .into_iter()
    .enumerate()
    {
        let blocks = [k, n].map(|size: usize| size.div_ceil(BLOCK));
        let scales: [[&[usize]; 2]; 4] = [
            [&[], &[]],
            [&[m, 1], &[1, n]],
            [&[m, blocks[0]], &blocks],
            [&[], &blocks],
        ];
        // Of the inner size, what is added up with few bits.
        for ([above, beside], together) in scales.into_iter().zip([2, 2, 1, 1]) {
            let inputs = vec![
                cases.input(&[m, k], -400.0, 400.0),
                cases.input_of(DType::F32, above, 0.5, 2.0),
                cases.input(&[k, n], -2.0, 2.0),
                cases.input_of(DType::F32, beside, -0.01, 0.01),
            ];
            let to = DType::FLOATS[i % 3];
            let run = move |x: &[Tensor]| scaled_matmul(&x[0], &x[1], &x[2], &x[3], to);
            let label = format!("{m}×{k}·{n} to {to}, scales {above:?} and {beside:?}");
            cases.add(label, inputs, run, move |x| {
                expected(to, x, together * BLOCK)
            });
        }
    }
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let &[ref outer @ .., m, n, k] = dims else {
        return None;
    };
    let m = m * outer.iter().product::<usize>();
    let one = (DType::F32, vec![]);
    let inputs = vec![(dtype, vec![m, k]), one.clone(), (dtype, vec![k, n]), one];
    Some(Bench {
        dims: dims.to_vec(),
        inputs,
        run: Box::new(|x| scaled_matmul(&x[0], &x[1], &x[2], &x[3], DType::BF16)),
        bytes: (m * k + k * n + 2 * m * n) as u64,
        flops: (2 * m * n * k) as u64,
    })
}
