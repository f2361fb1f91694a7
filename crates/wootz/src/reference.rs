//! Arrays of `f64` with a plain index model of their own: what the ops are checked against.
//! Nothing here knows tensors, layouts or kernels, so a mistake there cannot hide here.

mod special;

pub use special::{asinh, erf, gelu, gelu_tanh, sigmoid, silu, softplus};

/// An array of `f64`, rows after rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Sizes of the axes.
    pub dims: Vec<usize>,
    /// The values in order of their indices.
    pub values: Vec<f64>,
}

impl Array {
    /// An array of `dims` whose value at each index is `f(index)`.
    pub fn from_fn(dims: &[usize], mut f: impl FnMut(&[usize]) -> f64) -> Array {
        let mut values = Vec::with_capacity(dims.iter().product());
        for_each_index(dims, |index| values.push(f(index)));
        Array {
            dims: dims.to_vec(),
            values,
        }
    }

    /// The value at `index`.
    pub fn at(&self, index: &[usize]) -> f64 {
        self.values[position(&self.dims, index)]
    }

    /// The value at `index` of a shape that this array broadcasts to.
    pub fn at_broadcast(&self, index: &[usize]) -> f64 {
        let added = index.len() - self.dims.len();
        let own = self
            .dims
            .iter()
            .zip(&index[added..])
            .map(|(&d, &i)| if d == 1 { 0 } else { i });
        self.at(&own.collect::<Vec<_>>())
    }

    /// `f` of each value.
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Array {
        Array {
            dims: self.dims.clone(),
            values: self.values.iter().map(|&v| f(v)).collect(),
        }
    }

    /// `f` of each pair of values, broadcast.
    pub fn zip(&self, other: &Array, f: impl Fn(f64, f64) -> f64) -> Array {
        let dims = broadcast(&self.dims, &other.dims);
        Array::from_fn(&dims, |i| f(self.at_broadcast(i), other.at_broadcast(i)))
    }

    /// Calls `f` with the index of each lane along `axis` (its own entry 0) and the lane's values.
    pub fn for_each_lane(&self, axis: usize, mut f: impl FnMut(&[usize], &[f64])) {
        let mut outer = self.dims.clone();
        outer[axis] = 1;
        let mut lane = vec![0.0; self.dims[axis]];
        for_each_index(&outer, |index| {
            let mut at = index.to_vec();
            for (i, value) in lane.iter_mut().enumerate() {
                at[axis] = i;
                *value = self.at(&at);
            }
            f(index, &lane);
        });
    }

    /// The values over `axes` for each index of the other axes, in order, and the sizes that are
    /// left: 1 for each of `axes`.
    pub fn over(&self, axes: &[usize]) -> (Vec<usize>, Vec<Vec<f64>>) {
        let side = |inside: bool| -> Vec<usize> {
            let sizes = self.dims.iter().enumerate();
            sizes
                .map(|(axis, &dim)| {
                    if axes.contains(&axis) == inside {
                        dim
                    } else {
                        1
                    }
                })
                .collect()
        };
        let (inner, outer) = (side(true), side(false));
        let mut all = Vec::new();
        for_each_index(&outer, |place| {
            let mut values = Vec::with_capacity(inner.iter().product());
            for_each_index(&inner, |index| {
                let at: Vec<usize> = place.iter().zip(index).map(|(a, b)| a + b).collect();
                values.push(self.at(&at));
            });
            all.push(values);
        });
        (outer, all)
    }

    /// Each lane along `axis` replaced by `f` of it, which keeps its length.
    pub fn map_lanes(&self, axis: usize, f: impl Fn(&[f64]) -> Vec<f64>) -> Array {
        let mut out = self.clone();
        self.for_each_lane(axis, |index, lane| {
            let mut at = index.to_vec();
            for (i, value) in f(lane).into_iter().enumerate() {
                at[axis] = i;
                out.values[position(&self.dims, &at)] = value;
            }
        });
        out
    }
}

/// The position of `index` in an array of `dims`.
pub fn position(dims: &[usize], index: &[usize]) -> usize {
    dims.iter()
        .zip(index)
        .fold(0, |position, (&dim, &i)| position * dim + i)
}

/// Calls `f` with every index of `dims`, in order.
pub fn for_each_index(dims: &[usize], mut f: impl FnMut(&[usize])) {
    if dims.contains(&0) {
        return;
    }
    let mut index = vec![0; dims.len()];
    loop {
        f(&index);
        let Some(axis) = (0..dims.len())
            .rev()
            .find(|&axis| index[axis] + 1 < dims[axis])
        else {
            return;
        };
        index[axis] += 1;
        index[axis + 1..].fill(0);
    }
}

/// The shape that two shapes broadcast to, by NumPy's rule. They do broadcast.
pub fn broadcast(left: &[usize], right: &[usize]) -> Vec<usize> {
    let rank = left.len().max(right.len());
    let at = |dims: &[usize], axis: usize| {
        (axis + dims.len())
            .checked_sub(rank)
            .map_or(1, |axis| dims[axis])
    };
    (0..rank)
        .map(|axis| match (at(left, axis), at(right, axis)) {
            (1, size) | (size, _) => size,
        })
        .collect()
}
