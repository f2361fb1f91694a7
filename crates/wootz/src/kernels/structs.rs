//! The parameter structs of the families.

use super::kernel_params;

kernel_params! {
    /// Rows of a matrix, or columns of `[rows, length, inner]`: `ops/softmax.h`.
    pub struct SoftmaxParams {
        /// How many rows.
        rows: u64,
        /// Elements of a row.
        length: u64,
        /// Columns beside each other; 1 for rows.
        inner: u64,
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
        /// Whether weights and biases can be moved by packs.
        packed: u32,
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
        /// Parts that a fold is cut into.
        parts: u64,
        /// Elements of a part.
        part: u64,
        /// The fold's argument: a norm's power, or what a variance's divisor is less than the
        /// length.
        argument: f32,
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
        /// Whole numbers that an op takes beside its operands.
        wholes: [i64; 5],
        /// Floats that an op takes beside its operands.
        floats: [f32; 2],
        /// Axes, at least one.
        rank: u32,
        /// Whether all operands are whole packs, one after another.
        flat: u32,
    }
}

kernel_params! {
    /// Numbers in a row: `ops/fill.h`.
    pub struct FillParams {
        /// How many.
        count: u64,
        /// The first, for whole numbers.
        whole_start: i64,
        /// From one to the next, for whole numbers.
        whole_step: i64,
        /// The first, as a sum of two.
        start: [f32; 2],
        /// From one to the next, as a sum of two.
        step: [f32; 2],
    }
}

kernel_params! {
    /// Rows that turn with their position: `ops/rope.h`.
    pub struct RopeParams {
        /// How many rows.
        rows: u64,
        /// Pairs in a row.
        pairs: u64,
        /// Rows of one position that follow each other.
        same: u64,
        /// Positions until they repeat.
        places: u64,
        /// The first position, where none are given.
        start: i64,
        /// The greatest speed, in turns, as a fraction of 2⁶⁴ before the shift.
        lead: u64,
        /// Powers of the base, as fractions of 2⁶³: for a pair's number modulo 16,
        ones: [u64; 16],
        /// for its sixteens modulo 16,
        sixteens: [u64; 16],
        /// and for the rest.
        rest: [u64; 16],
        /// How far the lead is shifted.
        shift: u32,
        /// Whether the last pair is the fastest.
        reversed: u32,
        /// Whether pairs are neighbours or half of a row apart.
        neighbours: u32,
        /// Whether positions are given.
        given: u32,
    }
}

kernel_params! {
    /// What becomes of a product's sums: `tile/epilogue.h`.
    pub struct EpilogueParams {
        /// Factor of a sum.
        alpha: f32,
        /// Factor of what is added at the end; 0 for nothing.
        beta: f32,
        /// Whether there is a bias.
        has_bias: u32,
        /// Which activation.
        activation: u32,
        /// In what is added, from the part of one product to that of the next,
        added_batch: i64,
        /// from one row to the next
        added_row: i64,
        /// and from one column to the next.
        added_column: i64,
    }
}

kernel_params! {
    /// Products from their sums: `ops/finish.h`.
    pub struct FinishParams {
        /// What becomes of a sum.
        epilogue: EpilogueParams,
        /// Products.
        batch: u64,
        /// Rows of a product.
        rows: u64,
        /// Columns of a product.
        columns: u64,
        /// Parts that a sum comes in.
        parts: u64,
    }
}

kernel_params! {
    /// Matrix products: `ops/matmul.h`, `ops/matmul_lanes.h`. Strides are in elements.
    pub struct MatmulParams {
        /// What becomes of sums.
        epilogue: EpilogueParams,
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
        /// Parts that the inner size is cut into.
        parts: u64,
        /// The inner size of a part.
        part: u64,
        /// Batch axes.
        batch_rank: u32,
        /// Whether four neighbours in a row of the result can be written as one.
        runs: u32,
    }
}

kernel_params! {
    /// Rows times weights of their own: `ops/grouped.h`.
    pub struct GroupedParams {
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
        /// What indices lie under.
        limit: u64,
        /// What can be moved by packs: 1 rows, 2 weights.
        packed: u32,
        /// Nothing.
        pad: u32,
    }
}

