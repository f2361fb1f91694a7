//! One device that is open: its context, and what all its streams share.

use super::{
    courier::Courier,
    crowd::Crowd,
    driver::{Driver, Failure, Handle, driver},
    fork,
    kernels::Kernels,
    lane::Lane,
    pinned::{Pinned, Word},
    ring::Executor,
    watcher,
};
use crate::{
    error::{Error, Result},
    slots::Slots,
    timeline::Fault,
};
use cudarc::driver::sys::{
    CUctx_st, CUdevice, CUdeviceptr, CUfunc_st, CUmemAllocationType, CUmemLocationType,
    CUmemPoolHandle_st, CUmemPoolProps, CUstream_st,
};
use std::{ffi::c_void, mem, ptr, sync::OnceLock, thread::Thread};

/// Streams that a device can have at once.
pub(super) const LANES: usize = 512;
/// Downloads that can be under way at once; more take turns.
const COURIERS: usize = 64;

/// What is known of a device before it is opened.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) device: CUdevice,
    /// Compute capability, 90 for 9.0.
    pub(super) capability: u32,
    /// Scratch memory that a group can have.
    pub(super) scratch: usize,
    /// Whether the front end can write words by itself.
    pub(super) writes_values: bool,
}

/// An open device. It lives as long as the process.
pub(super) struct Gpu {
    pub(super) identity: Identity,
    pub(super) driver: &'static Driver,
    pub(super) kernels: Kernels,
    pub(super) executor: Executor,
    /// Not zero when what waits on the device must wait no longer.
    pub(super) abort: Word,
    pub(super) waiting: Crowd,
    context: Handle<CUctx_st>,
    pool: Handle<CUmemPoolHandle_st>,
    words: Pinned,
    marker: Marker,
    lanes: Box<[OnceLock<Lane>]>,
    couriers: Slots<Courier>,
    watcher: OnceLock<Thread>,
    lost: OnceLock<String>,
}

/// How a mark is made.
enum Marker {
    /// The front end writes the word.
    Value,
    /// A kernel of one thread does.
    Kernel(Handle<CUfunc_st>),
}

impl Gpu {
    pub(super) fn open(identity: Identity) -> Result<&'static Gpu> {
        let broken = |call, message| Error::Driver {
            device: identity.name.clone(),
            call,
            message,
        };
        let driver = driver().map_err(|message| broken("cuInit", message))?;
        fork::watch();
        let gpu = Gpu::make(driver, &identity);
        let gpu = gpu.map_err(|failure| broken(failure.call, failure.words()))?;
        let gpu: &'static Gpu = Box::leak(Box::new(gpu));
        let watcher = watcher::start(gpu);
        let watcher = watcher.map_err(|error| broken("starting a thread", error.to_string()))?;
        gpu.watcher.get_or_init(|| watcher);
        Ok(gpu)
    }

    fn make(driver: &'static Driver, identity: &Identity) -> Result<Gpu, Failure> {
        let mut context = ptr::null_mut();
        // SAFETY: writes one handle; the primary context is kept for good.
        unsafe {
            driver.retain_context(&raw mut context, identity.device)?;
            driver.set_context(context)?;
        }
        let words = Pinned::new(driver, (LANES + COURIERS + 1) * Word::LINE)?;
        Ok(Gpu {
            identity: identity.clone(),
            driver,
            kernels: Kernels::new(identity.capability),
            waiting: Crowd::new(),
            context: Handle(context),
            pool: make_pool(driver, identity.device)?,
            abort: words.word(LANES + COURIERS),
            words,
            executor: Executor::new(),
            marker: Marker::choose(driver, identity)?,
            lanes: (0..LANES).map(|_| OnceLock::new()).collect(),
            couriers: Slots::new(COURIERS),
            watcher: OnceLock::new(),
            lost: OnceLock::new(),
        })
    }

    /// Whether nothing can run on the device from this process any more.
    pub(super) fn is_gone(&self) -> bool {
        self.lost.get().is_some() || fork::happened()
    }

    /// Makes this device's context the thread's current one, if the device is alive.
    pub(super) fn enter(&self) -> Result<()> {
        if let Some(message) = self.lost.get() {
            return Err(self.gone(message));
        }
        if fork::happened() {
            return Err(self.gone("this process was forked from the one that opened the device"));
        }
        // SAFETY: the context is never released. Others in the process may have set their own
        // since this thread was here, so it is set each time; that costs some nanoseconds.
        self.attempt(unsafe { self.driver.set_context(self.context.0) })
    }

    /// A driver call's outcome as the runtime's. An error that is final loses the device.
    pub(super) fn attempt<T>(&self, outcome: Result<T, Failure>) -> Result<T> {
        outcome.map_err(|failure| {
            if failure.is_final() {
                return self.give_up(&failure.to_string());
            }
            Error::Driver {
                device: self.identity.name.clone(),
                call: failure.call,
                message: failure.words(),
            }
        })
    }

    fn gone(&self, message: &str) -> Error {
        Error::DeviceLost {
            device: self.identity.name.clone(),
            message: message.to_owned(),
        }
    }

    /// Notes that nothing will run any more, and tells all who wait. The first reason stays.
    pub(super) fn give_up(&self, reason: &str) -> Error {
        let message = self.lost.get_or_init(|| reason.to_owned());
        for lane in self.lanes() {
            if let Some(timeline) = lane.timeline() {
                timeline.fail(Fault::new(format!("the device is lost: {message}")));
            }
        }
        // After the faults: what it lets go is done wrong.
        self.abort.write(1);
        self.gone(message)
    }

    /// The lane of stream `index`, made now if need be. Only the stream's owner asks.
    pub(super) fn lane_or_made(&self, index: usize) -> Result<&Lane> {
        if let Some(lane) = self.lane(index) {
            return Ok(lane);
        }
        self.enter()?;
        let lane = Lane::new(self.driver, &self.words, index);
        let lane = self.attempt(lane)?;
        Ok(self.lanes[index].get_or_init(|| lane))
    }

    /// The lane of stream `index`, if it is made.
    pub(super) fn lane(&self, index: usize) -> Option<&Lane> {
        self.lanes.get(index)?.get()
    }

    /// All lanes made so far.
    pub(super) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().filter_map(OnceLock::get)
    }

    /// Makes the device write `value` to `word` when the work before it on `stream` is done.
    pub(super) fn mark(
        &self,
        stream: Handle<CUstream_st>,
        word: Word,
        value: u64,
    ) -> Result<(), Failure> {
        // SAFETY: the stream lives, and so does the word; the kernel takes these two arguments.
        unsafe {
            match self.marker {
                Marker::Value => self.driver.write_value(stream.0, word.address, value, 0),
                Marker::Kernel(function) => {
                    let (mut address, mut value) = (word.address, value);
                    let (address, value) = (&raw mut address, &raw mut value);
                    let mut arguments: [*mut c_void; 2] = [address.cast(), value.cast()];
                    let (arguments, none) = (arguments.as_mut_ptr(), ptr::null_mut());
                    let (function, stream) = (function.0, stream.0);
                    self.driver
                        .launch(function, 1, 1, 1, 1, 1, 1, 0, stream, arguments, none)
                }
            }
        }
    }

    /// Memory in stream order of a lane; nothing when the device has none left.
    pub(super) fn allocate(&self, lane: &Lane, bytes: usize) -> Result<Option<CUdeviceptr>> {
        self.enter()?;
        lane.opens();
        let attempt = || {
            let (mut memory, stream) = (0, lane.stream.0);
            let pool = self.pool.0;
            // SAFETY: writes one address; the pool and the stream live.
            let outcome = unsafe { self.driver.allocate(&raw mut memory, bytes, pool, stream) };
            outcome.map(|()| memory)
        };
        let outcome = attempt().or_else(|failure| {
            if failure.code != Failure::OUT_OF_MEMORY {
                return Err(failure);
            }
            // Memory that was freed on this lane may still be in use by it.
            // SAFETY: the stream lives.
            unsafe { self.driver.finish_stream(lane.stream.0)? };
            self.trim()?;
            attempt()
        });
        match outcome {
            Err(failure) if failure.code == Failure::OUT_OF_MEMORY => Ok(None),
            outcome => self.attempt(outcome).map(Some),
        }
    }

    /// Gives memory that the pool keeps back to the system.
    pub(super) fn trim(&self) -> Result<(), Failure> {
        // SAFETY: the pool lives.
        unsafe { self.driver.trim_pool(self.pool.0, 0) }
    }

    /// Copies from the device to the host, on a courier.
    pub(super) fn download(&self, from: CUdeviceptr, out: &mut [u8]) -> Result<()> {
        self.enter()?;
        let lease = loop {
            let make = |index| Courier::new(self.driver, self.words.word(LANES + index));
            match self.attempt(self.couriers.acquire(make))? {
                Some(lease) => break lease,
                // Those who have one are done in a moment.
                None => std::thread::yield_now(),
            }
        };
        let courier = self.couriers.get(lease.index());
        let outcome = courier.map_or(Ok(()), |courier| courier.download(self, from, out));
        self.couriers.release(lease);
        self.attempt(outcome)
    }

    /// Wakes the watcher: something is wanted.
    pub(super) fn wake_watcher(&self) {
        if let Some(watcher) = self.watcher.get() {
            watcher.unpark();
        }
    }
}

