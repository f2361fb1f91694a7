//! Views against an index model that knows no strides: for each place, which element stands there.

use proptest::prelude::*;
use wootz::{
    Device, Layout, Shape, Tensor, collapse, ops,
    reference::{for_each_index, position},
};

/// The most elements that a chain of views may reach.
const LARGEST: usize = 3000;

/// For each index, in order, the number of the element there.
#[derive(Debug, Clone)]
struct Model {
    dims: Vec<usize>,
    elements: Vec<usize>,
}

impl Model {
    fn new(dims: &[usize]) -> Model {
        Model {
            dims: dims.to_vec(),
            elements: (0..dims.iter().product()).collect(),
        }
    }

    /// A model of `dims` where the element at each index is this one's at `from(index)`.
    fn seen(&self, dims: &[usize], from: impl Fn(&[usize]) -> Vec<usize>) -> Model {
        let mut elements = Vec::new();
        for_each_index(dims, |index| {
            elements.push(self.elements[position(&self.dims, &from(index))])
        });
        Model {
            dims: dims.to_vec(),
            elements,
        }
    }
}

/// A view, chosen by numbers that are read modulo what is possible.
#[derive(Debug, Clone)]
struct Step {
    kind: u8,
    numbers: [usize; 4],
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0u8..8, prop::array::uniform4(0usize..1000));
    prop::collection::vec(
        step.prop_map(|(kind, numbers)| Step { kind, numbers }),
        0..8,
    )
}

fn shapes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(
        prop_oneof![1 => Just(0usize), 3 => Just(1), 12 => 2usize..6],
        0..5,
    )
}

impl Step {
    /// The step on a tensor and on its model; nothing where it has no meaning.
    fn take(&self, tensor: &Tensor, model: &Model) -> Option<(Tensor, Model)> {
        let rank = model.dims.len();
        let [a, b, c, d] = self.numbers;
        match self.kind {
            0 => {
                let dims = cut(model.elements.len(), &self.numbers);
                let seen = Model {
                    dims: dims.clone(),
                    elements: model.elements.clone(),
                };
                Some((tensor.reshape(&dims).unwrap(), seen))
            }
            1 => {
                let order = shuffled(rank, &self.numbers);
                let dims: Vec<usize> = order.iter().map(|&axis| model.dims[axis]).collect();
                let seen = model.seen(&dims, |index| {
                    let mut from = vec![0; rank];
                    order
                        .iter()
                        .zip(index)
                        .for_each(|(&axis, &i)| from[axis] = i);
                    from
                });
                Some((tensor.permute(&order).unwrap(), seen))
            }
            2 if rank > 0 => {
                let axis = a % rank;
                let start = b % (model.dims[axis] + 1);
                let length = c % (model.dims[axis] - start + 1);
                let mut dims = model.dims.clone();
                dims[axis] = length;
                let seen = model.seen(&dims, |index| {
                    let mut from = index.to_vec();
                    from[axis] += start;
                    from
                });
                Some((
                    tensor.narrow(signed(axis, rank, d), start, length).unwrap(),
                    seen,
                ))
            }
            3 if rank > 0 => {
                let axis = a % rank;
                let seen = model.seen(&model.dims, |index| {
                    let mut from = index.to_vec();
                    from[axis] = model.dims[axis] - 1 - from[axis];
                    from
                });
                Some((tensor.flip(signed(axis, rank, b)).unwrap(), seen))
            }
            4 => self.broadcast(tensor, model),
            5 if rank > 0 => {
                let (first, second) = (a % rank, b % rank);
                let mut dims = model.dims.clone();
                dims.swap(first, second);
                let seen = model.seen(&dims, |index| {
                    let mut from = index.to_vec();
                    from.swap(first, second);
                    from
                });
                let (first, second) = (signed(first, rank, c), signed(second, rank, d));
                Some((tensor.transpose(first, second).unwrap(), seen))
            }
            6 if rank < wootz::MAX_RANK => {
                let axis = a % (rank + 1);
                let mut dims = model.dims.clone();
                dims.insert(axis, 1);
                let seen = Model {
                    dims,
                    elements: model.elements.clone(),
                };
                Some((tensor.unsqueeze(signed(axis, rank + 1, b)).unwrap(), seen))
            }
            7 => {
                let axis = model.dims.iter().position(|&dim| dim == 1)?;
                let mut dims = model.dims.clone();
                dims.remove(axis);
                let seen = Model {
                    dims,
                    elements: model.elements.clone(),
                };
                Some((tensor.squeeze(signed(axis, rank, b)).unwrap(), seen))
            }
            _ => None,
        }
    }

    fn broadcast(&self, tensor: &Tensor, model: &Model) -> Option<(Tensor, Model)> {
        let [a, b, c, _] = self.numbers;
        let added = a % 3;
        let mut dims: Vec<usize> = [b % 3 + 1, c % 3 + 1][..added.min(2)].to_vec();
        dims.extend(
            model
                .dims
                .iter()
                .map(|&dim| if dim == 1 { c % 4 } else { dim }),
        );
        if dims.len() > wootz::MAX_RANK || dims.iter().product::<usize>() > LARGEST {
            return None;
        }
        let seen = model.seen(&dims, |index| {
            let own = index[dims.len() - model.dims.len()..]
                .iter()
                .zip(&model.dims);
            own.map(|(&i, &dim)| if dim == 1 { 0 } else { i }).collect()
        });
        Some((tensor.broadcast_to(&dims).unwrap(), seen))
    }
}

