//! Runs launches: group after group, each a set of fibers that meet at barriers.
//!
//! Kernels call back through [`HOOKS`]. While a lane runs, the launch is reached only through the
//! pointer in `RUNNING`, by the lane's hooks; while the scheduler runs, only by the scheduler. The
//! two alternate on one thread, so at any time one of them uses it.

use super::{
    SIMD_LANES,
    fault::{Fault, Memory, Wait, WaitKind, What},
    fiber::{Context, Stacks, switch},
    memory::{Bound, Regions},
    shadow::{Moment, Shadow, Touch},
};
use std::{cell::Cell, ffi::c_void, io, ops::Range, ptr};

/// Scratch memory that Apple GPUs give one group.
pub const SCRATCH_LIMIT: usize = 32 << 10;
/// Lanes that one group can have.
pub const LANE_LIMIT: u32 = 1024;

/// Where a body runs: the dialect's `Place`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Place {
    group: u32,
    groups: u32,
    lane: u32,
    lanes: u32,
    memory: *mut u8,
}

/// What an entry point gets: the dialect's `Call`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Call {
    at: Place,
    buffers: *const *mut u8,
    params: *const u8,
}

/// A compiled kernel.
pub type Entry = unsafe extern "C" fn(*const Call);

/// What a launch needs.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The kernel's name, for reports.
    pub kernel: &'a str,
    /// The compiled kernel.
    pub entry: Entry,
    /// Groups in the grid.
    pub groups: u32,
    /// Lanes in a group, a multiple of 32.
    pub lanes: u32,
    /// Scratch bytes for a group.
    pub scratch: usize,
    /// The parameter struct, aligned to 16.
    pub params: &'a [u8],
    /// The memory it may use.
    pub bindings: &'a [Bound],
}

/// One emulated core: runs one launch at a time.
#[derive(Debug)]
pub struct Machine {
    stacks: Stacks,
    scratch: Vec<u128>,
    shadow: Shadow,
    /// The interval after the last that any launch used.
    interval: u32,
}

/// A launch in flight.
struct Running<'a> {
    launch: &'a Launch<'a>,
    stacks: &'a mut Stacks,
    shadow: &'a mut Shadow,
    scratch: Range<usize>,
    regions: Regions,
    lanes: Vec<Lane>,
    scheduler: Context,
    current: usize,
    fault: Option<What>,
    clock: Clock,
    slots: [[u128; SIMD_LANES as usize]; 2],
    turn: usize,
}

/// Counts barriers; see [`Moment`].
#[derive(Debug, Clone, Copy)]
struct Clock {
    group: u32,
    scratch: u32,
    device: u32,
}

struct Lane {
    context: Context,
    state: State,
    call: Call,
    /// Simd barriers since the last group barrier.
    simd: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Waiting(Wait),
    Done,
}

thread_local! {
    static RUNNING: Cell<*mut Running<'static>> = const { Cell::new(ptr::null_mut()) };
}

impl Machine {
    /// A machine for groups of any size, with no memory of earlier launches.
    pub fn new() -> io::Result<Machine> {
        Machine::with_lanes(LANE_LIMIT)
    }

    /// A machine for groups of at most `lanes` lanes. Each lane has a stack of its own, and a
    /// process can map only so many.
    pub fn with_lanes(lanes: u32) -> io::Result<Machine> {
        let shadow = Shadow::scratch(SCRATCH_LIMIT);
        let scratch = vec![u128::MAX; SCRATCH_LIMIT / 16];
        Ok(Machine {
            stacks: Stacks::new(lanes as usize)?,
            scratch,
            shadow,
            interval: 1,
        })
    }

    /// How many lanes a group can have.
    pub fn lanes(&self) -> u32 {
        self.stacks.count() as u32
    }

