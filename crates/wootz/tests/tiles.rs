//! Matrix products of each tile on the emulator, where the conformance suite's sizes do not reach
//! the largest. All sums are whole numbers that every type holds.

use half::bf16;
use wootz::{DType, Device, Tensor, ops};

/// Small whole numbers in no order.
fn numbers(dims: &[usize], device: Device) -> Tensor {
    let count = dims.iter().product();
    let value = |i: usize| bf16::from_f32(((i * 2_654_435_761) >> 7) as u32 as f32 % 5.0 - 2.0);
    let values: Vec<bf16> = (0..count).map(value).collect();
    Tensor::from_slice(&values, dims, device).unwrap()
}

fn product(left: &[usize], right: &[usize], dtype: DType, device: Device) -> Vec<f32> {
    let [left, right] = [left, right].map(|dims| {
        let numbers = numbers(dims, device);
        ops::cast(&numbers, dtype).unwrap()
    });
    let product = ops::matmul(&left, &right).unwrap();
    ops::cast(&product, DType::F32).unwrap().to_vec().unwrap()
}

#[test]
fn each_tile_gives_what_the_cpu_gives() {
    for (left, right) in [
        // The largest, with ragged edges; the middle; few rows, in parts.
        (&[128, 97, 40][..], &[40, 100][..]),
        (&[70, 33], &[33, 90]),
        (&[3, 700], &[700, 66]),
    ] {
        for dtype in [DType::F32, DType::BF16] {
            let [got, want] = [Device::emulated(), Device::cpu()]
                .map(|device| product(left, right, dtype, device));
            assert_eq!(got, want, "{left:?} by {right:?} in {dtype}");
        }
    }
}
