//! Every tile that fits the emulator, in every way that matrices lie: on their own devices most are
//! taken for large products alone.

use super::{
    Means, Product,
    tile::{Family, Split, Tile},
};
use crate::{
    Activation, DType, Device, Error, Shape, Tensor,
    kernels::{Epilogue, finish},
    ops::{cast, submit},
};
use wootz_runtime::Stream;

/// Whole numbers, of which products and sums are exact in every type, transposed in memory or not,
/// and their values by row and column.
fn operand([rows, columns]: [usize; 2], turned: bool, dtype: DType) -> (Tensor, Vec<f32>) {
    let value = |i: usize| ((i * 7 + i / 5) % 3) as f32 - 1.0;
    let values: Vec<f32> = (0..rows * columns).map(value).collect();
    let dims = if turned {
        [columns, rows]
    } else {
        [rows, columns]
    };
    let tensor = Tensor::from_slice(&values, &dims, Device::emulated()).unwrap();
    let tensor = cast(&tensor, dtype).unwrap();
    if !turned {
        return (tensor, values);
    }
    let at = |i: usize| values[i % columns * rows + i / columns];
    let values = (0..rows * columns).map(at).collect();
    (tensor.transpose(0, 1).unwrap(), values)
}

fn check(split: Split, dtype: DType, [m, n, k]: [usize; 3], turned: [bool; 2]) {
    let (a, left) = operand([m, k], turned[0], dtype);
    let (b, right) = operand([k, n], turned[1], dtype);
    let (bias, added) = operand([1, n], false, dtype);
    let bias = bias.reshape(&[n]).unwrap();
    let epilogue = Epilogue {
        alpha: 1.0,
        bias: Some(&bias),
        activation: Activation::None,
        added: None,
    };
    let run = |stream: &Stream| {
        let shape = Shape::new(&[m, n]).unwrap();
        let out = Tensor::output("matmul", stream, dtype, shape)?;
        let factors = ((&a, a.layout()), (&b, b.layout()));
        let product = Product::with(split, factors.0, factors.1, &epilogue, &out);
        let parts = [product.parts(), m, n];
        // SAFETY: the layouts are the tensors' own, and there is room for each part's sums.
        unsafe {
            if parts[0] == 1 {
                submit(stream, &product.plan(None))?;
            } else {
                let sums = stream.allocate(product.room())?;
                submit(stream, &product.plan(Some(&sums)))?;
                let sums = (&sums, 0, DType::F32);
                submit(stream, &finish(&epilogue, sums, &a, parts, &out))?;
            }
        }
        Ok::<_, Error>(out)
    };
    let out = Stream::with_current(a.device(), run).unwrap();
    let found = cast(&out, DType::F32).unwrap().to_vec::<f32>().unwrap();
    for (at, found) in found.into_iter().enumerate() {
        let (row, column) = (at / n, at % n);
        let products = (0..k).map(|i| left[row * k + i] * right[i * n + column]);
        let expected = products.sum::<f32>() + added[column];
        let what = format!("{split:?} {dtype} {m}x{n}x{k} {turned:?}");
        assert_eq!(found, expected, "{what} at {row}, {column}");
    }
}

/// What of a tile the emulator can hold: the body is the same with fewer stages.
fn held(tile: Tile, dtype: DType) -> Option<Tile> {
    let fits = |tile: &Tile| tile.scratch(dtype) <= Device::emulated().caps().scratch;
    let known = tile.means == Means::Blocks || dtype == DType::F32;
    let fewer = Tile { stages: 2, ..tile };
    [tile, fewer].into_iter().find(fits).filter(|_| known)
}

#[test]
fn every_tile_computes_every_layout() {
    for dtype in [DType::F16, DType::F32] {
        let tiles = Family::all(dtype);
        for tile in tiles.into_iter().filter_map(|tile| held(tile, dtype)) {
            for turned in [[false, false], [false, true], [true, false], [true, true]] {
                let depth = 2 * tile.depth;
                let whole = [tile.rows + 8, tile.columns + 8, depth + 8];
                let [uncut, cut] = [1, 2].map(|parts| Split { tile, parts });
                check(uncut, dtype, whole, turned);
                check(cut, dtype, [9, 11, depth + 3], turned);
            }
        }
    }
}
