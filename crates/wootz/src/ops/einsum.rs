//! `einsum`: sums of products, as an equation of axis labels says.

mod cases;
mod equation;

use super::{Epilogue, check, matmul::product, mul, sum};
use crate::{
    DType, Error, MAX_RANK, Result, Tensor,
    table::{Bench, Benches, Row},
};
use equation::{Equation, Label};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "einsum",
    family: "products",
    summary: "sums of products, as an equation of axis labels says",
    dtypes: DType::FLOATS,
    cases: cases::cases,
    benches: Benches {
        shapes: &[&[8, 64, 64, 64], &[1024; 3]],
        takes: "m×n×k for ...mk,...kn->...mn, after the axes of a batch",
        at: bench,
    },
}];

const OP: &str = "einsum";

/// An operand whose axes have labels, each another.
struct Labelled {
    tensor: Tensor,
    labels: Vec<Label>,
}

/// Multiplies operands along axes of the same label and sums over those that the result lacks:
/// `einsum("bij,bjk->bik", &[&a, &b])`. `...` stands for axes that broadcast; an axis of size 1
/// broadcasts under any label; a label twice in one operand takes its diagonal. Without `->` the
/// result has the labels that occur once, in alphabetical order.
///
/// Operands are contracted from left to right, two at a time, each time with one matrix product.
/// What lies between two contractions has the operands' element type.
pub fn einsum(equation: &str, operands: &[&Tensor]) -> Result<Tensor> {
    let shapes = || {
        let shapes: Vec<String> = operands.iter().map(|x| x.shape().to_string()).collect();
        shapes.join(", ")
    };
    let wrong = |expected: String| Error::Value {
        op: OP,
        argument: "the equation",
        found: format!("{equation:?} for {}", shapes()),
        expected,
    };
    let named: Vec<(&'static str, &Tensor)> = operands.iter().map(|&x| ("an operand", x)).collect();
    let Some(&(argument, first)) = named.first() else {
        return Err(wrong("at least one operand".to_owned()));
    };
    check::dtype(OP, argument, first, DType::FLOATS)?;
    check::same_dtype(OP, &named)?;
    check::same_device(OP, &named)?;
    let ranks: Vec<usize> = operands.iter().map(|x| x.rank()).collect();
    let equation = Equation::parse(equation, &ranks).map_err(wrong)?;
    let sizes = sizes(&equation, operands).map_err(wrong)?;
    contract(&equation, operands, &sizes).map_err(|error| match error {
        Error::TooLarge { dims, .. } => Error::TooLarge { op: OP, dims },
        other => other,
    })
}

/// The size of each label.
fn sizes(equation: &Equation, operands: &[&Tensor]) -> Result<BTreeMap<Label, usize>, String> {
    let mut sizes = BTreeMap::new();
    for (labels, operand) in equation.inputs.iter().zip(operands) {
        for (&label, &size) in labels.iter().zip(operand.dims()) {
            let known = sizes.entry(label).or_insert(size);
            match (*known, size) {
                (1, _) => *known = size,
                (known, size) if size == known || size == 1 => {}
                (known, size) => {
                    return Err(format!("one size for {label}, not {known} and {size}"));
                }
            }
        }
    }
    Ok(sizes)
}

fn contract(
    equation: &Equation,
    operands: &[&Tensor],
    sizes: &BTreeMap<Label, usize>,
) -> Result<Tensor> {
    let terms = equation.inputs.iter().zip(operands);
    let mut terms = terms.map(|(labels, operand)| Labelled::new(operand, labels, sizes));
    let Some(first) = terms.next() else {
        unreachable!("einsum has at least one operand");
    };
    let mut result = first?;
    for (i, next) in terms.enumerate() {
        let later = equation.inputs[i + 2..].iter().flatten();
        let wanted: Vec<Label> = later.chain(&equation.output).copied().collect();
        result = result.times(next?, &wanted)?;
    }
    let result = result.only(&equation.output)?;
    let mut tensor = result.ordered(&equation.output)?;
    // A label whose only axes have size 1 was left out.
    for (axis, label) in equation.output.iter().enumerate() {
        if !result.labels.contains(label) {
            tensor = tensor.unsqueeze(axis as isize)?;
        }
    }
    Ok(tensor)
}

impl Labelled {
    /// Takes diagonals, and leaves out axes of size 1: they broadcast by themselves.
    fn new(tensor: &Tensor, labels: &[Label], sizes: &BTreeMap<Label, usize>) -> Result<Labelled> {
        let mut layout = *tensor.layout();
        let mut left: Vec<Label> = vec![];
        for label in labels {
            let axis = left.len();
            if layout.dims()[axis] == 1 {
                layout = layout.without(axis);
            } else if let Some(first) = left.iter().position(|known| known == label) {
                layout = layout.diagonal(first, axis);
            } else {
                left.push(*label);
            }
        }
        debug_assert!(
            left.iter()
                .zip(layout.dims())
                .all(|(label, dim)| sizes[label] == *dim)
        );
        Ok(Labelled {
            tensor: tensor.view(layout),
            labels: left,
        })
    }

    /// Sums over all labels but those of `wanted`.
    fn only(self, wanted: &[Label]) -> Result<Labelled> {
        let labels = self.labels.iter().enumerate();
        let (kept, summed): (Vec<_>, Vec<_>) =
            labels.partition(|(_, label)| wanted.contains(label));
        if summed.is_empty() {
            return Ok(self);
        }
        let axes: Vec<isize> = summed.iter().map(|&(axis, _)| axis as isize).collect();
        Ok(Labelled {
            tensor: sum(&self.tensor, &axes[..], false)?,
            labels: kept.into_iter().map(|(_, &label)| label).collect(),
        })
    }

    /// The tensor with its axes in the order of `labels`, which may hold others too.
    fn ordered(&self, labels: &[Label]) -> Result<Tensor> {
        let place = |label| self.labels.iter().position(|own| own == label);
        let order: SmallVec<[usize; MAX_RANK]> = labels.iter().filter_map(place).collect();
        self.tensor.permute(&order)
    }

    /// The product with `right`, summed over the labels that `wanted` lacks.
    fn times(self, right: Labelled, wanted: &[Label]) -> Result<Labelled> {
        let both = |own: &Labelled, other: &Labelled| -> Vec<Label> {
            let needed = |label: &&Label| other.labels.contains(label) || wanted.contains(label);
            own.labels.iter().filter(needed).copied().collect()
        };
        let (left_needs, right_needs) = (both(&self, &right), both(&right, &self));
        let (left, right) = (self.only(&left_needs)?, right.only(&right_needs)?);
        let shared = |label: &&Label| right.labels.contains(label);
        let (shared, rows): (Vec<&Label>, Vec<&Label>) = left.labels.iter().partition(shared);
        let (batch, inner): (Vec<&Label>, Vec<&Label>) =
            shared.into_iter().partition(|label| wanted.contains(label));
        let columns = right
            .labels
            .iter()
            .filter(|label| !left.labels.contains(label));
        let columns: Vec<&Label> = columns.collect();
        let run =
            |parts: [&[&Label]; 3]| -> Vec<Label> { parts.concat().into_iter().copied().collect() };
        let a = left.ordered(&run([&batch, &rows, &inner]))?;
        let b = right.ordered(&run([&batch, &inner, &columns]))?;
        let labels = run([&batch, &rows, &columns]);
        let sizes = |x: &Tensor, first: usize, count: usize| -> Vec<usize> {
            x.dims()[first..first + count].to_vec()
        };
        let outer = sizes(&a, 0, batch.len());
        let high = sizes(&a, batch.len(), rows.len());
        let wide = sizes(&b, batch.len() + inner.len(), columns.len());
        let dims = [&outer[..], &high, &wide].concat();
        if inner.is_empty() {
            // Nothing to sum over: each element is one product.
            let ones = vec![1; wide.len()];
            let a = a.reshape(&[&outer[..], &high, &ones].concat())?;
            let ones = vec![1; high.len()];
            let b = b.reshape(&[&outer[..], &ones, &wide].concat())?;
            return Ok(Labelled {
                tensor: mul(&a, &b)?,
                labels,
            });
        }
        let deep: usize = sizes(&a, batch.len() + rows.len(), inner.len())
            .iter()
            .product();
        let (high, wide) = (high.iter().product(), wide.iter().product());
        // A product has two axes beside those of its batch.
        let batch = match outer.len() + 2 <= MAX_RANK {
            true => outer,
            false => vec![outer.iter().product()],
        };
        let a = a.reshape(&[&batch[..], &[high, deep]].concat())?;
        let b = b.reshape(&[&batch[..], &[deep, wide]].concat())?;
        Ok(Labelled {
            tensor: product(OP, (&a, &b), Epilogue::NONE)?.reshape(&dims)?,
            labels,
        })
    }
}

fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let &[ref batch @ .., m, n, k] = dims else {
        return None;
    };
    let inputs = [[m, k], [k, n]].map(|sizes| (dtype, [batch, &sizes].concat()));
    let matrices = batch.iter().product::<usize>();
    Some(Bench {
        dims: dims.to_vec(),
        inputs: inputs.into(),
        run: Box::new(|x| einsum("...mk,...kn->...mn", &[&x[0], &x[1]])),
        bytes: (matrices * (m * k + k * n + m * n) * dtype.size()) as u64,
        flops: (2 * matrices * m * n * k) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn what_is_wrong_names_the_equation_and_the_shapes() {
        let tensor = |dims: &[usize]| {
            let values = vec![1f32; dims.iter().product()];
            Tensor::from_slice(&values, dims, Device::cpu()).unwrap()
        };
        let error = einsum("ij,jk->ik", &[&tensor(&[2, 3]), &tensor(&[4, 5])]).unwrap_err();
        let text = "einsum: the equation is \"ij,jk->ik\" for [2, 3], [4, 5], expected one size \
                    for `j`, not 3 and 4";
        assert_eq!(error.to_string(), text);
        assert!(einsum("->", &[]).is_err());
        assert!(einsum("ij->i", &[&tensor(&[2])]).is_err());
    }
}
