//! Matrix products of each of Hopper's own tiles, which no emulator runs, against the CPU's. All sums
//! are whole numbers that every type holds, tf32 too.

use half::bf16;
use wootz::precision::{self, Precision};
use wootz::{Activation, DType, Device, Tensor, ops};

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
        for dtype in [DType::BF16, DType::F16, DType::F32] {
            for way in 0..4 {
                let [got, want] = [device, Device::cpu()].map(|device| {
                    let a = matrices(left, way & 1 != 0, dtype, device);
                    let b = matrices(right, way & 2 != 0, dtype, device);
                    let product = precision::with(Precision::Tf32, || ops::matmul(&a, &b)).unwrap();
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

#[test]
fn bits_are_lost_only_with_leave() {
    let Some(device) = hopper() else { return };
    // Past the 10 bits of tf32, and within those of f32.
    let fine = 1.0 + 1.0 / 4096.0;
    for turned in [false, true] {
        let a = Tensor::from_slice(&[fine; 128 * 64], &[128, 64], device).unwrap();
        let b = Tensor::from_slice(&[1.0f32; 64 * 64], &[64, 64], device).unwrap();
        let b = if turned {
            b.transpose(0, 1).unwrap()
        } else {
            b
        };
        for (precision, want) in [(Precision::Full, 64.0 * fine), (Precision::Tf32, 64.0)] {
            let product = precision::with(precision, || ops::matmul(&a, &b)).unwrap();
            let got = product.to_vec::<f32>().unwrap();
            assert!(got.iter().all(|&x| x == want), "{precision}: {}", got[0]);
        }
    }
}

/// Powers of two, which no product is rounded by.
fn scales(dims: &[usize], device: Device) -> Tensor {
    let value = |i: usize| f32::exp2(((i * 2_654_435_761) >> 9) as u32 as f32 % 4.0 - 2.0);
    let values: Vec<f32> = (0..dims.iter().product()).map(value).collect();
    Tensor::from_slice(&values, dims, device).unwrap()
}

#[test]
fn eight_bit_floats_are_scaled_as_the_cpu_scales_them() {
    let Some(device) = hopper() else { return };
    for [m, n, k] in [
        [2040, 2040, 144],
        [1000, 520, 1040],
        [1544, 4104, 272],
        [200, 72, 4112],
        [64, 256, 128],
        [40, 264, 520],
        [7, 9, 48],
    ] {
        let [outer, inner] = [n, k].map(|size: usize| size.div_ceil(128));
        let kinds: [[&[usize]; 2]; 4] = [
            [&[], &[]],
            [&[m, 1], &[1, n]],
            [&[m, inner], &[inner, outer]],
            [&[], &[inner, outer]],
        ];
        for (way, kind) in kinds.into_iter().enumerate() {
            let to = DType::FLOATS[way % 3];
            let [got, want] = [device, Device::cpu()].map(|device| {
                let a = matrices(&[m, k], way & 1 != 0, DType::F8E4M3, device);
                let b = matrices(&[k, n], way & 2 == 0, DType::F8E4M3, device);
                let [above, beside] = kind.map(|dims| scales(dims, device));
                let product = ops::scaled_matmul(&a, &above, &b, &beside, to).unwrap();
                let product = ops::cast(&product, DType::F32).unwrap();
                product.to_vec::<f32>().unwrap()
            });
            assert!(got == want, "{m}×{k} by {k}×{n} with {kind:?} to {to}");
        }
    }
}

#[test]
fn rows_meet_the_weights_of_their_indices() {
    let Some(device) = hopper() else { return };
    for (weights, rows, n, k) in [
        (1, 300, 264, 72),
        (8, 2040, 520, 136),
        (5, 333, 2040, 264),
        (64, 1000, 264, 520),
        (3, 7, 40, 8),
        (9, 4000, 129, 64),
    ] {
        for sorted in [true, false] {
            // Weight 2 has no rows.
            let mut index: Vec<i64> = (0..rows as i64)
                .map(|i| (i * i / 7 + i * 31) % weights)
                .map(|i| if i == 2 { 0 } else { i })
                .collect();
            if sorted {
                index.sort_unstable();
            }
            for dtype in [DType::BF16, DType::F16] {
                let [got, want] = [device, Device::cpu()].map(|device| {
                    let x = matrices(&[rows, k], false, dtype, device);
                    let weight = matrices(&[weights as usize, n, k], false, dtype, device);
                    let index = Tensor::from_slice(&index, &[rows], device).unwrap();
                    let y = ops::grouped_linear(&x, &weight, &index).unwrap();
                    let y = ops::cast(&y, DType::F32).unwrap();
                    y.to_vec::<f32>().unwrap()
                });
                let order = if sorted { "sorted" } else { "unsorted" };
                assert!(
                    got == want,
                    "{rows} rows, {weights}×{n}×{k}, {order}, {dtype}"
                );
            }
        }
    }
}

#[test]
fn rows_outside_of_the_weights_are_refused() {
    let Some(device) = hopper() else { return };
    let x = numbers(&[200, 64], device);
    let weight = numbers(&[3, 64, 64], device);
    let index: Vec<i64> = (0..200)
        .map(|i| if i == 150 { 3 } else { i / 80 })
        .collect();
    let index = Tensor::from_slice(&index, &[200], device).unwrap();
    let y = ops::grouped_linear(&x, &weight, &index);
    let error = y.and_then(|y| y.to_vec::<bf16>()).unwrap_err().to_string();
    assert!(error.contains("150"), "{error}");
}

#[test]
fn products_are_finished_as_the_cpu_finishes_them() {
    let Some(device) = hopper() else { return };
    let shapes: [(&[usize], usize, usize); 9] = [
        (&[2040, 136], 136, 2040),
        (&[1000, 136], 136, 2040),
        (&[136, 1032], 1032, 520),
        (&[64, 4104], 4104, 1032),
        (&[16, 264], 264, 521),
        (&[1544, 72], 72, 1544),
        (&[300, 264], 264, 521),
        (&[3, 264, 64], 64, 72),
        (&[24, 1032], 1032, 264),
    ];
    for (left, inner, columns) in shapes {
        for dtype in [DType::BF16, DType::F16] {
            for way in 0..4 {
                let [got, want] = [device, Device::cpu()].map(|device| {
                    let a = matrices(left, way & 1 != 0, dtype, device);
                    let b = matrices(&[inner, columns], way & 2 != 0, dtype, device);
                    let result = [&left[..left.len() - 1], &[columns]].concat();
                    let [bias, added] = [&[columns][..], &result].map(|dims| {
                        let numbers = numbers(dims, device);
                        ops::cast(&numbers, dtype).unwrap()
                    });
                    let epilogue = ops::Epilogue {
                        scale: 0.5,
                        bias: Some(&bias),
                        activation: Activation::Relu,
                        added: (way > 0).then_some((2.0, &added)),
                        dtype: None,
                    };
                    let product = ops::matmul_with(&a, &b, epilogue).unwrap();
                    let product = ops::cast(&product, DType::F32).unwrap();
                    product.to_vec::<f32>().unwrap()
                });
                assert!(
                    got == want,
                    "{left:?} by {columns} columns in {dtype}, way {way}"
                );
            }
        }
    }
}

/// Rows, inputs, outputs, adapters and their rank; with one adapter there is no index.
const LAYERS: &[[usize; 5]] = &[
    [1, 264, 520, 1, 8],
    [1, 776, 264, 9, 16],
    [7, 64, 7, 3, 5],
    [16, 776, 1032, 40, 16],
    [17, 264, 521, 3, 24],
    [32, 768, 768, 1, 8],
    [33, 136, 4104, 70, 16],
    [64, 776, 264, 64, 64],
    [64, 520, 16392, 2, 1],
];

/// What a layer gives, in `f16`, which holds all of its sums.
fn layer([rows, inputs, outputs, adapters, rank]: [usize; 5], device: Device) -> Vec<f32> {
    let half = |dims: &[usize]| ops::cast(&numbers(dims, device), DType::F16).unwrap();
    let dims = [&[rows, inputs][..], &[outputs, inputs], &[outputs]];
    let [x, weight, bias] = dims.map(half);
    let [a, b] = [&[adapters, rank, inputs], &[adapters, outputs, rank]].map(|dims| half(dims));
    let picked: Vec<i64> = (0..rows).map(|row| (row * 7 % adapters) as i64).collect();
    let index = Tensor::from_slice(&picked, &[rows], device).unwrap();
    let adapters = ops::Adapters {
        a: &a,
        b: &b,
        index: (adapters > 1).then_some(&index),
        scale: 1.0,
    };
    let y = ops::lora_linear(&x, &weight, Some(&bias), adapters).unwrap();
    let y = ops::cast(&y, DType::F32).unwrap();
    y.to_vec::<f32>().unwrap()
}

#[test]
fn adapters_give_what_the_cpu_gives_again_and_again() {
    let Some(device) = hopper() else { return };
    for &sizes in LAYERS {
        let want = layer(sizes, Device::cpu());
        for turn in 0..3 {
            assert!(layer(sizes, device) == want, "{sizes:?}, turn {turn}");
        }
    }
}

/// Groups that wait for others of their launch find them done, whoever else is there.
#[test]
fn adapters_of_many_threads_wait_for_no_one_else() {
    let Some(device) = hopper() else { return };
    let sizes = [64, 776, 4104, 64, 16];
    let want = layer(sizes, Device::cpu());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert!(layer(sizes, device) == want);
                }
            });
        }
    });
}
