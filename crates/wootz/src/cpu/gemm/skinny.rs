//! Products with few rows: nothing of B, the large operand, is used twice, so it is read once,
//! where it lies, in its own direction. A, the small one, is widened into scratch memory first.

use half::{bf16, f16};

use super::cut::Cut;
use super::drive::{Held, Work};
use super::finish::{Sums, finish};
use super::pack::{self, Layout, Panel};
use super::problem::{Element, Problem};
use crate::cpu::simd::{Float, Job, Simd, prefetch_read};

/// Most rows of such a product. With more, a tile uses what it reads often enough.
const MOST_ROWS: usize = 8;
/// Columns of a unit whose rows of B are runs, and rows of B that are read side by side.
const RUN: usize = 512;
/// Elements of B that make a unit worth handing out, where its columns are runs.
const UNIT_ELEMENTS: usize = 1 << 17;

/// From one row of A to the next in scratch memory: rows a power of two apart would compete for
/// the same few lines of the cache.
pub(super) fn pitch(k: usize) -> usize {
    (k + 16).next_multiple_of(16)
}

/// Bytes between what a column's sum reads and what it asks for.
const AHEAD: usize = 4096;

/// Which elements of B follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Along {
    /// Those of a row: each adds its share to a line of sums.
    Rows,
    /// Those of a column: each column is a sum of its own.
    Columns,
}

impl Along {
    /// Whether so many rows are few.
    pub(super) fn few(rows: usize) -> bool {
        (1..=MOST_ROWS).contains(&rows)
    }

    /// How B is read, if this is a product with few rows.
    pub(super) fn choose(problem: &Problem) -> Option<Along> {
        if !Along::few(problem.m) || problem.k == 0 {
            return None;
        }
        match (problem.b.row, problem.b.column) {
            (_, 1) => Some(Along::Rows),
            (1, _) => Some(Along::Columns),
            _ => None,
        }
    }

    /// The columns of C, cut into units.
    pub(super) fn columns(self, problem: &Problem) -> Cut {
        let most = match self {
            Along::Rows => RUN,
            Along::Columns => (UNIT_ELEMENTS / problem.k).clamp(8, RUN) / 8 * 8,
        };
        Cut::new(problem.n, 8, most)
    }
}

impl Work<'_> {
    /// Computes a block of columns of one matrix.
    ///
    /// # Safety
    /// As for [`multiply`](super::multiply), for a blocking that is [`Along`] something.
    pub(super) unsafe fn few_rows(
        &self,
        along: Along,
        matrix: usize,
        column: usize,
        scratch: *mut u8,
        held: &mut Held,
    ) {
        // SAFETY: passed on from the caller; the elements are what the problem says.
        unsafe {
            match self.problem.element {
                Element::F32 => self.block_of::<f32>(along, matrix, column, scratch, held),
                Element::F16 => self.block_of::<f16>(along, matrix, column, scratch, held),
                Element::Bf16 => self.block_of::<bf16>(along, matrix, column, scratch, held),
            }
        }
    }

    /// # Safety
    /// As for [`Work::few_rows`], with elements of `T`.
    unsafe fn block_of<T: Float>(
        &self,
        along: Along,
        matrix: usize,
        column: usize,
        scratch: *mut u8,
        held: &mut Held,
    ) {
        let (problem, blocking) = (&self.problem, self.blocking);
        let level = blocking.kernel.level;
        let (offset, _) = problem.batch.locate(matrix);
        let whole = |matrix: *const u8, offset: isize| {
            matrix.wrapping_offset(offset * size_of::<T>() as isize)
        };
        if *held != Some((matrix, 0, 0)) {
            // A panel of k columns whose steps are the rows is A with its rows together.
            let panel = Panel {
                from: whole(self.buffers.a, offset.a),
                across: problem.a.column,
                along: problem.a.row,
                count: problem.k,
                width: pitch(problem.k),
                k: problem.m,
                k_room: problem.m,
                side_by_side: 1,
                apart: 0,
            };
            let layout = Layout {
                level,
                bf16: false,
                group: 1,
            };
            // SAFETY: A is m×k, and scratch memory has room for as many f32.
            unsafe { pack::pack(layout, problem.element, panel, scratch) };
            *held = Some((matrix, 0, 0));
        }
        let columns = blocking.columns.block(column);
        let b = whole(self.buffers.b, offset.b);
        let block = Block {
            a: scratch.cast::<f32>(),
            k: problem.k,
            b: self.at(b, problem.b, 0, columns.start).cast::<T>(),
            step: match along {
                Along::Rows => problem.b.row,
                Along::Columns => problem.b.column,
            },
            sums: scratch.wrapping_add(blocking.scratch.sums).cast(),
            count: columns.end.min(problem.n) - columns.start,
        };
        macro_rules! by_rows {
            ($job:ident: $($rows:literal [$($size:literal),*])*) => {
                match problem.m {
                    $($rows => level.dispatch($job::<T, $rows, $($size),*>(block)),)*
                    _ => unreachable!("at most {MOST_ROWS} rows"),
                }
            };
        }
        // As many sums as registers hold beside what they are made of.
        match along {
            Along::Rows => {
                by_rows!(Lines: 1 [4] 2 [4] 3 [4] 4 [4] 5 [4] 6 [4] 7 [4] 8 [4])
            }
            Along::Columns => {
                by_rows!(Dots: 1 [1, 8] 2 [4, 2] 3 [6, 1] 4 [6, 1] 5 [2, 2] 6 [2, 2] 7 [3, 1] 8 [3, 1])
            }
        }
        let sums = Sums {
            from: block.sums,
            row: block.count,
            rows: problem.m,
            columns: block.count,
            c: self.c(
                self.buffers.c,
                offset.c + columns.start as isize * problem.c.column,
            ),
            bias: self.bias(if blocking.swapped { 0 } else { columns.start }),
            turned: scratch.wrapping_add(blocking.scratch.turned).cast(),
        };
        // SAFETY: the block's columns lie in C and are this unit's, and its sums were just made;
        // scratch memory has room for them turned.
        unsafe { finish(level, problem, blocking.swapped, sums) };
    }
}

