//! Computing units: which panels and tiles, in which order.

use std::ops::Range;

use super::blocking::{Blocking, Source};
use super::cut::Cut;
use super::finish::{Sums, direct, finish};
use super::problem::{Buffers, Problem, Strides};
use super::small::Small;
use super::tile::{AHEAD, Tile, TileFn};
use crate::cpu::simd::prefetch_write;

/// First phase: packs units of B into the shared buffer.
///
/// # Safety
/// `blocking` was chosen for `problem`, and this machine has its kernel. The pointers of `buffers`
/// are valid for all the memory that `problem` describes, elements aligned to their size, and for
/// `blocking.packed_bytes`. No other thread writes B, or touches the same unit's part of the
/// packed buffer, meanwhile.
pub unsafe fn pack(problem: &Problem, blocking: &Blocking, buffers: &Buffers, units: Range<usize>) {
    // SAFETY: the caller's promise, unchanged.
    let work = unsafe { Work::new(problem, blocking, buffers) };
    let panels = work.problem.n.div_ceil(blocking.kernel.max_columns());
    let groups = panels.div_ceil(blocking.pack_group);
    let pieces = blocking.k_room.div_ceil(blocking.pack_depth);
    for unit in units {
        let (rest, piece) = (unit / pieces, unit % pieces);
        let (matrix, group) = (rest / groups, rest % groups);
        let first = group * blocking.pack_group;
        let start = piece * blocking.pack_depth;
        let k = start..blocking.k_room.min(start + blocking.pack_depth);
        // SAFETY: the panels and k are some of matrix `matrix` of B.
        unsafe {
            work.pack_shared(matrix, first..panels.min(first + blocking.pack_group), k);
        }
    }
}

/// Second phase: computes units of C. Each element of C has the same bits however units are
/// spread over calls and threads.
///
/// # Safety
/// As for [`pack`], all units of which are done. `scratch` is valid for `blocking.scratch_bytes`,
/// aligned to [`ALIGNMENT`](super::ALIGNMENT), and this call's alone. No other thread writes A or
/// B, or touches the same unit's part of C, meanwhile.
pub unsafe fn multiply(
    problem: &Problem,
    blocking: &Blocking,
    buffers: &Buffers,
    units: Range<usize>,
    scratch: *mut u8,
) {
    // SAFETY: the caller's promise, unchanged.
    let work = unsafe { Work::new(problem, blocking, buffers) };
    let (rows, columns) = (blocking.rows.blocks, blocking.columns.blocks);
    let matrices = problem.batch.count();
    let mut held = None;
    if let Some(small) = &blocking.small {
        let last = (units.end * blocking.group).min(matrices);
        for matrix in units.start * blocking.group..last {
            // SAFETY: the caller's promise is that this matrix of C is this call's.
            unsafe { work.small(small, matrix) };
        }
        return;
    }
    let [begin, end] = blocking.kernel.session;
    // SAFETY: this machine has the kernel.
    unsafe { begin() };
    for unit in units {
        let (rest, column) = (unit / columns, unit % columns);
        let (group, row) = (rest / rows, rest % rows);
        let first = group * blocking.group;
        for matrix in first..matrices.min(first + blocking.group) {
            // SAFETY: the block is one of matrix `matrix` of C.
            unsafe {
                match blocking.skinny {
                    Some(along) => work.few_rows(along, matrix, column, scratch, &mut held),
                    None => work.block(matrix, row, column, scratch, &mut held),
                }
            }
        }
    }
    // SAFETY: as above.
    unsafe { end() };
}

/// Which part of A scratch memory holds: matrix, row block, first k.
pub(super) type Held = Option<(usize, usize, usize)>;

/// A problem as the tiles see it, transposed if the blocking says so.
pub(super) struct Work<'a> {
    pub problem: Problem<'a>,
    pub blocking: &'a Blocking,
    pub buffers: Buffers,
    /// Bytes of a value as the tiles read it, and as memory holds it.
    pub size: usize,
    pub element_size: usize,
    direct: bool,
}

/// The operands of one matrix, and the block of C to compute.
pub(super) struct Block {
    pub a: *const u8,
    pub b: *const u8,
    c: *mut u8,
    pub b_index: usize,
    pub rows: Range<usize>,
    columns: Range<usize>,
    pub row_panels: Cut,
}

