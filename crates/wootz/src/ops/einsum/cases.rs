//! Conformance cases.

use super::einsum;
use crate::{
    DType, Tensor,
    case::{Cases, Expected},
    reference::{Array, for_each_index},
};

/// An equation, the same with a letter for every axis where it has `...`, the operands' sizes, and
/// how often what lies between two steps is rounded to the element type.
type Case = (
    &'static str,
    &'static str,
    &'static [&'static [usize]],
    usize,
);

const CASES: &[Case] = &[
    ("ij,jk->ik", "ij,jk->ik", &[&[5, 7], &[7, 3]], 0),
    ("ij,kj->ki", "ij,kj->ki", &[&[33, 17], &[18, 17]], 0),
    ("bij,bjk->bik", "bij,bjk->bik", &[&[3, 4, 5], &[3, 5, 6]], 0),
    (
        "bhqd,bhkd->bhqk",
        "bhqd,bhkd->bhqk",
        &[&[2, 3, 4, 8], &[2, 3, 5, 8]],
        0,
    ),
    (
        "bqhd,bkhd->bhqk",
        "bqhd,bkhd->bhqk",
        &[&[2, 4, 3, 8], &[2, 5, 3, 8]],
        0,
    ),
    (
        "abcd,cbe->aed",
        "abcd,cbe->aed",
        &[&[2, 3, 4, 5], &[4, 3, 6]],
        0,
    ),
    ("i,i->", "i,i->", &[&[9], &[9]], 0),
    ("i,j->ij", "i,j->ij", &[&[4], &[6]], 0),
    ("ij,ij->ij", "ij,ij->ij", &[&[4, 6], &[4, 6]], 0),
    ("ij->ji", "ij->ji", &[&[4, 6]], 0),
    ("ij->j", "ij->j", &[&[4, 6]], 0),
    ("ij->", "ij->", &[&[4, 6]], 0),
    ("ii->i", "ii->i", &[&[5, 5]], 0),
    ("ii", "ii->", &[&[5, 5]], 0),
    ("iji->j", "iji->j", &[&[5, 3, 5]], 0),
    ("ba", "ba->ab", &[&[4, 6]], 0),
    ("ij,jk", "ij,jk->ik", &[&[4, 6], &[6, 2]], 0),
    (
        "...ij,...jk->...ik",
        "abij,bjk->abik",
        &[&[2, 3, 4, 5], &[3, 5, 6]],
        0,
    ),
    ("...ij,jk", "abij,jk->abik", &[&[2, 3, 4, 5], &[5, 6]], 0),
    ("i...->...", "iab->ab", &[&[4, 2, 3]], 0),
    ("bij,bjk->bik", "ij,bjk->bik", &[&[1, 4, 5], &[3, 5, 6]], 0),
    ("ij,jk->ik", "ij,jk->ik", &[&[3, 0], &[0, 4]], 0),
    ("ij,jk->ik", "ij,jk->ik", &[&[0, 3], &[3, 4]], 0),
    ("ij,jk->ik", "ij,jk->ik", &[&[3, 1], &[1, 4]], 0),
    ("ijl,jk->ik", "ijl,jk->ik", &[&[3, 5, 4], &[5, 6]], 1),
    (
        "ij,jk,kl->il",
        "ij,jk,kl->il",
        &[&[3, 4], &[4, 5], &[5, 2]],
        1,
    ),
    ("a,b,c->abc", "a,b,c->abc", &[&[3], &[4], &[5]], 1),
];

/// The bound: every term is rounded at each product and in each addition, and what lies between
/// two steps once to the element type.
fn reference(dtype: DType, equation: &str, x: &[Array], roundings: usize) -> Expected {
    let (inputs, output) = equation.split_once("->").expect("cases have an arrow");
    let terms: Vec<Vec<char>> = inputs
        .split(',')
        .map(|term| term.chars().collect())
        .collect();
    let mut order: Vec<char> = output.chars().collect();
    let mut rest: Vec<char> = terms.concat();
    rest.retain(|label| !order.contains(label));
    rest.sort_unstable();
    rest.dedup();
    // The case that broadcasts has an axis that its reference lacks.
    let operands: Vec<Array> = (x.iter().zip(&terms))
        .map(|(x, term)| Array {
            dims: x.dims[x.dims.len() - term.len()..].to_vec(),
            values: x.values.clone(),
        })
        .collect();
    let size = |label: &char| {
        let sizes = terms
            .iter()
            .zip(&operands)
            .flat_map(|(term, x)| term.iter().zip(&x.dims));
        sizes
            .filter(|(known, _)| *known == label)
            .map(|(_, &dim)| dim)
            .max()
            .unwrap_or(1)
    };
    let dims: Vec<usize> = order.iter().map(size).collect();
    let inner: Vec<usize> = rest.iter().map(size).collect();
    order.extend(&rest);
    let steps = (inner.iter().product::<usize>() + 2 * x.len()) as f64;
    let unit = f64::from(f32::EPSILON) / 2.0;
    let narrow = if dtype == DType::F32 {
        0.0
    } else {
        roundings as f64 * dtype.epsilon() / 2.0
    };
    let mut errors = vec![];
    let array = Array::from_fn(&dims, |place| {
        let (mut sum, mut total) = (0.0, 0.0f64);
        for_each_index(&inner, |index| {
            let at: Vec<usize> = place.iter().chain(index).copied().collect();
            let of = |label: &char| at[order.iter().position(|known| known == label).unwrap_or(0)];
            let factors = terms
                .iter()
                .zip(&operands)
                .map(|(term, x)| x.at(&term.iter().map(of).collect::<Vec<_>>()));
            let term: f64 = factors.product();
            sum += term;
            total += term.abs();
        });
        let flushed = steps * f64::from(f32::MIN_POSITIVE);
        let tiny = if dtype == DType::F16 {
            6e-8 * roundings as f64 * steps
        } else {
            0.0
        };
        errors.push((steps * unit + narrow) * 1.01 * total + flushed + tiny);
        sum
    });
    Expected::within(dtype, array, errors)
}

pub(super) fn cases(cases: &mut Cases) {
    let dtype = cases.dtype();
    for &(equation, plain, dims, roundings) in CASES {
        let inputs = dims
            .iter()
            .map(|dims| cases.input(dims, -1.0, 1.0))
            .collect();
        let run = move |x: &[Tensor]| einsum(equation, &x.iter().collect::<Vec<_>>());
        cases.add(format!("{equation} {dims:?}"), inputs, run, move |x| {
            reference(dtype, plain, x, roundings)
        });
    }
}
