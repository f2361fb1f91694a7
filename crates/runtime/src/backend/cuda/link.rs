//! Parts that were compiled one by one, made into one image by the driver's linker.

use super::driver::{Driver, Failure};
use cudarc::driver::sys::CUlinkState_st;
use std::{ffi::c_void, ptr, slice};

/// Unlinked parts, and what becomes of them.
struct Linking<'a>(&'a Driver, *mut CUlinkState_st);

/// The image of `parts`, each machine code or the text before it. A context is current.
pub(super) fn link(driver: &Driver, parts: &[Vec<u8>]) -> Result<Vec<u8>, Failure> {
    const MACHINE_CODE: u32 = 0;
    const TEXT: u32 = 1;
    let mut linking = Linking(driver, ptr::null_mut());
    // SAFETY: no options; writes one handle.
    unsafe { driver.link_begin(0, ptr::null_mut(), ptr::null_mut(), &raw mut linking.1)? };
    for part in parts {
        let kind = if part.starts_with(b"\x7fELF") {
            MACHINE_CODE
        } else {
            TEXT
        };
        let (bytes, none) = (part.as_ptr().cast_mut().cast(), ptr::null_mut());
        // SAFETY: the linker reads as many bytes as said and keeps none; no name, no options.
        unsafe {
            driver.link_add(
                linking.1,
                kind,
                bytes,
                part.len(),
                c"part".as_ptr(),
                0,
                none,
                ptr::null_mut(),
            )?;
        }
    }
    let (mut image, mut size): (*mut c_void, usize) = (ptr::null_mut(), 0);
    // SAFETY: writes an address and a size, which hold until the linking is over.
    unsafe {
        driver.link_end(linking.1, &raw mut image, &raw mut size)?;
        Ok(slice::from_raw_parts(image.cast::<u8>(), size).to_vec())
    }
}

impl Drop for Linking<'_> {
    fn drop(&mut self) {
        if !self.1.is_null() {
            // SAFETY: begun, and not used again. Nothing can be done where it fails.
            let _ = unsafe { self.0.link_over(self.1) };
        }
    }
}
