//! What a product is, as plain data: sizes, strides, elements and what becomes of sums; and where
//! its bytes are.

use crate::Activation;

/// The element of the operands and of the result. Sums are always kept in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
}

impl Element {
    /// Every element, in the order of its discriminants.
    pub const ALL: [Element; 3] = [Element::F32, Element::F16, Element::Bf16];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::F16 | Element::Bf16 => 2,
        }
    }
}

/// Distances, in elements, between neighbours of a matrix. Any sign, and zero, are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Strides {
    /// From one row to the next.
    pub row: isize,
    /// From one column to the next.
    pub column: isize,
}

impl Strides {
    /// Strides of a row-major matrix whose rows begin `row` elements apart.
    pub const fn rows(row: usize) -> Strides {
        Strides {
            row: row as isize,
            column: 1,
        }
    }

    /// The strides under which the same memory is read as the transposed matrix.
    pub const fn transposed(self) -> Strides {
        Strides {
            row: self.column,
            column: self.row,
        }
    }
}

/// One batch axis: how many matrices, and how far apart they are, in elements.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Axis {
    /// Matrices along this axis.
    pub size: usize,
    /// Distance between neighbours in A; zero where A is broadcast.
    pub a: isize,
    /// Distance between neighbours in B; zero where B is broadcast.
    pub b: isize,
    /// Distance between neighbours in C.
    pub c: isize,
}

/// The batch axes of a product, outermost first. Borrowed: most products have none, and moving
/// room for some about would take longer than the smallest of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Batch<'a> {
    axes: &'a [Axis],
    /// Whether the operands have changed places.
    swapped: bool,
}

/// Distances, in elements, from the first matrix of a batch to some other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offset {
    pub a: isize,
    pub b: isize,
    pub c: isize,
}

impl<'a> Batch<'a> {
    /// A batch over `axes`, outermost first; `None` if the number of matrices overflows.
    pub fn new(axes: &'a [Axis]) -> Option<Batch<'a>> {
        let mut sizes = axes.iter().map(|axis| axis.size);
        sizes.try_fold(1usize, |count, size| count.checked_mul(size))?;
        Some(Batch {
            axes,
            swapped: false,
        })
    }

    /// Number of matrices: 1 where there is no axis.
    pub fn count(&self) -> usize {
        self.axes.iter().map(|axis| axis.size).product()
    }

    /// Number of different B matrices: axes along which B is broadcast do not count.
    pub(super) fn count_b(&self) -> usize {
        let own = self.axes.iter().filter(|axis| self.step_b(axis) != 0);
        own.map(|axis| axis.size).product()
    }

    /// Where matrix `index` is, and which of the different B matrices it reads.
    pub(super) fn locate(&self, mut index: usize) -> (Offset, usize) {
        let (mut offset, mut b_index, mut b_count) = (Offset::default(), 0, 1);
        for axis in self.axes.iter().rev() {
            let at = index % axis.size;
            index /= axis.size;
            offset.a += at as isize * self.step_a(axis);
            offset.b += at as isize * self.step_b(axis);
            offset.c += at as isize * axis.c;
            if self.step_b(axis) != 0 {
                b_index += at * b_count;
                b_count *= axis.size;
            }
        }
        (offset, b_index)
    }

    /// The distance to the different B matrix `index`.
    pub(super) fn locate_b(&self, mut index: usize) -> isize {
        let mut offset = 0;
        for axis in self.axes.iter().rev() {
            if self.step_b(axis) == 0 {
                continue;
            }
            offset += (index % axis.size) as isize * self.step_b(axis);
            index /= axis.size;
        }
        offset
    }

    fn step_a(&self, axis: &Axis) -> isize {
        if self.swapped { axis.b } else { axis.a }
    }

    fn step_b(&self, axis: &Axis) -> isize {
        if self.swapped { axis.a } else { axis.b }
    }
}

/// C = activation(alpha·A·B + bias) + beta·C for each matrix of a batch, A being m×k, B k×n and C
/// m×n.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Problem<'a> {
    /// Element of A, B and the bias.
    pub element: Element,
    /// Element of C.
    pub result: Element,
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A and rows of B.
    pub k: usize,
    /// Strides of A.
    pub a: Strides,
    /// Strides of B.
    pub b: Strides,
    /// Strides of C. No two elements of C may share memory.
    pub c: Strides,
    /// The batch; the default is one matrix.
    pub batch: Batch<'a>,
    /// Factor of the product.
    pub alpha: f32,
    /// What becomes of each sum, with its bias.
    pub activation: Activation,
    /// Factor of what C holds before. At zero C is not read, so it may be uninitialized.
    pub beta: f32,
    /// Distance between neighbours of the bias, one value for each column of C; `None` for no bias.
    pub bias: Option<isize>,
}

impl<'a> Problem<'a> {
    /// A·B for one row-major pair with no gaps.
    pub fn plain(element: Element, m: usize, n: usize, k: usize) -> Problem<'a> {
        Problem {
            element,
            result: element,
            m,
            n,
            k,
            a: Strides::rows(k),
            b: Strides::rows(n),
            c: Strides::rows(n),
            batch: Batch::default(),
            alpha: 1.0,
            activation: Activation::None,
            beta: 0.0,
            bias: None,
        }
    }

    /// The same product seen as Cᵀ = Bᵀ·Aᵀ: which operand is walked by rows and which by vectors
    /// changes places.
    pub(super) fn swapped(&self) -> Problem<'a> {
        Problem {
            m: self.n,
            n: self.m,
            a: self.b.transposed(),
            b: self.a.transposed(),
            c: self.c.transposed(),
            batch: Batch {
                swapped: !self.batch.swapped,
                ..self.batch
            },
            ..*self
        }
    }
}

/// Where the bytes of a product are. Pointers are to the first element of the first matrix.
#[derive(Clone, Copy, Debug)]
pub struct Buffers {
    /// The left operand.
    pub a: *const u8,
    /// The right operand.
    pub b: *const u8,
    /// The result.
    pub c: *mut u8,
    /// One value for each column of the result; not read where the problem has no bias.
    pub bias: *const u8,
    /// [`Blocking::packed_bytes`](super::Blocking) bytes that all units share, aligned to
    /// [`ALIGNMENT`](super::ALIGNMENT).
    pub packed: *mut u8,
}
