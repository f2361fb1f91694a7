//! Tensor maps in the form that Hopper's copy engine reads: the driver makes it of a plan's data.

use super::driver::{Failure, symbol};
use crate::tensor_map::TensorMap;
use cudarc::driver::sys::CUdeviceptr;
use std::{ffi::c_void, ptr, sync::OnceLock};

/// A map, as a kernel takes it.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Encoded([u64; 16]);

/// Came with CUDA 12.0, as all that can compile kernels which take maps.
const SYMBOL: &str = "cuTensorMapEncodeTiled";
type Encode = unsafe extern "system" fn(
    out: *mut Encoded,
    element: u32,
    rank: u32,
    memory: *mut c_void,
    sizes: *const u64,
    strides: *const u64,
    box_sizes: *const u32,
    steps: *const u32,
    interleave: u32,
    swizzle: u32,
    promotion: u32,
    fill: u32,
) -> u32;

/// The maps, whose bindings have these addresses.
pub(super) fn encode(
    maps: &[TensorMap],
    addresses: &[CUdeviceptr],
) -> Result<Vec<Encoded>, Failure> {
    static ENCODE: OnceLock<Option<Encode>> = OnceLock::new();
    if maps.is_empty() {
        return Ok(vec![]);
    }
    let encode = ENCODE.get_or_init(|| symbol(SYMBOL).ok());
    let encode = encode.ok_or(Failure {
        call: SYMBOL,
        code: Failure::NOT_FOUND,
    })?;
    let maps = maps.iter();
    maps.map(|map| one(encode, map, addresses[map.binding]))
        .collect()
}

fn one(encode: Encode, map: &TensorMap, address: CUdeviceptr) -> Result<Encoded, Failure> {
    /// Unsigned integers of 1, 2 and 4 bytes, which are only moved.
    const ELEMENTS: [u32; 3] = [0, 1, 2];
    const SWIZZLE_128_BYTES: u32 = 3;
    const READ_128_BYTES: u32 = 2;
    /// `f32` that becomes tf32.
    const TF32: u32 = 11;
    let element = match map.rounds {
        true => TF32,
        false => ELEMENTS[map.element.ilog2() as usize],
    };
    let mut encoded = Encoded([0; 16]);
    let steps = [1; 3];
    // SAFETY: writes one map; reads as many numbers as a tensor of three axes has. The address is
    // only noted.
    let code = unsafe {
        encode(
            &raw mut encoded,
            element,
            3,
            ptr::without_provenance_mut(address as usize),
            map.sizes.as_ptr(),
            map.strides.as_ptr(),
            map.box_sizes.as_ptr(),
            steps.as_ptr(),
            0,
            SWIZZLE_128_BYTES,
            READ_128_BYTES,
            0,
        )
    };
    match code {
        0 => Ok(encoded),
        code => Err(Failure { call: SYMBOL, code }),
    }
}
