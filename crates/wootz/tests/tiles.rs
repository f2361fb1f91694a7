//! Kernels by tiles on the emulator, at sizes that the conformance suite does not reach: products of
//! each tile, copies that turn, and operands with long lines. All results are whole numbers that every
//! type holds.

use half::bf16;
use std::process::Command;
use wootz::kernels::Tiling;
use wootz::tuning::{self, Class, Entry, Faster, Table};
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
fn each_way_to_cut_a_product_gives_what_the_cpu_gives() {
    let device = Device::emulated();
    // The last one's kernel for few rows wants more scratch memory than there is here.
    for (dtype, turned, sizes) in [
        (DType::F32, false, [40, 72, 96]),
        (DType::BF16, true, [3, 24, 264]),
        (DType::BF16, true, [32, 40, 64]),
    ] {
        let [m, n, k] = sizes;
        let run = |device: Device| {
            let cast = |x: Tensor| ops::cast(&x, dtype).unwrap();
            let left = cast(numbers(&[m, k], device));
            let right = match turned {
                true => cast(numbers(&[n, k], device)).transpose(0, 1).unwrap(),
                false => cast(numbers(&[k, n], device)),
            };
            let product = ops::matmul(&left, &right).unwrap();
            let product = ops::cast(&product, DType::F32).unwrap();
            product.to_vec::<f32>().unwrap()
        };
        let want = run(Device::cpu());
        let all = Tiling::candidates(device.caps(), dtype, [false, turned], sizes, 1);
        assert!(all.len() > 1, "{all:?}");
        for tiling in all {
            let known = Tiling::named(device.caps(), dtype, &tiling.to_string());
            assert_eq!(known, Some(tiling));
            let got = tuning::with(Some(tiling), || run(device));
            assert_eq!(got, want, "{sizes:?} in {dtype} as {tiling}");
        }
    }
}

/// A process of its own, because what was measured is read once: this test again, which finds its
/// folder in the environment then.
#[test]
fn a_product_is_cut_as_was_measured() {
    let device = Device::emulated();
    if std::env::var("WOOTZ_TUNED").is_ok() {
        product(&[64, 64], &[64, 64], DType::F32, device);
        return;
    }
    let room = std::env::temp_dir().join(format!("wootz-tiles-{}", std::process::id()));
    let run = || {
        let mut this = Command::new(std::env::current_exe().unwrap());
        this.args(["--exact", "a_product_is_cut_as_was_measured", "--nocapture"]);
        this.env("WOOTZ_CACHE", &room).env("WOOTZ_TUNED", "yes");
        let output = this.env("WOOTZ_LOG", "path").output().unwrap();
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(run().contains("own (nothing was measured here)"));
    let mut table = Table::new(device, None);
    let name = "32x64x16_1x4s2 in 2 parts";
    table.put(Entry {
        class: Class::new(DType::F32, [false; 2], [64; 3], 1),
        own_us: 2.0,
        tile: Some(Faster {
            name: name.to_owned(),
            us: 1.0,
        }),
        vendor_us: None,
    });
    let file = room
        .join("tuning")
        .join(tuning::file_of(device).unwrap().file_name().unwrap());
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let text = serde_json::to_string(&table).unwrap();
    std::fs::write(&file, &text).unwrap();
    let said = run();
    assert!(
        said.contains(&format!("own (measured as faster, as {name})")),
        "{said}"
    );
    // No tile of this device: the table counts for nothing, and is said once.
    std::fs::write(&file, text.replace("32x64x16", "33x64x16")).unwrap();
    let said = run();
    assert_eq!(
        said.matches("there is no tile \"33x64x16_1x4s2").count(),
        1,
        "{said}"
    );
    std::fs::remove_dir_all(&room).unwrap();
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