impl<'a> Work<'a> {
    /// # Safety
    /// As for [`pack`].
    unsafe fn new(problem: &Problem<'a>, blocking: &'a Blocking, buffers: &Buffers) -> Work<'a> {
        let (problem, buffers) = match blocking.swapped {
            false => (*problem, *buffers),
            true => (
                problem.swapped(),
                Buffers {
                    a: buffers.b,
                    b: buffers.a,
                    ..*buffers
                },
            ),
        };
        Work {
            problem,
            blocking,
            buffers,
            size: blocking.kernel.size(),
            element_size: problem.element.size(),
            direct: direct(&problem),
        }
    }

    /// The address of element (row, column) of a matrix.
    pub(super) fn at(
        &self,
        matrix: *const u8,
        strides: Strides,
        row: usize,
        column: usize,
    ) -> *const u8 {
        let elements = row as isize * strides.row + column as isize * strides.column;
        matrix.wrapping_offset(elements * self.element_size as isize)
    }

    /// The address so many elements of C on.
    pub(super) fn c(&self, c: *mut u8, elements: isize) -> *mut u8 {
        c.wrapping_offset(elements * self.problem.result.size() as isize)
    }

    /// Computes one matrix of a batch of small ones.
    ///
    /// # Safety
    /// As for [`multiply`].
    unsafe fn small(&self, small: &Small, matrix: usize) {
        let (offset, _) = self.problem.batch.locate(matrix);
        let Buffers { a, b, c, .. } = self.buffers;
        // SAFETY: matrix `matrix` is where the batch says.
        unsafe {
            small.run(
                a.cast::<f32>().wrapping_offset(offset.a),
                b.cast::<f32>().wrapping_offset(offset.b),
                c.cast::<f32>().wrapping_offset(offset.c),
            );
        }
    }

    /// Computes one block of C.
    ///
    /// # Safety
    /// As for [`multiply`].
    unsafe fn block(
        &self,
        matrix: usize,
        row: usize,
        column: usize,
        scratch: *mut u8,
        held: &mut Held,
    ) {
        let blocking = self.blocking;
        let (offset, b_index) = self.problem.batch.locate(matrix);
        let size = self.element_size as isize;
        let rows = blocking.rows.block(row);
        let kernel = blocking.kernel;
        let block = Block {
            a: self.buffers.a.wrapping_offset(offset.a * size),
            b: self.buffers.b.wrapping_offset(offset.b * size),
            c: self.c(self.buffers.c, offset.c),
            b_index,
            row_panels: Cut::new(rows.len(), kernel.row_quantum, kernel.max_rows()),
            rows,
            columns: blocking.columns.block(column),
        };
        let mut k = 0;
        loop {
            let span = k..(k + blocking.k_span).min(blocking.k_room);
            if blocking.a == Source::Scratch && *held != Some((matrix, row, k)) {
                // SAFETY: scratch memory begins with room for a block of A over a span.
                unsafe { self.pack_a(&block, span.clone(), scratch) };
                *held = Some((matrix, row, k));
            }
            // An empty k is one empty run, which makes zeros.
            loop {
                let end = (k + blocking.k_block).min(span.end);
                // SAFETY: A is packed for the span, and `k..end` lies in it.
                unsafe { self.k_block(&block, &span, k..end, scratch) };
                k = end;
                if k == span.end {
                    break;
                }
            }
            if k == blocking.k_room {
                break;
            }
        }
    }

    /// Adds the products of one block of k to all tiles of a block, and finishes them after the last.
    ///
    /// # Safety
    /// As for [`multiply`]; scratch memory holds A for `span`, if it is packed.
    unsafe fn k_block(
        &self,
        block: &Block,
        span: &Range<usize>,
        k: Range<usize>,
        scratch: *mut u8,
    ) {
        let kernel = self.blocking.kernel;
        let width = kernel.max_columns();
        let panels =
            block.columns.start / width..block.columns.end.min(self.problem.n).div_ceil(width);
        let steps = k.len() / kernel.depth;
        let mut slot = 0;
        for index in panels {
            // SAFETY: the panel is one of this block's columns.
            let (b, b_step) = unsafe { self.b_cells(block, index, &k, scratch) };
            // Each panel of A brings a share of what is read of B next; after the last panel, that is
            // the first again, for the next rows.
            let next = Some(index + 1).filter(|&next| next * width < self.problem.n);
            let next = self.b_packed(block, next.unwrap_or(0), &k);
            let share = next.map_or(0, |_| k.len() * width * self.size / block.row_panels.blocks);
            for panel in 0..block.row_panels.blocks {
                let rows = block.row_panels.block(panel);
                let (a, a_row, a_step) = self.a_cells(block, &rows, span, &k, scratch);
                let tile = Tile {
                    steps,
                    a,
                    a_row,
                    a_step,
                    b,
                    b_step,
                    next: next.unwrap_or(b).wrapping_add(panel * share),
                    sums: std::ptr::null_mut(),
                    sums_row: 0,
                    spread: kernel.lanes(),
                    accumulate: k.start > 0,
                };
                let last = k.end == self.blocking.k_room;
                // SAFETY: `tile` reads the operands' cells for these rows and columns over `k`.
                unsafe { self.tile(block, rows, index, tile, slot, last, scratch) };
                slot += 1;
            }
        }
    }

    /// Computes one tile, whose sums go to C or to scratch memory, and finishes it if it is the
    /// `last` time.
    ///
    /// # Safety
    /// As for [`multiply`]; `tile` reads valid cells for these rows and the panel's columns.
    #[expect(clippy::too_many_arguments, reason = "one place of one loop nest")]
    unsafe fn tile(
        &self,
        block: &Block,
        rows: Range<usize>,
        index: usize,
        mut tile: Tile,
        slot: usize,
        last: bool,
        scratch: *mut u8,
    ) {
        let blocking = self.blocking;
        let (count, columns) = self.b_panel(index);
        let (row, column) = (
            block.rows.start + rows.start,
            index * blocking.kernel.max_columns(),
        );
        let row_count = rows.len().min(self.problem.m - row);
        let Strides {
            row: down,
            column: across,
        } = self.problem.c;
        let c = self.c(block.c, row as isize * down + column as isize * across);
        let run = blocking
            .kernel
            .tile(rows.len(), columns, blocking.a != Source::Raw);
        let inside = row_count == rows.len() && count == columns;
        if self.direct && inside {
            (tile.sums, tile.sums_row) = (c.cast(), self.problem.c.row as usize);
            // SAFETY: the whole tile lies in C; the operands are the caller's promise.
            return unsafe { self.runs(run, tile) };
        }
        let at = blocking.scratch.sums + slot * blocking.scratch.sums_step;
        (tile.sums, tile.sums_row) = (scratch.wrapping_add(at).cast(), columns);
        let along = if blocking.swapped { row } else { column };
        let sums = Sums {
            from: tile.sums,
            row: columns,
            rows: row_count,
            columns: count,
            c,
            bias: self.bias(along),
            turned: scratch.wrapping_add(blocking.scratch.turned).cast(),
        };
        if last && self.problem.c.column == 1 {
            // By the time that the sums are done, the lines where they go are here.
            for line in (0..row_count).map(|row| self.c(c, row as isize * down)) {
                prefetch_write(line.cast_const());
                prefetch_write(self.c(line, count as isize - 1).cast_const());
            }
        }
        // SAFETY: scratch memory has a slot for each tile that waits, and one where none does;
        // the part of C that `sums` describes is this unit's.
        unsafe {
            self.runs(run, tile);
            if last {
                finish(blocking.kernel.level, &self.problem, blocking.swapped, sums);
            }
        }
    }

    /// Adds up one tile, run after run.
    ///
    /// # Safety
    /// As for [`TileFn`].
    unsafe fn runs(&self, run: TileFn, mut tile: Tile) {
        let kernel = self.blocking.kernel;
        let mut left = tile.steps;
        loop {
            tile.steps = left.min(kernel.k_run / kernel.depth);
            // SAFETY: these steps are some of the tile's.
            unsafe { run(&tile) };
            left -= tile.steps;
            if left == 0 {
                break;
            }
            let steps = tile.steps as isize;
            tile.a = tile.a.wrapping_offset(steps * tile.a_step);
            tile.b = tile.b.wrapping_offset(steps * tile.b_step);
            tile.next = tile.next.wrapping_offset(steps * AHEAD as isize);
            tile.accumulate = true;
        }
    }

    pub(super) fn bias(&self, index: usize) -> *const u8 {
        let elements = index as isize * self.problem.bias.unwrap_or(0);
        self.buffers
            .bias
            .wrapping_offset(elements * self.element_size as isize)
    }
}
