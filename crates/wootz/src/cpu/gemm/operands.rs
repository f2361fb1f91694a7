//! Where the tiles find the operands' panels, and packing those.

use std::ops::Range;

use super::blocking::Source;
use super::drive::{Block, Work};
use super::pack::{self, Layout, Panel};

impl Work<'_> {
    fn layout(&self, group: usize) -> Layout {
        Layout {
            level: self.blocking.kernel.level,
            bf16: self.blocking.kernel.bf16,
            group,
        }
    }

    /// The columns of panel `index` of B: those that exist, and the panel's width.
    pub(super) fn b_panel(&self, index: usize) -> (usize, usize) {
        let kernel = self.blocking.kernel;
        let count = kernel
            .max_columns()
            .min(self.problem.n - index * kernel.max_columns());
        (count, count.next_multiple_of(kernel.column_quantum))
    }

    /// Where panel `index` of packed matrix `matrix` begins.
    fn shared_panel(&self, matrix: usize, index: usize) -> *mut u8 {
        let k = self.blocking.k_room * self.size;
        let columns = self
            .problem
            .n
            .next_multiple_of(self.blocking.kernel.column_quantum);
        let before = matrix * columns + index * self.blocking.kernel.max_columns();
        self.buffers.packed.wrapping_add(before * k)
    }

    /// # Safety
    /// As for [`pack`](super::pack()); the panels and k are some of B's.
    pub(super) unsafe fn pack_shared(&self, matrix: usize, panels: Range<usize>, k: Range<usize>) {
        let offset = self.problem.batch.locate_b(matrix) * self.element_size as isize;
        let b = self.buffers.b.wrapping_offset(offset);
        let mut index = panels.start;
        while index < panels.end {
            let (_, width) = self.b_panel(index);
            // Those that are as wide as they can be; the last may not be.
            let whole = self.problem.n / self.blocking.kernel.max_columns();
            let side_by_side = whole.min(panels.end).saturating_sub(index).max(1);
            let to = self
                .shared_panel(matrix, index)
                .wrapping_add(k.start * width * self.size);
            // SAFETY: the shared buffer has room for every panel over all of k.
            unsafe { self.pack_b(b, index, side_by_side, k.clone(), to) }
            index += side_by_side;
        }
    }

    /// # Safety
    /// `b` is a whole matrix, and `to` has room for the panels over `k`, each as far from the one
    /// before as all of k is long.
    unsafe fn pack_b(
        &self,
        b: *const u8,
        index: usize,
        side_by_side: usize,
        k: Range<usize>,
        to: *mut u8,
    ) {
        let (count, width) = self.b_panel(index);
        let first = index * self.blocking.kernel.max_columns();
        let panel = Panel {
            from: self.at(b, self.problem.b, k.start, first),
            across: self.problem.b.column,
            along: self.problem.b.row,
            count,
            width,
            k: k.end.min(self.problem.k) - k.start,
            k_room: k.len(),
            side_by_side,
            apart: width * self.blocking.k_room,
        };
        let layout = self.layout(self.blocking.kernel.b_group);
        // SAFETY: `count` columns from `first`, and k up to the problem's, lie in B.
        unsafe { pack::pack(layout, self.problem.element, panel, to) }
    }

    /// Packs a block of rows of A, panel after panel.
    ///
    /// # Safety
    /// `to` has room for the block over `k`.
    pub(super) unsafe fn pack_a(&self, block: &Block, k: Range<usize>, to: *mut u8) {
        for index in 0..block.row_panels.blocks {
            let rows = block.row_panels.block(index);
            let first = block.rows.start + rows.start;
            let panel = Panel {
                from: self.at(block.a, self.problem.a, first, k.start),
                across: self.problem.a.row,
                along: self.problem.a.column,
                count: rows.len().min(self.problem.m - first),
                width: rows.len(),
                k: k.end.min(self.problem.k) - k.start,
                k_room: k.len(),
                side_by_side: 1,
                apart: 0,
            };
            let layout = self.layout(self.blocking.kernel.a_group);
            let to = to.wrapping_add(rows.start * k.len() * self.size);
            // SAFETY: `count` rows from `first`, and k up to the problem's, lie in A; the panels
            // before this one took `rows.start` rows of the room.
            unsafe { pack::pack(layout, self.problem.element, panel, to) }
        }
    }

    /// Where the tiles find panel `index` of B for `k`, and the bytes from step to step.
    ///
    /// # Safety
    /// As for [`multiply`](super::multiply).
    pub(super) unsafe fn b_cells(
        &self,
        block: &Block,
        index: usize,
        k: &Range<usize>,
        scratch: *mut u8,
    ) -> (*const u8, isize) {
        let kernel = self.blocking.kernel;
        let (count, columns) = self.b_panel(index);
        let step = (columns * kernel.depth * self.size) as isize;
        match self.blocking.b {
            Source::Raw if count == columns => {
                let b = self.at(
                    block.b,
                    self.problem.b,
                    k.start,
                    index * kernel.max_columns(),
                );
                (b, self.problem.b.row * self.element_size as isize)
            }
            _ => {
                if let Some(panel) = self.b_packed(block, index, k) {
                    return (panel, step);
                }
                let to = scratch.wrapping_add(self.blocking.scratch.b);
                // SAFETY: scratch memory has room for a panel of B over a block of k.
                unsafe { self.pack_b(block.b, index, 1, k.clone(), to) };
                (to, step)
            }
        }
    }

    /// Where panel `index` of B lies for `k`, if all units share it.
    pub(super) fn b_packed(
        &self,
        block: &Block,
        index: usize,
        k: &Range<usize>,
    ) -> Option<*const u8> {
        let (_, columns) = self.b_panel(index);
        let panel =
            (self.blocking.b == Source::Shared).then(|| self.shared_panel(block.b_index, index))?;
        Some(panel.wrapping_add(k.start * columns * self.size))
    }

    /// Where the tiles find these rows of A for `k`, and the bytes from row to row and step to step.
    pub(super) fn a_cells(
        &self,
        block: &Block,
        rows: &Range<usize>,
        span: &Range<usize>,
        k: &Range<usize>,
        scratch: *mut u8,
    ) -> (*const u8, isize, isize) {
        let kernel = self.blocking.kernel;
        match self.blocking.a {
            Source::Raw => {
                let a = self.at(
                    block.a,
                    self.problem.a,
                    block.rows.start + rows.start,
                    k.start,
                );
                let size = self.element_size as isize;
                let step = self.problem.a.column * kernel.depth as isize;
                (a, self.problem.a.row * size, step * size)
            }
            _ => {
                let values = rows.start * span.len() + (k.start - span.start) * rows.len();
                let row = kernel.a_group * self.size;
                let step = rows.len() * kernel.depth * self.size;
                (
                    scratch.wrapping_add(values * self.size),
                    row as isize,
                    step as isize,
                )
            }
        }
    }
}
