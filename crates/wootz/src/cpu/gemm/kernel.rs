//! The table of kernels: one row for each way a machine can multiply.

use super::lanes;
use super::problem::Element;
use super::tile::{Tile, TileFn, tile};
use crate::cpu::simd::Level;
use std::{ptr, sync::OnceLock};

/// A way to multiply: which instructions, which tiles, and how the operands of a tile must lie.
#[derive(Debug)]
pub struct Kernel {
    /// The name that reports use.
    pub name: &'static str,
    /// The instruction set of everything around the tiles.
    pub(super) level: Level,
    /// What the tiles need beyond it.
    extension: Extension,
    /// Whether the operands are read as bf16. All others are read as f32, so narrower ones are
    /// widened when they are packed.
    pub(super) bf16: bool,
    /// Neighbours along k that one step of A holds together.
    pub(super) a_group: usize,
    /// Neighbours along k that one column of B holds together.
    pub(super) b_group: usize,
    /// Values of k that one step covers.
    pub(super) depth: usize,
    /// Values of k that a panel of B is read for before the next panel's turn: as many as the second
    /// cache holds of two panels beside A.
    pub(super) k_block: usize,
    /// Values of k between two visits to a tile's sums: as many as one f32 may add up before its
    /// roundings do. Divides `k_block`.
    pub(super) k_run: usize,
    /// Rows of a unit: as many as the second cache holds of A beside what else runs through it.
    pub(super) unit_rows: usize,
    /// Up to this many columns, A is read so seldom that packing it costs more than it saves.
    pub(super) raw_columns: usize,
    /// Called before the first tile of a call and after the last.
    pub(super) session: [unsafe fn(); 2],
    /// Tiles have a multiple of this many rows.
    pub(super) row_quantum: usize,
    /// Tiles have a multiple of this many columns.
    pub(super) column_quantum: usize,
    /// Tile functions by rows, then columns (in quanta, less one); for A packed, and for any A.
    tiles: &'static [&'static [[TileFn; 2]]],
}

/// Instructions beyond a [`Level`] that only some kernels use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    None,
    /// VDPBF16PS.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "x86-64 only"))]
    Bf16,
    /// The matrix unit, with bf16.
    #[cfg(target_arch = "x86_64")]
    Amx,
}

impl Extension {
    /// Whether this machine multiplies faster with it than without.
    fn pays(self) -> bool {
        match self {
            // Intel's cores take as long for a pair as for two steps of f32, and more to pack it.
            #[cfg(target_arch = "x86_64")]
            Extension::Bf16 => amd(),
            _ => true,
        }
    }
}

/// Whether the processor is one of AMD's.
#[cfg(target_arch = "x86_64")]
fn amd() -> bool {
    use std::arch::x86_64::__cpuid;
    static AMD: OnceLock<bool> = OnceLock::new();
    *AMD.get_or_init(|| {
        let vendor = __cpuid(0);
        let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
        name.as_flattened() == b"AuthenticAMD"
    })
}

impl Kernel {
    /// Every kernel compiled for this architecture, slowest first.
    pub fn all() -> impl Iterator<Item = &'static Kernel> {
        ALL.iter().copied()
    }

    /// The fastest kernel for `element` at `level`. Looked up, since tiny products ask as well.
    pub fn best(element: Element, level: Level) -> &'static Kernel {
        static BEST: OnceLock<[[&Kernel; 2]; Level::ALL.len()]> = OnceLock::new();
        let best = BEST.get_or_init(|| {
            let mut best = [[&PORTABLE; 2]; Level::ALL.len()];
            for level in Level::ALL {
                best[level as usize - 1] =
                    [Element::F32, Element::Bf16].map(|element| Kernel::find(element, level));
            }
            best
        });
        best[level as usize - 1][usize::from(element == Element::Bf16)]
    }

    fn find(element: Element, level: Level) -> &'static Kernel {
        let mut fitting = ALL.iter().copied().filter(|kernel| {
            kernel.level == level
                && kernel.multiplies(element)
                && kernel.available()
                && kernel.extension.pays()
        });
        fitting.next_back().unwrap_or(&PORTABLE)
    }

    /// The kernel's place among [`Kernel::all`].
    pub fn index(&self) -> usize {
        let mut all = ALL.iter();
        all.position(|&kernel| ptr::eq(kernel, self)).unwrap_or(0)
    }

    /// The kernel at a place among [`Kernel::all`].
    ///
    /// # Panics
    /// If there is none.
    pub fn at(index: usize) -> &'static Kernel {
        ALL[index]
    }

    /// Whether this machine executes the kernel.
    pub fn available(&self) -> bool {
        self.level.available()
            && match self.extension {
                Extension::None => true,
                #[cfg(target_arch = "x86_64")]
                Extension::Bf16 => is_x86_feature_detected!("avx512bf16"),
                #[cfg(target_arch = "x86_64")]
                Extension::Amx => super::amx::available(),
                #[cfg(not(target_arch = "x86_64"))]
                Extension::Bf16 => false,
            }
    }

    /// Whether the kernel can multiply matrices of `element`.
    pub fn multiplies(&self, element: Element) -> bool {
        !self.bf16 || element == Element::Bf16
    }

    /// Bytes of one value of an operand as the tiles read it.
    pub(super) fn size(&self) -> usize {
        if self.bf16 { 2 } else { 4 }
    }

    /// Rows of the largest tile.
    pub(super) fn max_rows(&self) -> usize {
        self.tiles.len() * self.row_quantum
    }

    /// Columns of the largest tile.
    pub(super) fn max_columns(&self) -> usize {
        self.tiles[0].len() * self.column_quantum
    }

    /// Columns of a vector of sums.
    pub(super) fn lanes(&self) -> usize {
        self.column_quantum
    }

    /// The function for a tile of this size.
    pub(super) fn tile(&self, rows: usize, columns: usize, packed: bool) -> TileFn {
        self.tile_of(
            rows / self.row_quantum,
            columns / self.column_quantum,
            packed,
        )
    }

    /// The same by quanta: a division takes as long as several steps.
    pub(super) fn tile_of(&self, rows: usize, columns: usize, packed: bool) -> TileFn {
        self.tiles[rows - 1][columns - 1][usize::from(!packed)]
    }
}

