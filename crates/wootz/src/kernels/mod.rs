//! The one kernel source: families of kernels written in the dialect of `kernels/dialect`, and the
//! instances of them that devices run.
//!
//! An [`Id`] says which kernel; a file for each family has its ids, their [`Instance`]s and the
//! plans that ask for them. An instance names a body of a family file with its template arguments,
//! parameter struct and buffers. [`module`] renders instances to one self-contained text; Metal,
//! NVRTC and the emulator's compiler all get the same bytes.

mod catalogue;
mod columns;
mod epilogue;
mod fill;
mod grouped;
mod index;
mod instance;
mod library;
mod lines;
mod lora;
mod masked;
mod matmul;
mod operand;
mod params;
mod pointwise;
mod reduce;
mod resident;
mod rope;
mod rows;
mod runs;
pub(crate) mod sm90;
mod source;
pub mod structs;
pub(crate) mod thin;
mod tiling;
mod transpose;
mod walk;
mod way;

pub use catalogue::modules;
pub use columns::{ColumnWay, Columns, Kept};
pub use epilogue::Finish;
pub(crate) use epilogue::{Epilogue, finish};
pub use fill::Arange;
pub(crate) use fill::{arange, fill};
pub use grouped::Grouped;
pub(crate) use grouped::grouped;
pub(crate) use index::{Lanes, pick, scatter};
pub use index::{Pick, Scatter};
pub use instance::{Buffer, Form, Instance, module};
#[cfg(feature = "emulated")]
pub use library::compile_for_emulator;
pub use lines::Cut;
pub(crate) use lora::LoraLayer;
pub use lora::{Lora, LoraStep};
pub use masked::Masked;
pub(crate) use masked::{MASK_BLOCKS, masked};
pub(crate) use matmul::Product;
pub use matmul::{Matmul, Means, Tile, Ways};
pub(crate) use params::kernel_params;
pub use params::{CField, CStruct, KernelParams};
pub(crate) use pointwise::{Numbers, plan as pointwise};
pub use pointwise::{Pointwise, Walk};
pub(crate) use reduce::Reduction;
pub use reduce::{Fold, Gives, Reduce, RowStep, Step};
pub use resident::residents;
pub use rope::Rope;
pub(crate) use rope::{MOST_PAIRS, Places, plan as rope};
pub(crate) use rows::{NormShape, norm, softmax};
pub use rows::{RowOp, Rows};
pub use runs::Runs;
pub(crate) use runs::{list_bytes, runs};
pub use sm90::{Sm90Grouped, Sm90Lora, Sm90Matmul, Sm90Scaled, Sm90Tile, sm90_kernels};
pub use source::{SourceError, flatten};
pub use thin::Thin;
pub(crate) use tiling::Kind;
pub use tiling::Tiling;
pub use transpose::Transpose;
pub(crate) use transpose::copy;
pub use way::{Room, RowWay, Team};

use crate::DType;
use wootz_runtime::{Body, Grid, Kernel, Plan};

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Id {
    /// Element by element.
    Pointwise(Pointwise),
    /// Over rows.
    Rows(Rows),
    /// Over columns.
    Columns(Columns),
    /// Many elements to one.
    Reduce(Reduce),
    /// By index.
    Pick(Pick),
    /// To where an index says.
    Scatter(Scatter),
    /// One value of so many bytes.
    Fill(usize),
    /// Evenly spaced numbers.
    Arange(Arange),
    /// Turned pairs.
    Rope(Rope),
    /// Moved between layouts.
    Transpose(Transpose),
    /// Matrix products.
    Matmul(Matmul),
    /// Products from their sums.
    Finish(Finish),
    /// Rows times weights of their own.
    Grouped(Grouped),
    /// Matrix products without hidden blocks.
    Masked(Masked),
    /// Rows through weights and adapters.
    Lora(Lora),
    /// Matrix products with few rows.
    Thin(Thin),
    /// Matrix products on Hopper.
    Sm90Matmul(Sm90Matmul),
    /// Rows with one index, listed.
    Runs(Runs),
    /// Rows times weights of their own on Hopper.
    Sm90Grouped(Sm90Grouped),
    /// Products of 8-bit floats on Hopper.
    Sm90Scaled(Sm90Scaled),
    /// Few rows through weights and adapters on Hopper.
    Sm90Lora(Sm90Lora),
}

