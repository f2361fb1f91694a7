//! Cutting a product into units of work, by its shape alone.

use super::cut::Cut;
use super::finish;
use super::kernel::Kernel;
use super::problem::{Element, Problem};
use super::skinny::{Along, pitch};
use super::small::Small;

/// Alignment of the packed buffer and of scratch memory: a cache line, and a row of an AMX tile.
pub const ALIGNMENT: usize = 64;

/// Where the tiles read an operand from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Where the caller has it.
    Raw,
    /// Packed into the scratch memory of whoever computes the unit.
    Scratch,
    /// Packed once into memory that all units share.
    Shared,
}

/// How a product is cut. Units of one product can be computed in any order, on any threads.
#[derive(Clone, Copy, Debug)]
pub struct Blocking {
    pub(super) kernel: &'static Kernel,
    /// Whether Cᵀ = Bᵀ·Aᵀ is computed instead.
    pub(super) swapped: bool,
    /// How B is read where there are too few rows for tiles; then nothing is packed ahead.
    pub(super) skinny: Option<Along>,
    /// One matrix, where each is so small that it is computed as it lies.
    pub(super) small: Option<Small>,
    pub(super) a: Source,
    pub(super) b: Source,
    /// Rows and columns of C, cut into blocks; a unit is one of each.
    pub(super) rows: Cut,
    pub(super) columns: Cut,
    /// Values of k that a panel of B is read for before the next panel's turn.
    pub(super) k_block: usize,
    /// Values of k for which scratch memory holds A; a multiple of `k_block`.
    pub(super) k_span: usize,
    /// k rounded up to the kernel's steps.
    pub(super) k_room: usize,
    /// Matrices that one unit computes, where each is one block.
    pub(super) group: usize,
    /// Panels of B that one unit of packing packs, and values of k of each.
    pub(super) pack_group: usize,
    pub(super) pack_depth: usize,
    pub(super) scratch: Scratch,
    /// Bytes of the buffer that units share; zero where nothing is packed ahead.
    pub packed_bytes: usize,
    /// Units of the first phase, [`pack`](super::pack); zero where nothing is packed ahead.
    pub pack_units: usize,
    /// Units of the second phase, [`multiply`](super::multiply).
    pub units: usize,
    /// Bytes of scratch memory for each thread that computes units of the second phase.
    pub scratch_bytes: usize,
}

/// What scratch memory holds, as byte offsets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scratch {
    /// A block of packed A comes first; then a panel of packed B.
    pub b: usize,
    /// Sums that do not go straight into C.
    pub sums: usize,
    /// Bytes between two tiles' sums: zero where a tile is finished before the next begins.
    pub sums_step: usize,
    /// Room to transpose the sums of one tile.
    pub turned: usize,
}

/// What packed A may take of the second cache.
const A_BLOCK_BYTES: usize = 2 << 20;
/// Columns of a unit.
const UNIT_COLUMNS: usize = 512;
/// Up to this many rows, B is read so seldom that packing it costs more than it saves.
const RAW_B_ROWS: usize = 128;
/// Multiply-adds that make a unit worth handing out.
const UNIT_WORK: usize = 1 << 18;
/// Bytes that make a unit of packing worth handing out.
const PACK_UNIT_BYTES: usize = 64 << 10;
/// Panels that are packed side by side where rows of B lie together.
const PACK_PANELS: usize = 4;
/// The most that is packed ahead; beyond, each unit packs what it needs.
const PACKED_LIMIT: usize = 1 << 40;

impl Blocking {
    /// Cuts `problem` for `kernel`: a pure function of its arguments.
    pub fn choose(problem: &Problem, kernel: &'static Kernel) -> Blocking {
        if let Some(small) = Small::of(problem, kernel) {
            return Blocking::small(problem, small, kernel);
        }
        if let Some(along) = Along::choose(problem) {
            return Blocking::skinny(problem, false, along, kernel);
        }
        // A problem is large enough for its copy to count where the product is tiny.
        let turned;
        let swapped = prefers_swapped(problem, kernel);
        let problem = match swapped || Along::few(problem.n) {
            false => problem,
            true => {
                turned = problem.swapped();
                if let Some(along) = Along::choose(&turned) {
                    return Blocking::skinny(&turned, true, along, kernel);
                }
                if swapped { &turned } else { problem }
            }
        };
        Blocking::of_tiles(problem, swapped, kernel, false)
    }

