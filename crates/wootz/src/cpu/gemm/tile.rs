//! The innermost loop: one tile of C held in registers while k runs.

use super::lanes::Lanes;
use crate::cpu::simd::{prefetch_near, prefetch_write};

/// One tile's operands. Distances are in bytes where nothing else is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    /// Steps along k.
    pub steps: usize,
    /// First cell of A.
    pub a: *const u8,
    /// From one row of A to the next.
    pub a_row: isize,
    /// From one step of A to the next.
    pub a_step: isize,
    /// First cell of B; the columns of a step are neighbours.
    pub b: *const u8,
    /// From one step of B to the next.
    pub b_step: isize,
    /// What will be read of B after this: it comes nearer meanwhile, where A is packed.
    pub next: *const u8,
    /// Where the sums go.
    pub sums: *mut f32,
    /// From one row of the sums to the next, in f32.
    pub sums_row: usize,
    /// From one vector of columns to the next, in columns, where A is not packed: fewer than a
    /// vector has where two overlap.
    pub spread: usize,
    /// Adds to the sums instead of replacing them.
    pub accumulate: bool,
}

/// Bytes of [`Tile::next`] that one step fetches: a panel of B that is as long as this one is here
/// once eight or so panels of A have passed.
pub(super) const AHEAD: usize = 16;

/// The same distance, as one that the compiler knows nothing about: it would reach each row of A from
/// the one before, and so many additions, each waiting for the last, take longer than the products.
#[inline(always)]
fn unknown(distance: isize) -> isize {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        let same;
        // SAFETY: no instruction.
        unsafe {
            std::arch::asm!("/* {0} */", inlateout(reg) distance => same,
                options(pure, nomem, nostack, preserves_flags));
        }
        same
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    distance
}

/// Computes one tile of a fixed size.
///
/// # Safety
/// The machine has the kernel's instructions, and the pointers of the [`Tile`] are valid for the
/// tile's rows, columns and steps.
pub(super) type TileFn = unsafe fn(&Tile);

/// `ROWS` × `VECTORS`·`LANES` sums. With `PACKED`, the cells of A follow each other: all rows of a
/// step, then the next step; the loop then needs one pointer for A.
///
/// # Safety
/// As for [`TileFn`]; the caller is compiled for the instructions of `L`.
#[expect(
    clippy::needless_range_loop,
    reason = "plain indices unroll with the least work for the compiler"
)]
#[inline(always)]
pub(super) unsafe fn tile<L: Lanes, const ROWS: usize, const VECTORS: usize, const PACKED: bool>(
    t: &Tile,
) {
    let spread = match PACKED {
        true => L::LANES,
        false => t.spread,
    };
    let sums = |row: usize, vector: usize| t.sums.wrapping_add(row * t.sums_row + vector * spread);
    let cell = size_of::<L::Cell>() as isize;
    let (row, step) = match PACKED {
        true => (cell, ROWS as isize * cell),
        false => (t.a_row, t.a_step),
    };
    // SAFETY: the caller vouches for `ROWS` rows, `VECTORS` vectors of columns and `t.steps` steps
    // behind each pointer, and for the instructions of `L`.
    unsafe {
        let mut sum = [[L::zero(); VECTORS]; ROWS];
        // By the time that k is done, the lines where the sums go are here.
        for r in 0..ROWS {
            for v in 0..VECTORS {
                prefetch_write(sums(r, v));
            }
        }
        let (mut b, mut next) = (t.b, t.next);
        // Every fourth row of A, and how far the three rows after it are.
        let (mut fourths, mut rows) = ([t.a; 4], [0, row, 2 * row, 3 * row]);
        if !PACKED {
            for r in 1..4 {
                rows[r] = unknown(rows[r]);
                fourths[r] = t.a.wrapping_offset(unknown(4 * r as isize * row));
            }
        }
        for _ in 0..t.steps {
            if PACKED {
                prefetch_near(next);
                next = next.wrapping_add(AHEAD);
            }
            let cells = b.cast::<L::Cell>();
            // Plain loops: a closure here is a call where the compiler keeps it out of line.
            let mut columns = [L::load(cells); VECTORS];
            for v in 1..VECTORS {
                columns[v] = L::load(cells.add(v * spread));
            }
            for r in 0..ROWS {
                let x = match PACKED {
                    true => fourths[0].wrapping_offset(r as isize * row),
                    false => fourths[r / 4].wrapping_offset(rows[r % 4]),
                };
                let x = x.cast::<L::Cell>();
                let x = L::splat(x.read_unaligned());
                for v in 0..VECTORS {
                    sum[r][v] = L::multiply_add(sum[r][v], x, columns[v]);
                }
            }
            for fourth in &mut fourths {
                *fourth = fourth.wrapping_offset(step);
            }
            b = b.wrapping_offset(t.b_step);
        }
        // Only now, so that no sum is longer than a block of k: each addition rounds at the size
        // that the sum has reached.
        if t.accumulate {
            for r in 0..ROWS {
                for v in 0..VECTORS {
                    sum[r][v] = L::add(L::load_sum(sums(r, v)), sum[r][v]);
                }
            }
        }
        for r in 0..ROWS {
            for v in 0..VECTORS {
                L::store_sum(sums(r, v), sum[r][v]);
            }
        }
    }
}
