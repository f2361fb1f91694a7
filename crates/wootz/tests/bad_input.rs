//! What a caller gets wrong comes back as an error that names it, and nothing panics.

use wootz::{DType, Device, Error, Result, Tensor, ops, runtime::null::Null};

fn zeros(dims: &[usize]) -> Tensor {
    Tensor::from_slice(&vec![0f32; dims.iter().product()], dims, Device::cpu()).unwrap()
}

fn indices(values: &[i64]) -> Tensor {
    Tensor::from_slice(values, &[values.len()], Device::cpu()).unwrap()
}

fn elsewhere() -> Tensor {
    Tensor::from_slice(&[0f32; 6], &[2, 3], Null::device(1 << 20, true).0).unwrap()
}

/// The call failed, and its message begins with the op's name and holds all these words.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, op: &str, words: &[&str]) {
    let message = result.unwrap_err().to_string();
    assert!(message.starts_with(&format!("{op}: ")), "{message}");
    for word in words {
        assert!(message.contains(word), "{message} does not say {word}");
    }
}

#[test]
fn making_tensors() {
    let cpu = Device::cpu();
    refused(
        Tensor::from_slice(&[1f32; 5], &[2, 3], cpu),
        "from_slice",
        &["[2, 3]", "5"],
    );
    refused(
        Tensor::from_slice(&[1f32], &[1; 9], cpu),
        "from_slice",
        &["8 axes"],
    );
    refused(
        Tensor::from_slice::<f32>(&[], &[usize::MAX, 2], cpu),
        "from_slice",
        &["too large"],
    );
    refused(
        Tensor::from_slice::<f32>(&[], &[1 << 61], cpu),
        "from_slice",
        &["too large"],
    );
    // Nothing is in it, but sizes of axes are multiplied in many places.
    refused(
        Tensor::from_slice::<f32>(&[], &[usize::MAX, 0, 2], cpu),
        "from_slice",
        &["too large"],
    );
}

#[test]
fn reading_tensors() {
    let x = zeros(&[2, 3]);
    refused(x.to_vec::<i32>(), "to_vec", &["f32", "i32"]);
    refused(
        x.to_scalar::<f32>(),
        "to_scalar",
        &["[2, 3]", "one element"],
    );
}

#[test]
fn views() {
    let x = zeros(&[2, 3]);
    refused(x.reshape(&[7]), "reshape", &["[2, 3]", "[7]"]);
    refused(x.reshape(&[1; 9]), "reshape", &["8 axes"]);
    refused(x.reshape(&[usize::MAX, 6]), "reshape", &["too large"]);
    for order in [
        &[][..],
        &[0],
        &[0, 0],
        &[0, 2],
        &[0, 1, 2],
        &[usize::MAX, 0],
    ] {
        refused(
            x.permute(order),
            "permute",
            &["order", &format!("{order:?}")],
        );
    }
    for axis in [2, -3, isize::MAX, isize::MIN] {
        let word = axis.to_string();
        refused(x.transpose(axis, 0), "transpose", &["first", &word]);
        refused(x.transpose(0, axis), "transpose", &["second", &word]);
        refused(x.narrow(axis, 0, 1), "narrow", &["axis", &word]);
        refused(x.flip(axis), "flip", &["axis", &word]);
        refused(x.squeeze(axis), "squeeze", &["axis", &word]);
    }
    for (start, length) in [(0, 4), (3, 1), (4, 0), (usize::MAX, 1), (1, usize::MAX)] {
        refused(x.narrow(1, start, length), "narrow", &["0..3"]);
    }
    for axis in [3, -4, isize::MAX, isize::MIN] {
        refused(x.unsqueeze(axis), "unsqueeze", &["axis", &axis.to_string()]);
    }
    refused(x.squeeze(0), "squeeze", &["[2, 3]", "axis 0"]);
    refused(zeros(&[1; 8]).unsqueeze(0), "unsqueeze", &["8 axes"]);
    for dims in [&[3][..], &[2, 2], &[3, 2, 4], &[0, 3], &[]] {
        refused(x.broadcast_to(dims), "broadcast_to", &["[2, 3]"]);
    }
    refused(
        zeros(&[]).broadcast_to(&[usize::MAX, 2]),
        "broadcast_to",
        &["too large"],
    );
    refused(zeros(&[]).flip(0), "flip", &["axis"]);
}

