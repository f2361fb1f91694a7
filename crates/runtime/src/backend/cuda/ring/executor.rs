//! The resident kernel of a device: how it is compiled, what all its instances share, and how many
//! there may be.

use super::{warden, welcome::unwelcome};
use crate::{
    backend::cuda::{
        driver::{Failure, Handle},
        ending,
        gpu::{Gpu, LANES},
        kernels::attribute,
        lane::{Lane, make_stream},
        pinned::Pinned,
    },
    error::Result,
    module::Source,
    resident::{Residence, Resident, Submission},
    ring::{self, Measures, SLOT, SLOTS},
};
use cudarc::driver::sys::{CUdeviceptr, CUfunc_st, CUstream_st};
use rustc_hash::FxHashMap;
use std::{
    ffi::c_void,
    fmt::Write,
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    thread,
};

/// What small work is. An instance has as many blocks or more; this many lanes work in each, and
/// have as much scratch memory as a kernel may ask for without being told so.
pub(super) const MEASURES: Measures = Measures {
    blocks: 16,
    lanes: 256,
    scratch: 32 << 10,
    turns: 8,
};
/// Blocks on a multiprocessor, at most: with their registers they leave it a quarter of its own.
const BESIDE: i32 = 3;
/// Seats at most. The first of them have twice the blocks of `MEASURES`, if there is room.
const SEATS: usize = 16;
/// Lanes of a block: those that work, and the simd that tells them what.
const LANES_OF_A_BLOCK: u32 = MEASURES.lanes as u32 + 32;
/// How its text is compiled: with few registers, so that other kernels find room beside an instance;
/// and so that it reads what others wrote where they wrote it, in L2 (`README.md`, on fences).
const OPTIONS: &[&str] = &["--maxrregcount=64", "--ptxas-options=-dlcm=cg"];
/// Plans after which it is worth its compile, which has a core for most of a minute: about what they
/// take in a fifth of a second. One that is on disk comes with the first.
const WORTH: u32 = 1 << 14;
/// Nanoseconds without work after which an instance leaves.
const IDLE: u64 = 1_000_000;
/// Nanoseconds after which an instance asks to be replaced.
const RESIDENCE: u64 = 4_000_000;

/// Bytes of a ring's slots, and of the board that mirrors them.
const RING: usize = 8 * SLOT * SLOTS;
/// Bytes of what the blocks of an instance share.
const SHARED: usize = 512;

/// The executor of a device.
pub(in crate::backend::cuda) struct Executor {
    way: AtomicU8,
    welcome: OnceLock<Option<String>>,
    /// Plans that came before it was ready.
    plans: AtomicU32,
    /// Somebody has it compiled.
    asked: AtomicBool,
    ready: OnceLock<Result<Ready, String>>,
}

/// The compiled executor.
pub(in crate::backend::cuda) struct Ready {
    function: Handle<CUfunc_st>,
    registers: u32,
    entries: FxHashMap<&'static str, u16>,
    in_place: usize,
    slots: Pinned,
    boards: CUdeviceptr,
    seats: Box<[Seat]>,
}

/// The right to one instance. While it is held, the instance that holds it may be there.
struct Seat {
    stream: Handle<CUstream_st>,
    blocks: usize,
    /// Who holds it: 0 for nobody, else the lane's number and the instance's epoch.
    holder: AtomicU64,
}

/// What a seat notes of its holder. A lane's number starts at 1 there.
fn holder(lane: &Lane, epoch: u32) -> u64 {
    (lane.index as u64 + 1) << 32 | u64::from(epoch)
}

/// What an instance is started with; `executor.h` has the same.
#[repr(C)]
struct Arguments {
    slots: CUdeviceptr,
    say: CUdeviceptr,
    word: CUdeviceptr,
    abort: CUdeviceptr,
    board: CUdeviceptr,
    shared: CUdeviceptr,
    idle: u64,
    residence: u64,
    epoch: u32,
    first: u32,
}

impl Executor {
    /// An executor that is not compiled yet, with the way that `WOOTZ_SUBMIT` asks for.
    pub(in crate::backend::cuda) fn new() -> Executor {
        let way = std::env::var("WOOTZ_SUBMIT").ok().and_then(|name| {
            let way = Submission::named(&name);
            if way.is_none() {
                let known: Vec<_> = Submission::NAMES.iter().map(|(name, _)| *name).collect();
                let known = known.join(", ");
                eprintln!("wootz: WOOTZ_SUBMIT={name} is no way to submit; there is {known}");
            }
            way
        });
        Executor {
            way: AtomicU8::new(way.unwrap_or_default() as u8),
            welcome: OnceLock::new(),
            plans: AtomicU32::new(0),
            asked: AtomicBool::new(false),
            ready: OnceLock::new(),
        }
    }