    /// Runs a launch to its end, or to the first fault.
    ///
    /// # Safety
    /// The entry point was compiled from the dialect for these parameters and bindings, each
    /// binding's memory lives, and nothing else uses what the kernel writes.
    pub unsafe fn run(&mut self, launch: &Launch<'_>) -> Result<(), Fault> {
        assert!(launch.lanes.is_multiple_of(SIMD_LANES) && launch.lanes <= self.lanes());
        assert!(launch.scratch <= SCRATCH_LIMIT);
        if self.interval > u32::MAX / 2 {
            (self.interval, self.shadow) = (1, Shadow::scratch(SCRATCH_LIMIT));
        }
        let memory = self.scratch.as_mut_ptr().cast::<u8>();
        let pointers: Vec<*mut u8> = launch
            .bindings
            .iter()
            .map(|b| b.start.wrapping_add(b.offset))
            .collect();
        let call = |lane| Call {
            at: Place {
                group: 0,
                groups: launch.groups,
                lane,
                lanes: launch.lanes,
                memory,
            },
            buffers: pointers.as_ptr(),
            params: launch.params.as_ptr(),
        };
        let lane = |index| Lane {
            context: ptr::null_mut(),
            state: State::Ready,
            call: call(index),
            simd: 0,
        };
        let mut running = Running {
            launch,
            stacks: &mut self.stacks,
            shadow: &mut self.shadow,
            scratch: memory.addr()..memory.addr() + launch.scratch,
            regions: Regions::new(launch.bindings, launch.params, self.interval),
            lanes: (0..launch.lanes).map(lane).collect(),
            scheduler: ptr::null_mut(),
            current: 0,
            fault: None,
            clock: Clock {
                group: self.interval,
                scratch: self.interval,
                device: self.interval,
            },
            slots: [[0; SIMD_LANES as usize]; 2],
            turn: 0,
        };
        // A launch cannot start inside another: lanes cannot reach this function.
        let running = &raw mut running;
        RUNNING.set(running.cast());
        // SAFETY: `running` lives until the end of this function, and lanes run only in here.
        let outcome = unsafe { run_groups(running) };
        RUNNING.set(ptr::null_mut());
        // SAFETY: no lane runs any more.
        self.interval = unsafe { (*running).clock.later() };
        outcome
    }
}

impl Clock {
    /// An interval that has not been.
    fn later(&self) -> u32 {
        self.scratch.max(self.device) + 1
    }
}

/// # Safety
/// `running` is what `RUNNING` holds, and no lane runs.
unsafe fn run_groups(running: *mut Running<'_>) -> Result<(), Fault> {
    // SAFETY: the scheduler is the only user until it switches to a lane, and again after.
    let groups = unsafe { (*running).launch.groups };
    for group in 0..groups {
        // SAFETY: as above.
        unsafe {
            (&mut *running).start(group);
            run_group(running)?;
        }
    }
    Ok(())
}

/// # Safety
/// As for [`run_groups`], after `start`.
unsafe fn run_group(running: *mut Running<'_>) -> Result<(), Fault> {
    // SAFETY: between switches the scheduler is the only user.
    unsafe {
        let simds = (&*running).lanes.len() / SIMD_LANES as usize;
        loop {
            for simd in 0..simds {
                run_simd(running, simd * SIMD_LANES as usize)?;
            }
            if (&*running)
                .lanes
                .iter()
                .all(|lane| lane.state == State::Done)
            {
                return Ok(());
            }
            (&mut *running).release_group()?;
        }
    }
}

/// Runs the lanes of a simd until each is done or waits for the group.
///
/// # Safety
/// As for [`run_group`].
unsafe fn run_simd(running: *mut Running<'_>, first: usize) -> Result<(), Fault> {
    let lanes = first..first + SIMD_LANES as usize;
    loop {
        for lane in lanes.clone() {
            // SAFETY: between switches the scheduler is the only user; a ready lane's context was
            // prepared, or left by the switch in `wait`, and is resumed once.
            unsafe {
                let Some((from, to)) = (&mut *running).resume(lane) else {
                    continue;
                };
                switch(from, to);
                if let Some(what) = (&mut *running).fault.take() {
                    return Err((&*running).fault_at(lane, what));
                }
            }
        }
        // SAFETY: no lane runs.
        if !unsafe { (&mut *running).release_simd(lanes.clone())? } {
            return Ok(());
        }
    }
}

