//! Devices: what this machine can run on. They live as long as the process, so a [`Device`] is a
//! plain reference and costs nothing to copy or to hold.

#[cfg(feature = "emulated")]
use crate::backend::emulated::Emulated;
use crate::{
    backend::{self, Backend, cpu::Cpu},
    buffer::RawMemory,
    caps::Caps,
    error::{Error, Result},
    resident::{Residence, Submission},
    slots::{Lease, Slots},
    stream::{Slot, Stream},
    sync::atomic::{AtomicUsize, Ordering},
    timeline::Ticket,
};
use std::{fmt, sync::OnceLock};

/// A device. Copies name the same one.
#[derive(Clone, Copy)]
pub struct Device(&'static Shared);

struct Shared {
    name: String,
    backend: Box<dyn Backend>,
    streams: Slots<Slot>,
    used: AtomicUsize,
    limit: AtomicUsize,
}

impl Device {
    /// The devices of this machine, the most capable first, and last what only judges kernels.
    pub fn list() -> Vec<Device> {
        let mut devices = backend::gpus().devices.clone();
        devices.push(Device::cpu());
        #[cfg(feature = "emulated")]
        devices.push(Device::emulated());
        devices
    }

    /// In words, the GPUs that this build could use and why this machine does not list them.
    pub fn absent() -> &'static [String] {
        &backend::gpus().absent
    }

    /// The machine that runs GPU kernels on the CPU and judges each access to memory.
    #[cfg(feature = "emulated")]
    pub fn emulated() -> Device {
        static EMULATED: OnceLock<Device> = OnceLock::new();
        *EMULATED.get_or_init(|| Device::register("emulated", Box::new(Emulated::new())))
    }

    /// The most capable device: the first GPU if there is one, else the CPU.
    pub fn best() -> Device {
        let gpu = backend::gpus().devices.first().copied();
        gpu.unwrap_or_else(Device::cpu)
    }

    /// The CPU, which every machine has.
    pub fn cpu() -> Device {
        static CPU: OnceLock<Device> = OnceLock::new();
        *CPU.get_or_init(|| Device::register("cpu", Box::new(Cpu::new())))
    }

    /// The device of this name, as [`Device::name`] gives it. `best` is [`Device::best`], `cuda`
    /// the first CUDA device, `metal` the first Metal device.
    pub fn open(name: &str) -> Result<Device> {
        let name = match name {
            // Known without asking any driver.
            "best" => return Ok(Device::best()),
            "cpu" => return Ok(Device::cpu()),
            "cuda" => "cuda:0",
            "metal" => "metal:0",
            name => name,
        };
        let devices = Device::list();
        let found = devices.iter().copied().find(|device| device.name() == name);
        found.ok_or_else(|| Error::UnknownDevice {
            name: name.to_owned(),
            available: devices.iter().map(|d| d.name().to_owned()).collect(),
        })
    }

    /// Makes a device of a backend. It lives, and its memory with it, as long as the process.
    pub(crate) fn register(name: &str, backend: Box<dyn Backend>) -> Device {
        let caps = backend.caps();
        let shared = Shared {
            name: name.to_owned(),
            streams: Slots::new(caps.max_streams),
            used: AtomicUsize::new(0),
            limit: AtomicUsize::new(caps.memory),
            backend,
        };
        Device(Box::leak(Box::new(shared)))
    }

    /// The name that [`Device::open`] takes.
    pub fn name(&self) -> &'static str {
        &self.0.name
    }

    /// What it can do.
    pub fn caps(&self) -> &'static Caps {
        self.0.backend.caps()
    }

    pub(crate) fn backend(&self) -> &'static dyn Backend {
        &*self.0.backend
    }

    pub(crate) fn lease(self) -> Result<Lease> {
        let limit = self.caps().max_streams;
        self.0
            .streams
            .acquire(|index| Slot::new(self, index))?
            .ok_or_else(|| Error::TooManyStreams {
                device: self.name().to_owned(),
                limit,
            })
    }

    pub(crate) fn slot(self, lease: &Lease) -> &'static Slot {
        self.0
            .streams
            .get(lease.index())
            .expect("a leased slot is made")
    }

    pub(crate) fn give_back(self, lease: Lease) {
        self.0.streams.release(lease);
    }

    /// How many streams it has had at once, at most. It only grows: what goes by it changes its
    /// mind once.
    pub fn streams(&self) -> usize {
        self.0.streams.most()
    }

    /// How many bytes the pools of this device hold, in use or kept.
    pub fn memory_used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// How many bytes the pools of this device may hold.
    pub fn memory_limit(&self) -> usize {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// Sets how many bytes the pools of this device may hold. What is over the limit already
    /// stays; later allocations fail until it is given back.
    pub fn set_memory_limit(&self, bytes: usize) {
        self.0.limit.store(bytes, Ordering::Relaxed);
    }

    /// Gives the memory of streams that nobody drives back to the system. A stream that is being
    /// driven trims itself, with [`crate::Stream::trim`].
    pub fn trim(&self) {
        let streams = &self.0.streams;
        streams.visit_free(|lease| Stream::from_lease(*self, lease).trim());
        self.0.backend.trim();
    }

    /// Sets how plans travel from now on, on every stream. A device that has one way keeps it.
    pub fn set_submission(&self, way: Submission) {
        self.0.backend.set_submission(way);
    }

    /// How plans travel.
    pub fn submission(&self) -> Submission {
        self.0.backend.submission()
    }

    /// What the device has of kernels that stay on it.
    pub fn residence(&self) -> Residence {
        self.0.backend.residence()
    }

    /// Blocks until all work submitted on any stream so far is done; the first fault if any.
    pub fn synchronize(&self) -> Result<()> {
        for (_, slot) in self.0.streams.iter() {
            slot.shared.wait(slot.shared.timeline.submitted())?;
        }
        Ok(())
    }

    pub(crate) fn out_of_memory(&self, requested: usize) -> Error {
        Error::OutOfMemory {
            device: self.name().to_owned(),
            requested,
            used: self.memory_used(),
            limit: self.memory_limit(),
        }
    }

    /// Fresh memory of the backend for a stream, counted against the limit.
    pub(crate) fn reserve(&self, stream: usize, bytes: usize) -> Result<RawMemory> {
        // A request that does not fit is never counted: it would fail others that do.
        let counted = self
            .0
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                let total = used.checked_add(bytes)?;
                (total <= self.memory_limit()).then_some(total)
            });
        if counted.is_err() {
            return Err(self.out_of_memory(bytes));
        }
        let memory = self.0.backend.allocate(stream, bytes);
        if !matches!(memory, Ok(Some(_))) {
            self.0.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        memory?.ok_or_else(|| self.out_of_memory(bytes))
    }

    /// Gives memory of a stream back to the backend. Only that stream may still be using it.
    pub(crate) fn release(&self, stream: usize, memory: RawMemory) {
        self.0.used.fetch_sub(memory.bytes, Ordering::Relaxed);
        // SAFETY: it came from `reserve`, and its block was owned by the stream's pool, which gave
        // it up; what other streams did with it was done before the pool had it.
        unsafe { self.0.backend.free(stream, memory) };
    }

    /// The tickets, one a stream, of all work submitted so far that is not done.
    pub(crate) fn pending(&self) -> Vec<(usize, Ticket)> {
        let streams = self.0.streams.iter();
        let submitted = streams.map(|(index, slot)| (index, slot.shared.timeline.submitted()));
        submitted
            .filter(|&(stream, ticket)| {
                let slot = self.0.streams.get(stream);
                slot.is_some_and(|slot| !slot.shared.timeline.is_done(ticket))
            })
            .collect()
    }

    /// Blocks until a ticket is done, or its stream has failed.
    pub(crate) fn await_ticket(&self, stream: usize, ticket: Ticket) {
        if let Some(slot) = self.0.streams.get(stream) {
            // Who waits for the stream itself is told of its fault.
            _ = slot.shared.wait(ticket);
        }
    }

    /// Whether a ticket is done, as far as the device has told by now.
    pub(crate) fn is_done(&self, stream: usize, ticket: Ticket) -> bool {
        self.0
            .streams
            .get(stream)
            .is_none_or(|slot| slot.shared.is_done(ticket))
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Device) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Device {}

impl std::hash::Hash for Device {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        std::ptr::hash(self.0, state);
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.name())
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
