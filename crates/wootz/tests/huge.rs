//! Views of more elements than memory has bytes: what needs them all is an error, the rest works.

use std::collections::BTreeMap;
use wootz::{DType, Device, Error, Tensor, ops, safetensors::save};

fn huge() -> Tensor {
    let one = Tensor::from_slice(&[1f32, 2.0], &[2, 1], Device::cpu()).unwrap();
    one.broadcast_to(&[2, 1 << 50]).unwrap()
}

#[test]
fn its_values_do_not_fit_the_host() {
    let error = huge().to_vec::<f32>().unwrap_err();
    assert!(matches!(error, Error::Runtime(_)), "{error}");
    assert!(error.to_string().contains("out of memory"), "{error}");
}

#[test]
fn none_is_made() {
    let cpu = Device::cpu();
    for dims in [
        &[1 << 50][..],
        &[1 << 30, 1 << 30],
        &[1 << 40, 1 << 40],
        &[usize::MAX],
    ] {
        let error = ops::fill(0f32, dims, cpu).unwrap_err();
        assert!(
            matches!(error, Error::Runtime(_) | Error::TooLarge { .. }),
            "{error}"
        );
    }
    for count in [1 << 50, usize::MAX] {
        assert!(ops::arange(0.0, 1.0, count, DType::F32, cpu).is_err());
    }
    assert!(ops::copy(&huge()).is_err());
    // One row of it is a tensor like others.
    let row = huge().narrow(1, (1 << 50) - 3, 3).unwrap();
    assert_eq!(row.to_vec::<f32>().unwrap(), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
}

#[test]
fn its_edges_are_printed() {
    let text = huge().to_string();
    let (values, about) = text.rsplit_once('\n').unwrap();
    assert_eq!(
        values,
        "[[1. 1. 1. ... 1. 1. 1.]\n [2. 2. 2. ... 2. 2. 2.]]"
    );
    assert_eq!(about, "f32 [2, 1125899906842624]");
}

#[test]
fn of_long_rows_the_edges_are_copied_only() {
    let one = Tensor::from_slice(&[7u8], &[1], Device::cpu()).unwrap();
    let text = one.broadcast_to(&[1 << 31, 1 << 31]).unwrap().to_string();
    let row = "[7 7 7 ... 7 7 7]";
    let rows = [row, row, row, "...", row, row, row].join("\n ");
    assert_eq!(text, format!("[{rows}]\nu8 [2147483648, 2147483648]"));
}

/// An empty axis hides no other: sizes of axes are multiplied in many places.
#[test]
fn sizes_beside_an_empty_axis_count_too() {
    for dims in [
        [usize::MAX, 2, 0],
        [0, usize::MAX, 2],
        [1 << 40, 0, 1 << 40],
    ] {
        let made = Tensor::from_slice::<f32>(&[], &dims, Device::cpu());
        assert!(matches!(made, Err(Error::TooLarge { .. })), "{dims:?}");
    }
    let x = Tensor::from_slice::<f32>(&[], &[1 << 40, 0], Device::cpu()).unwrap();
    assert!(ops::sum(&x, .., false).is_ok());
    let long = x.narrow(0, 0, 1 << 30).unwrap();
    let error = ops::matmul(&long, &long.transpose(0, 1).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Runtime(_)), "{error}");
}

#[test]
fn a_file_of_it_is_refused_and_not_begun() {
    let path = std::env::temp_dir().join(format!("wootz-{}-huge", std::process::id()));
    assert!(save(&path, [("x", &huge())], &BTreeMap::new()).is_err());
    assert!(!path.exists());
}