impl Running<'_> {
    fn start(&mut self, group: u32) {
        let now = self.clock.later();
        self.clock = Clock {
            group: now,
            scratch: now,
            device: now,
        };
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            lane.context = self.stacks.prepare(index, lane_main, index);
            (lane.state, lane.simd, lane.call.at.group) = (State::Ready, 0, group);
        }
    }

    /// The switch that goes on with a lane, if it is ready.
    fn resume(&mut self, lane: usize) -> Option<(*mut Context, Context)> {
        self.current = lane;
        let Lane { state, context, .. } = self.lanes[lane];
        (state == State::Ready).then_some((&raw mut self.scheduler, context))
    }

    /// The switch that leaves the current lane in `state`.
    fn suspend(&mut self, state: State) -> (*mut Context, Context) {
        let lane = &mut self.lanes[self.current];
        lane.state = state;
        (&raw mut lane.context, self.scheduler)
    }

    fn fault_at(&self, lane: usize, what: What) -> Fault {
        let group = self.lanes[lane].call.at.group;
        Fault {
            kernel: self.launch.kernel.to_owned(),
            group,
            lane: lane as u32,
            what,
        }
    }

    /// The lane that waits though another does not come to the same point.
    fn diverged(
        &self,
        lanes: Range<usize>,
        waits: impl Fn(State) -> Option<Wait>,
    ) -> Option<Fault> {
        let (lane, here) = lanes
            .clone()
            .find_map(|i| Some((i, waits(self.lanes[i].state)?)))?;
        let other = lanes
            .clone()
            .find(|&i| self.lanes[i].state != State::Waiting(here))?;
        let state = match self.lanes[other].state {
            State::Waiting(wait) => Some(wait),
            State::Done | State::Ready => None,
        };
        let what = What::Diverged {
            here,
            other_lane: other as u32,
            other: state,
        };
        Some(self.fault_at(lane, what))
    }

    /// Lets all lanes pass the group barrier at which they wait.
    fn release_group(&mut self) -> Result<(), Fault> {
        let waits = |state| match state {
            State::Waiting(wait) => Some(wait),
            _ => None,
        };
        if let Some(fault) = self.diverged(0..self.lanes.len(), waits) {
            return Err(fault);
        }
        let now = self.clock.later();
        self.clock.scratch = now;
        if matches!(
            self.lanes[0].state,
            State::Waiting(Wait {
                kind: WaitKind::Device,
                ..
            })
        ) {
            self.clock.device = now;
        }
        for lane in &mut self.lanes {
            (lane.state, lane.simd) = (State::Ready, 0);
        }
        Ok(())
    }

    /// Lets the lanes of a simd pass the simd operation at which they wait; says if there was one.
    fn release_simd(&mut self, lanes: Range<usize>) -> Result<bool, Fault> {
        let waits = |state| match state {
            State::Waiting(wait) if !wait.kind.is_group() => Some(wait),
            _ => None,
        };
        if let Some(fault) = self.diverged(lanes.clone(), waits) {
            return Err(fault);
        }
        let Some(wait) = waits(self.lanes[lanes.start].state) else {
            return Ok(false);
        };
        for lane in &mut self.lanes[lanes] {
            lane.state = State::Ready;
            lane.simd += u16::from(wait.kind == WaitKind::Simd);
        }
        self.turn ^= 1;
        Ok(true)
    }

    fn moment(&self, interval: u32) -> Moment {
        let lane = self.current;
        let simd = self.lanes[lane].simd;
        Moment {
            interval,
            group: self.clock.group,
            simd,
            lane: lane as u16,
        }
    }

    fn touch(&mut self, address: usize, bytes: u64, touch: Touch) -> Result<(), What> {
        let range = address..address.saturating_add(bytes as usize);
        let inside = |outer: &Range<usize>| outer.start <= range.start && range.end <= outer.end;
        if inside(&self.scratch) {
            let now = self.moment(self.clock.scratch);
            let offset = address - self.scratch.start;
            let outcome = self.shadow.touch(offset, range.len(), touch, now);
            let memory = Memory::Scratch;
            return outcome.map_err(|wrong| What::from_shadow(memory, offset, touch, wrong));
        }
        let now = self.moment(self.clock.device);
        let group = self.lanes[self.current].call.at.group;
        if let Some(outcome) = self.regions.touch(group, &range, touch, now) {
            return outcome;
        }
        if inside(&self.stacks.range(self.current)) {
            return Ok(());
        }
        Err(self.regions.out_of_range(&range, touch, &self.scratch))
    }
}

impl WaitKind {
    fn is_group(self) -> bool {
        matches!(self, WaitKind::Scratch | WaitKind::Device)
    }
}

