//! The ways that own kernels can cut a product on a device, each with a name: what `wootz tune`
//! measures, and what a tuning table says.

use super::{
    matmul::{Extent, Family, Split},
    pack,
    sm90::{self, Sm90Tile},
    thin,
};
use crate::DType;
use std::fmt;
use wootz_runtime::Caps;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tiling(pub(crate) Kind);

/// Which kernel computes it, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// That for few rows.
    Thin,
    /// Hopper's own, in such tiles.
    Sm90(Sm90Tile),
    /// The portable one, in such tiles and parts.
    Portable(Split),
}

/// How many of Hopper's tiles, and of the portable ones, are worth measuring: those that are done
/// first by the model that the library picks by.
const TILES: usize = 6;

impl Tiling {
    /// Those worth measuring for products of m×n×k and a type, with factors that are turned or not.
    pub fn candidates(
        caps: &Caps,
        dtype: DType,
        turned: [bool; 2],
        sizes: [usize; 3],
        batch: usize,
    ) -> Vec<Tiling> {
        let [m, n, k] = sizes;
        let half = dtype != DType::F32;
        let along = [!turned[0], turned[1]];
        let mut all = vec![];
        if thin::takes(caps, dtype) && along == [true; 2] && batch == 1 && m <= thin::ROWS {
            all.push(Kind::Thin);
        }
        let whole = [n, k].map(|size| size.is_multiple_of(pack(dtype))) == [true; 2];
        if half && caps.level == sm90::HOPPER && whole {
            let sizes = sizes.map(|size| size as u64);
            let tiles = Sm90Tile::few(sizes, batch as u64, along, caps.cores as u64, TILES);
            all.extend(tiles.into_iter().map(Kind::Sm90));
        }
        let extent = Extent {
            sizes: [m, n],
            depth: k,
            batch,
        };
        let splits = Family::of(caps).tiles(dtype).few(extent, caps.cores, TILES);
        all.extend(splits.into_iter().map(Kind::Portable));
        all.into_iter().map(Tiling).collect()
    }

    /// The one of this name, of those that a device has for a type.
    pub fn named(caps: &Caps, dtype: DType, name: &str) -> Option<Tiling> {
        let half = dtype != DType::F32;
        let thin = thin::takes(caps, dtype).then_some(Kind::Thin);
        let sm90 = (half && caps.level == sm90::HOPPER).then(sm90::tiles);
        let sm90 = sm90.into_iter().flatten().map(Kind::Sm90);
        let splits = Family::of(caps).tiles(dtype).all_splits();
        let all = thin.into_iter().chain(sm90);
        let mut all = all.chain(splits.map(Kind::Portable)).map(Tiling);
        all.find(|tiling| tiling.to_string() == name)
    }
}

/// `thin`, `sm90 128x256x2s4`, `64x64x16_2x2s2 in 4 parts`.
impl fmt::Display for Tiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Thin => write!(f, "thin"),
            Kind::Sm90(tile) => write!(f, "sm90 {}", tile.name()),
            Kind::Portable(Split { tile, parts: 1 }) => write!(f, "{}", tile.suffix()),
            Kind::Portable(Split { tile, parts }) => {
                write!(f, "{} in {parts} parts", tile.suffix())
            }
        }
    }
}
