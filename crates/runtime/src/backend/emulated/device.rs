//! The emulator as a device: a plan runs when it is submitted, on the caller's thread, on a machine
//! that belongs to the stream. A kernel that faults is an error of its submission alone.

use super::{
    Bound, Entry, Flush, LANE_LIMIT, Launch, Library, LibraryError, Machine, SCRATCH_LIMIT,
    SIMD_LANES,
};
use crate::{
    backend::{Backend, Progress, Queue, host},
    buffer::RawMemory,
    cache,
    caps::{Caps, Family},
    compiled::Compiled,
    error::{Error, Result},
    module::Source,
    plan::{Body, Plan},
    stream::StreamShared,
    timeline::{Ticket, Timeline},
};
use std::{path::PathBuf, sync::OnceLock};

const NAME: &str = "emulated";
/// A stack for each lane of each stream: past this many, a process runs out of mappings.
const STREAMS: usize = 64;
/// Fresh memory holds these bytes: NaN in every float type, so that what nobody wrote shows.
const UNWRITTEN: u8 = 0xff;

pub(crate) struct Emulated {
    caps: Caps,
}

impl Emulated {
    pub(crate) fn new() -> Emulated {
        let caps = Caps {
            family: Family::Emulated,
            product: "emulated GPU".to_owned(),
            cores: 1,
            level: std::env::consts::ARCH.to_owned(),
            memory: 8 << 30,
            scratch: SCRATCH_LIMIT,
            cluster: 1,
            host_visible: true,
            synchronous: true,
            subnormals: !Flush::wanted(),
            max_streams: STREAMS,
        };
        Emulated { caps }
    }
}

impl Backend for Emulated {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn queue(&self, _index: usize) -> Result<Box<dyn Queue>> {
        Ok(Box::new(EmulatedQueue { machine: None }))
    }

    fn allocate(&self, _stream: usize, bytes: usize) -> Result<Option<RawMemory>> {
        Ok(host::allocate(bytes, Some(UNWRITTEN)))
    }

    unsafe fn free(&self, _stream: usize, memory: RawMemory) {
        // SAFETY: passed on from the caller.
        unsafe { host::free(memory) };
    }
}

/// The compiled kernels of all streams.
struct Kernels {
    folder: PathBuf,
    compiled: Compiled<Library, Entry>,
}

fn kernels() -> &'static Kernels {
    static KERNELS: OnceLock<Kernels> = OnceLock::new();
    KERNELS.get_or_init(|| {
        let private = || std::env::temp_dir().join(format!("wootz-{}", std::process::id()));
        Kernels {
            folder: cache::folder().unwrap_or_else(private).join(NAME),
            compiled: Compiled::new(),
        }
    })
}

/// Compiles kernels in one go, some ten times faster than one by one as plans come to them. `text`
/// defines the entry points of all `sources` as their own modules do.
pub fn compile_together(text: &str, sources: &[Source]) -> Result<()> {
    let Some(&first) = sources.first() else {
        return Ok(());
    };
    let kernels = kernels();
    let library = Library::open(text, &kernels.folder).map_err(|error| refused(first, error))?;
    for &source in sources {
        kernels
            .compiled
            .keep(source, || entry_of(&library, source))?;
    }
    Ok(())
}

impl Kernels {
    fn find(&self, source: Source) -> Result<Entry> {
        let compile = || {
            let library = Library::open(source.module.text(), &self.folder);
            library.map_err(|error| refused(source, error))
        };
        let found = self
            .compiled
            .find(source, compile, |library| entry_of(library, source));
        found.copied()
    }
}

fn entry_of(library: &Library, source: Source) -> Result<Entry> {
    let entry = library.entry(source.entry);
    entry.map_err(|error| refused(source, error))
}

fn refused(source: Source, error: LibraryError) -> Error {
    let device = NAME.to_owned();
    match error {
        LibraryError::NoCompiler { .. } => Error::NoCompiler {
            device,
            reason: error.to_string(),
        },
        error => Error::Compile {
            device,
            kernel: source.entry,
            log: error.to_string(),
        },
    }
}

struct EmulatedQueue {
    /// Made when a plan first needs it, and again when one needs more lanes.
    machine: Option<Machine>,
}

impl Queue for EmulatedQueue {
    unsafe fn submit(&mut self, plan: &Plan<'_>, timeline: &'static Timeline) -> Result<Progress> {
        // SAFETY: passed on from the caller.
        unsafe { self.run(plan)? };
        timeline.advance();
        Ok(Progress::Done)
    }

    fn wait_for(&mut self, producer: &'static StreamShared, ticket: Ticket) -> Result<()> {
        // As on the CPU: every plan is done when its submission returns.
        producer.wait(ticket)
    }
}

impl EmulatedQueue {
    /// # Safety
    /// As for [`crate::Stream::submit`].
    unsafe fn run(&mut self, plan: &Plan<'_>) -> Result<()> {
        let Body::Source(source) = plan.kernel.body else {
            return Err(Error::NoKernel {
                device: NAME.to_owned(),
                kernel: plan.kernel.name,
            });
        };
        let groups = groups(plan)?;
        if groups == 0 {
            return Ok(());
        }
        let entry = kernels().find(source)?;
        let bindings = Bound::all(plan);
        let launch = Launch {
            kernel: source.entry,
            entry,
            groups,
            lanes: plan.grid.lanes,
            scratch: plan.scratch,
            params: plan.params.bytes(),
            bindings: &bindings,
        };
        let machine = self.machine(plan.grid.lanes)?;
        let flush = Flush::wanted().then(Flush::begin);
        // SAFETY: passed on from the caller.
        let outcome = unsafe { machine.run(&launch) };
        drop(flush);
        outcome.map_err(|fault| Error::KernelFault {
            device: NAME.to_owned(),
            report: fault.to_string(),
        })
    }

    /// The stream's machine, with at least this many lanes.
    fn machine(&mut self, lanes: u32) -> Result<&mut Machine> {
        if let Some(small) = self.machine.take_if(|machine| machine.lanes() < lanes) {
            drop(small);
        }
        if self.machine.is_none() {
            let made = Machine::with_lanes(lanes.next_power_of_two());
            self.machine = Some(made.map_err(|error| Error::Driver {
                device: NAME.to_owned(),
                call: "mapping a stack for each lane",
                message: error.to_string(),
            })?);
        }
        Ok(self.machine.as_mut().expect("made above"))
    }
}

/// The number of groups, if the emulated GPU can run them.
fn groups(plan: &Plan<'_>) -> Result<u32> {
    let lanes = plan.grid.lanes;
    let reason = if lanes == 0 || !lanes.is_multiple_of(SIMD_LANES) || lanes > LANE_LIMIT {
        format!("{lanes} lanes in a group: not a multiple of {SIMD_LANES} up to {LANE_LIMIT}")
    } else if plan.scratch > SCRATCH_LIMIT {
        format!(
            "{} bytes of scratch: the limit is {SCRATCH_LIMIT}",
            plan.scratch
        )
    } else {
        match u32::try_from(plan.grid.units) {
            Ok(groups) => return Ok(groups),
            Err(_) => format!("{} groups: the limit is {}", plan.grid.units, u32::MAX),
        }
    };
    Err(Error::LaunchLimit {
        device: NAME.to_owned(),
        kernel: plan.kernel.name,
        reason,
    })
}
