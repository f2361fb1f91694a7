//! Kernels that only Hopper runs: matrix products, of `kernels/sm90`.

mod grouped;
mod lora;
mod maps;
mod product;
mod scaled;
mod tile;

pub(crate) use grouped::GroupedProduct;
pub use grouped::Sm90Grouped;
pub use lora::Sm90Lora;
pub(crate) use lora::lora;
pub(crate) use product::{plan, takes};
pub use scaled::Sm90Scaled;
pub(crate) use scaled::{BLOCK, Scales, scaled, takes_scaled};
pub use tile::Sm90Tile;
pub(super) use tile::tiles;

use super::{Buffer, Form, Id, Instance, KernelParams, element, structs::Sm90MatmulParams};
use crate::DType;
use tile::Share;

/// What such a device says it is.
pub(super) const HOPPER: &str = "sm_90";

/// Every kernel that only Hopper runs: those that `modules` leaves out.
pub fn sm90_kernels() -> Vec<Id> {
    [
        Sm90Matmul::all(),
        Sm90Scaled::all(),
        Sm90Grouped::all(),
        Sm90Lora::all(),
    ]
    .concat()
}

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sm90Matmul {
    /// The type: of half width, or `f32`, whose factors become tf32.
    pub dtype: DType,
    /// The tile.
    pub tile: Sm90Tile,
    /// Whether elements along the inner size are neighbours in the left matrix,
    pub a_inner: bool,
    /// and in the right one.
    pub x_inner: bool,
}

/// Bytes of a slot's rows, and the rows of a box of a factor whose rows lie along its outer axis.
const ROW_BYTES: usize = 128;
const BOX: usize = 64;

impl Sm90Matmul {
    fn all() -> Vec<Id> {
        let mut all = vec![];
        for &dtype in DType::FLOATS {
            for tile in tiles() {
                let ways = [[true, true], [false, true], [true, false], [false, false]];
                let taken = ways.into_iter();
                let taken = taken.filter(|&way| tile.takes(way, dtype.size()));
                all.extend(taken.map(|[a_inner, x_inner]| {
                    Id::Sm90Matmul(Sm90Matmul {
                        dtype,
                        tile,
                        a_inner,
                        x_inner,
                    })
                }));
            }
        }
        all
    }

    pub(super) fn instance(self) -> Instance {
        let Sm90Matmul {
            dtype,
            tile,
            a_inner,
            x_inner,
        } = self;
        let t = element(dtype);
        let (size, arguments) = (tile.suffix(), tile.arguments());
        let way = |inner| if inner { "inner" } else { "outer" };
        let (left, right) = (way(a_inner), way(x_inner));
        let ways = format!("{a_inner}, {x_inner}");
        let (file, stem, ways) = match tile.share {
            Share::Right => ("sm90/matmul.h", "matmul", ways),
            Share::Inner => ("sm90/split.h", "matmul_split", ways + ", false"),
            Share::Turned => ("sm90/split.h", "matmul_turned", ways + ", true"),
        };
        let kernel = stem.replace("turned", "split");
        let mut buffers = vec![Buffer::input(t); 4];
        buffers.push(Buffer::output(t));
        buffers.extend([Buffer::Map, Buffer::Map]);
        Instance {
            file,
            name: format!("sm90_{stem}_{t}_{size}_{left}_{right}"),
            body: format!("sm90_{kernel}<{t}, {arguments}, {ways}>"),
            lanes: tile.lanes_of_all(),
            form: Form::Hopper(tile.cluster as u32),
            params: Sm90MatmulParams::C,
            buffers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::flatten;

    /// A graph starts them while the kernel before runs; their entry lines do not wait for it.
    #[test]
    fn each_body_waits_for_the_kernel_before() {
        let mut files: Vec<&str> = sm90_kernels().iter().map(|id| id.instance().file).collect();
        files.sort_unstable();
        files.dedup();
        for file in files {
            let text = flatten(file).unwrap();
            assert!(text.contains("\n  follow_closely();\n"), "{file}");
        }
    }
}
