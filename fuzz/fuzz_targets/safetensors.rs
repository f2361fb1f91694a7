//! The reader of safetensors on any bytes: it may refuse them with an error of the file and nothing
//! else, and what it accepts must come back the same after it is written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use wootz::{
    Device, Error, Tensor,
    safetensors::{SafeTensors, save},
    with_dtype,
};

fuzz_target!(|bytes: &[u8]| {
    let Some(file) = accepted(SafeTensors::from_bytes(bytes.to_vec())) else {
        return;
    };
    let names: Vec<&str> = file.names().collect();
    let tensors: Vec<(&str, Tensor)> = names
        .iter()
        .filter_map(|name| Some((*name, accepted(file.tensor(name, Device::cpu()))?)))
        .collect();
    let path = scratch();
    let pairs = tensors.iter().map(|(name, tensor)| (*name, tensor));
    save(path, pairs, file.metadata()).expect("what was read can be written");
    let again = SafeTensors::open(path).expect("what was written can be read");
    assert_eq!(again.metadata(), file.metadata());
    assert_eq!(again.names().count(), tensors.len());
    for (name, tensor) in &tensors {
        let copy = again.tensor(name, Device::cpu()).expect("it was there");
        assert_eq!((copy.dims(), copy.dtype()), (tensor.dims(), tensor.dtype()));
        assert_eq!(contents(&copy), contents(tensor));
    }
});

/// What the reader gives; it may only refuse with an error of the file.
fn accepted<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::File { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

fn contents(tensor: &Tensor) -> Vec<u8> {
    with_dtype!(tensor.dtype(), T => {
        bytemuck::cast_slice::<T, u8>(&tensor.to_vec::<T>().expect("a tensor on the CPU")).to_vec()
    })
}

/// One file for this process, in memory where the system has such files.
fn scratch() -> &'static std::path::Path {
    static PATH: OnceLock<std::path::PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        folder.join(format!("wootz-fuzz-{}", std::process::id()))
    })
}