/// Some columns of a product.
#[derive(Clone, Copy)]
struct Block<T> {
    /// Rows of `k`, a [`pitch`] apart.
    a: *const f32,
    k: usize,
    /// The first column's first element, and the distance from run to run.
    b: *const T,
    step: isize,
    /// Rows of `count`.
    sums: *mut f32,
    count: usize,
}

impl<T> Block<T> {
    /// `n` elements of run `run` of B from `at` on.
    ///
    /// # Safety
    /// They are there.
    #[inline(always)]
    unsafe fn b<'a>(&self, run: usize, at: usize, n: usize) -> &'a [T] {
        let from = self.b.wrapping_offset(run as isize * self.step);
        // SAFETY: passed on from the caller.
        unsafe { std::slice::from_raw_parts(from.wrapping_add(at), n) }
    }

    /// Asks for what run `run` of B has `ahead` bytes after element `at`; beyond the end of B in
    /// vain.
    #[inline(always)]
    fn fetch(&self, run: usize, at: usize, ahead: usize) {
        let from = self.b.wrapping_offset(run as isize * self.step);
        let from = from.wrapping_add(at).cast::<u8>().wrapping_add(ahead);
        prefetch_read(from);
    }

    /// `n` elements of row `r` of A from `at` on.
    ///
    /// # Safety
    /// They are there.
    #[inline(always)]
    unsafe fn a<'a>(&self, r: usize, at: usize, n: usize) -> &'a [f32] {
        // SAFETY: passed on from the caller.
        unsafe { std::slice::from_raw_parts(self.a.add(r * pitch(self.k) + at), n) }
    }

    /// `n` sums of row `r` from `at` on.
    ///
    /// # Safety
    /// They are there, and nobody else holds them.
    #[inline(always)]
    unsafe fn sums<'a>(&self, r: usize, at: usize, n: usize) -> &'a mut [f32] {
        // SAFETY: passed on from the caller.
        unsafe { std::slice::from_raw_parts_mut(self.sums.add(r * self.count + at), n) }
    }
}

/// Sums along runs of B that are its columns, `COLUMNS` side by side.
struct Dots<T, const ROWS: usize, const COLUMNS: usize, const STEPS: usize>(Block<T>);

impl<T: Float, const ROWS: usize, const COLUMNS: usize, const STEPS: usize> Job
    for Dots<T, ROWS, COLUMNS, STEPS>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let whole = self.0.count - self.0.count % COLUMNS;
        // SAFETY: the columns are the block's, here and below.
        unsafe {
            for column in (0..whole).step_by(COLUMNS) {
                dots::<S, T, ROWS, COLUMNS, STEPS>(s, &self.0, column);
            }
            for column in whole..self.0.count {
                dots::<S, T, ROWS, 1, STEPS>(s, &self.0, column);
            }
        }
    }
}

