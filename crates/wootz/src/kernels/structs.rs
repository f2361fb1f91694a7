//! The parameter structs of the families.

use super::kernel_params;

kernel_params! {
    /// Rows of a matrix: `ops/softmax.h`.
    pub struct SoftmaxParams {
        /// How many rows.
        rows: u64,
        /// Elements of a row.
        length: u64,
    }
}

kernel_params! {
    /// Normalized rows and their weights: `ops/norm.h`.
    pub struct NormParams {
        /// How many rows.
        rows: u64,
        /// Elements of a row.
        length: u64,
        /// Sets of weights that the rows go through in turn.
        groups: u64,
        /// Weights in a set.
        weights: u64,
        /// Neighbours that share a weight.
        inner: u64,
        /// Added to the mean square.
        eps: f32,
        /// Whether there are weights.
        has_weight: u32,
        /// Whether there are biases.
        has_bias: u32,
        /// Nothing.
        pad: u32,
    }
}

kernel_params! {
    /// A reduction of `[outer, length, inner]` over `length`: `ops/reduce.h`.
    pub struct ReduceParams {
        /// Sizes before the reduced axis, multiplied.
        outer: u64,
        /// Size of the reduced axis.
        length: u64,
        /// Sizes after the reduced axis, multiplied.
        inner: u64,
        /// What a variance's divisor is less than the length.
        correction: f32,
        /// Nothing.
        pad: u32,
    }
}

kernel_params! {
    /// A shape and the strides of up to four operands, the output first: `tile/walk.h`.
    pub struct WalkParams {
        /// Sizes, the innermost at `rank - 1`.
        shape: [u64; 8],
        /// Eight strides for each operand.
        strides: [i64; 32],
        /// Packs along the innermost axis.
        packs: u64,
        /// Packs in all.
        total: u64,
        /// Axes, at least one.
        rank: u32,
        /// Nothing.
        pad: u32,
    }
}

kernel_params! {
    /// Numbers in a row: `ops/fill.h`.
    pub struct FillParams {
        /// How many.
        count: u64,
        /// The first, for integers.
        whole_start: i64,
        /// From one to the next, for integers.
        whole_step: i64,
        /// The first, for floats.
        start: f32,
        /// From one to the next, for floats.
        step: f32,
    }
}

kernel_params! {
    /// Heads that turn with their position: `ops/rope.h`.
    pub struct RopeParams {
        /// Sequences.
        rows: u64,
        /// Positions in a sequence.
        length: u64,
        /// Heads at a position.
        heads: u64,
        /// Elements of a head.
        size: u64,
        /// How many of them turn; even.
        turned: u64,
        /// The first position's number.
        offset: u64,
        /// Whether pairs are neighbours or half of `turned` apart.
        neighbours: u32,
        /// Nothing.
        pad: u32,
    }
}

kernel_params! {
    /// Indexing of `[outer, size, inner]` along `size`: `ops/index.h`.
    pub struct IndexParams {
        /// Sizes before the axis, multiplied.
        outer: u64,
        /// Size of the axis.
        size: u64,
        /// How many indices for it.
        indices: u64,
        /// Sizes after the axis, multiplied.
        inner: u64,
    }
}

kernel_params! {
    /// Matrix products: `ops/matmul.h`. Strides are in elements.
    pub struct MatmulParams {
        /// Rows of the result.
        rows: u64,
        /// Columns of the result.
        columns: u64,
        /// The inner size.
        depth: u64,
        /// Tiles that cover the rows.
        row_tiles: u64,
        /// Tiles that cover the columns.
        column_tiles: u64,
        /// Products.
        batch: u64,
        /// From one row of the left matrix to the next.
        a_row: i64,
        /// From one column of the left matrix to the next.
        a_column: i64,
        /// From one row of the right matrix to the next.
        x_row: i64,
        /// From one column of the right matrix to the next.
        x_column: i64,
        /// Sizes of the batch axes.
        batch_shape: [u64; 6],
        /// Strides of the left matrices.
        a_batch: [i64; 6],
        /// Strides of the right matrices.
        x_batch: [i64; 6],
        /// Batch axes.
        batch_rank: u32,
        /// Whether a bias is added to each row.
        has_bias: u32,
    }
}
