//! The tiles there are, and which one a product takes.

use super::{BOX, ROW_BYTES};

/// The part of a product that a group computes at a time, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sm90Tile {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Tiles of the factors that scratch memory holds.
    pub(super) slots: usize,
    /// Groups of a cluster,
    pub(super) cluster: usize,
    /// and what they share.
    pub(super) share: Share,
}

/// What the groups of a cluster share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Share {
    /// Tiles of the right matrix.
    Right,
    /// The inner size of one tile.
    Inner,
    /// The same, of factors that have changed places.
    Turned,
}

/// A tile and what it takes, in nanoseconds on an H200 at the clock of long products: a step of 64
/// along the inner size, and what a part has besides its steps.
pub(super) struct Timed {
    tile: Sm90Tile,
    step: u64,
    part: u64,
}

/// Tiles of which `choose` takes the one that is done first.
const TILES: &[Timed] = &[
    timed(128, 256, 4, 2, Share::Right, 690, 1600),
    timed(128, 256, 4, 1, Share::Right, 700, 1900),
    timed(128, 192, 4, 1, Share::Right, 530, 1700),
    timed(128, 160, 5, 2, Share::Right, 440, 2000),
    timed(128, 128, 6, 2, Share::Right, 350, 800),
    timed(64, 256, 5, 2, Share::Right, 390, 800),
    timed(128, 128, 4, 1, Share::Right, 395, 800),
    timed(64, 192, 5, 1, Share::Right, 275, 2000),
    timed(64, 128, 6, 2, Share::Right, 210, 600),
    timed(64, 64, 8, 1, Share::Right, 145, 500),
    timed(64, 64, 4, 1, Share::Right, 160, 450),
    timed(128, 128, 6, 2, Share::Inner, 400, 2500),
    timed(64, 256, 4, 4, Share::Inner, 340, 2800),
    timed(128, 64, 8, 2, Share::Inner, 240, 1900),
    timed(64, 128, 8, 4, Share::Inner, 230, 1900),
];

/// Tiles for few rows that lie along the inner size, as do the weights: as many bytes of weights as
/// can be are on their way, and which tile is done first follows from how many there are.
pub(super) const TURNED: &[Sm90Tile] = &[
    tile(64, 16, 8, 1, Share::Turned),
    tile(64, 16, 8, 2, Share::Turned),
    tile(64, 32, 7, 1, Share::Turned),
    tile(64, 32, 7, 2, Share::Turned),
    tile(64, 32, 7, 4, Share::Turned),
    tile(64, 64, 5, 1, Share::Turned),
    tile(64, 64, 5, 2, Share::Turned),
    tile(64, 64, 5, 4, Share::Turned),
];

/// All tiles.
pub(in crate::kernels) fn tiles() -> impl Iterator<Item = Sm90Tile> {
    let timed = TILES.iter().map(|timed| timed.tile);
    timed.chain(TURNED.iter().copied())
}

/// Those that sum up all of the inner size.
pub(super) fn whole_tiles() -> impl Iterator<Item = Sm90Tile> {
    tiles().filter(|tile| tile.share == Share::Right)
}

const fn tile(rows: usize, columns: usize, slots: usize, cluster: usize, share: Share) -> Sm90Tile {
    Sm90Tile {
        rows,
        columns,
        slots,
        cluster,
        share,
    }
}

const fn timed(
    rows: usize,
    columns: usize,
    slots: usize,
    cluster: usize,
    share: Share,
    step: u64,
    part: u64,
) -> Timed {
    let tile = tile(rows, columns, slots, cluster, share);
    Timed { tile, step, part }
}

/// A product as the choice sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// m, n, k.
    pub(super) sizes: [u64; 3],
    pub(super) batch: u64,
    /// Whether the elements along the inner size are neighbours, in each factor.
    pub(super) inner: [bool; 2],
    /// Elements of the inner size that a step takes.
    pub(super) depth: u64,
}

impl Sm90Tile {
    /// The tile for a product on so many cores.
    pub(super) fn choose(extent: Extent, cores: u64) -> Option<Sm90Tile> {
        if let Some(tile) = Sm90Tile::turned(extent, cores) {
            return Some(tile);
        }
        fastest(extent, cores, |_| true)
    }

