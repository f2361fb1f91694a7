//! Conformance cases.

use super::{super::matmul::expected, BlockMasks, masked_matmul};
use crate::{
    DType, Tensor,
    case::{Cases, Input},
    reference::Array,
};

/// Masks of blocks that are let through or not, in no order.
fn mask(cases: &mut Cases, dims: &[usize], share: f64) -> Input {
    let array = Array::from_fn(dims, |_| f64::from(u8::from(cases.uniform() < share)));
    Input::new(DType::U8, array)
}

/// `x` without the blocks that a mask hides.
fn hidden(x: &Array, mask: Option<&Array>, block: usize) -> Array {
    let Some(mask) = mask else { return x.clone() };
    let rank = x.dims.len();
    // A mask of a batch makes a batch of what it hides.
    let mut dims = mask.dims.clone();
    let last = dims.len();
    dims[last - 2..].copy_from_slice(&x.dims[rank - 2..]);
    let dims = if dims.len() > rank {
        dims
    } else {
        x.dims.clone()
    };
    Array::from_fn(&dims, |index| {
        let mut place = index.to_vec();
        let last = place.len();
        place[last - 2] /= block;
        place[last - 1] /= block;
        let place = &place[last - mask.dims.len()..];
        match mask.at_broadcast(place) {
            0.0 => 0.0,
            _ => x.at_broadcast(index),
        }
    })
}

pub(super) fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    type Dims = &'static [usize];
    let shapes: [(Dims, Dims, usize); 8] = [
        (&[5, 7], &[7, 3], 32),
        (&[64, 64], &[64, 64], 32),
        (&[40, 136], &[136, 70], 32),
        (&[130, 140], &[140, 70], 64),
        (&[1, 300], &[300, 65], 64),
        (&[2, 40, 96], &[2, 96, 33], 32),
        (&[3, 0], &[0, 4], 32),
        (&[0, 4], &[4, 3], 64),
    ];
    for (i, (left, right, block)) in shapes.into_iter().enumerate() {
        for which in 0..4 {
            // Which masks there are, and how much they let through; a batch has masks of its own.
            let has = [which != 0, which != 1, which == 2 || which == 0];
            let share = [0.5, 0.8, 0.6, 0.0][which];
            let [m, k] = *left.last_chunk::<2>().expect("a matrix");
            let n = right[right.len() - 1];
            let outer = if i % 2 == 1 {
                &left[..left.len() - 2]
            } else {
                &[]
            };
            let [high, deep, wide] = [m, k, n].map(|size: usize| size.div_ceil(block));
            let sizes = [[high, deep], [deep, wide], [high, wide]];
            let mut inputs = vec![cases.input(left, -1.0, 1.0), cases.input(right, -1.0, 1.0)];
            for (has, sizes) in has.into_iter().zip(sizes) {
                if has {
                    inputs.push(mask(cases, &[outer, &sizes].concat(), share));
                }
            }
            let run = move |x: &[Tensor]| {
                let mut rest = x[2..].iter();
                let [left, right, out] = has.map(|has| has.then(|| rest.next()).flatten());
                masked_matmul(
                    &x[0],
                    &x[1],
                    BlockMasks {
                        block,
                        left,
                        right,
                        out,
                    },
                )
            };
            let label = format!("{left:?}·{right:?} in blocks of {block}, masks {has:?}");
            cases.add(label, inputs, run, move |x| {
                let mut rest = x[2..].iter();
                let [left, right, out] = has.map(|has| has.then(|| rest.next()).flatten());
                let (a, b) = (hidden(&x[0], left, block), hidden(&x[1], right, block));
                let mut expected = expected(dtype, &a, &b, None);
                expected.array = hidden(&expected.array, out, block);
                expected
            });
        }
    }
}