/// Tile functions of all sizes: `$features` are the instructions of `$lanes`.
macro_rules! tiles {
    ($lanes:ty, $(#[$features:meta])?, [$($rows:literal)*], $vectors:tt) => {{
        /// # Safety
        /// As for [`TileFn`].
        $(#[$features])?
        unsafe fn run<const ROWS: usize, const VECTORS: usize, const PACKED: bool>(t: &Tile) {
            // SAFETY: the attribute above compiles this for `$lanes`; the rest is the caller's.
            unsafe { tile::<$lanes, ROWS, VECTORS, PACKED>(t) }
        }
        &[$(tiles!(@row run, $rows, $vectors)),*]
    }};
    (@row $run:ident, $rows:literal, [$($vectors:literal)*]) => {
        &[$([
            $run::<$rows, $vectors, true> as TileFn,
            $run::<$rows, $vectors, false> as TileFn,
        ]),*] as &[[TileFn; 2]]
    };
}

/// What all kernels that read f32 share.
const F32: Kernel = Kernel {
    name: "",
    level: Level::Portable,
    extension: Extension::None,
    bf16: false,
    a_group: 1,
    b_group: 1,
    depth: 1,
    // Steps are read once for each panel of A, in order, which the second cache keeps up with.
    k_block: 1024,
    k_run: 512,
    unit_rows: 154,
    raw_columns: 128,
    session: [nothing; 2],
    row_quantum: 1,
    column_quantum: 4,
    tiles: &[],
};

/// # Safety
/// None.
unsafe fn nothing() {}

/// 4×8 in plain Rust.
static PORTABLE: Kernel = Kernel {
    name: "portable",
    tiles: tiles!(lanes::Portable, , [1 2 3 4], [1 2]),
    ..F32
};

/// 6×16 with AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
static AVX2: Kernel = Kernel {
    name: "avx2",
    level: Level::Avx2,
    column_quantum: 8,
    tiles: tiles!(lanes::Avx2, #[target_feature(enable = "avx2,fma")], [1 2 3 4 5 6], [1 2]),
    ..F32
};

/// 14×32 with AVX-512.
#[cfg(target_arch = "x86_64")]
static AVX512: Kernel = Kernel {
    name: "avx512",
    level: Level::Avx512,
    column_quantum: 16,
    tiles: tiles!(
        lanes::Avx512,
        #[target_feature(enable = "avx512f")],
        [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
        [1 2]
    ),
    ..F32
};

/// 14×32 with VDPBF16PS: each step multiplies a pair along k.
#[cfg(target_arch = "x86_64")]
static AVX512_BF16: Kernel = Kernel {
    name: "avx512-bf16",
    level: Level::Avx512,
    extension: Extension::Bf16,
    bf16: true,
    a_group: 2,
    b_group: 2,
    depth: 2,
    // Operands have fewer digits than sums, so longer runs do no harm, and visits are fewer.
    k_block: 2048,
    k_run: 2048,
    unit_rows: 168,
    raw_columns: 256,
    column_quantum: 16,
    tiles: tiles!(
        lanes::Avx512Bf16,
        #[target_feature(enable = "avx512f,avx512bf16")],
        [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
        [1 2]
    ),
    ..F32
};

/// 32×32 on the matrix unit: each step multiplies 32 values of k.
#[cfg(target_arch = "x86_64")]
static AMX: Kernel = Kernel {
    name: "amx-bf16",
    level: Level::Avx512,
    extension: Extension::Amx,
    bf16: true,
    a_group: 32,
    b_group: 2,
    depth: 32,
    // A visit to the sums costs as much as several steps, and a row of B from the third cache more.
    k_block: 1024,
    k_run: 1024,
    unit_rows: 320,
    // A step reads one line of each row of A, which comes as fast from where it is.
    raw_columns: 1024,
    session: [super::amx::begin, super::amx::end],
    row_quantum: 16,
    column_quantum: 16,
    tiles: &[
        &[
            [super::amx::rows_16_columns_16; 2],
            [super::amx::rows_16_columns_32; 2],
        ],
        &[
            [super::amx::rows_32_columns_16; 2],
            [super::amx::rows_32_columns_32; 2],
        ],
    ],
};

/// 8×12 with Advanced SIMD.
#[cfg(target_arch = "aarch64")]
static NEON: Kernel = Kernel {
    name: "neon",
    level: Level::Neon,
    tiles: tiles!(lanes::Neon, , [1 2 3 4 5 6 7 8], [1 2 3]),
    ..F32
};

/// All kernels, slowest first.
static ALL: &[&Kernel] = &[
    &PORTABLE,
    #[cfg(target_arch = "aarch64")]
    &NEON,
    #[cfg(target_arch = "x86_64")]
    &AVX2,
    #[cfg(target_arch = "x86_64")]
    &AVX512,
    #[cfg(target_arch = "x86_64")]
    &AVX512_BF16,
    #[cfg(target_arch = "x86_64")]
    &AMX,
];
