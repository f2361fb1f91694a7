//! The CPU: a plan runs when it is submitted, on the caller's thread, with the crew's help when it
//! is large. There is nothing between a thread and its work, so threads scale as the cores do.

use super::{Backend, Progress, Queue};
use crate::{
    buffer::RawMemory,
    caps::{Caps, Family},
    crew::{self, Crew, UnitPanicked},
    error::{Error, Result},
    plan::{ACCEPTED, Body, Call, Cost, Plan},
    stream::StreamShared,
    sync::atomic::{AtomicU64, Ordering},
    timeline::{Ticket, Timeline},
};
use smallvec::SmallVec;
use std::{
    alloc::{Layout, alloc, dealloc},
    cell::RefCell,
    ops::Range,
    sync::atomic::AtomicUsize,
};

/// Alignment of small blocks: a cache line, and the widest vector.
const LINE: usize = 64;
/// From this size on, blocks are aligned for and advised to use huge pages.
const HUGE: usize = 2 << 20;

pub(crate) struct Cpu {
    caps: Caps,
}

impl Cpu {
    pub(crate) fn new() -> Cpu {
        let caps = Caps {
            family: Family::Cpu,
            product: host::product(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            level: std::env::consts::ARCH.to_owned(),
            memory: host::memory(),
            scratch: usize::MAX,
            cluster: 1,
            host_visible: true,
            synchronous: true,
            subnormals: true,
            max_streams: 1 << 16,
        };
        Cpu { caps }
    }
}

impl Backend for Cpu {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn queue(&self, _index: usize) -> Result<Box<dyn Queue>> {
        Ok(Box::new(CpuQueue))
    }

    fn allocate(&self, _stream: usize, bytes: usize) -> Result<Option<RawMemory>> {
        let Some(layout) = layout(bytes) else {
            return Ok(None);
        };
        // SAFETY: `layout` refuses sizes of zero.
        let host = unsafe { alloc(layout) };
        if host.is_null() {
            return Ok(None);
        }
        host::advise_huge(host, bytes);
        Ok(Some(RawMemory {
            handle: host as usize,
            host,
            bytes,
        }))
    }

    unsafe fn free(&self, _stream: usize, memory: RawMemory) {
        if let Some(layout) = layout(memory.bytes) {
            // SAFETY: `allocate` made it with the same layout.
            unsafe { dealloc(memory.host, layout) };
        }
    }
}

fn layout(bytes: usize) -> Option<Layout> {
    let align = if bytes >= HUGE { HUGE } else { LINE };
    Layout::from_size_align(bytes, align)
        .ok()
        .filter(|layout| layout.size() > 0)
}

struct CpuQueue;

impl Queue for CpuQueue {
    unsafe fn submit(&mut self, plan: &Plan<'_>, timeline: &'static Timeline) -> Result<Progress> {
        // SAFETY: passed on from the caller.
        unsafe { run(plan)? };
        timeline.advance();
        Ok(Progress::Done)
    }

    fn wait_for(&mut self, producer: &'static StreamShared, ticket: Ticket) -> Result<()> {
        // Every plan on the CPU is done when its submission returns; an event can still be ahead
        // of a submission that another thread is in the middle of.
        producer.wait(ticket)
    }
}

/// Runs a plan to its end.
///
/// # Safety
/// As for [`crate::Stream::submit`].
unsafe fn run(plan: &Plan<'_>) -> Result<()> {
    let Body::Native(function) = plan.kernel.body else {
        return Err(Error::NoKernel {
            device: "cpu".to_owned(),
            kernel: plan.kernel.name,
        });
    };
    let pointers: SmallVec<[*mut u8; 6]> = plan
        .bindings
        .iter()
        .map(|binding| binding.buffer.memory().host.wrapping_add(binding.offset))
        .collect();
    let pointers = Pointers(&pointers);
    let refused = AtomicU64::new(ACCEPTED);
    let piece = |units: Range<usize>, _worker: usize| {
        with_scratch(plan.scratch, |scratch| {
            let mut call = Call {
                params: plan.params.bytes(),
                pointers: pointers.get(),
                units,
                scratch,
                refused: &refused,
            };
            // SAFETY: the caller vouches for the plan, and each unit is given out once.
            unsafe { function(&mut call) };
        });
    };
    let done = match width(plan.cost, plan.grid.units) {
        1 => crew::alone(plan.grid.units, &piece),
        width => {
            let large = Large::start();
            let fair = Crew::global().width() / large.running;
            Crew::global().run(plan.grid.units, width.min(fair), &piece)
        }
    };
    let kernel = plan.kernel.name;
    done.map_err(|UnitPanicked { message }| Error::KernelPanicked { kernel, message })?;
    match refused.load(Ordering::Relaxed) {
        ACCEPTED => Ok(()),
        element => Err(Error::Refused { kernel, element }),
    }
}

/// Binding pointers on their way to the crew's threads.
#[derive(Clone, Copy)]
struct Pointers<'a>(&'a [*mut u8]);

impl<'a> Pointers<'a> {
    fn get(self) -> &'a [*mut u8] {
        self.0
    }
}

// SAFETY: kernels on several threads write disjoint units (the contract of `NativeFn`).
unsafe impl Sync for Pointers<'_> {}

/// How many threads a plan is worth: one for small work, which then meets no shared state at all;
/// for large work one for each piece that outweighs waking a thread several times over.
fn width(cost: Cost, units: usize) -> usize {
    /// A core's rates, roughly: a wrong guess of 2 moves the border, not the result.
    const BYTES_PER_MICROSECOND: u64 = 20_000;
    const OPS_PER_MICROSECOND: u64 = 50_000;
    const PIECE_MICROSECONDS: u64 = 30;
    let microseconds = cost.bytes / BYTES_PER_MICROSECOND + cost.ops / OPS_PER_MICROSECOND;
    let pieces = usize::try_from(microseconds / PIECE_MICROSECONDS).unwrap_or(usize::MAX);
    pieces.min(units).max(1)
}

/// A large plan that is running. They count themselves, so that the threads that run some get a
/// fair share of the cores and not each all of them.
struct Large {
    running: usize,
}

static LARGE: AtomicUsize = AtomicUsize::new(0);

impl Large {
    fn start() -> Large {
        let before = LARGE.fetch_add(1, Ordering::Relaxed);
        Large {
            running: before + 1,
        }
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        LARGE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Calls `f` with this thread's scratch memory, grown to `bytes`.
fn with_scratch<R>(bytes: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
    #[derive(Clone, Copy)]
    #[repr(align(64))]
    struct Line(#[expect(dead_code, reason = "read as bytes")] [u8; LINE]);
    thread_local! {
        static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    }
    if bytes == 0 {
        return f(&mut []);
    }
    SCRATCH.with(|scratch| {
        let lines = &mut *scratch.borrow_mut();
        let needed = bytes.div_ceil(LINE);
        if lines.len() < needed {
            lines.resize(needed, Line([0; LINE]));
        }
        // SAFETY: the vector holds that many initialised bytes, borrowed for the call.
        f(unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), needed * LINE) })
    })
}

/// What the operating system tells.
mod host {
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
    pub(super) fn advise_huge(start: *mut u8, bytes: usize) {
        #[cfg(target_os = "linux")]
        if bytes >= super::HUGE {
            // SAFETY: advice on memory that was just allocated and is aligned to `HUGE`.
            unsafe { libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (start, bytes);
    }
}