#[test]
fn a_view_may_be_larger_than_memory_and_its_copy_may_not() {
    let huge = zeros(&[1]).broadcast_to(&[1 << 50]).unwrap();
    assert_eq!(huge.count(), 1 << 50);
    assert!(matches!(ops::copy(&huge), Err(Error::Runtime(_))));
    assert_eq!(
        huge.narrow(0, (1 << 50) - 2, 2)
            .unwrap()
            .to_vec::<f32>()
            .unwrap(),
        [0.0; 2]
    );
}

#[test]
fn joining() {
    let (x, integers) = (zeros(&[2, 3]), indices(&[1, 2]));
    refused(ops::concat(&[], 0), "concat", &["tensors", "at least one"]);
    refused(
        ops::concat(&[&x, &zeros(&[2])], 0),
        "concat",
        &["tensors", "[2]", "[2, 3]"],
    );
    refused(
        ops::concat(&[&x, &zeros(&[3, 3])], 1),
        "concat",
        &["[3, 3]", "axis 1"],
    );
    refused(ops::concat(&[&x], 2), "concat", &["axis"]);
    refused(ops::concat(&[&zeros(&[])], 0), "concat", &["axis"]);
    refused(
        ops::concat(&[&zeros(&[2]), &integers], 0),
        "concat",
        &["i64", "f32"],
    );
    refused(
        ops::concat(&[&x, &elsewhere()], 0),
        "concat",
        &["null", "cpu"],
    );
    let huge = zeros(&[1]).broadcast_to(&[1 << 60]).unwrap();
    refused(ops::concat(&[&huge; 20], 0), "concat", &["too large"]);
    refused(ops::stack(&[], 0), "stack", &["tensors"]);
    refused(
        ops::stack(&[&x, &zeros(&[3, 2])], 0),
        "stack",
        &["[3, 2]", "[2, 3]"],
    );
    refused(ops::stack(&[&x], 3), "stack", &["axis"]);
    refused(ops::stack(&[&zeros(&[1; 8])], 0), "stack", &["8 axes"]);
}

#[test]
fn padding() {
    let x = zeros(&[2, 3]);
    refused(ops::pad(&x, &[(0, 0)], 0.0), "pad", &["padding", "1", "2"]);
    refused(
        ops::pad(&x, &[(usize::MAX, 1), (0, 0)], 0.0),
        "pad",
        &["too large"],
    );
    refused(
        ops::pad(&x, &[(1 << 40, 0), (1 << 40, 0)], 0.0),
        "pad",
        &["too large"],
    );
}

#[test]
fn indices_outside() {
    let (x, source) = (zeros(&[5]), zeros(&[3]));
    for bad in [5, -1, i64::MAX, i64::MIN] {
        // The first bad one is named, though the last is bad too.
        let index = indices(&[4, bad, 7]);
        let value = bad.to_string();
        let words = ["index", &value[..], "0..5"];
        refused(ops::gather(&x, 0, &index), "gather", &words);
        refused(ops::index_select(&x, 0, &index), "index_select", &words);
        refused(ops::embedding(&x, &index), "embedding", &words);
        refused(ops::scatter(&x, 0, &index, &source), "scatter", &words);
        refused(
            ops::scatter_add(&x, 0, &index, &source),
            "scatter_add",
            &words,
        );
        refused(
            ops::scatter_max(&x, 0, &index, &source),
            "scatter_max",
            &words,
        );
    }
    let error = ops::gather(&x, 0, &indices(&[9])).unwrap_err();
    assert_eq!(
        error,
        Error::Index {
            op: "gather",
            argument: "index",
            value: 9,
            limit: 5
        }
    );
    let all_but = Tensor::from_slice(&[u32::MAX], &[1], Device::cpu()).unwrap();
    refused(ops::gather(&x, 0, &all_but), "gather", &["4294967295"]);
    let negative = Tensor::from_slice(&[-7i32], &[1], Device::cpu()).unwrap();
    refused(ops::gather(&x, 0, &negative), "gather", &["-7"]);
}

#[test]
fn indices_into_nothing() {
    let nothing = zeros(&[0]);
    refused(
        ops::gather(&nothing, 0, &indices(&[0])),
        "gather",
        &["0..0"],
    );
    refused(
        ops::index_select(&nothing, 0, &indices(&[0])),
        "index_select",
        &["0..0"],
    );
    refused(
        ops::scatter(&nothing, 0, &indices(&[0]), &zeros(&[1])),
        "scatter",
        &["0..0"],
    );
    assert_eq!(ops::gather(&nothing, 0, &indices(&[])).unwrap().dims(), [0]);
}