    /// Whether B may come packed once for many products.
    pub fn reads_packed(problem: &Problem) -> bool {
        let few = Along::few(problem.m) || Along::few(problem.n);
        let single = problem.batch.count() == 1 && problem.k > 0;
        single && !few && problem.c.column == 1 && problem.b.row == 1
    }

    /// Cuts a problem that [`Blocking::reads_packed`]. What [`pack`](super::pack) makes of it
    /// depends on B and the kernel alone.
    pub fn of_packed(problem: &Problem, kernel: &'static Kernel) -> Blocking {
        Blocking::of_tiles(problem, false, kernel, true)
    }

    fn of_tiles(
        problem: &Problem,
        swapped: bool,
        kernel: &'static Kernel,
        ahead: bool,
    ) -> Blocking {
        let (m, n, k, size) = (problem.m, problem.n, problem.k, kernel.size());
        let steps = k.div_ceil(kernel.depth);
        let k_room = steps.saturating_mul(kernel.depth);
        let (tile_rows, tile_columns) = (kernel.max_rows(), kernel.max_columns());

        let whole = |bytes: usize| (bytes / size / kernel.depth * kernel.depth).max(kernel.depth);
        let k_block = kernel.k_block.min(k_room.max(kernel.depth));
        let k_span = if k_room <= k_block {
            k_block
        } else {
            let most = whole(A_BLOCK_BYTES / (4 * tile_rows)) / k_block * k_block;
            most.max(k_block).min(k_room.next_multiple_of(k_block))
        };
        let fitting = A_BLOCK_BYTES / size / k_span / tile_rows * tile_rows;
        let rows = Cut::new(
            m,
            kernel.row_quantum,
            fitting.clamp(tile_rows, unit_rows(kernel)),
        );
        let columns = Cut::new(n, tile_columns, UNIT_COLUMNS.next_multiple_of(tile_columns));

        let a = match raw_a(problem, problem.a.column, problem.m, kernel) && n <= kernel.raw_columns
        {
            true => Source::Raw,
            false => Source::Scratch,
        };
        let padded = n.checked_next_multiple_of(kernel.column_quantum);
        let packed_matrix = padded.and_then(|n| n.checked_mul(k_room)?.checked_mul(size));
        let packed = packed_matrix
            .and_then(|bytes| bytes.checked_mul(problem.batch.count_b()))
            .filter(|&bytes| bytes <= PACKED_LIMIT);
        let (b, packed_bytes) = match packed {
            _ if !ahead && raw_b(problem, kernel) && m <= RAW_B_ROWS => (Source::Raw, 0),
            Some(bytes) if ahead || rows.blocks > 1 => (Source::Shared, bytes),
            _ => (Source::Scratch, 0),
        };

        // Rows of B that lie together are read together, across several panels.
        let (pack_group, pack_depth) = match problem.b.column {
            1 => (
                PACK_PANELS,
                whole(PACK_UNIT_BYTES / (PACK_PANELS * tile_columns)),
            ),
            _ => {
                let fitting = PACK_UNIT_BYTES / (tile_columns * size) / k_room.max(1);
                (fitting.max(1), k_room.max(1))
            }
        };
        let pack_units = match b {
            Source::Shared => {
                let groups = n.div_ceil(tile_columns).div_ceil(pack_group);
                problem.batch.count_b() * groups * k_room.div_ceil(pack_depth)
            }
            _ => 0,
        };
        let matrices = problem.batch.count();
        let group = match rows.blocks * columns.blocks {
            1 if matrices > 1 => (UNIT_WORK / (m * n).saturating_mul(k.max(1))).clamp(1, matrices),
            _ => 1,
        };
        let mut blocking = Blocking {
            kernel,
            swapped,
            skinny: None,
            small: None,
            a,
            b,
            rows,
            columns,
            k_block,
            k_span,
            k_room,
            group,
            pack_group,
            pack_depth,
            scratch: Scratch::default(),
            packed_bytes,
            pack_units,
            units: matrices.div_ceil(group) * rows.blocks * columns.blocks,
            scratch_bytes: 0,
        };
        blocking.lay_out_scratch(problem);
        blocking
    }

    /// For a product of small matrices.
    fn small(problem: &Problem, small: Small, kernel: &'static Kernel) -> Blocking {
        let matrices = problem.batch.count();
        let work = problem.m * problem.n * problem.k.max(1);
        let group = (UNIT_WORK / work).clamp(1, matrices.max(1));
        Blocking {
            kernel,
            swapped: false,
            skinny: None,
            small: Some(small),
            a: Source::Raw,
            b: Source::Raw,
            rows: Cut::new(1, 1, 1),
            columns: Cut::new(1, 1, 1),
            k_block: problem.k,
            k_span: problem.k,
            k_room: problem.k,
            group,
            pack_group: 1,
            pack_depth: 1,
            scratch: Scratch::default(),
            packed_bytes: 0,
            pack_units: 0,
            units: matrices.div_ceil(group),
            scratch_bytes: 0,
        }
    }