    /// The same among those that sum up all of the inner size, of which `fits` says which will do.
    pub(super) fn whole(
        extent: Extent,
        cores: u64,
        fits: impl Fn(Sm90Tile) -> bool,
    ) -> Option<Sm90Tile> {
        fastest(extent, cores, |tile| {
            tile.share == Share::Right && fits(tile)
        })
    }

    /// A few of those that fit m×n×k of half width, of which one may be faster than what is chosen.
    pub(in crate::kernels) fn few(
        sizes: [u64; 3],
        batch: u64,
        inner: [bool; 2],
        cores: u64,
        few: usize,
    ) -> Vec<Sm90Tile> {
        let extent = Extent {
            sizes,
            batch,
            inner,
            depth: ROW_BYTES as u64 / 2,
        };
        let fitting = TILES.iter().filter(|timed| timed.tile.fits(extent));
        let mut timed: Vec<&Timed> = fitting.collect();
        timed.sort_by_key(|timed| timed.cost(extent, cores));
        let straight = timed.into_iter().map(|timed| timed.tile).take(few);
        let holds = |tile: &&Sm90Tile| sizes[0] <= tile.columns as u64 && tile.fits(extent);
        let turned = TURNED.iter().filter(holds).take(few);
        straight.chain(turned.copied()).collect()
    }

    /// The tile for few rows: the narrowest, cut along the inner size while there are cores for it.
    fn turned(extent: Extent, cores: u64) -> Option<Sm90Tile> {
        let [m, n, _] = extent.sizes;
        let fits = |tile: &&Sm90Tile| {
            let groups = tile.cover([m, n])[0] * tile.cluster as u64;
            let room = tile.cluster == 1 || groups.saturating_mul(extent.batch) <= cores;
            m <= tile.columns as u64 && tile.fits(extent) && room
        };
        let fitting = || TURNED.iter().filter(fits);
        let most = fitting().map(|tile| tile.cluster).max()?;
        fitting().find(|tile| tile.cluster == most).copied()
    }

    /// Whether it takes the factors as they lie, and there is enough of the inner size to share.
    pub(super) fn fits(self, extent: Extent) -> bool {
        let [_, _, k] = extent.sizes;
        let splits = self.share == Share::Right || k >= extent.depth * self.cluster as u64;
        self.takes(extent.inner, ROW_BYTES / extent.depth as usize) && splits
    }

    /// Tiles that cover `sizes`, along rows and columns.
    pub(super) fn cover(self, [m, n]: [u64; 2]) -> [u64; 2] {
        let [m, n] = if self.share == Share::Turned {
            [n, m]
        } else {
            [m, n]
        };
        [
            m.div_ceil(self.rows as u64),
            n.div_ceil(self.columns as u64),
        ]
    }

    /// Groups that bring their shares of a tile of the right matrix.
    pub(super) fn sharing(self) -> usize {
        match self.share {
            Share::Right => self.cluster,
            Share::Inner | Share::Turned => 1,
        }
    }

    /// Clusters that so many cores hold at a time.
    pub(super) fn resident(self, cores: usize) -> usize {
        cores * self.groups() / self.cluster
    }

    /// Groups that a core's scratch memory holds.
    fn groups(self) -> usize {
        // Each group has a kilobyte besides its own.
        (228 << 10) / (self.scratch().next_multiple_of(1 << 10) + (1 << 10))
    }

    /// As many lanes as a core holds of all its groups: registers leave room for those.
    pub(super) fn lanes_of_all(self) -> u32 {
        self.lanes() * self.groups() as u32
    }

    /// Whether its kernels take factors with elements of so many bytes, and such neighbours.
    pub(super) fn takes(self, [left, right]: [bool; 2], element: usize) -> bool {
        match self.share {
            Share::Right | Share::Inner if element == 2 => {
                right || self.columns.is_multiple_of(BOX * self.sharing())
            }
            _ => left && right,
        }
    }

    /// The same, and what groups share where that is not the right matrix: a name among all tiles.
    pub(in crate::kernels) fn name(self) -> String {
        let share = match self.share {
            Share::Right => "",
            Share::Inner => " inner",
            Share::Turned => " turned",
        };
        self.suffix() + share
    }

    /// `128x256x2s4`, in the names of kernels.
    pub(super) fn suffix(self) -> String {
        let [rows, columns, slots, cluster] = self.numbers();
        format!("{rows}x{columns}x{cluster}s{slots}")
    }