/// A pool of the device's own, which keeps what is freed until it is trimmed.
fn make_pool(driver: &Driver, device: CUdevice) -> Result<Handle<CUmemPoolHandle_st>, Failure> {
    const RELEASE_THRESHOLD: u32 = 4;
    // SAFETY: zero is a valid value of every field.
    let mut properties: CUmemPoolProps = unsafe { mem::zeroed() };
    properties.allocType = CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location.type_ = CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
    properties.location.id = device;
    let mut pool = ptr::null_mut();
    let mut threshold = u64::MAX;
    // SAFETY: reads the properties, writes one handle; the attribute is a 64-bit number.
    unsafe {
        driver.make_pool(&raw mut pool, &raw const properties)?;
        driver.set_pool(pool, RELEASE_THRESHOLD, (&raw mut threshold).cast())?;
    }
    Ok(Handle(pool))
}

impl Marker {
    /// `WOOTZ_CUDA_MARK=kernel` asks for the kernel, for measurements.
    fn choose(driver: &Driver, identity: &Identity) -> Result<Marker, Failure> {
        let kernel = std::env::var_os("WOOTZ_CUDA_MARK").is_some_and(|mark| mark == "kernel");
        if identity.writes_values && !kernel {
            return Ok(Marker::Value);
        }
        const TEXT: &std::ffi::CStr = c"
            .version 7.0
            .target sm_80
            .address_size 64
            .visible .entry wootz_mark(.param .u64 word, .param .u64 value)
            {
                .reg .b64 %word, %value;
                ld.param.u64 %word, [word];
                ld.param.u64 %value, [value];
                cvta.to.global.u64 %word, %word;
                fence.sc.sys;
                st.relaxed.sys.global.u64 [%word], %value;
                ret;
            }
        ";
        let (mut module, mut function) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: C strings; writes one handle each, which are kept for good.
        unsafe {
            driver.load_module(&raw mut module, TEXT.as_ptr().cast())?;
            driver.find_function(&raw mut function, module, c"wootz_mark".as_ptr())?;
        }
        Ok(Marker::Kernel(Handle(function)))
    }
}