impl Id {
    /// The kernel's text and what it takes.
    pub fn instance(self) -> Instance {
        match self {
            Id::Pointwise(id) => id.instance(),
            Id::Rows(id) => id.instance(),
            Id::Columns(id) => id.instance(),
            Id::Reduce(id) => id.instance(),
            Id::Pick(id) => id.instance(),
            Id::Scatter(id) => id.instance(),
            Id::Fill(size) => fill::fill_instance(size),
            Id::Arange(id) => id.instance(),
            Id::Rope(id) => id.instance(),
            Id::Transpose(id) => id.instance(),
            Id::Matmul(id) => id.instance(),
            Id::Finish(id) => id.instance(),
            Id::Grouped(id) => id.instance(),
            Id::Masked(id) => id.instance(),
            Id::Lora(id) => id.instance(),
            Id::Thin(id) => id.instance(),
            Id::Sm90Matmul(id) => id.instance(),
            Id::Runs(id) => id.instance(),
            Id::Sm90Grouped(id) => id.instance(),
            Id::Sm90Scaled(id) => id.instance(),
            Id::Sm90Lora(id) => id.instance(),
        }
    }
}

/// Lanes of a group, where nothing asks for others.
const LANES: u32 = 256;
/// Most groups of a launch; those go on to further work in steps of the whole grid.
const MOST_GROUPS: usize = 1 << 20;

/// Groups whose lanes do `total` pieces of work, one each at first.
fn groups(total: u64) -> usize {
    groups_of(total.div_ceil(LANES.into()) as usize)
}

/// As many groups, within what a launch takes.
fn groups_of(groups: usize) -> usize {
    groups.clamp(1, MOST_GROUPS)
}

/// The plan of a kernel over so many groups, without memory yet.
fn launch<'a, P: KernelParams>(id: Id, groups: usize, params: &P) -> Plan<'a> {
    let (source, lanes) = library::source(id);
    let kernel = Kernel {
        name: source.entry,
        body: Body::Source(source),
    };
    let grid = Grid {
        units: groups,
        lanes,
    };
    Plan::new(kernel, grid, params)
}

/// The dialect's name of an element type: the library's.
pub fn element(dtype: DType) -> &'static str {
    dtype.name()
}

/// The dialect's type of this many bytes, for elements that are only moved.
fn word(size: usize) -> &'static str {
    match size {
        1 => "u8",
        2 => "u16",
        4 => "u32",
        _ => "u64",
    }
}

/// Elements in a pack of 16 bytes.
pub fn pack(dtype: DType) -> usize {
    16 / dtype.size()
}

#[cfg(test)]
mod tests {
    use super::source::{FILES, flatten, included};
    use std::{collections::BTreeSet, fs, path::Path};

    #[test]
    fn every_kernel_file_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        let mut found = BTreeSet::new();
        for room in ["dialect", "tile", "ops", "sm90"] {
            for entry in fs::read_dir(root.join(room)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                found.insert(format!("{room}/{name}"));
            }
        }
        let carried: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(carried, found);
    }

    #[test]
    fn a_file_is_joined_once_and_wholly() {
        for (path, _) in FILES {
            let text = flatten(path).unwrap();
            assert_eq!(text.lines().filter_map(included).count(), 0, "{path}");
            assert!(!text.contains("#pragma once"), "{path}");
        }
        let missing = flatten("dialect/none.h").unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the request includes \"dialect/none.h\", which is not a kernel file"
        );
    }
}