    /// Sets how plans travel.
    pub(in crate::backend::cuda) fn set_way(&self, way: Submission) {
        self.way.store(way as u8, Ordering::Relaxed);
    }

    /// How plans travel.
    pub(in crate::backend::cuda) fn way(&self) -> Submission {
        let way = self.way.load(Ordering::Relaxed);
        let found = Submission::NAMES
            .iter()
            .find(|(_, known)| *known as u8 == way);
        found.map_or_else(Submission::default, |(_, way)| *way)
    }

    /// Why plans would not take the ring though it were ready.
    fn barred(&self) -> Option<&str> {
        match self.way() {
            Submission::Launch | Submission::Graph => Some("every plan is launched, as asked"),
            Submission::Ring => None,
            Submission::Auto => self.welcome.get_or_init(unwelcome).as_deref(),
        }
    }

    /// The compiled executor, if plans may take it now. The first who asks has it loaded if it is on
    /// disk; one who asks later has it compiled, or the first, where the ring is asked for.
    pub(in crate::backend::cuda) fn ready(&self, gpu: &'static Gpu) -> Option<&Ready> {
        if self.barred().is_some() {
            return None;
        }
        match self.ready.get() {
            Some(ready) => ready.as_ref().ok(),
            None => {
                self.prepare(gpu);
                None
            }
        }
    }

    /// Whether anything runs in a seat, as the driver knows.
    pub(in crate::backend::cuda) fn is_running(
        &self,
        gpu: &Gpu,
        seat: usize,
    ) -> Result<bool, Failure> {
        let Some(Ok(ready)) = self.ready.get() else {
            return Ok(false);
        };
        // SAFETY: the stream lives.
        match unsafe { gpu.driver.query_stream(ready.seats[seat].stream.0) } {
            Err(failure) if failure.code == Failure::NOT_READY => Ok(true),
            outcome => outcome.map(|()| false),
        }
    }

    /// What there is of it.
    pub(in crate::backend::cuda) fn residence(&self) -> Residence {
        if let Some(reason) = self.barred() {
            return Residence::Absent(reason.to_owned());
        }
        match self.ready.get() {
            None => Residence::Coming,
            Some(Err(reason)) => Residence::Absent(reason.clone()),
            Some(Ok(ready)) => Residence::Ready {
                kernels: ready.entries.len(),
                executors: ready.seats.len(),
                registers: ready.registers,
            },
        }
    }

    #[cold]
    fn prepare(&self, gpu: &'static Gpu) {
        let Some(resident) = Resident::provided() else {
            return;
        };
        // No plan counts on when nobody needs to know.
        if self.asked.load(Ordering::Relaxed) {
            return;
        }
        let plans = self.plans.fetch_add(1, Ordering::Relaxed);
        let worth = plans >= WORTH || self.way() == Submission::Ring;
        let takes = match worth {
            true => !self.asked.swap(true, Ordering::Relaxed),
            false => plans == 0,
        };
        if !takes {
            return;
        }
        let prepare = move || {
            let Some(ready) = Ready::new(gpu, &resident(), worth).transpose() else {
                return;
            };
            if let Err(reason) = &ready
                && !ending::is_near()
            {
                let device = &gpu.identity.name;
                eprintln!("wootz: {device} has no executor, so plans are launched: {reason}");
            }
            // Another thread may have had it from disk.
            let sound = ready.is_ok();
            if gpu.executor.ready.set(ready).is_ok() && sound {
                warden::watch(gpu);
            }
        };
        let name = format!("wootz-executor-{}", gpu.identity.name);
        // Where no thread starts, plans are launched, and the next start may find one.
        if thread::Builder::new().name(name).spawn(prepare).is_err() && worth {
            self.asked.store(false, Ordering::Relaxed);
        }
    }
}