/// `axis` counted from the front or from the end.
fn signed(axis: usize, rank: usize, choice: usize) -> isize {
    if choice.is_multiple_of(2) {
        axis as isize
    } else {
        axis as isize - rank as isize
    }
}

/// Sizes whose product is `count`.
fn cut(count: usize, numbers: &[usize]) -> Vec<usize> {
    let mut left = count;
    let mut dims = Vec::new();
    for number in numbers {
        let divisors: Vec<usize> = (1..=left)
            .filter(|divisor| left.is_multiple_of(*divisor))
            .collect();
        let divisor = if left == 0 {
            number % 3
        } else {
            divisors[number % divisors.len()]
        };
        dims.push(divisor);
        left = left.checked_div(divisor).unwrap_or(1);
    }
    dims.push(left);
    dims
}

/// The axes in an order.
fn shuffled(rank: usize, numbers: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rank).collect();
    for axis in (1..rank).rev() {
        order.swap(axis, numbers[axis % numbers.len()] % (axis + 1));
    }
    order
}

/// Where the elements of a layout lie, in the order of their indices.
fn positions(layout: &Layout) -> Vec<usize> {
    let mut positions = Vec::new();
    for_each_index(layout.dims(), |index| {
        let steps = index
            .iter()
            .zip(layout.strides())
            .map(|(&i, &stride)| i as isize * stride);
        positions.push(layout.offset().checked_add_signed(steps.sum()).unwrap());
    });
    positions
}

proptest! {
    #[test]
    fn chains_of_views_show_what_the_model_says(dims in shapes(), steps in steps()) {
        let mut model = Model::new(&dims);
        let values: Vec<i64> = (0..model.elements.len() as i64).collect();
        let mut tensor = Tensor::from_slice(&values, &dims, Device::cpu()).unwrap();
        for step in &steps {
            let Some((next, seen)) = step.take(&tensor, &model) else { continue };
            prop_assert_eq!(next.dims(), &seen.dims[..]);
            let elements: Vec<i64> = seen.elements.iter().map(|&element| element as i64).collect();
            prop_assert_eq!(&next.to_vec::<i64>().unwrap(), &elements);
            prop_assert_eq!(&ops::copy(&next).unwrap().to_vec::<i64>().unwrap(), &elements);
            check_layout(next.layout(), step)?;
            (tensor, model) = (next, seen);
        }
    }

    #[test]
    fn shapes_broadcast_as_the_model_says(left in shapes(), right in shapes()) {
        let [left, right] = [left, right].map(|dims| Shape::new(&dims).unwrap());
        let sizes = |shape: &Shape| {
            let mut sizes = [1; 8];
            sizes[8 - shape.rank()..].copy_from_slice(shape.dims());
            sizes
        };
        let fits = sizes(&left).iter().zip(sizes(&right)).all(|(&a, b)| a == b || a == 1 || b == 1);
        let both = left.broadcast(&right);
        prop_assert_eq!(both.is_some(), fits);
        prop_assert_eq!(both, right.broadcast(&left));
        if let Some(both) = both {
            prop_assert_eq!(both.dims(), &wootz::reference::broadcast(left.dims(), right.dims())[..]);
        }
    }
}

/// What a layout says of itself is so.
fn check_layout(layout: &Layout, step: &Step) -> Result<(), TestCaseError> {
    let all = positions(layout);
    let extent = all.iter().min().copied().zip(all.iter().max().copied());
    prop_assert_eq!(layout.extent(), extent);
    let straight = all
        .iter()
        .enumerate()
        .all(|(i, &at)| at == layout.offset() + i);
    prop_assert_eq!(layout.is_contiguous(), straight || all.is_empty());
    if all.is_empty() {
        return Ok(());
    }
    let short = layout.collapse();
    prop_assert_eq!(&positions(&short), &all);
    prop_assert!(short.dims().iter().all(|&dim| dim > 1));
    let joins = |axis: usize| {
        short.strides()[axis] == short.strides()[axis + 1] * short.dims()[axis + 1] as isize
    };
    prop_assert!(
        !(1..short.rank()).any(|axis| joins(axis - 1)),
        "{:?} could be shorter",
        short
    );
    // With a second layout beside it, both still go the same way.
    let whole = Layout::contiguous(layout.shape());
    let both = collapse([layout, &whole]);
    prop_assert_eq!(both[0].dims(), both[1].dims());
    prop_assert_eq!(positions(&both[0]), all.clone());
    prop_assert_eq!(positions(&both[1]), (0..all.len()).collect::<Vec<_>>());
    let dims = cut(all.len(), &step.numbers);
    if let Some(view) = layout.reshape(Shape::new(&dims).unwrap()) {
        prop_assert_eq!(positions(&view), all);
    }
    Ok(())
}

#[test]
fn reshaping_is_a_view_where_strides_can_say_it() {
    let x = Tensor::from_slice(&[0u8; 24], &[2, 3, 4], Device::cpu()).unwrap();
    let is_view = |y: &Tensor| y.buffer().id() == x.buffer().id();
    assert!(is_view(&x.reshape(&[6, 2, 2]).unwrap()));
    let turned = x.permute(&[2, 0, 1]).unwrap();
    assert!(is_view(&turned.reshape(&[2, 2, 6]).unwrap()));
    assert!(is_view(&turned.unsqueeze(1).unwrap().squeeze(1).unwrap()));
    assert!(!is_view(&turned.reshape(&[8, 3]).unwrap()));
    let repeated = x.narrow(0, 0, 1).unwrap().broadcast_to(&[5, 3, 4]).unwrap();
    assert!(is_view(&repeated.reshape(&[5, 12]).unwrap()));
}
