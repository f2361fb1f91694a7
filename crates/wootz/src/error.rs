//! What can be wrong with a call. An error names the op, the argument, and what it was given.

use crate::{DType, MAX_RANK, Shape};

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the library.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument has a shape that the op cannot take.
    #[error("{op}: {argument} has shape {found}, expected {expected}")]
    Shape {
        /// The op.
        op: &'static str,
        /// The argument.
        argument: &'static str,
        /// Its shape.
        found: Shape,
        /// What would do.
        expected: String,
    },
    /// Two shapes do not go together.
    #[error("{op}: shapes {left} and {right} do not {verb}")]
    Shapes {
        /// The op.
        op: &'static str,
        /// The first shape.
        left: Shape,
        /// The second shape.
        right: Shape,
        /// What they should do: `broadcast`, `multiply`.
        verb: &'static str,
    },
    /// An argument has an element type that the op cannot take.
    #[error("{op}: {argument} has dtype {found}, expected {expected}")]
    DType {
        /// The op.
        op: &'static str,
        /// The argument.
        argument: &'static str,
        /// Its type.
        found: DType,
        /// What would do.
        expected: String,
    },
    /// An argument lives on another device than the first one.
    #[error("{op}: {argument} is on {found}, the first argument on {expected}")]
    Device {
        /// The op.
        op: &'static str,
        /// The argument.
        argument: &'static str,
        /// Its device.
        found: &'static str,
        /// The first argument's device.
        expected: &'static str,
    },
    /// A number or a list of numbers is out of its range.
    #[error("{op}: {argument} is {found}, expected {expected}")]
    Value {
        /// The op.
        op: &'static str,
        /// The argument.
        argument: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: String,
    },
    /// A tensor of indices holds one that lies outside the axis it is for.
    #[error("{op}: {argument} holds {value}, expected an index in 0..{limit}")]
    Index {
        /// The op.
        op: &'static str,
        /// The argument.
        argument: &'static str,
        /// The first such index, in the tensor's own order.
        value: i64,
        /// The size of the axis.
        limit: usize,
    },
    /// A shape has more elements than memory has addresses, or more axes than a tensor can have.
    #[error("{op}: a tensor of shape {dims:?} {}", too_large(dims))]
    TooLarge {
        /// The op.
        op: &'static str,
        /// The sizes.
        dims: Vec<usize>,
    },
    /// A file could not be read or written.
    #[error("{path}: {reason}")]
    File {
        /// The path.
        path: String,
        /// What the system or the format says.
        reason: String,
    },
    /// The device or a stream failed.
    #[error(transparent)]
    Runtime(#[from] wootz_runtime::Error),
}

fn too_large(dims: &[usize]) -> String {
    match dims.len() > MAX_RANK {
        true => format!("has more than {MAX_RANK} axes"),
        false => "is too large".to_owned(),
    }
}
