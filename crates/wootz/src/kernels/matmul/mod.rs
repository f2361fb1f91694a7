//! Matrix products, of `ops/matmul.h` and `ops/matmul_lanes.h`.

mod product;
#[cfg(all(test, feature = "emulated"))]
mod tests;
mod tile;

pub(crate) use product::Product;
pub(super) use tile::{Extent, Family, Split};
pub use tile::{Means, Tile};

use super::{Buffer, Form, Id, Instance, KernelParams, element, structs::MatmulParams};
use crate::DType;

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Matmul {
    /// The factors' type,
    pub dtype: DType,
    /// and the results'.
    pub to: DType,
    /// Whether anything becomes of sums before they are written.
    pub finished: bool,
    /// The tile.
    pub tile: Tile,
    /// How the matrices lie.
    pub ways: Ways,
}

/// How the matrices of a product lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ways {
    /// Whether elements along the inner size are neighbours in the left matrix,
    pub a_inner: bool,
    /// and in the right one.
    pub x_inner: bool,
    /// Whether packs of neighbours can be moved as one, wherever the kernel would.
    pub packed: bool,
}

impl Ways {
    fn all() -> impl Iterator<Item = Ways> {
        (0..8).map(|bits| Ways {
            a_inner: bits & 1 != 0,
            x_inner: bits & 2 != 0,
            packed: bits & 4 != 0,
        })
    }

    /// `_nt`: whether each matrix lies as it is written, or transposed.
    fn suffix(self) -> String {
        let a = if self.a_inner { 'n' } else { 't' };
        let x = if self.x_inner { 't' } else { 'n' };
        let loose = if self.packed { "" } else { "_loose" };
        format!("_{a}{x}{loose}")
    }
}

impl Matmul {
    /// Every kernel of a type that writes sums as they are, and for one tile of each kind those that
    /// finish them: what becomes of a sum does not depend on where it comes from.
    pub(super) fn all(dtype: DType) -> Vec<Id> {
        let (mut all, mut means) = (vec![], vec![]);
        let mut sums = vec![(dtype, false), (DType::F32, false)];
        sums.dedup();
        let ends = DType::FLOATS.iter().map(|&to| (to, true));
        for tile in Family::all(dtype) {
            let mut add = |ways, (to, finished)| {
                all.push(Id::Matmul(Matmul {
                    dtype,
                    to,
                    finished,
                    tile,
                    ways,
                }));
            };
            for ways in Ways::all() {
                sums.iter().for_each(|&end| add(ways, end));
            }
            if !means.contains(&tile.means) {
                means.push(tile.means);
                let ways = Ways::all().next().expect("there are several");
                ends.clone().for_each(|end| add(ways, end));
            }
        }
        all
    }

    pub(super) fn instance(self) -> Instance {
        let Matmul {
            dtype,
            to,
            finished,
            tile,
            ways,
        } = self;
        let [t, out] = [dtype, to].map(element);
        let end = if finished { "_finished" } else { "" };
        let (tile_name, ways_name) = (tile.suffix(), ways.suffix());
        let arguments = arguments(tile, ways);
        let (file, body) = match tile.means {
            Means::Blocks => (
                "ops/matmul.h",
                format!("matmul<{t}, {out}, {finished}, {arguments}>"),
            ),
            Means::Lanes => (
                "ops/matmul_lanes.h",
                format!("matmul_lanes<{out}, {finished}, {arguments}>"),
            ),
        };
        let mut buffers = vec![Buffer::input(t); 3];
        buffers.extend([Buffer::input(out), Buffer::output(out)]);
        Instance {
            file,
            name: format!("matmul_{t}_{out}{end}_{tile_name}{ways_name}"),
            body,
            lanes: tile.lanes(),
            form: Form::Plain,
            params: MatmulParams::C,
            buffers,
        }
    }
}

/// A tile and the ways of its matrices as template arguments.
fn arguments(tile: Tile, ways: Ways) -> String {
    let Tile {
        rows,
        columns,
        depth,
        simds: [high, wide],
        stages,
        ..
    } = tile;
    let Ways {
        a_inner,
        x_inner,
        packed,
    } = ways;
    format!("{rows}, {columns}, {depth}, {high}, {wide}, {stages}, {a_inner}, {x_inner}, {packed}")
}
