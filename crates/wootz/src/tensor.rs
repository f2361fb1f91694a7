//! Tensors: immutable values on a device. They cross threads and async tasks freely; an op on
//! another stream waits, on the device, for the work that makes them.

use crate::{
    DType, Device, Element, Error, Layout, MAX_RANK, Result, Shape,
    error::Error::{TooLarge, Value},
    ops,
    packed::Slot,
};
use smallvec::SmallVec;
use wootz_runtime::{Buffer, Stream};

/// An array of numbers on a device, seen through a layout. Clones and views share its memory.
#[derive(Debug, Clone)]
pub struct Tensor {
    buffer: Buffer,
    dtype: DType,
    layout: Layout,
    slot: Slot,
}

impl Tensor {
    /// A tensor of `dims` with the elements of `values`, on `device`.
    pub fn from_slice<T: Element>(values: &[T], dims: &[usize], device: Device) -> Result<Tensor> {
        const OP: &str = "from_slice";
        let shape = shape_of(OP, T::DTYPE, dims)?;
        if shape.count() != values.len() {
            let expected = format!("a shape of {} elements", values.len());
            return Err(Error::Shape {
                op: OP,
                argument: "dims",
                found: shape,
                expected,
            });
        }
        let bytes = bytemuck::cast_slice(values);
        let buffer = Stream::with_current(device, |stream| stream.upload(bytes))?;
        Ok(Tensor {
            buffer,
            dtype: T::DTYPE,
            layout: Layout::contiguous(shape),
            slot: Slot::new(),
        })
    }

    /// A tensor of one element and no axes.
    pub fn scalar<T: Element>(value: T, device: Device) -> Result<Tensor> {
        Tensor::from_slice(&[value], &[], device)
    }

    /// Wraps a buffer that holds the layout's elements.
    pub(crate) fn from_parts(buffer: Buffer, dtype: DType, layout: Layout) -> Tensor {
        debug_assert!(
            layout
                .extent()
                .is_none_or(|(_, high)| (high + 1) * dtype.size() <= buffer.bytes())
        );
        Tensor {
            buffer,
            dtype,
            layout,
            slot: Slot::new(),
        }
    }

    /// A tensor of undefined contents for an op to write: contiguous, on the current stream.
    pub(crate) fn output(
        op: &'static str,
        stream: &Stream,
        dtype: DType,
        shape: Shape,
    ) -> Result<Tensor> {
        if !shape.fits(dtype.size()) {
            return Err(too_large(op, shape.dims()));
        }
        let buffer = stream.allocate(shape.count() * dtype.size())?;
        Ok(Tensor {
            buffer,
            dtype,
            layout: Layout::contiguous(shape),
            slot: Slot::new(),
        })
    }

