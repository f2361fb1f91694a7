//! The CPU: a plan runs when it is submitted, on the caller's thread, with the crew's help when it
//! is large. There is nothing between a thread and its work, so threads scale as the cores do.

use super::{
    Backend, Progress, Queue,
    host::{self, LINE},
};
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
use std::{cell::RefCell, ops::Range, sync::atomic::AtomicUsize};

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
        Ok(host::allocate(bytes, None))
    }

    unsafe fn free(&self, _stream: usize, memory: RawMemory) {
        // SAFETY: passed on from the caller.
        unsafe { host::free(memory) };
    }
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