/// The text of the resident kernel.
fn text(resident: &Resident) -> String {
    let mut text = "#define WOOTZ_RESIDENT\n".to_owned();
    text.push_str(resident.module.text());
    let Measures { lanes, scratch, .. } = MEASURES;
    for (name, value) in [
        ("SLOTS", SLOTS),
        ("WORKERS", lanes.into()),
        ("SCRATCH", scratch),
        ("FIRST_CALLED", resident.in_place),
    ] {
        let _ = writeln!(text, "#define WOOTZ_{name} {value}");
    }
    let entries = resident.entries.iter().enumerate();
    let (in_place, called): (Vec<_>, Vec<_>) =
        entries.partition(|(index, _)| *index < resident.in_place);
    for (name, entries) in [("IN_PLACE", in_place), ("CALLED", called)] {
        let _ = write!(text, "#define WOOTZ_{name}");
        for (index, entry) in entries {
            let _ = write!(text, " RESIDENT({index}, {entry})");
        }
        text.push('\n');
    }
    text.push_str(include_str!("executor.h"));
    text
}

impl Ready {
    /// Nothing when it is not on disk, and not `worth` its compile.
    fn new(gpu: &'static Gpu, resident: &Resident, worth: bool) -> Result<Option<Ready>, String> {
        if !gpu.identity.writes_values {
            return Err("the device does not write and await words by itself".to_owned());
        }
        let entries: FxHashMap<&'static str, u16> = (0u16..)
            .zip(&resident.entries)
            .map(|(index, entry)| (*entry, index))
            .collect();
        let words = |error: crate::Error| error.to_string();
        gpu.enter().map_err(words)?;
        let function = gpu
            .kernels
            .own(gpu, &text(resident), "wootz_resident", OPTIONS, worth)
            .map_err(words)?;
        let Some(function) = function else {
            return Ok(None);
        };
        let made = Ready::around(gpu, function, entries, resident.in_place);
        if made.as_ref().is_ok_and(|ready| ready.seats.is_empty()) {
            return Err("the device has no room for it".to_owned());
        }
        made.map(Some).map_err(|failure| {
            gpu.attempt::<()>(Err(failure))
                .err()
                .map_or_else(String::new, words)
        })
    }

    fn around(
        gpu: &Gpu,
        function: Handle<CUfunc_st>,
        entries: FxHashMap<&'static str, u16>,
        in_place: usize,
    ) -> Result<Ready, Failure> {
        const PROCESSORS: u32 = 16;
        const REGISTERS_OF: u32 = 4;
        const SCRATCH_OF: u32 = 1;
        const SCRATCH_OF_PROCESSOR: u32 = 81;
        /// What the driver takes of scratch memory for itself, for each block.
        const RESERVED: i32 = 1024;
        const SHARE_OF_SCRATCH: u32 = 9;
        let driver = gpu.driver;
        let (mut processors, mut fitting, mut boards, mut scratch) = (0, 0, 0, 0);
        // SAFETY: each writes one number; the function lives.
        unsafe {
            let device = gpu.identity.device;
            driver.device_attribute(&raw mut processors, PROCESSORS, device)?;
            driver.device_attribute(&raw mut scratch, SCRATCH_OF_PROCESSOR, device)?;
            driver.fitting(&raw mut fitting, function.0, LANES_OF_A_BLOCK as i32, 0)?;
        }
        // All that the seats allow must find room at once: one executor may wait for another. So
        // must their scratch memory, which a multiprocessor shares with its cache as it is told to.
        let beside = fitting.min(BESIDE);
        let each = attribute(gpu, function, SCRATCH_OF)?.cast_signed() + RESERVED;
        let share = (100 * beside * each / scratch.max(1) + 1).min(100);
        // SAFETY: the function lives.
        unsafe { driver.set_function(function.0, SHARE_OF_SCRATCH, share)? };
        let room = (processors * beside).unsigned_abs() as usize;
        let blocks = usize::from(MEASURES.blocks);
        // One block of each instance carries, the others work.
        let seats = (room / (blocks + 1)).min(SEATS);
        let large = (room - seats * (blocks + 1)) / blocks;
        let seats = (0..seats)
            .map(|index| Seat::new(gpu, 1 + if index < large { 2 * blocks } else { blocks }))
            .collect::<Result<Box<[Seat]>, _>>()?;
        let bytes = LANES * (RING + SHARED);
        let stream = make_stream(driver)?;
        // SAFETY: writes one address, which is kept for good; the stream lives.
        unsafe {
            driver.allocate_now(&raw mut boards, bytes)?;
            driver.fill(boards, 0, bytes, stream.0)?;
            driver.finish_stream(stream.0)?;
        }
        Ok(Ready {
            function,
            registers: attribute(gpu, function, REGISTERS_OF)?,
            entries,
            in_place,
            slots: Pinned::new(driver, LANES * RING)?,
            boards,
            seats,
        })
    }

