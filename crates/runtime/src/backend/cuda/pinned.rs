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

    /// The first word of line `index`.
    pub(super) fn word(&self, index: usize) -> Word {
        self.word_at(index, 0)
    }

    /// Word `place` of line `index`; those of a line are of the same two parties.
    pub(super) fn word_at(&self, index: usize, place: usize) -> Word {
        assert!(place * size_of::<u64>() < Word::LINE);
        Word {
            host: &self.words(index, Word::LINE)[place],
            address: self.address_of(index, Word::LINE) + (place * size_of::<u64>()) as CUdeviceptr,
        }
    }

    /// Part `index` of `size` bytes as words that both sides reach.
    pub(super) fn words(&self, index: usize, size: usize) -> &'static [AtomicU64] {
        let at = self.part(index, size).cast::<AtomicU64>();
        assert!(at.is_aligned());
        // SAFETY: zeroed words, aligned by the assertion, never freed, and from here on touched as
        // atomics alone. The device reads and writes whole words.
        unsafe { std::slice::from_raw_parts(at, size / size_of::<u64>()) }
    }

    /// Where part `index` of `size` bytes begins for the device.
    pub(super) fn address_of(&self, index: usize, size: usize) -> CUdeviceptr {
        self.address + (index * size) as CUdeviceptr
    }
}

/// A word that the device and the host share.
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

    /// Writes a word that the device reads.
    pub(super) fn write(&self, value: u64) {
        self.host.store(value, Ordering::Release);
    }

    /// The word, for those who need an order of their own.
    pub(super) fn atomic(&self) -> &'static AtomicU64 {
        self.host
    }
}
