//! Row ops on bad input, at the edges of what is defined, and on large input.

use wootz::{
    DType, Device, Error, Tensor,
    ops::{self, Pairs, Positions},
};

fn tensor(dims: &[usize]) -> Tensor {
    let values: Vec<f32> = (0..dims.iter().product()).map(|i| i as f32).collect();
    Tensor::from_slice(&values, dims, Device::cpu()).unwrap()
}

/// The op and the argument that an error names.
fn named(error: Error) -> (&'static str, &'static str) {
    match error {
        Error::Shape { op, argument, .. }
        | Error::DType { op, argument, .. }
        | Error::Value { op, argument, .. } => (op, argument),
        other => panic!("{other}"),
    }
}

#[test]
fn a_place_over_several_axes_counts_the_last_fastest() {
    let values = [3i32, 1, 2, 9, 0, 9, 5, 9, 4, 1, 0, 8];
    let x = Tensor::from_slice(&values, &[2, 2, 3], Device::cpu()).unwrap();
    let places = |x: wootz::Result<Tensor>| {
        let x = x.unwrap();
        (x.dims().to_vec(), x.to_vec::<i64>().unwrap())
    };
    assert_eq!(places(ops::argmax(&x, .., false)), (vec![], vec![3]));
    assert_eq!(places(ops::argmin(&x, .., true)), (vec![1; 3], vec![4]));
    assert_eq!(
        places(ops::argmax(&x, &[0, 2], false)),
        (vec![2], vec![4, 0])
    );
    // The order in which the axes are named is none of the places'.
    assert_eq!(
        places(ops::argmax(&x, &[2, 0], true)),
        (vec![1, 2, 1], vec![4, 0])
    );
    let turned = x.permute(&[2, 0, 1]).unwrap();
    assert_eq!(places(ops::argmax(&turned, .., false)), (vec![], vec![1]));
    let none: &[isize] = &[];
    assert_eq!(
        places(ops::argmin(&x, none, false)),
        (vec![2, 2, 3], vec![0; 12])
    );
}

#[test]
fn errors_name_op_and_argument() {
    let (x, empty) = (tensor(&[2, 6]), tensor(&[3, 0]));
    let integers = Tensor::from_slice(&[1i32, 2], &[2], Device::cpu()).unwrap();
    let failures = [
        (ops::softmax(&x, 2), ("softmax", "axis")),
        (ops::softmax(&integers, 0), ("softmax", "x")),
        (ops::log_softmax(&x, -3), ("log_softmax", "axis")),
        (ops::sum(&x, 2, false), ("sum", "over")),
        (ops::sum(&x, &[0, -2], false), ("sum", "over")),
        (ops::mean(&integers, .., false), ("mean", "x")),
        (ops::max(&empty, 1, false), ("max", "x")),
        (ops::argmin(&empty, 1, true), ("argmin", "x")),
        (ops::var(&x, .., f64::NAN, false), ("var", "correction")),
        (ops::norm(&x, -1.0, .., false), ("norm", "p")),
        (
            ops::layer_norm(&x, 0, None, None, 1e-5),
            ("layer_norm", "axes"),
        ),
        (
            ops::layer_norm(&x, 3, None, None, 1e-5),
            ("layer_norm", "axes"),
        ),
        (
            ops::layer_norm(&x, 1, Some(&tensor(&[5])), None, 1e-5),
            ("layer_norm", "weight"),
        ),
        (
            ops::layer_norm(&x, 1, None, Some(&integers), 1e-5),
            ("layer_norm", "bias"),
        ),
        (ops::rms_norm(&x, 1, None, -1.0), ("rms_norm", "epsilon")),
        (
            ops::group_norm(&x, 4, None, None, 1e-5),
            ("group_norm", "groups"),
        ),
        (
            ops::group_norm(&x, 0, None, None, 1e-5),
            ("group_norm", "groups"),
        ),
        (
            ops::group_norm(&tensor(&[6]), 2, None, None, 1e-5),
            ("group_norm", "x"),
        ),
        (
            ops::rope(&tensor(&[3, 5]), Positions::From(0), 1e4, Pairs::Halves),
            ("rope", "x"),
        ),
        (
            ops::rope(&x, Positions::From(0), 0.0, Pairs::Halves),
            ("rope", "base"),
        ),
        (
            ops::rope(&x, Positions::Each(&tensor(&[2])), 1e4, Pairs::Halves),
            ("rope", "positions"),
        ),
    ];
    for (result, expected) in failures {
        assert_eq!(named(result.unwrap_err()), expected);
    }
    let positions = Tensor::from_slice(&[1i64, 2, 3], &[3], Device::cpu()).unwrap();
    let misfit = ops::rope(&x, Positions::Each(&positions), 1e4, Pairs::Halves);
    assert!(matches!(misfit, Err(Error::Shapes { op: "rope", .. })));
}