/// # Safety
/// The block has `ROWS` rows, and `COLUMNS` columns from `column` on.
#[inline(always)]
unsafe fn dots<S: Simd, T: Float, const ROWS: usize, const COLUMNS: usize, const STEPS: usize>(
    s: S,
    block: &Block<T>,
    column: usize,
) {
    let mut sums = [[[s.splat(0.0); STEPS]; COLUMNS]; ROWS];
    let mut at = 0;
    while at + STEPS * S::LANES <= block.k {
        // SAFETY: so many vectors are left of each run.
        unsafe { step(s, block, column, at, &mut sums) };
        at += STEPS * S::LANES;
    }
    // What is left joins the first of the partial sums.
    let mut first = [[[s.splat(0.0)]; COLUMNS]; ROWS];
    for (first, sums) in first.iter_mut().zip(&sums) {
        for (first, sums) in first.iter_mut().zip(sums) {
            for &sum in sums {
                first[0] = s.add(first[0], sum);
            }
        }
    }
    while at + S::LANES <= block.k {
        // SAFETY: a whole vector is left of each run.
        unsafe { step(s, block, column, at, &mut first) };
        at += S::LANES;
    }
    let mut sums = first.map(|row| row.map(|[sum]| sum));
    if at < block.k {
        let left = block.k - at;
        for i in 0..COLUMNS {
            // SAFETY: so many are left of each run, here and below.
            let b = T::load_first(s, unsafe { block.b(column + i, at, left) }, 0.0);
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                let a = s.load_first(unsafe { block.a(r, at, left) }, 0.0);
                sums[i] = s.fma(a, b, sums[i]);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        // SAFETY: the caller vouches for these sums.
        let to = unsafe { block.sums(r, column, COLUMNS) };
        for (to, &sum) in to.iter_mut().zip(sums) {
            *to = s.sum(sum);
        }
    }
}

/// One step of [`dots`]: `STEPS` vectors of each run from `at` on.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn step<S: Simd, T: Float, const ROWS: usize, const COLUMNS: usize, const STEPS: usize>(
    s: S,
    block: &Block<T>,
    column: usize,
    at: usize,
    sums: &mut [[[S::F32; STEPS]; COLUMNS]; ROWS],
) {
    for j in 0..STEPS {
        let at = at + j * S::LANES;
        let mut b = [s.splat(0.0); COLUMNS];
        for (i, b) in b.iter_mut().enumerate() {
            if (j * S::LANES * size_of::<T>()).is_multiple_of(64) {
                block.fetch(column + i, at, AHEAD);
            }
            // SAFETY: passed on from the caller, here and below.
            *b = T::load(s, unsafe { block.b(column + i, at, S::LANES) });
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: as above.
            let a = s.load(unsafe { block.a(r, at, S::LANES) });
            for (sums, &b) in sums.iter_mut().zip(&b) {
                sums[j] = s.fma(a, b, sums[j]);
            }
        }
    }
}

/// Adds runs of B that are its rows, several at a time, to lines of sums.
struct Lines<T, const ROWS: usize, const DEPTH: usize>(Block<T>);

impl<T: Float, const ROWS: usize, const DEPTH: usize> Job for Lines<T, ROWS, DEPTH> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (block, k) = (self.0, self.0.k);
        let whole = k - k % DEPTH;
        // SAFETY: the rows are the block's; the first step finds no sums before it.
        unsafe {
            for first in (0..whole).step_by(DEPTH) {
                lines::<S, T, ROWS, DEPTH>(s, &block, first);
            }
            for first in whole..k {
                lines::<S, T, ROWS, 1>(s, &block, first);
            }
        }
    }
}

/// # Safety
/// The block has `ROWS` rows, and B `DEPTH` rows from `first` on.
#[inline(always)]
unsafe fn lines<S: Simd, T: Float, const ROWS: usize, const DEPTH: usize>(
    s: S,
    block: &Block<T>,
    first: usize,
) {
    let mut a = [[0.0f32; DEPTH]; ROWS];
    for (r, a) in a.iter_mut().enumerate() {
        // SAFETY: the caller vouches for these values of k.
        a.copy_from_slice(unsafe { block.a(r, first, DEPTH) });
    }
    let whole = block.count - block.count % S::LANES;
    for at in (0..whole).step_by(S::LANES) {
        let mut b = [s.splat(0.0); DEPTH];
        for (i, b) in b.iter_mut().enumerate() {
            block.fetch(first + DEPTH + i, at, 0);
            // SAFETY: a whole vector is left of each run, here and below.
            *b = T::load(s, unsafe { block.b(first + i, at, S::LANES) });
        }
        for (r, a) in a.iter().enumerate() {
            // SAFETY: as above; scratch memory may hold anything before the first step.
            let to = unsafe { block.sums(r, at, S::LANES) };
            let mut sum = s.splat(0.0);
            for (&a, &b) in a.iter().zip(&b) {
                sum = s.fma(s.splat(a), b, sum);
            }
            // Only now: so each sum rounds once in `DEPTH` products at the size that it has reached.
            if first > 0 {
                sum = s.add(s.load(to), sum);
            }
            s.store(to, sum);
        }
    }
    if whole < block.count {
        let left = block.count - whole;
        for (r, a) in a.iter().enumerate() {
            // SAFETY: so many are left of each run, here and below.
            let to = unsafe { block.sums(r, whole, left) };
            let mut sum = s.splat(0.0);
            for (i, &a) in a.iter().enumerate() {
                // SAFETY: as above.
                let b = T::load_first(s, unsafe { block.b(first + i, whole, left) }, 0.0);
                sum = s.fma(s.splat(a), b, sum);
            }
            if first > 0 {
                sum = s.add(s.load_first(to, 0.0), sum);
            }
            s.store_first(to, sum);
        }
    }
}
