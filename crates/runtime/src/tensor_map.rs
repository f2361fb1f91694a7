//! Tensors as a device's copy engine sees them: plain data in a plan.

/// A tensor of three axes in the memory of a binding, which a kernel has moved by boxes. Boxes have
/// rows of 128 bytes, whose chunks lie swizzled in scratch memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorMap {
    /// The number of the binding, whose memory starts at a multiple of 16 bytes.
    pub binding: usize,
    /// Bytes of an element: 1, 2 or 4.
    pub element: u32,
    /// Whether elements are `f32` that are rounded to tf32 on their way.
    pub rounds: bool,
    /// Elements along each axis; first that along which they are neighbours.
    pub sizes: [u64; 3],
    /// Bytes from one element to the next along the other axes, in multiples of 16.
    pub strides: [u64; 2],
    /// Elements of a box along each axis.
    pub box_sizes: [u32; 3],
}
