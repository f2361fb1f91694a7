//! Which part of a product a group computes: for each family of devices its tiles, as data, and the
//! choice among them.

use crate::DType;
use wootz_runtime::Caps;

/// Who multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Means {
    /// A simd's matrix unit, block by block.
    Blocks,
    /// Each lane, since the matrix unit would round `f32`.
    Lanes,
}

/// The part of a product that a group computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Who multiplies.
    pub means: Means,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// The inner size that passes through scratch at once.
    pub depth: usize,
    /// Simds along rows and columns.
    pub simds: [u32; 2],
    /// Tiles that are in scratch or on their way there.
    pub stages: usize,
}

/// A tile, and how a device runs it. What it does is in hundredths of what the family's best tile does
/// where multiprocessors are full.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) tile: Tile,
    /// Groups that a multiprocessor runs at once,
    at_once: usize,
    /// what it does with them,
    full: usize,
    /// and with one alone.
    alone: usize,
}

const fn blocks([rows, columns, depth]: [usize; 3], simds: [u32; 2], stages: usize) -> Tile {
    let means = Means::Blocks;
    Tile {
        means,
        rows,
        columns,
        depth,
        simds,
        stages,
    }
}

const fn lanes(size: [usize; 3], simds: [u32; 2], stages: usize) -> Tile {
    Tile {
        means: Means::Lanes,
        ..blocks(size, simds, stages)
    }
}

const fn choice(tile: Tile, at_once: usize, [full, alone]: [usize; 2]) -> Choice {
    Choice {
        tile,
        at_once,
        full,
        alone,
    }
}

/// Tiles for one kind of products.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct Tiles {
    /// Multiply-adds that a multiprocessor does in a cycle, with the best of them.
    speed: usize,
    choices: &'static [Choice],
}

/// The tiles of a family of devices.
#[derive(Debug)]
pub(in crate::kernels) struct Family {
    /// How the levels of its devices begin.
    level: &'static str,
    /// For elements of half width,
    half: Tiles,
    /// and for `f32`.
    full: Tiles,
}

/// Families, from the particular to the general.
const FAMILIES: &[Family] = &[
    // Measured on an H200, by kernels that all of NVIDIA's GPUs run.
    Family {
        level: "sm_90",
        half: Tiles {
            speed: 887,
            choices: &[
                choice(blocks([128, 256, 64], [2, 4], 3), 1, [100, 100]),
                choice(blocks([128, 128, 64], [2, 2], 3), 2, [97, 70]),
                choice(blocks([64, 128, 64], [1, 4], 3), 2, [88, 61]),
                choice(blocks([64, 64, 64], [2, 2], 3), 3, [77, 50]),
                choice(blocks([32, 64, 64], [1, 4], 3), 4, [57, 30]),
            ],
        },
        full: LANES,
    },
    // Scratch memory of 99 KiB at least: 86 and 89; of 163, in which more would fit: 80.
    Family {
        level: "sm_",
        half: Tiles {
            speed: 900,
            choices: &[
                choice(blocks([128, 128, 32], [2, 2], 3), 2, [100, 65]),
                choice(blocks([64, 64, 64], [2, 2], 3), 2, [80, 50]),
                choice(blocks([32, 64, 64], [1, 4], 3), 2, [60, 35]),
            ],
        },
        full: LANES,
    },
    // M1 (apple7) to M5 (apple10): the tiles of MLX's Steel kernels, which takes those of two simds on
    // the smallest and the largest GPUs, the others between. Nothing was measured here.
    Family {
        level: "apple",
        half: Tiles {
            speed: 256,
            choices: &[
                choice(blocks([64, 64, 16], [1, 2], 2), 4, [100, 45]),
                choice(blocks([64, 64, 16], [2, 2], 2), 3, [97, 60]),
                choice(blocks([64, 32, 32], [2, 2], 2), 3, [90, 50]),
                choice(blocks([32, 64, 32], [1, 4], 2), 3, [60, 30]),
            ],
        },
        full: STEEL,
    },
    // What nobody has a table for, and the emulator.
    Family {
        level: "",
        half: Tiles {
            speed: 128,
            choices: &[
                choice(blocks([64, 64, 16], [2, 2], 2), 3, [100, 60]),
                choice(blocks([64, 32, 32], [2, 2], 2), 3, [90, 50]),
                choice(blocks([32, 64, 32], [1, 4], 2), 3, [60, 30]),
            ],
        },
        full: STEEL,
    },
];