#[test]
fn nothing_to_reduce_has_its_value() {
    let x = tensor(&[2, 0]);
    assert_eq!(
        ops::sum(&x, 1, false).unwrap().to_vec::<f32>().unwrap(),
        [0.0; 2]
    );
    assert_eq!(
        ops::prod(&x, 1, false).unwrap().to_vec::<f32>().unwrap(),
        [1.0; 2]
    );
    assert_eq!(
        ops::any(&x, .., false).unwrap().to_scalar::<u8>().unwrap(),
        0
    );
    assert_eq!(
        ops::all(&x, .., false).unwrap().to_scalar::<u8>().unwrap(),
        1
    );
    assert!(
        ops::mean(&x, .., false)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap()
            .is_nan()
    );
    assert_eq!(ops::max(&x, 0, true).unwrap().dims(), [1, 0]);
}

/// A sum over many elements keeps the error of a tile, in one part or many, however it lies.
#[test]
fn long_sums_keep_their_digits() {
    let count = 3_000_000;
    let values: Vec<f32> = (0..count).map(|i| 1.0 + (i % 7) as f32 * 0.1).collect();
    let exact: f64 = values.iter().map(|&x| f64::from(x)).sum();
    // A tile's 4096 values meet at most 4096 / 16 + 7 roundings at the narrowest level, and the
    // result one more.
    let bound = exact * (4096.0 / 16.0 + 8.0) * f64::from(f32::EPSILON) / 2.0;
    let x = Tensor::from_slice(&values, &[count], Device::cpu()).unwrap();
    for x in [
        x.clone(),
        x.flip(0).unwrap(),
        x.reshape(&[300, 10_000]).unwrap(),
    ] {
        let sum = ops::sum(&x, .., false).unwrap().to_scalar::<f32>().unwrap();
        assert!(
            (f64::from(sum) - exact).abs() <= bound,
            "{sum} is not {exact} ± {bound}"
        );
    }
}

#[test]
fn results_of_integers_are_wide() {
    let x = Tensor::from_slice(&[u32::MAX, u32::MAX], &[2], Device::cpu()).unwrap();
    let sum = ops::sum(&x, 0, false).unwrap();
    assert_eq!(
        (sum.dtype(), sum.to_scalar::<i64>().unwrap()),
        (DType::I64, 2 * i64::from(u32::MAX))
    );
    let max = ops::max(&x, 0, false).unwrap();
    assert_eq!(
        (max.dtype(), max.to_scalar::<u32>().unwrap()),
        (DType::U32, u32::MAX)
    );
}

#[test]
fn a_row_has_the_same_bits_alone_and_among_others() {
    type RowOp = fn(&Tensor) -> wootz::Result<Tensor>;
    let row_ops: [(&str, RowOp); 4] = [
        ("softmax", |x| ops::softmax(x, -1)),
        ("log_softmax", |x| ops::log_softmax(x, -1)),
        ("rms_norm", |x| ops::rms_norm(x, 1, None, 1e-5)),
        ("layer_norm", |x| ops::layer_norm(x, 1, None, None, 1e-5)),
    ];
    for length in [31, 64, 384, 1024, 2048, 2085, 5000] {
        let value = |i: usize| ((i * 2_654_435_761) >> 7) as u32 as f32 / 1e9 - 2.0;
        let values: Vec<f32> = (0..9 * length).map(value).collect();
        let all = Tensor::from_slice(&values, &[9, length], Device::cpu()).unwrap();
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let all = ops::cast(&all, dtype).unwrap();
            for (name, op) in row_ops {
                let bits = |x: &Tensor| {
                    let wide = ops::cast(&op(x).unwrap(), DType::F32).unwrap();
                    let wide = wide.to_vec::<f32>().unwrap().into_iter();
                    wide.map(f32::to_bits).collect::<Vec<_>>()
                };
                let together = bits(&all);
                for row in 0..9 {
                    let alone = bits(&all.narrow(0, row, 1).unwrap());
                    let among = &together[row * length..][..length];
                    assert!(alone == among, "{name} of {dtype}, row {row} of {length}");
                }
            }
        }
    }
}
