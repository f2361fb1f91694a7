//! A product as vendors' libraries take it: plain sizes, one leading size an operand, and a batch
//! whose matrices lie evenly spaced.

use super::Product;
use crate::{DType, Layout, Tensor, tuning::Class};

/// The product, as bytes that a plan can hold and a key for what is prepared once.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Shape {
    /// In the order of `DType::FLOATS`.
    pub element: u32,
    pub biased: u32,
    /// Whether an operand's columns lie in memory, and not its rows.
    pub turned: [u32; 2],
    /// m, n, k.
    pub sizes: [u64; 3],
    /// From one row, or column, of an operand to the next.
    pub leads: [u64; 2],
    pub batch: u64,
    /// From one matrix of an operand to the next.
    pub steps: [u64; 2],
    /// Bytes that the addresses of the operands, of what is added and of the result are multiples
    /// of.
    pub aligned: [u32; 4],
}

/// A shape with its factors: the parameters of a plan.
#[repr(C)]
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Scaled {
    pub shape: Shape,
    pub alpha: f32,
    pub beta: f32,
    /// The number of the device.
    pub device: u32,
    pub pad: u32,
}

impl Shape {
    /// The product's shape, if vendors' libraries can say it.
    pub(super) fn of(product: &Product<'_>) -> Option<Shape> {
        let ((a, left), (b, right), out) = (product.a, product.b, product.out);
        let rank = left.rank() - 2;
        let (m, k, n) = (
            left.dims()[rank],
            left.dims()[rank + 1],
            right.dims()[rank + 1],
        );
        let (first, second) = (Operand::of(left)?, Operand::of(right)?);
        if product
            .bias
            .is_some_and(|bias| !bias.layout().is_contiguous())
            || k == 0
        {
            return None;
        }
        let aligned = |x: &Tensor| 1 << (x.byte_offset() | 16).trailing_zeros();
        let element = DType::FLOATS
            .iter()
            .position(|&dtype| dtype == out.dtype())?;
        Some(Shape {
            element: element as u32,
            biased: product.bias.is_some().into(),
            turned: [first.turned, second.turned].map(u32::from),
            sizes: [m, n, k].map(|size| size as u64),
            leads: [first.lead, second.lead],
            batch: (out.count() / (m * n)) as u64,
            steps: [first.step, second.step],
            aligned: [a, b, product.added.map_or(out, |(_, added)| added), out].map(aligned),
        })
    }

    pub(super) fn dtype(&self) -> DType {
        DType::FLOATS[self.element as usize]
    }

    pub(super) fn scaled(self, [alpha, beta]: [f32; 2], device: u32) -> Scaled {
        Scaled {
            shape: self,
            alpha,
            beta,
            device,
            pad: 0,
        }
    }

    /// Rows and columns of each operand as it lies in memory.
    pub(super) fn stored(&self) -> [[u64; 2]; 2] {
        let [m, n, k] = self.sizes;
        let lies = |[rows, columns]: [u64; 2], turned| match turned {
            0 => [rows, columns],
            _ => [columns, rows],
        };
        [lies([m, k], self.turned[0]), lies([k, n], self.turned[1])]
    }

    /// What its measurement is found under.
    pub(super) fn class(&self) -> Class {
        Class::new(
            self.dtype(),
            self.turned.map(|turned| turned != 0),
            self.sizes,
            self.batch,
        )
    }

    pub(super) fn flops(&self) -> u64 {
        let [m, n, k] = self.sizes;
        (2 * m * n).saturating_mul(k).saturating_mul(self.batch)
    }

    pub(super) fn bytes(&self) -> u64 {
        let [m, n, k] = self.sizes;
        let values = (m * k + k * n + m * n).saturating_mul(self.batch);
        values.saturating_mul(self.dtype().size() as u64)
    }
}

/// How one operand lies.
struct Operand {
    turned: bool,
    lead: u64,
    step: u64,
}

impl Operand {
    fn of(layout: &Layout) -> Option<Operand> {
        let rank = layout.rank() - 2;
        let (batch, matrix) = layout.dims().split_at(rank);
        let (outer, strides) = layout.strides().split_at(rank);
        let [rows, columns] = [matrix[0], matrix[1]];
        // A stride along one element is as good as any.
        let unit = |size: usize, stride: isize| size == 1 || stride == 1;
        let lead = |size: usize, stride: isize, least: usize| match size {
            1 => Some(least as u64),
            _ => u64::try_from(stride)
                .ok()
                .filter(|&lead| lead >= least as u64),
        };
        let straight = lead(rows, strides[0], columns.max(1)).filter(|_| unit(columns, strides[1]));
        let turned = lead(columns, strides[1], rows.max(1)).filter(|_| unit(rows, strides[0]));
        let (turned, lead) = match (straight, turned) {
            (Some(lead), _) => (false, lead),
            (None, Some(lead)) => (true, lead),
            (None, None) => return None,
        };
        // The axes of the batch step as one.
        let (mut step, mut count) = (0isize, 1usize);
        for (&size, &stride) in batch.iter().zip(outer).rev() {
            if size == 1 {
                continue;
            }
            if count == 1 {
                step = stride;
            } else if stride != step.checked_mul(count as isize)? {
                return None;
            }
            count *= size;
        }
        Some(Operand {
            turned,
            lead,
            step: u64::try_from(step).ok()?,
        })
    }
}
