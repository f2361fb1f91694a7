//! Files of tensors: what is written is read again, and what is wrong is said.

use proptest::prelude::*;
use std::{collections::BTreeMap, fs, path::PathBuf};
use wootz::{
    DType, Device, Element, Error, Tensor, ops,
    safetensors::{SafeTensors, save},
    with_dtype,
};

/// A path of this test run alone, removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        Scratch(std::env::temp_dir().join(format!("wootz-{}-{name}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes()[..],
        header.as_bytes(),
        data,
    ]
    .concat()
}

/// The reason why these bytes are no file.
#[track_caller]
fn reason(bytes: Vec<u8>) -> String {
    match SafeTensors::from_bytes(bytes) {
        Err(Error::File { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

fn numbers<T: Element>(dims: &[usize]) -> Tensor {
    let values: Vec<T> = (0..dims.iter().product())
        .map(|i| T::from_f64(i as f64))
        .collect();
    Tensor::from_slice(&values, dims, Device::cpu()).unwrap()
}

#[test]
fn what_is_saved_is_loaded() {
    let path = Scratch::new("round-trip");
    let shapes: [&[usize]; 5] = [&[], &[3], &[0, 2], &[2, 3, 5], &[1 << 21]];
    let mut tensors = Vec::new();
    for &dtype in DType::ALL {
        for dims in shapes {
            let tensor = with_dtype!(dtype, T => numbers::<T>(dims));
            tensors.push((format!("{dtype} {dims:?} \"\u{e9}\n"), tensor));
        }
    }
    let metadata = BTreeMap::from([("made by".to_owned(), "a test".to_owned())]);
    let pairs = tensors.iter().map(|(name, tensor)| (&name[..], tensor));
    save(&path.0, pairs, &metadata).unwrap();

    let read = SafeTensors::open(&path.0).unwrap();
    assert_eq!(read.metadata(), &metadata);
    assert_eq!(read.names().count(), tensors.len());
    let copy = SafeTensors::from_bytes(fs::read(&path.0).unwrap()).unwrap();
    for (name, tensor) in &tensors {
        for source in [&read, &copy] {
            let loaded = source.tensor(name, Device::cpu()).unwrap();
            assert_eq!(
                (loaded.dims(), loaded.dtype()),
                (tensor.dims(), tensor.dtype())
            );
            with_dtype!(tensor.dtype(), T => {
                assert_eq!(loaded.to_vec::<T>().unwrap(), tensor.to_vec::<T>().unwrap());
            });
        }
    }
    assert_eq!(read.tensors(Device::cpu()).unwrap().len(), tensors.len());
}

#[test]
fn views_are_saved_as_they_look() {
    let path = Scratch::new("views");
    let x = numbers::<i32>(&[4, 6])
        .transpose(0, 1)
        .unwrap()
        .narrow(0, 1, 3)
        .unwrap();
    save(&path.0, [("x", &x)], &BTreeMap::new()).unwrap();
    let loaded = SafeTensors::open(&path.0)
        .unwrap()
        .tensor("x", Device::cpu())
        .unwrap();
    assert_eq!(loaded.dims(), [3, 4]);
    assert_eq!(loaded.to_vec::<i32>().unwrap(), x.to_vec::<i32>().unwrap());
}

#[test]
fn tensors_are_views_of_the_file_and_outlive_it() {
    let path = Scratch::new("views-of-file");
    let (x, y) = (numbers::<f32>(&[5, 3]), numbers::<u8>(&[7]));
    save(&path.0, [("x", &x), ("y", &y)], &BTreeMap::new()).unwrap();
    let opened = SafeTensors::open(&path.0).unwrap();
    let (a, b) = (
        opened.tensor("x", Device::cpu()).unwrap(),
        opened.tensor("y", Device::cpu()).unwrap(),
    );
    assert_eq!(
        (a.buffer().bytes(), b.buffer().bytes()),
        (60, 7),
        "the file's own bytes"
    );
    drop(opened);
    // The name now leads to another file; the tensors keep the old one.
    save(&path.0, [("x", &y)], &BTreeMap::new()).unwrap();
    drop(path);
    let sum = std::thread::spawn(move || ops::concat(&[&a, &a], 0))
        .join()
        .unwrap()
        .unwrap();
    let twice = [x.to_vec::<f32>().unwrap(), x.to_vec::<f32>().unwrap()].concat();
    assert_eq!(sum.to_vec::<f32>().unwrap(), twice);
    assert_eq!(b.to_vec::<u8>().unwrap(), y.to_vec::<u8>().unwrap());
}

#[test]
fn unaligned_tensors_are_copied() {
    let header = r#"{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}"#;
    let floats = [1.5f32.to_le_bytes(), (-2.0f32).to_le_bytes()].concat();
    // Whatever the header's length, one of these has the tensor at an odd address.
    for blanks in 0..8 {
        let header = format!("{header}{}", " ".repeat(blanks));
        let read = SafeTensors::from_bytes(file(&header, &[&[7], &floats[..]].concat())).unwrap();
        let x = read.tensor("x", Device::cpu()).unwrap();
        assert_eq!(x.buffer().memory().host.addr() % 4, 0);
        assert_eq!(x.to_vec::<f32>().unwrap(), [1.5, -2.0]);
    }
}

#[test]
fn truth_values_are_bytes() {
    let header = r#"{"x":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}"#;
    let read = SafeTensors::from_bytes(file(header, &[0, 1])).unwrap();
    assert_eq!(read.describe("x").unwrap(), (&[2][..], "BOOL"));
    assert_eq!(
        read.tensor("x", Device::cpu())
            .unwrap()
            .to_vec::<u8>()
            .unwrap(),
        [0, 1]
    );
}

#[test]
fn what_cannot_be_a_tensor_is_refused_when_it_is_read() {
    let header = r#"{
        "good":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
        "strange":{"dtype":"F8_E5M2","shape":[3],"data_offsets":[1,4]},
        "deep":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[4,5]}
    }"#;
    let header = header.trim();
    let read = SafeTensors::from_bytes(file(header, &[1, 2, 3, 4, 5])).unwrap();
    assert!(read.tensor("good", Device::cpu()).is_ok());
    for (name, words) in [
        ("strange", "F8_E5M2"),
        ("deep", "9 axes"),
        ("none", "named \"none\""),
    ] {
        let message = read.tensor(name, Device::cpu()).unwrap_err().to_string();
        assert!(
            message.contains(words) && message.contains(name),
            "{message}"
        );
    }
}

#[test]
fn malformed_files_are_refused_with_a_reason() {
    let one = |entry: &str| file(&format!(r#"{{"x":{entry}}}"#), &[0; 8]);
    let entry = |dtype: &str, shape: &str, from: i64, to: i64| {
        one(&format!(
            r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}"#
        ))
    };
    assert!(SafeTensors::from_bytes(entry("F32", "[2]", 0, 8)).is_ok());
    let mut lying = entry("F32", "[2]", 0, 8);
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut long = entry("F32", "[2]", 0, 8);
    long[..8].copy_from_slice(&1000u64.to_le_bytes());
    let u8s = |a: (usize, usize), b: (usize, usize)| {
        let text = |(from, to): (usize, usize)| {
            format!(
                r#"{{"dtype":"U8","shape":[{}],"data_offsets":[{from},{to}]}}"#,
                to - from
            )
        };
        file(&format!(r#"{{"a":{},"b":{}}}"#, text(a), text(b)), &[0; 8])
    };
    let huge = "[4294967296,4294967296,4294967296]";
    let wrong: &[(Vec<u8>, &str)] = &[
        (vec![], "too short"),
        (vec![0; 7], "too short"),
        (vec![0; 8], "begin with {"),
        (lying, "more than the 100000000 allowed"),
        (long, "a header of 1000 bytes in a file of"),
        (file("[]", &[]), "begin with {"),
        (file(" {}", &[]), "begin with {"),
        (file("{", &[]), "the header:"),
        (file("{} x", &[]), "the header:"),
        (file("{}", &[1]), "1 bytes belong to no tensor"),
        (file(r#"{"x":5}"#, &[]), "the header:"),
        (file(&"{\"x\":".repeat(10_000), &[]), "the header:"),
        (
            file(&format!("{{\"__metadata__\":{}", "[".repeat(10_000)), &[]),
            "the header:",
        ),
        (file(r#"{"__metadata__":{"a":1}}"#, &[]), "the header:"),
        (
            file(r#"{"__metadata__":{},"__metadata__":{}}"#, &[]),
            "stands twice",
        ),
        (entry("F32", "[3]", 0, 8), "does not take 8 bytes"),
        (entry("F32", "[]", 0, 8), "does not take 8 bytes"),
        (entry("F32", "[0]", 0, 8), "does not take 8 bytes"),
        (entry("F32", huge, 0, 8), "does not take 8 bytes"),
        (entry("F32", "[-2]", 0, 8), "the header:"),
        (entry("F32", "[2.0]", 0, 8), "the header:"),
        (entry("F32", "[2]", 0, 16), "takes bytes 0..16 of 8"),
        (entry("F32", "[1]", 4, 8), "takes bytes 4..8 of 8"),
        (entry("F32", "[2]", 8, 0), "takes bytes 8..0 of 8"),
        (entry("F32", "[1]", 0, 4), "4 bytes belong to no tensor"),
        (entry("F32", "[2]", -8, 0), "the header:"),
        (
            one(r#"{"dtype":"F32","shape":[2],"data_offsets":[0]}"#),
            "the header:",
        ),
        (
            one(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,4,8]}"#),
            "the header:",
        ),
        (one(r#"{"dtype":"F32","shape":[2]}"#), "the header:"),
        (
            one(r#"{"dtype":7,"shape":[2],"data_offsets":[0,8]}"#),
            "the header:",
        ),
        (u8s((0, 5), (4, 8)), "tensor \"b\" takes bytes 4..8"),
        (u8s((0, 3), (4, 8)), "the ones before it end at 3"),
        (u8s((0, 8), (0, 8)), "takes bytes 0..8"),
    ];
    for (bytes, words) in wrong {
        let reason = reason(bytes.clone());
        assert!(reason.contains(words), "{reason:?} does not say {words:?}");
    }
    let entry = r#"{"dtype":"U8","shape":[8],"data_offsets":[0,8]}"#;
    let twice = file(&format!(r#"{{"x":{entry},"x":{entry}}}"#), &[0; 8]);
    assert!(reason(twice).contains("\"x\" stands twice"));
    let mut not_text = file(r#"{"x":{}}"#, &[]);
    not_text[11] = 0xff;
    assert!(reason(not_text).contains("the header:"));
}

#[test]
fn paths_that_are_no_files_are_refused() {
    let message = SafeTensors::open("/nowhere/at all")
        .unwrap_err()
        .to_string();
    assert!(message.starts_with("/nowhere/at all: "), "{message}");
    let message = SafeTensors::open(std::env::temp_dir())
        .unwrap_err()
        .to_string();
    assert!(message.contains("not a regular file"), "{message}");
    let empty = Scratch::new("empty");
    fs::write(&empty.0, []).unwrap();
    let message = SafeTensors::open(&empty.0).unwrap_err().to_string();
    assert!(message.contains("too short"), "{message}");
    let x = numbers::<u8>(&[1]);
    for path in ["/nowhere/at all", "/", ""] {
        assert!(
            matches!(
                save(path, [("x", &x)], &BTreeMap::new()),
                Err(Error::File { .. })
            ),
            "{path}"
        );
    }
}

#[test]
fn a_failed_save_leaves_the_old_file_and_nothing_else() {
    let path = Scratch::new("failed-save");
    let x = numbers::<u8>(&[3]);
    save(&path.0, [("x", &x)], &BTreeMap::new()).unwrap();
    let before = fs::read(&path.0).unwrap();
    for names in [["y", "y"], ["y", "__metadata__"]] {
        let pairs = names.map(|name| (name, &x));
        assert!(matches!(
            save(&path.0, pairs, &BTreeMap::new()),
            Err(Error::File { .. })
        ));
    }
    let huge = x.narrow(0, 0, 1).unwrap().broadcast_to(&[1 << 60]).unwrap();
    assert!(save(&path.0, [("y", &huge)], &BTreeMap::new()).is_err());
    assert_eq!(fs::read(&path.0).unwrap(), before);
    let name = path.0.file_name().unwrap().to_str().unwrap().to_owned();
    let left = fs::read_dir(std::env::temp_dir()).unwrap();
    let left = left.filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(&name)
    });
    assert_eq!(left.count(), 1);
}

/// A whole good file, to be spoiled.
fn sample() -> Vec<u8> {
    let header = r#"{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"I64","shape":[],"data_offsets":[24,32]},"c":{"dtype":"BF16","shape":[0,7],"data_offsets":[32,32]},"d":{"dtype":"BOOL","shape":[5],"data_offsets":[32,37]}}"#;
    file(header, &(0..37).collect::<Vec<u8>>())
}

/// Reads all that a file claims to hold; what is wrong must be an error of the file.
fn devour(bytes: Vec<u8>) {
    match SafeTensors::from_bytes(bytes) {
        Err(Error::File { .. }) => {}
        Err(other) => panic!("{other}"),
        Ok(read) => {
            for name in read.names() {
                match read.tensor(name, Device::cpu()) {
                    Ok(tensor) => with_dtype!(tensor.dtype(), T => {
                        assert_eq!(tensor.to_vec::<T>().unwrap().len(), tensor.count());
                    }),
                    Err(Error::File { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    let whole = sample();
    devour(whole.clone());
    assert!(SafeTensors::from_bytes(whole.clone()).is_ok());
    for length in 0..whole.len() {
        assert!(!reason(whole[..length].to_vec()).is_empty());
    }
}

#[test]
fn every_change_of_one_byte_is_survived() {
    let whole = sample();
    for place in 0..whole.len() - 37 {
        for byte in 0..=255 {
            let mut spoiled = whole.clone();
            spoiled[place] = byte;
            devour(spoiled);
        }
    }
}

/// Pieces that a header is made of, so that random ones come near to being good.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"a\"",
    "\"b\"",
    "\"dtype\"",
    "\"shape\"",
    "\"data_offsets\"",
    "\"__metadata__\"",
    "\"F32\"",
    "\"U8\"",
    "\"I64\"",
    "\"BOOL\"",
    "0",
    "1",
    "4",
    "8",
    "24",
    "18446744073709551615",
    "9223372036854775808",
    "-1",
    "1e3",
    "null",
    "true",
    " ",
    "{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}",
    "\\u0000",
    "\u{e9}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn random_changes_are_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        dropped in prop::option::of((any::<prop::sample::Index>(), 1usize..40)),
    ) {
        let mut bytes = sample();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some((from, length)) = dropped {
            let from = from.index(bytes.len());
            let to = bytes.len().min(from + length);
            bytes.drain(from..to);
        }
        devour(bytes);
    }

    #[test]
    fn random_headers_are_survived(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40),
        data in 0usize..64,
    ) {
        devour(file(&format!("{{{}", pieces.concat()), &vec![1; data]));
    }

    #[test]
    fn random_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        devour(bytes.clone());
        devour(file("", &bytes));
    }

    #[test]
    fn lying_numbers_are_survived(
        shape in prop::collection::vec(prop_oneof![0u64..5, any::<u64>()], 0..4),
        from in prop_oneof![0u64..40, any::<u64>()],
        to in prop_oneof![0u64..40, any::<u64>()],
        data in 0usize..40,
    ) {
        let entry = format!(r#"{{"a":{{"dtype":"U8","shape":{shape:?},"data_offsets":[{from},{to}]}}}}"#);
        devour(file(&entry, &vec![1; data]));
    }
}