#[test]
fn a_bad_index_far_inside_is_found() {
    let (rows, columns) = (300, 70);
    let x = zeros(&[rows, columns]);
    let mut values = vec![0i64; rows * columns];
    values[200 * columns + 33] = -5;
    values[250 * columns] = 1000;
    let index = Tensor::from_slice(&values, &[rows, columns], Device::cpu()).unwrap();
    for axis in [0, 1] {
        refused(ops::gather(&x, axis, &index), "gather", &["-5"]);
        refused(
            ops::scatter_add(&x, axis, &index, &x),
            "scatter_add",
            &["-5"],
        );
    }
    let turned = index.transpose(0, 1).unwrap().flip(0).unwrap();
    let x = zeros(&[columns, rows]);
    refused(ops::gather(&x, 0, &turned), "gather", &["-5"]);
}

#[test]
fn arguments_of_index_ops() {
    let (x, index) = (zeros(&[2, 3]), indices(&[0]));
    let floats = zeros(&[2, 3]);
    let bytes = Tensor::from_slice(&[0u8], &[1], Device::cpu()).unwrap();
    for wrong in [&floats, &bytes] {
        refused(ops::gather(&x, 0, wrong), "gather", &["index", "i64"]);
        refused(ops::embedding(&x, wrong), "embedding", &["index", "i64"]);
    }
    refused(
        ops::gather(&x, 0, &index),
        "gather",
        &["index", "[1]", "[2, 3]"],
    );
    refused(ops::gather(&x, 2, &index), "gather", &["axis"]);
    let wide = index.broadcast_to(&[1, 4]).unwrap();
    refused(ops::gather(&x, 0, &wide), "gather", &["[1, 4]", "axis 0"]);
    refused(
        ops::gather(&elsewhere(), 0, &wide),
        "gather",
        &["index", "cpu", "null"],
    );
    refused(
        ops::index_select(&x, 0, &wide),
        "index_select",
        &["index", "one axis"],
    );
    refused(
        ops::embedding(&zeros(&[]), &index),
        "embedding",
        &["weight"],
    );
    let deep = index.reshape(&[1; 8]).unwrap();
    refused(ops::embedding(&x, &deep), "embedding", &["8 axes"]);
    let far = index.broadcast_to(&[1 << 40]).unwrap();
    let long = zeros(&[2, 1]).broadcast_to(&[2, 1 << 40]).unwrap();
    refused(ops::embedding(&long, &far), "embedding", &["too large"]);

    let row = index.broadcast_to(&[1, 3]).unwrap();
    refused(
        ops::scatter(&x, 0, &row, &zeros(&[3])),
        "scatter",
        &["index", "[3]"],
    );
    refused(
        ops::scatter(&x, 0, &row, &zeros(&[1, 2])),
        "scatter",
        &["index", "[1, 2]"],
    );
    refused(
        ops::scatter(&x, 1, &wide, &zeros(&[1, 3])),
        "scatter",
        &["[1, 4]"],
    );
    refused(
        ops::scatter(&x, 0, &row, &elsewhere()),
        "scatter",
        &["source", "null"],
    );
    let integers = indices(&[1, 2, 3]).reshape(&[1, 3]).unwrap();
    refused(
        ops::scatter_add(&x, 0, &row, &integers),
        "scatter_add",
        &["source", "i64", "f32"],
    );
}

#[test]
fn a_refused_call_leaves_everything_usable() {
    let x = Tensor::from_slice(&[1f32, 2.0, 3.0], &[3], Device::cpu()).unwrap();
    for _ in 0..100 {
        assert!(ops::scatter_add(&x, 0, &indices(&[0, 3]), &x).is_err());
        let picked = ops::gather(&x, 0, &indices(&[2, 0])).unwrap();
        assert_eq!(picked.to_vec::<f32>().unwrap(), [3.0, 1.0]);
    }
    assert_eq!(x.dtype(), DType::F32);
    assert_eq!(x.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0]);
}

#[test]
fn devices_by_name() {
    let message = Device::open("abacus").unwrap_err().to_string();
    assert!(
        message.contains("abacus") && message.contains("cpu"),
        "{message}"
    );
}