    /// The memory.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Where the tensor's packed form is kept, if it is a weight.
    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// How indices map to the memory.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.layout.shape()
    }

    /// The sizes of the axes.
    pub fn dims(&self) -> &[usize] {
        self.layout.dims()
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.layout.rank()
    }

    /// The number of elements.
    pub fn count(&self) -> usize {
        self.layout.count()
    }

    /// The device.
    pub fn device(&self) -> Device {
        self.buffer.device()
    }

    /// Byte position of the element at index 0 in every axis.
    pub(crate) fn byte_offset(&self) -> usize {
        self.layout.offset() * self.dtype.size()
    }

    /// The elements in order of their indices, once they are there.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        if T::DTYPE != self.dtype {
            let expected = T::DTYPE.to_string();
            let (op, argument, found) = ("to_vec", "the tensor", self.dtype);
            return Err(Error::DType {
                op,
                argument,
                found,
                expected,
            });
        }
        let whole = self.contiguous()?;
        let mut values = vec![T::zeroed(); whole.count()];
        if !values.is_empty() {
            whole
                .buffer
                .read(whole.byte_offset(), bytemuck::cast_slice_mut(&mut values))?;
        }
        Stream::report_refusals(self.device())?;
        Ok(values)
    }

    /// The one element of a tensor that has just one.
    pub fn to_scalar<T: Element>(&self) -> Result<T> {
        match self.to_vec()?[..] {
            [value] => Ok(value),
            _ => Err(Error::Shape {
                op: "to_scalar",
                argument: "the tensor",
                found: self.shape(),
                expected: "one element".to_owned(),
            }),
        }
    }

    /// The same elements on `device`: the tensor itself if it is there already, else a copy that
    /// goes through this process's memory.
    pub fn to_device(&self, device: Device) -> Result<Tensor> {
        if self.device() == device {
            return Ok(self.clone());
        }
        let whole = self.contiguous()?;
        let mut bytes = vec![0; whole.count() * self.dtype.size()];
        if !bytes.is_empty() {
            whole.buffer.read(whole.byte_offset(), &mut bytes)?;
        }
        let buffer = Stream::with_current(device, |stream| stream.upload(&bytes))?;
        Ok(Tensor {
            buffer,
            dtype: self.dtype,
            layout: Layout::contiguous(self.shape()),
            slot: Slot::new(),
        })
    }

    /// Blocks until the elements are there.
    pub fn wait(&self) -> Result<()> {
        Ok(self.buffer.wait()?)
    }

    /// Completes when the elements are there.
    pub async fn ready(&self) -> Result<()> {
        Ok(self.buffer.ready().await?)
    }

    /// The same elements, one after another in memory: the tensor itself when they are so already.
    pub fn contiguous(&self) -> Result<Tensor> {
        if self.layout.is_contiguous() {
            Ok(self.clone())
        } else {
            ops::copy(self)
        }
    }

    /// The same memory, seen through a layout inside this tensor's.
    pub(crate) fn view(&self, layout: Layout) -> Tensor {
        Tensor {
            buffer: self.buffer.clone(),
            dtype: self.dtype,
            layout,
            slot: Slot::new(),
        }
    }

    /// The same elements in the same order under other sizes; a view where strides can say it.
    pub fn reshape(&self, dims: &[usize]) -> Result<Tensor> {
        let op = "reshape";
        let shape = shape_of(op, self.dtype, dims)?;
        if shape.count() != self.count() {
            return Err(Error::Shapes {
                op,
                left: self.shape(),
                right: shape,
                verb: "have the same size",
            });
        }
        self.reshaped(shape)
    }

    /// The same elements under a shape of the same count.
    fn reshaped(&self, shape: Shape) -> Result<Tensor> {
        match self.layout.reshape(shape) {
            Some(layout) => Ok(self.view(layout)),
            None => self.contiguous()?.reshaped(shape),
        }
    }

    /// The axes in another order: a view.
    pub fn permute(&self, order: &[usize]) -> Result<Tensor> {
        let layout = self.layout.permute(order).ok_or_else(|| Value {
            op: "permute",
            argument: "order",
            found: format!("{order:?}"),
            expected: format!("each of the axes 0..{} once", self.rank()),
        })?;
        Ok(self.view(layout))
    }

    /// Two axes swapped: a view.
    pub fn transpose(&self, first: isize, second: isize) -> Result<Tensor> {
        let (first, second) = (
            self.axis("transpose", "first", first)?,
            self.axis("transpose", "second", second)?,
        );
        let mut order: [usize; MAX_RANK] = std::array::from_fn(|axis| axis);
        order.swap(first, second);
        self.permute(&order[..self.rank()])
    }

    /// `length` indices of `axis` from `start` on: a view.
    pub fn narrow(&self, axis: isize, start: usize, length: usize) -> Result<Tensor> {
        let op = "narrow";
        let axis = self.axis(op, "axis", axis)?;
        let layout = self
            .layout
            .narrow(axis, start, length)
            .ok_or_else(|| Value {
                op,
                argument: "start and length",
                found: format!("{start} and {length}"),
                expected: format!("a range inside 0..{}", self.dims()[axis]),
            })?;
        Ok(self.view(layout))
    }

    /// `axis` backwards: a view.
    pub fn flip(&self, axis: isize) -> Result<Tensor> {
        let axis = self.axis("flip", "axis", axis)?;
        Ok(self
            .layout
            .flip(axis)
            .map_or_else(|| self.clone(), |layout| self.view(layout)))
    }

    /// The elements repeated along new axes and axes of size 1, by NumPy's rule: a view.
    pub fn broadcast_to(&self, dims: &[usize]) -> Result<Tensor> {
        let op = "broadcast_to";
        let shape = shape_of(op, self.dtype, dims)?;
        let layout = self.layout.broadcast_to(shape).ok_or(Error::Shapes {
            op,
            left: self.shape(),
            right: shape,
            verb: "broadcast one to the other",
        })?;
        Ok(self.view(layout))
    }

    /// A new axis of size 1 before `axis`, which may be one past the last: a view.
    pub fn unsqueeze(&self, axis: isize) -> Result<Tensor> {
        let op = "unsqueeze";
        let axis = axis_of(op, "axis", axis, self.rank() + 1)?;
        let mut dims: SmallVec<[usize; MAX_RANK]> = self.dims().into();
        dims.insert(axis, 1);
        self.reshaped(shape_of(op, self.dtype, &dims)?)
    }

    /// Without `axis`, whose size is 1: a view.
    pub fn squeeze(&self, axis: isize) -> Result<Tensor> {
        let op = "squeeze";
        let axis = self.axis(op, "axis", axis)?;
        if self.dims()[axis] != 1 {
            let expected = format!("size 1 in axis {axis}");
            return Err(Error::Shape {
                op,
                argument: "the tensor",
                found: self.shape(),
                expected,
            });
        }
        let mut dims: SmallVec<[usize; MAX_RANK]> = self.dims().into();
        dims.remove(axis);
        self.reshaped(shape_of(op, self.dtype, &dims)?)
    }

    /// `axis` as an index; negative ones count from the end.
    pub(crate) fn axis(
        &self,
        op: &'static str,
        argument: &'static str,
        axis: isize,
    ) -> Result<usize> {
        axis_of(op, argument, axis, self.rank())
    }
}

/// `axis` of `rank` axes as an index; negative ones count from the end.
pub(crate) fn axis_of(
    op: &'static str,
    argument: &'static str,
    axis: isize,
    rank: usize,
) -> Result<usize> {
    let index = if axis < 0 {
        axis.checked_add_unsigned(rank)
    } else {
        Some(axis)
    };
    let index = index.and_then(|index| usize::try_from(index).ok());
    index.filter(|&index| index < rank).ok_or_else(|| Value {
        op,
        argument,
        found: axis.to_string(),
        expected: format!("an axis of {rank}, or negative from the end"),
    })
}

/// `dims` as a shape whose tensor fits into memory.
pub(crate) fn shape_of(op: &'static str, dtype: DType, dims: &[usize]) -> Result<Shape> {
    let shape = Shape::new(dims).filter(|shape| shape.fits(dtype.size()));
    shape.ok_or_else(|| too_large(op, dims))
}

fn too_large(op: &'static str, dims: &[usize]) -> Error {
    TooLarge {
        op,
        dims: dims.to_vec(),
    }
}