    /// The number of a resident kernel.
    pub(super) fn entry(&self, source: Source) -> Option<u16> {
        self.entries.get(source.entry).copied()
    }

    /// How many kernels need no call: those of the first numbers.
    pub(super) fn in_place(&self) -> usize {
        self.in_place
    }

    /// The slots of a lane's ring.
    pub(super) fn slots(&self, lane: &Lane) -> &'static [AtomicU64] {
        self.slots.words(lane.index, RING)
    }

    /// A seat for instance `epoch` of a lane: the one that the instance before it still has, or the
    /// first, and so the largest, whose instance has left.
    pub(super) fn take(&self, gpu: &Gpu, lane: &Lane, epoch: u32) -> Option<usize> {
        let wanted = holder(lane, epoch);
        let take = |index: usize, held: u64| {
            let seat = &self.seats[index].holder;
            // Acquire and Release: the next holder's instance comes after the last one's.
            let taken = seat.compare_exchange(held, wanted, Ordering::AcqRel, Ordering::Relaxed);
            taken.is_ok().then_some(index)
        };
        let last = holder(lane, epoch - 1);
        let held = lane.seat().filter(|_| !has_left(gpu, last));
        let held = held.and_then(|index| take(index, last));
        held.or_else(|| {
            (0..self.seats.len()).find_map(|index| {
                let held = self.seats[index].holder.load(Ordering::Acquire);
                has_left(gpu, held).then(|| take(index, held)).flatten()
            })
        })
    }

    /// Gives a seat back whose instance did not start.
    pub(super) fn give_back(&self, seat: usize) {
        self.seats[seat].holder.store(0, Ordering::Release);
    }

    /// Starts instance `epoch` of a lane's ring, for which descriptors before `first` are void. The
    /// device's context is current.
    pub(super) fn start(
        &self,
        gpu: &Gpu,
        lane: &Lane,
        seat: usize,
        epoch: u32,
        first: u32,
    ) -> Result<(), Failure> {
        let own = |size: usize, from: CUdeviceptr| from + (lane.index * size) as CUdeviceptr;
        let mut arguments = Arguments {
            slots: self.slots.address_of(lane.index, RING),
            say: lane.say.address,
            word: lane.rung_word.address,
            abort: gpu.abort.address,
            board: own(RING, self.boards),
            shared: own(SHARED, self.boards + (LANES * RING) as CUdeviceptr),
            idle: IDLE,
            residence: RESIDENCE,
            epoch,
            first,
        };
        let mut pointers: [*mut c_void; 1] = [(&raw mut arguments).cast()];
        let Seat { stream, blocks, .. } = &self.seats[seat];
        let (function, stream) = (self.function.0, stream.0);
        // SAFETY: the kernel takes this one argument by value; all it points at lives as long as
        // the process.
        unsafe {
            gpu.driver.launch(
                function,
                *blocks as u32,
                1,
                1,
                LANES_OF_A_BLOCK,
                1,
                1,
                0,
                stream,
                pointers.as_mut_ptr(),
                ptr::null_mut(),
            )
        }
    }
}

impl Seat {
    fn new(gpu: &Gpu, blocks: usize) -> Result<Seat, Failure> {
        const NON_BLOCKING: u32 = 1;
        /// The highest there is, so that an instance need not wait behind the groups of a large
        /// kernel.
        const FIRST: i32 = i32::MIN;
        let mut stream = ptr::null_mut();
        // SAFETY: writes one handle, which is kept for good.
        unsafe {
            gpu.driver
                .make_stream_first(&raw mut stream, NON_BLOCKING, FIRST)?
        };
        Ok(Seat {
            stream: Handle(stream),
            blocks,
            holder: AtomicU64::new(0),
        })
    }
}

/// Whether the instance that holds a seat has left for good.
fn has_left(gpu: &Gpu, held: u64) -> bool {
    let Some(index) = (held >> 32).checked_sub(1) else {
        return true;
    };
    let Some(lane) = gpu.lane(index as usize) else {
        return false;
    };
    ring::has_left(lane.say.read(), held as u32)
}
