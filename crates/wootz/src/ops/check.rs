//! What several ops check of their arguments.

use crate::{DType, Error, Result, Tensor};

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
    let found = tensor.dtype();
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