/// What each fiber runs.
extern "C" fn lane_main(lane: usize) -> ! {
    let running = RUNNING.get();
    // SAFETY: a lane runs only inside `Machine::run`, which keeps the launch and its calls alive,
    // and whose caller vouches for the entry point.
    unsafe {
        let (entry, call) = (
            (*running).launch.entry,
            &raw const (&*running).lanes[lane].call,
        );
        entry(call);
        leave(running)
    }
}

/// Switches away from the running lane for good.
///
/// # Safety
/// Called by a lane of `running`.
unsafe fn leave(running: *mut Running<'static>) -> ! {
    // SAFETY: the scheduler was suspended when it resumed this lane.
    unsafe {
        let (from, to) = (&mut *running).suspend(State::Done);
        switch(from, to);
    }
    unreachable!("a lane that has left is not resumed")
}

/// Suspends the running lane until those it waits for have come.
///
/// # Safety
/// Called by a lane of `running`.
unsafe fn wait(running: *mut Running<'static>, kind: WaitKind, line: u32) {
    // SAFETY: as for `leave`; the scheduler resumes the lane through the saved context.
    unsafe {
        let (from, to) = (&mut *running).suspend(State::Waiting(Wait { kind, line }));
        switch(from, to);
    }
}

/// Ends the launch with a fault of the running lane.
///
/// # Safety
/// As for [`leave`].
unsafe fn fail(running: *mut Running<'static>, what: What) -> ! {
    // SAFETY: passed on.
    unsafe {
        (*running).fault = Some(what);
        leave(running)
    }
}

unsafe extern "C" fn touch<const TOUCH: u8>(address: *const c_void, bytes: u64) {
    let touch = match TOUCH {
        0 => Touch::Read,
        1 => Touch::Write,
        2 => Touch::Atomic,
        _ => Touch::AtomicStore,
    };
    let running = RUNNING.get();
    // SAFETY: hooks are called by lanes only, and a lane runs only inside `Machine::run`.
    unsafe {
        if let Err(what) = (&mut *running).touch(address.addr(), bytes, touch) {
            fail(running, what);
        }
    }
}

unsafe extern "C" fn misaligned(_address: *const c_void, alignment: u64) {
    let what = What::Misaligned { alignment };
    // SAFETY: as in `touch`.
    unsafe { fail(RUNNING.get(), what) }
}

unsafe extern "C" fn barrier<const DEVICE: bool>(line: u32) {
    let kind = if DEVICE {
        WaitKind::Device
    } else {
        WaitKind::Scratch
    };
    // SAFETY: as in `touch`.
    unsafe { wait(RUNNING.get(), kind, line) };
}

unsafe extern "C" fn simd_barrier(line: u32) {
    // SAFETY: as in `touch`.
    unsafe { wait(RUNNING.get(), WaitKind::Simd, line) };
}

unsafe extern "C" fn exchange(value: *const u8, bytes: u64, line: u32) -> *const u8 {
    let running = RUNNING.get();
    // SAFETY: as in `touch`; the dialect passes `bytes` readable bytes, 16 at most.
    unsafe {
        let (lane, turn) = ((*running).current % SIMD_LANES as usize, (*running).turn);
        let slots = &raw mut (*running).slots[turn];
        let slot = (&raw mut (*slots)[lane]).cast::<u8>();
        slot.copy_from_nonoverlapping(value, bytes.min(16) as usize);
        wait(running, WaitKind::Exchange(bytes), line);
        slots.cast()
    }
}

/// The dialect's `Hooks`: what kernels call. The order is the ABI.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Hooks {
    read: unsafe extern "C" fn(*const c_void, u64),
    write: unsafe extern "C" fn(*const c_void, u64),
    atomic: unsafe extern "C" fn(*const c_void, u64),
    atomic_store: unsafe extern "C" fn(*const c_void, u64),
    misaligned: unsafe extern "C" fn(*const c_void, u64),
    scratch_barrier: unsafe extern "C" fn(u32),
    device_barrier: unsafe extern "C" fn(u32),
    simd_barrier: unsafe extern "C" fn(u32),
    exchange: unsafe extern "C" fn(*const u8, u64, u32) -> *const u8,
}

pub(super) static HOOKS: Hooks = Hooks {
    read: touch::<0>,
    write: touch::<1>,
    atomic: touch::<2>,
    atomic_store: touch::<3>,
    misaligned,
    scratch_barrier: barrier::<false>,
    device_barrier: barrier::<true>,
    simd_barrier,
    exchange,
};
