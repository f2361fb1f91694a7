//! Host memory that stays in place, so that the device reads and writes it by itself.

use super::driver::{Driver, Failure};
use cudarc::driver::sys::CUdeviceptr;
use std::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

/// Pinned memory. It is never freed: what it belongs to lives as long as the process.
pub(super) struct Pinned {
    host: *mut u8,
    address: CUdeviceptr,
    bytes: usize,
}

// SAFETY: a name for memory; whoever touches it proves that access.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// Fresh memory, zeroed. The device's context is current.
    pub(super) fn new(driver: &Driver, bytes: usize) -> Result<Pinned, Failure> {
        /// For every context, and with an address on the device.
        const PORTABLE_AND_MAPPED: u32 = 1 | 2;
        let mut host: *mut c_void = ptr::null_mut();
        let mut address = 0;
        // SAFETY: writes one pointer each; the memory is fresh, so nobody else sees it zeroed.
        unsafe {
            driver.pin(&raw mut host, bytes, PORTABLE_AND_MAPPED)?;
            driver.pinned_address(&raw mut address, host, 0)?;
            host.cast::<u8>().write_bytes(0, bytes);
        }
        Ok(Pinned {
            host: host.cast(),
            address,
            bytes,
        })
    }

    /// Where part `index` of `size` bytes begins.
    pub(super) fn part(&self, index: usize, size: usize) -> *mut u8 {
        assert!((index + 1) * size <= self.bytes);
        // SAFETY: inside the memory, by the assertion.
        unsafe { self.host.add(index * size) }
    }

    /// Word `index`; each has a line of its own.
    pub(super) fn word(&self, index: usize) -> Word {
        let at = self.part(index, Word::LINE);
        Word {
            // SAFETY: a zeroed word that is aligned, as pinned memory starts at a page; never freed,
            // and from here on touched as an atomic alone. The device writes it whole.
            host: unsafe { AtomicU64::from_ptr(at.cast()) },
            address: self.address + (index * Word::LINE) as CUdeviceptr,
        }
    }
}

/// A word that the device writes and the host reads.
#[derive(Clone, Copy)]
pub(super) struct Word {
    host: &'static AtomicU64,
    pub(super) address: CUdeviceptr,
}

impl Word {
    /// A pair of cache lines, which the host fetches together.
    pub(super) const LINE: usize = 128;

    /// What the device has written last.
    pub(super) fn read(&self) -> u64 {
        self.host.load(Ordering::Acquire)
    }
}
