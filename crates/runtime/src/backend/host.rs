//! The host: its memory, for devices that live in it, and what its system tells.

use crate::buffer::RawMemory;
use std::alloc::{Layout, alloc, dealloc};

/// Alignment of small blocks: a cache line, and the widest vector.
pub(super) const LINE: usize = 64;
/// From this size on, blocks are aligned for and advised to use huge pages.
const HUGE: usize = 2 << 20;

/// Memory of the host, each byte of it `fill` or undefined; nothing when there is none left.
pub(super) fn allocate(bytes: usize, fill: Option<u8>) -> Option<RawMemory> {
    let layout = layout(bytes)?;
    // SAFETY: `layout` refuses sizes of zero.
    let host = unsafe { alloc(layout) };
    if host.is_null() {
        return None;
    }
    advise_huge(host, bytes);
    if let Some(fill) = fill {
        // SAFETY: just allocated with this size.
        unsafe { host.write_bytes(fill, bytes) };
    }
    Some(RawMemory {
        handle: host as usize,
        host,
        bytes,
    })
}

/// Gives memory back.
///
/// # Safety
/// `memory` came from `allocate`, and nobody uses it any more.
pub(super) unsafe fn free(memory: RawMemory) {
    if let Some(layout) = layout(memory.bytes) {
        // SAFETY: `allocate` made it with the same layout.
        unsafe { dealloc(memory.host, layout) };
    }
}

fn layout(bytes: usize) -> Option<Layout> {
    let align = if bytes >= HUGE { HUGE } else { LINE };
    let layout = Layout::from_size_align(bytes, align).ok();
    layout.filter(|layout| layout.size() > 0)
}

/// The processor's name, or its architecture where nobody tells.
pub(super) fn product() -> String {
    brand().unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

#[cfg(target_vendor = "apple")]
fn brand() -> Option<String> {
    let mut text = [0u8; 256];
    let mut length = text.len();
    let (name, none) = (c"machdep.cpu.brand_string", std::ptr::null_mut());
    // SAFETY: writes at most `length` bytes to `text`, and how many to `length`.
    let told = unsafe {
        let text = text.as_mut_ptr().cast();
        libc::sysctlbyname(name.as_ptr(), text, &raw mut length, none, 0)
    };
    let text = std::ffi::CStr::from_bytes_until_nul(&text).ok()?;
    (told == 0).then(|| text.to_string_lossy().into_owned())
}

#[cfg(not(target_vendor = "apple"))]
fn brand() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let mut lines = info.lines();
    let name = lines.find_map(|line| line.strip_prefix("model name"))?;
    Some(name.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// Physical memory in bytes.
#[cfg(unix)]
pub(super) fn memory() -> usize {
    // SAFETY: plain queries with no arguments to get wrong.
    let (pages, size) = unsafe {
        (
            libc::sysconf(libc::_SC_PHYS_PAGES),
            libc::sysconf(libc::_SC_PAGESIZE),
        )
    };
    let product = usize::try_from(pages).ok().zip(usize::try_from(size).ok());
    product
        .and_then(|(pages, size)| pages.checked_mul(size))
        .unwrap_or(usize::MAX)
}

/// Physical memory in bytes.
#[cfg(windows)]
pub(super) fn memory() -> usize {
    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn GetPhysicallyInstalledSystemMemory(kibibytes: *mut u64) -> i32;
    }
    let mut kibibytes = 0;
    // SAFETY: writes the one number.
    let told = unsafe { GetPhysicallyInstalledSystemMemory(&raw mut kibibytes) } != 0;
    let bytes = usize::try_from(kibibytes)
        .ok()
        .and_then(|kib| kib.checked_mul(1024));
    bytes.filter(|_| told).unwrap_or(usize::MAX)
}

/// Asks for huge pages where they exist; a wish, so its failure is nobody's concern.
fn advise_huge(start: *mut u8, bytes: usize) {
    #[cfg(target_os = "linux")]
    if bytes >= HUGE {
        // SAFETY: advice on memory that was just allocated and is aligned to `HUGE`.
        unsafe { libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, bytes);
}
