//! `masked_matmul`: a matrix product of which blocks are left out.

mod cases;
mod multiply;

use super::{check, on_stream, or_copy, runs_source, submit};
use crate::{
    DType, Error, Layout, MAX_RANK, Result, Shape, Tensor, kernels,
    table::{Bench, Benches, Row},
};
use smallvec::SmallVec;
use wootz_runtime::Stream;

/// The rows of the table.
pub const ROWS: &[Row] = &[Row {
    name: "masked_matmul",
    family: "products",
    summary: "the matrix product without the blocks of either factor or the result that masks hide",
    dtypes: DType::FLOATS,
    cases: cases::cases,
    benches: Benches {
        shapes: &[&[256; 3], &[1024; 3]],
        takes: "m×n×k for [m, k] times [k, n], after the axes of a batch",
        at: bench,
    },
}];

const OP: &str = "masked_matmul";

/// Which blocks of a product count. A mask has an entry for each block along rows and columns, after
/// the axes of the batch, to which it broadcasts; 0 hides a block.
#[derive(Debug, Clone, Copy)]
pub struct BlockMasks<'a> {
    /// Rows, and columns, of a block: 32 or 64.
    pub block: usize,
    /// Of the left factor: hidden blocks count as zeros, whatever is there.
    pub left: Option<&'a Tensor>,
    /// The same of the right factor.
    pub right: Option<&'a Tensor>,
    /// Of the result: hidden blocks are zero.
    pub out: Option<&'a Tensor>,
}

/// The product of `a`, `[…, m, k]`, and `b`, `[…, k, n]`, over batches that broadcast, where only
/// the blocks that `masks` lets through count. What is hidden is not computed.
pub fn masked_matmul(a: &Tensor, b: &Tensor, masks: BlockMasks<'_>) -> Result<Tensor> {
    check::dtype(OP, "a", a, DType::FLOATS)?;
    check::same_dtype(OP, &[("a", a), ("b", b)])?;
    check::same_device(OP, &[("a", a), ("b", b)])?;
    if !kernels::MASK_BLOCKS.contains(&masks.block) {
        return Err(Error::Value {
            op: OP,
            argument: "the block's size",
            found: masks.block.to_string(),
            expected: "32 or 64".to_owned(),
        });
    }
    let mismatch = || Error::Shapes {
        op: OP,
        left: a.shape(),
        right: b.shape(),
        verb: "multiply",
    };
    let (Some((left, [m, k])), Some((right, [inner, n]))) = (split(a), split(b)) else {
        return Err(mismatch());
    };
    let batch = left.broadcast(&right).filter(|_| inner == k);
    let batch = batch.ok_or_else(mismatch)?;
    let shape = with(&batch, [m, n]).ok_or_else(mismatch)?;
    let matrices = batch.checked_count().ok_or_else(mismatch)?;
    let blocks = [m, k, n].map(|size| size.div_ceil(masks.block));
    let [high, deep, wide] = blocks;
    let given = [
        ("left", masks.left, [high, deep]),
        ("right", masks.right, [deep, wide]),
        ("out", masks.out, [high, wide]),
    ];
    let mut seen = [None, None, None];
    for (place, (argument, mask, sizes)) in given.into_iter().enumerate() {
        let Some(mask) = mask else { continue };
        check::dtype(OP, argument, mask, &[DType::U8])?;
        check::same_device(OP, &[("a", a), (argument, mask)])?;
        let wrong = || {
            let expected = format!("{:?} after the batch's axes", sizes);
            check::wrong_shape(OP)(argument, mask, expected)
        };
        let fits = mask.rank() >= 2 && mask.dims()[mask.rank() - 2..] == sizes;
        let spread = with(&batch, sizes).filter(|_| fits);
        let spread = spread.filter(|&spread| mask.layout().broadcast_to(spread).is_some());
        seen[place] = Some(flat(mask, spread.ok_or_else(wrong)?, matrices, sizes)?);
    }
    let [left_mask, right_mask, out_mask] = &seen;
    let spread = |sizes| with(&batch, sizes).ok_or_else(mismatch);
    let product = Product {
        a: flat(a, spread([m, k])?, matrices, [m, k])?,
        b: flat(b, spread([k, n])?, matrices, [k, n])?,
        masks: [left_mask, right_mask, out_mask].map(Option::as_ref),
        block: masks.block,
    };
    on_stream(a.device(), |stream| product.run(stream, shape))
}