kernel_params! {
    /// Matrix products without hidden blocks: `ops/masked.h`. Strides are in elements.
    pub struct MaskedParams {
        /// Products.
        batch: u64,
        /// Rows of the result.
        rows: u64,
        /// Columns of the result.
        columns: u64,
        /// The inner size.
        depth: u64,
        /// From one left matrix to the next,
        a_batch: u64,
        /// and from row to row.
        a_row: u64,
        /// From one right matrix to the next,
        b_batch: u64,
        /// and from column to column.
        b_row: u64,
        /// From matrix to matrix, row to row and column to column of the masks: of the left matrix,
        /// the right one and the result.
        masks: [i64; 9],
        /// Which of these masks are there: 1, 2, 4.
        has: u32,
        /// What can be moved by packs: 1 the left matrix, 2 the right one.
        packed: u32,
    }
}

kernel_params! {
    /// Rows through weights and adapters: `ops/lora.h`.
    pub struct LoraParams {
        /// Rows of the result.
        rows: u64,
        /// Columns of the result.
        columns: u64,
        /// The inner size.
        depth: u64,
        /// The inner size of an adapter.
        rank: u64,
        /// Tiles that cover the rows.
        row_tiles: u64,
        /// Tiles that cover the columns.
        column_tiles: u64,
        /// Parts that the inner size is cut into.
        parts: u64,
        /// The inner size of a part.
        part: u64,
        /// How many adapters there are.
        limit: u64,
        /// Factor of what adapters add.
        scale: f32,
        /// Whether there is a bias.
        has_bias: u32,
        /// Whether each row has an index; else all have the first adapter.
        has_index: u32,
        /// What can be moved by packs: 1 rows, 2 weights, 4 and 8 the two sides of the adapters.
        packed: u32,
    }
}

kernel_params! {
    /// Matrix products with few rows: `ops/thin.h`. Strides are in elements.
    pub struct ThinParams {
        /// What becomes of sums.
        epilogue: EpilogueParams,
        /// Columns of the result.
        columns: u64,
        /// The inner size.
        depth: u64,
        /// From one row of the left matrix to the next.
        a_row: i64,
        /// From one column of the right matrix to the next.
        x_column: i64,
        /// Rows of the result.
        rows: u32,
        /// Whether nothing becomes of sums but their bias.
        plain: u32,
    }
}

kernel_params! {
    /// Rows with indices, and how many there are to pick from: `ops/runs.h`.
    pub struct RunsParams {
        /// How many rows.
        rows: u32,
        /// Indices are less than this.
        limit: u32,
    }
}

kernel_params! {
    /// Matrix products on Hopper: `sm90/matmul.h`.
    pub struct Sm90MatmulParams {
        /// What becomes of sums.
        epilogue: EpilogueParams,
        /// Rows of the result.
        rows: u32,
        /// Columns of the result.
        columns: u32,
        /// The inner size.
        depth: u32,
        /// Tiles of clusters that cover the rows.
        row_tiles: u32,
        /// Tiles that cover the columns.
        column_tiles: u32,
        /// Products.
        batch: u32,
        /// Rows of clusters that go through all columns together.
        band: u32,
        /// Whether each product has a left matrix of its own,
        a_batched: u32,
        /// and a right one.
        x_batched: u32,
        /// Whether nothing becomes of sums but their bias.
        plain: u32,
        /// Whether rows of the result start at multiples of 16 bytes.
        packs: u32,
        /// Scales: from one row of the left matrix to the next,
        a_scale_row: u32,
        /// from one 128 of the inner size to the next,
        a_scale_step: u32,
        /// from one column of the right matrix to the next, or from one 128 of them,
        x_scale_column: u32,
        /// and from one 128 of the inner size to the next.
        x_scale_step: u32,
        /// Whether what is added comes in packs of four.
        added_packs: u32,
    }
}

kernel_params! {
    /// Few rows through weights and adapters on Hopper: `sm90/lora.h`.
    pub struct Sm90LoraParams {
        /// The base product, turned.
        product: Sm90MatmulParams,
        /// The layer.
        lora: LoraParams,
        /// Pieces of what goes down through the adapters,
        tasks: u32,
        /// and groups in front that share them.
        fronts: u32,
    }
}
