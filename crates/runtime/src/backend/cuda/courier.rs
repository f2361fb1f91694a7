//! Copies from the device to the host: a CUDA stream with pinned memory of its own, used by one
//! thread at a time.

use super::{
    driver::{Driver, Failure, Handle},
    gpu::Gpu,
    lane::make_stream,
    pinned::{Pinned, Word},
};
use crate::sync::Spin;
use cudarc::driver::sys::{CUdeviceptr, CUstream_st};
use std::{
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

/// Bytes that are copied at once.
const PART: usize = 512 << 10;
/// Parts under way at once: the device fills one while the host empties the other.
const PARTS: usize = 2;

pub(super) struct Courier {
    stream: Handle<CUstream_st>,
    word: Word,
    /// Parts asked for so far; the word says how many have come.
    asked: AtomicU64,
    parts: Pinned,
}

impl Courier {
    /// A courier that reports through `word`. The device's context is current.
    pub(super) fn new(driver: &Driver, word: Word) -> Result<Courier, Failure> {
        Ok(Courier {
            stream: make_stream(driver)?,
            word,
            asked: AtomicU64::new(0),
            parts: Pinned::new(driver, PARTS * PART)?,
        })
    }

    /// Copies `out.len()` bytes. The caller holds this courier's lease.
    pub(super) fn download(
        &self,
        gpu: &Gpu,
        from: CUdeviceptr,
        out: &mut [u8],
    ) -> Result<(), Failure> {
        let before = self.asked.load(Ordering::Relaxed);
        let sizes: Vec<usize> = out.chunks(PART).map(<[u8]>::len).collect();
        let mut asked = 0;
        for (index, part) in out.chunks_mut(PART).enumerate() {
            while asked < sizes.len() && asked < index + PARTS {
                self.ask(gpu, from, asked, sizes[asked])?;
                asked += 1;
            }
            self.wait(gpu, before + index as u64 + 1)?;
            let filled = self.parts.part(index % PARTS, PART);
            // SAFETY: the device has filled it, and fills it again only when asked to; `out` is
            // the caller's own memory.
            unsafe { ptr::copy_nonoverlapping(filled, part.as_mut_ptr(), part.len()) };
        }
        Ok(())
    }

    fn ask(&self, gpu: &Gpu, from: CUdeviceptr, index: usize, bytes: usize) -> Result<(), Failure> {
        let to = self.parts.part(index % PARTS, PART);
        let from = from + (index * PART) as CUdeviceptr;
        // Counted first: a number that may be on its way is never given again.
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        // SAFETY: the part is as long; the source range is the caller's promise.
        unsafe { gpu.driver.download(to.cast(), from, bytes, self.stream.0)? };
        gpu.mark(self.stream, self.word, number)
    }

    fn wait(&self, gpu: &Gpu, number: u64) -> Result<(), Failure> {
        let mut spin = Spin::new();
        while self.word.read() < number {
            if !spin.turn() {
                // SAFETY: the stream lives.
                return unsafe { gpu.driver.finish_stream(self.stream.0) };
            }
        }
        Ok(())
    }
}
