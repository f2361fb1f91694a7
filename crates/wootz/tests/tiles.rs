//! Kernels by tiles on the emulator, at sizes that the conformance suite does not reach: products of
//! each tile, copies that turn, and operands with long lines. All results are whole numbers that every
//! type holds.

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

#[test]
fn turned_copies_give_what_the_cpu_gives() {
    for dtype in DType::ALL {
        for dims in [[2, 40, 72], [1, 33, 100], [3, 136, 24]] {
            let [got, want] = [Device::emulated(), Device::cpu()].map(|device| {
                let x = ops::cast(&numbers(&dims, device), DType::F32).unwrap();
                let x = ops::cast(&ops::abs(&x).unwrap(), *dtype).unwrap();
                let turned = ops::copy(&x.transpose(1, 2).unwrap()).unwrap();
                let values = ops::cast(&turned, DType::F32).unwrap();
                values.to_vec::<f32>().unwrap()
            });
            assert_eq!(got, want, "{dims:?} of {dtype}");
        }
    }
}

#[test]
fn long_lines_give_what_the_cpu_gives() {
    let (rows, columns) = (320, 4 * 208);
    for other in [[1, columns], [rows, 1]] {
        let [got, want] = [Device::emulated(), Device::cpu()].map(|device| {
            let of = |dims: &[usize]| ops::cast(&numbers(dims, device), DType::F32).unwrap();
            let sum = ops::add(&of(&[rows, columns]), &of(&other)).unwrap();
            sum.to_vec::<f32>().unwrap()
        });
        assert_eq!(got, want, "beside {other:?}");
    }
}