    /// The same as template arguments.
    pub(super) fn arguments(self) -> String {
        self.numbers().map(|number| number.to_string()).join(", ")
    }

    fn numbers(self) -> [usize; 4] {
        [self.rows, self.columns, self.slots, self.cluster]
    }

    /// A warpgroup for each 64 rows, and one that feeds them.
    pub(super) fn lanes(self) -> u32 {
        (self.rows as u32 / 64 + 1) * 128
    }

    /// Slots, two boxes of results for each 16 rows, and the slots' barriers.
    pub(super) fn scratch(self) -> usize {
        let slot = (self.rows + self.columns) * ROW_BYTES;
        self.slots * (slot + 16) + self.rows / 16 * 2 * 16 * ROW_BYTES
    }
}

/// The tile that is done first, of those that fit.
fn fastest(extent: Extent, cores: u64, fits: impl Fn(Sm90Tile) -> bool) -> Option<Sm90Tile> {
    let fitting = TILES.iter();
    let fitting = fitting.filter(|timed| timed.tile.fits(extent) && fits(timed.tile));
    let fastest = fitting.min_by_key(|timed| timed.cost(extent, cores))?;
    Some(fastest.tile)
}

impl Timed {
    /// How long the core with the most parts takes.
    fn cost(&self, extent: Extent, cores: u64) -> u64 {
        let Extent {
            sizes: [m, n, k],
            batch,
            depth,
            ..
        } = extent;
        let tile = self.tile;
        let [high, wide] = tile.cover([m, n]);
        let (groups, steps) = match tile.share {
            Share::Right => (
                high.next_multiple_of(tile.cluster as u64) * wide,
                k.div_ceil(depth),
            ),
            Share::Inner | Share::Turned => {
                let cluster = tile.cluster as u64;
                (high * wide * cluster, k.div_ceil(depth * cluster))
            }
        };
        // Not all cores can be reached by clusters of four.
        let cores = if tile.cluster > 2 {
            cores * 7 / 8
        } else {
            cores
        };
        let rounds = groups.saturating_mul(batch).div_ceil(cores);
        rounds.saturating_mul(steps * self.step + self.part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_tile_fits_scratch_memory() {
        for tile in tiles() {
            assert!(tile.scratch() <= 227 << 10, "{tile:?}");
        }
    }

    fn choose(sizes: [u64; 3], batch: u64, inner: bool) -> Sm90Tile {
        let extent = Extent {
            sizes,
            batch,
            inner: [inner; 2],
            depth: 64,
        };
        Sm90Tile::choose(extent, 132).unwrap()
    }

    #[test]
    fn large_products_take_large_tiles_and_small_ones_small() {
        assert_eq!(choose([8192; 3], 1, true), TILES[0].tile);
        assert_eq!(choose([64; 3], 1024, false).columns, 64);
        assert_eq!(choose([256, 4096, 14336], 1, true).share, Share::Inner);
    }

    #[test]
    fn few_rows_are_turned_and_cut_for_the_cores_there_are() {
        let cut = |m, n, k, inner| {
            let tile = choose([m, n, k], 1, inner);
            (tile.share == Share::Turned).then_some((tile.columns, tile.cluster))
        };
        assert_eq!(cut(1, 14336, 4096, true), Some((16, 1)));
        assert_eq!(cut(16, 4096, 4096, true), Some((16, 2)));
        assert_eq!(cut(16, 1024, 4096, true), Some((32, 4)));
        assert_eq!(cut(64, 1024, 64, true), Some((64, 1)));
        assert_eq!(cut(65, 4096, 4096, true), None);
        assert_eq!(cut(16, 4096, 4096, false), None);
    }

    #[test]
    fn every_tile_is_taken_by_something() {
        let sizes: [u64; 10] = [8, 32, 64, 200, 512, 1500, 4096, 6000, 14336, 16384];
        let mut taken = HashSet::new();
        for m in sizes {
            for (n, k) in sizes.iter().flat_map(|&n| sizes.map(|k| (n, k))) {
                for (batch, inner) in [(1, true), (1, false), (512, true)] {
                    taken.insert(choose([m, n, k], batch, inner));
                }
            }
        }
        for tile in tiles() {
            assert!(taken.contains(&tile), "{tile:?}");
        }
    }
}