/// `f32` where matrix units keep all its bits.
const STEEL: Tiles = Tiles {
    speed: 128,
    choices: &[
        choice(blocks([64, 64, 16], [2, 2], 2), 2, [100, 70]),
        choice(blocks([64, 32, 16], [2, 2], 2), 2, [90, 60]),
        choice(blocks([32, 64, 16], [1, 4], 2), 2, [60, 40]),
    ],
};

/// `f32` on NVIDIA's GPUs, whose matrix units would round it.
const LANES: Tiles = Tiles {
    speed: 94,
    choices: &[
        choice(lanes([128, 128, 8], [2, 2], 4), 2, [100, 87]),
        choice(lanes([64, 128, 8], [1, 2], 3), 4, [98, 45]),
        choice(lanes([64, 64, 16], [2, 2], 3), 3, [79, 65]),
    ],
};

/// A product as its cost sees it.
#[derive(Debug, Clone, Copy)]
pub(in crate::kernels) struct Extent {
    /// Rows and columns.
    pub(in crate::kernels) sizes: [usize; 2],
    /// The inner size.
    pub(in crate::kernels) depth: usize,
    /// Products.
    pub(in crate::kernels) batch: usize,
}

/// How a product is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Split {
    pub(in crate::kernels) tile: Tile,
    /// Parts that the inner size is cut into.
    pub(in crate::kernels) parts: usize,
}

/// Parts at most: the sums of all of them pass through memory once more.
const MOST_PARTS: usize = 16;
/// Cycles until a group is under way, and of its end.
const START: usize = 2500;
/// Cycles of one more launch.
const LAUNCH: usize = 3500;
/// Sums that a multiprocessor writes and reads again in a cycle.
const SUMS: usize = 2;

impl Family {
    /// That of a device.
    pub(in crate::kernels) fn of(caps: &Caps) -> &'static Family {
        let found = FAMILIES
            .iter()
            .find(|family| caps.level.starts_with(family.level));
        found.expect("the last family is everybody's")
    }

    /// Its tiles for a type.
    pub(in crate::kernels) fn tiles(&self, dtype: DType) -> Tiles {
        match dtype {
            DType::F32 => self.full,
            _ => self.half,
        }
    }

    /// Every tile that a device may be asked for.
    pub(super) fn all(dtype: DType) -> Vec<Tile> {
        let mut all = vec![];
        for family in FAMILIES {
            for choice in family.tiles(dtype).choices {
                if !all.contains(&choice.tile) {
                    all.push(choice.tile);
                }
            }
        }
        all
    }
}

impl Tiles {
    /// Ways to share a product out on so many multiprocessors, and the cycles that each takes.
    fn splits(self, extent: Extent, cores: usize) -> impl Iterator<Item = (usize, Split)> {
        self.choices.iter().flat_map(move |choice| {
            let tile = choice.tile;
            let groups = tile.count(extent.sizes).saturating_mul(extent.batch);
            let most = (extent.depth / tile.depth).clamp(1, MOST_PARTS);
            // Whole, or one round of all multiprocessors, with one group each or with all.
            let rounds = [cores, cores * choice.at_once].map(|room| (room / groups).clamp(1, most));
            [1, rounds[0], rounds[1]].map(|parts| {
                let cycles = choice.cycles(extent, parts, cores, self.speed);
                (cycles + join(extent, parts, cores), Split { tile, parts })
            })
        })
    }

    /// The way that takes the fewest cycles.
    pub(super) fn choose(self, extent: Extent, cores: usize) -> Split {
        let splits = self.splits(extent, cores);
        let least = splits.min_by_key(|&(cycles, _)| cycles);
        least.expect("a family has tiles").1
    }

    /// Those few that take the fewest.
    pub(in crate::kernels) fn few(self, extent: Extent, cores: usize, few: usize) -> Vec<Split> {
        let mut splits: Vec<_> = self.splits(extent, cores).collect();
        splits.sort_by_key(|&(cycles, _)| cycles);
        let mut splits: Vec<Split> = splits.into_iter().map(|(_, split)| split).collect();
        splits.dedup();
        splits.truncate(few);
        splits
    }

    /// Every way that there is.
    pub(in crate::kernels) fn all_splits(self) -> impl Iterator<Item = Split> {
        let tiles = self.choices.iter().map(|choice| choice.tile);
        tiles.flat_map(|tile| (1..=MOST_PARTS).map(move |parts| Split { tile, parts }))
    }
}