/// The batch axes, and the sizes of the matrices.
fn split(x: &Tensor) -> Option<(Shape, [usize; 2])> {
    let (batch, matrix) = x.dims().split_last_chunk::<2>()?;
    Some((Shape::new(batch)?, *matrix))
}

/// A shape of matrices.
fn with(batch: &Shape, matrix: [usize; 2]) -> Option<Shape> {
    let dims = batch.dims().iter().copied().chain(matrix);
    Shape::new(&dims.collect::<SmallVec<[usize; MAX_RANK]>>())
}

/// A tensor that is broadcast to `spread`, as `[matrices, rows, columns]`; copied where its strides
/// cannot say that.
fn flat(x: &Tensor, spread: Shape, matrices: usize, [rows, columns]: [usize; 2]) -> Result<Tensor> {
    let dims = [matrices, rows, columns];
    let spread = x.broadcast_to(spread.dims())?;
    let seen = Shape::new(&dims).and_then(|shape| spread.layout().reshape(shape));
    match seen {
        Some(layout) => Ok(spread.view(layout)),
        None => spread.reshape(&dims),
    }
}

/// Arguments that fit, each `[matrices, rows, columns]`.
struct Product<'a> {
    a: Tensor,
    b: Tensor,
    /// Of the left factor, the right one and the result.
    masks: [Option<&'a Tensor>; 3],
    block: usize,
}

impl Product<'_> {
    fn run(&self, stream: &Stream, shape: Shape) -> Result<Tensor> {
        let out = Tensor::output(OP, stream, self.a.dtype(), shape)?;
        if out.count() == 0 {
            return Ok(out);
        }
        if !runs_source(stream.device()) {
            let plan = multiply::plan(self, &out);
            // SAFETY: the strides are the tensors' own, and the plan covers `out`.
            unsafe { submit(stream, &plan)? };
            drop(plan);
            return Ok(out);
        }
        let mut copies = [None, None];
        let [first, second] = &mut copies;
        let near = |x: &Tensor| x.layout().strides()[2] == 1 && forward(x.layout());
        let turned = self.b.transpose(1, 2)?;
        let a = or_copy(&self.a, near(&self.a), first)?;
        let b = or_copy(&turned, near(&turned), second)?;
        let plan = kernels::masked(a, b, self.masks, self.block, &out);
        // SAFETY: rows of `a` and `b` are neighbours, and the strides are the tensors' own.
        unsafe { submit(stream, &plan)? };
        drop(plan);
        Ok(out)
    }
}

/// Whether no stride goes backwards.
fn forward(layout: &Layout) -> bool {
    layout.strides().iter().all(|&stride| stride >= 0)
}

/// Every other block of the left factor hidden: half of the products.
fn bench(dtype: DType, dims: &[usize]) -> Option<Bench> {
    let &[ref batch @ .., m, n, k] = dims else {
        return None;
    };
    let block = 64;
    let [high, deep] = [m, k].map(|size| size.div_ceil(block));
    let matrices = batch.iter().product::<usize>();
    let inputs = vec![
        (dtype, [batch, &[m, k]].concat()),
        (dtype, [batch, &[k, n]].concat()),
        (DType::U8, vec![high, deep]),
    ];
    Some(Bench {
        dims: dims.to_vec(),
        inputs,
        run: Box::new(move |x| {
            let masks = BlockMasks {
                block,
                left: Some(&x[2]),
                right: None,
                out: None,
            };
            masked_matmul(&x[0], &x[1], masks)
        }),
        bytes: (matrices * (m * k + k * n + m * n) * dtype.size()) as u64,
        flops: (2 * matrices * m * n * k) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    #[test]
    fn what_does_not_fit_is_named() {
        let x = Tensor::from_slice(&[1f32; 40 * 40], &[40, 40], Device::cpu()).unwrap();
        let mask = Tensor::from_slice(&[1u8; 2], &[1, 2], Device::cpu()).unwrap();
        let error = |block, left| {
            let masks = BlockMasks {
                block,
                left,
                right: None,
                out: None,
            };
            masked_matmul(&x, &x, masks).unwrap_err().to_string()
        };
        let text = "masked_matmul: the block's size is 16, expected 32 or 64";
        assert_eq!(error(16, None), text);
        let text = "masked_matmul: left has shape [1, 2], expected [2, 2] after the batch's axes";
        assert_eq!(error(32, Some(&mask)), text);
        let text = "masked_matmul: left has dtype f32, expected u8";
        assert_eq!(error(32, Some(&x)), text);
    }
}
