//! What the ops that take indices share: checks, and reading indices in a kernel.
//!
//! An index must lie in `0..limit`; negative ones do not count from the end. A kernel never reads
//! or writes at one that does not: it leaves that element out and refuses it. On the CPU the call
//! then gives [`Error::Index`], and the replay of a recorded graph an error. On a GPU, which runs after
//! the call has returned, the stream reports it at the next wait; of a replayed graph it does not.

use super::check;
use crate::{DType, Error, Result, Tensor};
use wootz_runtime as runtime;

/// The element types of indices.
const DTYPES: &[DType] = &[DType::I32, DType::U32, DType::I64];

/// `index` is a tensor of indices on the device of `x`.
pub(super) fn check(op: &'static str, x: (&'static str, &Tensor), index: &Tensor) -> Result<()> {
    check::dtype(op, "index", index, DTYPES)?;
    check::same_device(op, &[x, ("index", index)])
}

/// `tensor` has as many axes as `x` and is no longer than it, except along `axis`.
pub(super) fn check_inside(
    op: &'static str,
    argument: &'static str,
    tensor: &Tensor,
    x: &Tensor,
    axis: Option<usize>,
) -> Result<()> {
    let mut sizes = tensor.dims().iter().zip(x.dims()).enumerate();
    if tensor.rank() == x.rank() && sizes.all(|(i, (a, b))| a <= b || Some(i) == axis) {
        return Ok(());
    }
    let but = axis.map_or_else(String::new, |axis| format!(" but for axis {axis}"));
    let expected = format!("{} axes inside {}{but}", x.rank(), x.shape());
    Err(Error::Shape {
        op,
        argument,
        found: tensor.shape(),
        expected,
    })
}

/// The error of a call whose kernel refused an element: the first index that lies outside.
pub(super) fn explain(op: &'static str, index: &Tensor, limit: usize, error: Error) -> Error {
    let Error::Runtime(runtime::Error::Refused { .. }) = error else {
        return error;
    };
    let inside = |value: i64| usize::try_from(value).is_ok_and(|value| value < limit);
    match values(index).map(|values| values.into_iter().find(|&value| !inside(value))) {
        Ok(Some(value)) => Error::Index {
            op,
            argument: "index",
            value,
            limit,
        },
        _ => error,
    }
}

fn values(index: &Tensor) -> Result<Vec<i64>> {
    Ok(match index.dtype() {
        DType::I32 => index.to_vec::<i32>()?.into_iter().map(i64::from).collect(),
        DType::U32 => index.to_vec::<u32>()?.into_iter().map(i64::from).collect(),
        _ => index.to_vec()?,
    })
}

/// How a kernel reads indices, as part of its parameters.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Reader {
    kind: u64,
    limit: u64,
}

/// Indices that a kernel reads at once: they stay in the first cache.
pub(super) const BATCH: usize = 256;

impl Reader {
    /// Reads indices of the type of `index` that must be under `limit`.
    pub(super) fn new(index: &Tensor, limit: usize) -> Reader {
        let kind = DTYPES
            .iter()
            .position(|&dtype| dtype == index.dtype())
            .unwrap_or(0);
        Reader {
            kind: kind as u64,
            limit: limit as u64,
        }
    }

    /// Reads `out.len()` indices that lie `stride` elements apart from element `offset` on. Gives
    /// the place of the first one that is outside; those in `out` are then not to be used.
    ///
    /// # Safety
    /// They lie in memory that holds indices of the reader's type.
    pub(super) unsafe fn read(
        &self,
        memory: *const u8,
        offset: isize,
        stride: isize,
        out: &mut [isize],
    ) -> Result<(), usize> {
        // SAFETY: passed on from the caller, in the order of `DTYPES`.
        unsafe {
            match self.kind {
                0 => self.read_as(memory.cast::<i32>().offset(offset), stride, out),
                1 => self.read_as(memory.cast::<u32>().offset(offset), stride, out),
                _ => self.read_as(memory.cast::<i64>().offset(offset), stride, out),
            }
        }
    }

    /// # Safety
    /// As for `read`.
    unsafe fn read_as<I: Copy + Into<i64>>(
        &self,
        first: *const I,
        stride: isize,
        out: &mut [isize],
    ) -> Result<(), usize> {
        let mut outside = false;
        for (i, out) in out.iter_mut().enumerate() {
            // SAFETY: passed on from the caller.
            let value: i64 = unsafe { *first.offset(i as isize * stride) }.into();
            // A negative value is a very large one here.
            outside |= value as u64 >= self.limit;
            *out = value as isize;
        }
        if !outside {
            return Ok(());
        }
        Err(out
            .iter()
            .position(|&value| value as i64 as u64 >= self.limit)
            .unwrap_or(0))
    }
}