/// Cycles that adding up parts takes.
fn join(extent: Extent, parts: usize, cores: usize) -> usize {
    let [m, n] = extent.sizes;
    match parts {
        1 => 0,
        _ => LAUNCH + m * n * extent.batch * parts / (SUMS * cores),
    }
}

impl Choice {
    /// Cycles of the products, or of their parts, where the best tile has so many multiply-adds in each.
    fn cycles(&self, extent: Extent, parts: usize, cores: usize, speed: usize) -> usize {
        let groups = self
            .tile
            .count(extent.sizes)
            .saturating_mul(extent.batch * parts);
        let all = cores * self.at_once;
        // What is left over after whole rounds is shared evenly.
        let (rounds, last) = (groups / all, (groups % all).div_ceil(cores));
        let more = last.saturating_sub(1) * (self.full - self.alone);
        let share = self.alone + more / self.at_once.saturating_sub(1).max(1);
        let area = self.tile.rows * self.tile.columns;
        let group = area.saturating_mul(extent.depth.div_ceil(parts)) / speed * 100;
        let work = (rounds * self.at_once).saturating_mul(group) / self.full + last * group / share;
        work.saturating_add((rounds + last.min(1)) * START)
    }
}

impl Tile {
    pub(super) fn count(&self, [m, n]: [usize; 2]) -> usize {
        m.div_ceil(self.rows) * n.div_ceil(self.columns)
    }

    pub(super) fn lanes(&self) -> u32 {
        32 * self.simds[0] * self.simds[1]
    }

    /// Bytes of scratch memory: by lanes, what is turned has four elements more a line.
    pub(super) fn scratch(&self, dtype: DType) -> usize {
        let more = match self.means {
            Means::Blocks => 0,
            Means::Lanes => 8,
        };
        self.stages * self.depth * (self.rows + self.columns + more) * dtype.size()
    }

    /// `128x256x64_2x4s3`, and who multiplies where that is not said by the type.
    pub(in crate::kernels) fn suffix(&self) -> String {
        let Tile {
            means,
            rows,
            columns,
            depth,
            simds: [high, wide],
            stages,
        } = self;
        let means = match means {
            Means::Blocks => "",
            Means::Lanes => "_lanes",
        };
        format!("{rows}x{columns}x{depth}_{high}x{wide}s{stages}{means}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fit_the_scratch_memory_of_their_family() {
        for family in FAMILIES {
            let (whole, shared) = match family.level {
                "" | "apple" => (32 << 10, usize::MAX),
                "sm_" => (99 << 10, 100 << 10),
                _ => (227 << 10, 228 << 10),
            };
            for &dtype in DType::FLOATS {
                for choice in family.tiles(dtype).choices {
                    let bytes = choice.tile.scratch(dtype);
                    assert!(bytes <= whole, "{choice:?} {dtype}");
                    let together = choice.at_once * (bytes + (1 << 10));
                    assert!(together <= shared, "{choice:?} {dtype}");
                }
            }
        }
    }

    #[test]
    fn lanes_share_a_tile_evenly() {
        for &dtype in DType::FLOATS {
            for tile in Family::all(dtype) {
                let (lanes, pack) = (tile.lanes() as usize, 16 / dtype.size());
                for lines in [tile.rows, tile.columns] {
                    match tile.means {
                        Means::Blocks => {
                            for (width, height) in [(lines, tile.depth), (tile.depth, lines)] {
                                let down = lanes / (width / pack);
                                assert!(down.is_multiple_of(8), "{tile:?} {dtype}");
                                assert!(height.is_multiple_of(down), "{tile:?} {dtype}");
                            }
                        }
                        Means::Lanes => {
                            for (width, height) in [(lines, tile.depth), (tile.depth, lines)] {
                                assert!(height.is_multiple_of(lanes / (width / pack)), "{tile:?}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn few_tiles_and_a_long_inner_size_are_cut_into_parts() {
        let tiles = FAMILIES[0].half;
        let split = |sizes, depth| {
            let extent = Extent {
                sizes,
                depth,
                batch: 1,
            };
            tiles.choose(extent, 132)
        };
        assert_eq!(split([4096, 4096], 4096).parts, 1);
        assert!(split([128, 256], 65536).parts > 4);
        assert_eq!(split([32, 32], 32).parts, 1);
    }
}
