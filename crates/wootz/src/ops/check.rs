//! What several ops check of their arguments.

use crate::{DType, Error, Result, Shape, Tensor};

/// All arguments live on the device of the first.
pub(crate) fn same_device(op: &'static str, arguments: &[(&'static str, &Tensor)]) -> Result<()> {
    let Some((_, first)) = arguments.first() else {
        return Ok(());
    };
    for (argument, tensor) in arguments {
        if tensor.device() != first.device() {
            let (found, expected) = (tensor.device().name(), first.device().name());
            return Err(Error::Device {
                op,
                argument,
                found,
                expected,
            });
        }
    }
    Ok(())
}

/// The argument's element type is one of these.
pub(crate) fn dtype(
    op: &'static str,
    argument: &'static str,
    tensor: &Tensor,
    allowed: &[DType],
) -> Result<()> {
    element(op, argument, tensor.dtype(), allowed)
}

/// The element type is one of these.
pub(crate) fn element(
    op: &'static str,
    argument: &'static str,
    found: DType,
    allowed: &[DType],
) -> Result<()> {
    if allowed.contains(&found) {
        return Ok(());
    }
    let names: Vec<_> = allowed.iter().map(|dtype| dtype.name()).collect();
    Err(Error::DType {
        op,
        argument,
        found,
        expected: names.join(", "),
    })
}

/// All arguments have the element type of the first.
pub(crate) fn same_dtype(op: &'static str, arguments: &[(&'static str, &Tensor)]) -> Result<()> {
    let Some((_, first)) = arguments.first() else {
        return Ok(());
    };
    arguments
        .iter()
        .try_for_each(|(argument, tensor)| dtype(op, argument, tensor, &[first.dtype()]))
}

/// Makes the error of an argument whose shape is not what `op` takes there.
pub(crate) fn wrong_shape(op: &'static str) -> impl Fn(&'static str, &Tensor, String) -> Error {
    move |argument, tensor, expected| Error::Shape {
        op,
        argument,
        found: tensor.shape(),
        expected,
    }
}

/// Weight and bias fit `x`: on its device, of its type and of this shape.
pub(crate) fn affine(
    op: &'static str,
    x: &Tensor,
    shape: Shape,
    [weight, bias]: [Option<&Tensor>; 2],
) -> Result<()> {
    for (argument, tensor) in [("weight", weight), ("bias", bias)] {
        let Some(tensor) = tensor else { continue };
        same_device(op, &[("x", x), (argument, tensor)])?;
        same_dtype(op, &[("x", x), (argument, tensor)])?;
        if tensor.shape() != shape {
            let (found, expected) = (tensor.shape(), shape.to_string());
            return Err(Error::Shape {
                op,
                argument,
                found,
                expected,
            });
        }
    }
    Ok(())
}

/// What keeps a root from zero is a number that is not negative.
pub(crate) fn epsilon(op: &'static str, epsilon: f64) -> Result<()> {
    if epsilon.is_finite() && epsilon >= 0.0 {
        return Ok(());
    }
    let (found, expected) = (epsilon.to_string(), "a number from 0 on".to_owned());
    Err(Error::Value {
        op,
        argument: "epsilon",
        found,
        expected,
    })
}

/// The sizes before an axis, its own, and those after it, multiplied.
pub(crate) fn around(x: &Tensor, axis: usize) -> [usize; 3] {
    let product = |dims: &[usize]| dims.iter().product();
    let (before, rest) = x.dims().split_at(axis);
    [product(before), rest[0], product(&rest[1..])]
}
