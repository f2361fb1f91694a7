//! Matrix products of each of Hopper's own tiles, which no emulator runs, against the CPU's. All sums
//! are whole numbers that every type holds.

use half::bf16;
use wootz::{DType, Device, Tensor, ops};

/// A Hopper device; its absence is said, because then nothing was checked.
fn hopper() -> Option<Device> {
    let mut devices = Device::list().into_iter();
    let found = devices.find(|device| device.caps().level == "sm_90");
    if found.is_none() {
        eprintln!("Hopper's tiles not checked: no such device");
    }
    found
}

/// Small whole numbers in no order.
fn numbers(dims: &[usize], device: Device) -> Tensor {
    let count = dims.iter().product();
    let value = |i: usize| bf16::from_f32(((i * 2_654_435_761) >> 7) as u32 as f32 % 3.0 - 1.0);
    let values: Vec<bf16> = (0..count).map(value).collect();
    Tensor::from_slice(&values, dims, device).unwrap()
}

/// The matrices of `dims`, with their rows or their columns in memory.
fn matrices(dims: &[usize], turned: bool, dtype: DType, device: Device) -> Tensor {
    let mut dims = dims.to_vec();
    let last = dims.len() - 1;
    if turned {
        dims.swap(last - 1, last);
    }
    let numbers = ops::cast(&numbers(&dims, device), dtype).unwrap();
    match turned {
        true => numbers.transpose(-2, -1).unwrap(),
        false => numbers,
    }
}

/// Over tiles' edges, of one kind of tile after the other; rows of the result that the copy engine can
/// write, and rows that it cannot.
const SHAPES: &[(&[usize], &[usize])] = &[
    (&[2040, 136], &[136, 2040]),
    (&[1544, 72], &[72, 1544]),
    (&[1000, 136], &[136, 2040]),
    (&[264, 520], &[520, 4104]),
    (&[200, 136], &[136, 4104]),
    (&[136, 1032], &[1032, 520]),
    (&[8, 64, 8], &[8, 16]),
    (&[3, 1, 264, 64], &[64, 72]),
    (&[200, 2056], &[2056, 520]),
    (&[24, 2056], &[2056, 6008]),
    (&[24, 4104], &[4104, 264]),
    (&[40, 1032], &[1032, 264]),
    (&[2, 40, 136], &[2, 136, 264]),
    (&[16, 4104], &[4104, 1032]),
];

#[test]
fn each_tile_gives_what_the_cpu_gives() {
    let Some(device) = hopper() else { return };
    for (left, right) in SHAPES {
        for (dtype, ways) in [(DType::BF16, 0..4), (DType::F16, 0..4)] {
            for way in ways {
                let [got, want] = [device, Device::cpu()].map(|device| {
                    let a = matrices(left, way & 1 != 0, dtype, device);
                    let b = matrices(right, way & 2 != 0, dtype, device);
                    let product = ops::matmul(&a, &b).unwrap();
                    let product = ops::cast(&product, DType::F32).unwrap();
                    product.to_vec::<f32>().unwrap()
                });
                assert!(got == want, "{left:?} by {right:?} in {dtype}, way {way}");
            }
        }
    }
}

#[test]
fn a_bias_is_added_to_rows_of_any_length() {
    let Some(device) = hopper() else { return };
    for (rows, inputs, outputs) in [
        (300, 264, 520),
        (300, 264, 521),
        (1, 64, 7),
        (24, 1032, 264),
        (24, 4104, 200),
        (200, 2056, 520),
    ] {
        let [got, want] = [device, Device::cpu()].map(|device| {
            let dims = [&[rows, inputs][..], &[outputs, inputs], &[outputs]];
            let [x, weight, bias] = dims.map(|dims| numbers(dims, device));
            let y = ops::linear(&x, &weight, Some(&bias)).unwrap();
            let y = ops::cast(&y, DType::F32).unwrap();
            y.to_vec::<f32>().unwrap()
        });
        assert!(got == want, "{rows}×{inputs} to {outputs}");
    }
}