    /// For a product with few rows.
    fn skinny(problem: &Problem, swapped: bool, along: Along, kernel: &'static Kernel) -> Blocking {
        let (m, k) = (problem.m, problem.k);
        let columns = along.columns(problem);
        let matrices = problem.batch.count();
        let group = match columns.blocks {
            1 => (UNIT_WORK / (m * problem.n).saturating_mul(k).max(1)).clamp(1, matrices.max(1)),
            _ => 1,
        };
        let a = (m * pitch(k) * 4).next_multiple_of(ALIGNMENT);
        let sums = (m * columns.longest() * 4).next_multiple_of(ALIGNMENT);
        Blocking {
            kernel,
            swapped,
            skinny: Some(along),
            small: None,
            a: Source::Scratch,
            b: Source::Raw,
            rows: Cut::new(1, 1, 1),
            columns,
            k_block: k,
            k_span: k,
            k_room: k,
            group,
            pack_group: 1,
            pack_depth: 1,
            scratch: Scratch {
                b: a,
                sums: a,
                sums_step: 0,
                turned: a + sums,
            },
            packed_bytes: 0,
            pack_units: 0,
            units: matrices.div_ceil(group) * columns.blocks,
            scratch_bytes: a + 2 * sums,
        }
    }

    fn lay_out_scratch(&mut self, problem: &Problem) {
        let size = self.kernel.size();
        let tile = self.kernel.max_rows() * self.kernel.max_columns() * 4;
        let aligned = |bytes: usize| bytes.next_multiple_of(ALIGNMENT);
        let a = match self.a {
            Source::Raw => 0,
            _ => aligned(self.rows.longest() * self.k_span * size),
        };
        let b = match self.b {
            Source::Shared => 0,
            _ => aligned(self.kernel.max_columns() * self.k_block * size),
        };
        let tiles = || {
            self.rows.longest().div_ceil(self.kernel.max_rows())
                * self.columns.longest().div_ceil(self.kernel.max_columns())
        };
        // Tiles at the edge never go straight into C: they are wider than what is left of it.
        let whole = || {
            problem.m.is_multiple_of(self.kernel.row_quantum)
                && problem.n.is_multiple_of(self.kernel.column_quantum)
        };
        let waiting = self.k_room > self.k_block && !(whole() && finish::direct(problem));
        let (sums, sums_step) = match waiting {
            true => (tiles() * tile, tile),
            false => (tile, 0),
        };
        let turned = match problem.c.column {
            1 => 0,
            _ => tile,
        };
        self.scratch = Scratch {
            b: a,
            sums: a + b,
            sums_step,
            turned: a + b + sums,
        };
        self.scratch_bytes = a + b + sums + turned;
    }
}

fn unit_rows(kernel: &Kernel) -> usize {
    (kernel.unit_rows / kernel.max_rows()).max(1) * kernel.max_rows()
}

/// Whether the tiles can read A where it is, if it has `rows` rows and its columns lie `column`
/// apart.
fn raw_a(problem: &Problem, column: isize, rows: usize, kernel: &Kernel) -> bool {
    match kernel.bf16 {
        false => problem.element == Element::F32,
        true => {
            column == 1
                && problem.k.is_multiple_of(kernel.depth)
                && rows.is_multiple_of(kernel.row_quantum)
        }
    }
}

/// Whether the tiles can read B where it is, but for the last columns.
fn raw_b(problem: &Problem, kernel: &Kernel) -> bool {
    !kernel.bf16 && problem.element == Element::F32 && problem.b.column == 1
}

/// Whether the transposed product is cheaper: then the operand that is read once, B, is walked in
/// place and only the small A is packed; or C's columns are what lies together.
fn prefers_swapped(problem: &Problem, kernel: &Kernel) -> bool {
    if problem.c.column != 1 && problem.c.row == 1 {
        return true;
    }
    let few_rows = problem.m <= kernel.raw_columns && problem.m < problem.n;
    // Turned, B is A: its rows are columns now.
    few_rows
        && problem.b.row == 1
        && !raw_b(problem, kernel)
        && raw_a(problem, problem.b.row, problem.n, kernel)
}
