//! Products so small that what surrounds the arithmetic counts: the tiles read both operands where
//! they are, and nothing is cut into units, packed or finished.

use super::kernel::Kernel;
use super::problem::{Element, Problem, Strides};
use super::skinny::Along;
use super::tile::Tile;

/// The most multiply-adds of such a product: what one thread does alone.
const MOST: usize = 1 << 18;
/// The same where there are few rows or columns, whose own way costs a little more to enter.
const MOST_FEW: usize = 1 << 13;

/// A product of two small f32 matrices into a row-major one, as bytes that a plan can hold.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Small {
    kernel: u32,
    m: u32,
    n: u32,
    k: u32,
    /// From row to row and from column to column of A, from row to row of B and of C, in elements.
    a_row: i64,
    a_column: i64,
    b_row: i64,
    c_row: i64,
}

impl Small {
    /// The product of A, m×k, and B, k×n, into C whose rows begin `c_row` elements apart; `None` if
    /// it is none for `kernel`.
    #[inline(always)]
    pub fn new(
        kernel: &'static Kernel,
        [m, n, k]: [usize; 3],
        a: Strides,
        b: Strides,
        c_row: usize,
    ) -> Option<Small> {
        let work = m.checked_mul(n)?.checked_mul(k.max(1))?;
        let most = match Along::few(m) || Along::few(n) {
            true => MOST_FEW,
            false => MOST,
        };
        let fits = work <= most && m > 0 && n >= kernel.column_quantum && k <= kernel.k_run;
        if !fits || kernel.bf16 || b.column != 1 {
            return None;
        }
        Some(Small {
            kernel: kernel.index() as u32,
            m: m as u32,
            n: n as u32,
            k: k as u32,
            a_row: a.row as i64,
            a_column: a.column as i64,
            b_row: b.row as i64,
            c_row: c_row as i64,
        })
    }

    /// One matrix of `problem`, if that is such a product.
    pub(super) fn of(problem: &Problem, kernel: &'static Kernel) -> Option<Small> {
        if problem.element != Element::F32 || !super::finish::direct(problem) {
            return None;
        }
        let sizes = [problem.m, problem.n, problem.k];
        let c_row = usize::try_from(problem.c.row).ok()?;
        Small::new(kernel, sizes, problem.a, problem.b, c_row)
    }

    /// Computes the product.
    ///
    /// # Safety
    /// This machine has the kernel, and the pointers are valid for all the memory that the sizes
    /// and strides describe, aligned to f32. No other thread writes A or B, or touches C, meanwhile.
    pub unsafe fn run(&self, a: *const f32, b: *const f32, c: *mut f32) {
        let kernel = Kernel::at(self.kernel as usize);
        let (m, n, lanes) = (self.m as usize, self.n as usize, kernel.lanes());
        let mut row = 0;
        while row < m {
            let rows = rows(m - row, kernel.max_rows());
            let mut column = 0;
            while column < n {
                let (first, vectors, spread) = columns(column, n, kernel.max_columns(), lanes);
                let offset = |stride: i64| row as isize * stride as isize;
                let tile = Tile {
                    steps: self.k as usize,
                    a: a.wrapping_offset(offset(self.a_row)).cast(),
                    a_row: 4 * self.a_row as isize,
                    a_step: 4 * self.a_column as isize,
                    b: b.wrapping_add(first).cast(),
                    b_step: 4 * self.b_row as isize,
                    next: std::ptr::null(),
                    sums: c.wrapping_offset(offset(self.c_row)).wrapping_add(first),
                    sums_row: self.c_row as usize,
                    spread,
                    accumulate: false,
                };
                // SAFETY: the tile's rows and columns are some of C's; the rest is the caller's
                // promise.
                unsafe { kernel.tile_of(rows, vectors, false)(&tile) };
                column = first + (vectors - 1) * spread + lanes;
            }
            row += rows;
        }
    }
}

/// How many of `left` rows a tile of at most `most` computes next: the last two share theirs, so
/// that neither is thin.
fn rows(left: usize, most: usize) -> usize {
    match left {
        _ if left <= most => left,
        _ if left < 2 * most => left.div_ceil(2),
        _ => most,
    }
}

/// Which of `n` columns, of which `column` are done, a tile of at most `most` computes next: the
/// first, how many vectors, and how far apart those begin. Where columns are no whole vectors, two
/// overlap instead of one being narrower: the sums that are computed twice have the same bits.
fn columns(column: usize, n: usize, most: usize, lanes: usize) -> (usize, usize, usize) {
    // A power of two: divisions would take as long as the smallest products.
    let (mask, shift) = (lanes - 1, lanes.trailing_zeros());
    let left = n - column;
    match left.min(most) {
        left if left & mask == 0 => (column, left >> shift, lanes),
        left if left < lanes => (n - lanes, 1, lanes),
        left if left < 2 * lanes => (column, 2, left - lanes),
        left => (column, left >> shift, lanes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_each_row() {
        for (m, most) in (1..100).flat_map(|m| [4, 6, 14].map(|most| (m, most))) {
            let (mut row, mut tiles) = (0, 0);
            while row < m {
                let rows = rows(m - row, most);
                assert!((1..=most).contains(&rows), "{m} rows from {row}");
                row += rows;
                tiles += 1;
            }
            assert_eq!((row, tiles), (m, m.div_ceil(most)));
        }
    }

    #[test]
    fn tiles_cover_each_column_and_no_other() {
        for (lanes, most) in [(4, 8), (4, 12), (8, 16), (16, 32)] {
            for n in lanes..=5 * lanes {
                let mut column = 0;
                while column < n {
                    let (first, vectors, spread) = columns(column, n, most, lanes);
                    assert!(
                        (1..=most / lanes).contains(&vectors),
                        "{n} columns from {column}"
                    );
                    assert!(
                        first <= column && spread <= lanes,
                        "{n} columns from {column}"
                    );
                    let end = first + (vectors - 1) * spread + lanes;
                    assert!(column < end && end <= n, "{n} columns from {column}");
                    column = end;
                }
            }
        }
    }
}
