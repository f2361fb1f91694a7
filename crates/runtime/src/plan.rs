//! A plan: one kernel launch as plain data.
//!
//! An op makes it with a pure function of shapes and capabilities; after that it can be run,
//! recorded, replayed, printed or compared. A plan borrows its buffers, so submitting one touches
//! no reference count: threads that share a weight do not share a cache line for it.

use crate::{
    buffer::Buffer,
    module::Source,
    sync::atomic::{AtomicU64, Ordering},
    tensor_map::TensorMap,
};
use smallvec::SmallVec;
use std::{fmt, ops::Range};

/// Bytes that the parameters of a plan may take.
pub const MAX_PARAMS: usize = 512;

/// One kernel launch.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// What runs.
    pub kernel: Kernel,
    /// Over how much.
    pub grid: Grid,
    /// What it is expected to cost, for those who decide where and how wide it runs.
    pub cost: Cost,
    /// Scratch bytes for each worker or group.
    pub scratch: usize,
    /// The kernel's parameter struct.
    pub params: Params,
    /// The memory it reads and writes, in the kernel's order.
    pub bindings: SmallVec<[Binding<'a>; 6]>,
    /// Tensors in that memory, for kernels that have their boxes moved. Few do: an empty one
    /// allocates nothing.
    pub maps: Vec<TensorMap>,
    /// Which part of it each unit uses.
    pub parts: Parts,
}

/// For each of the first bindings, the bytes of the part that belongs to each unit, unit `u` having
/// the one at `u` times as many: no other unit uses it. 0 where units share what they use.
pub type Parts = [u32; 4];

/// A kernel: its name, and the form that runs.
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    /// The name, unique among kernels.
    pub name: &'static str,
    /// The form.
    pub body: Body,
}

/// The form of a kernel.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// A function of this process, for the CPU.
    Native(NativeFn),
    /// An entry point in source form, for GPUs and the emulator.
    Source(Source),
    /// A call of another library, which enqueues its work on the device's own stream.
    Foreign(ForeignFn),
}

/// A call of another library: enqueues the plan's work, in order, and returns. On CUDA it is called
/// with the device current on the thread; on Metal it must not wait for a stream. An error is in the
/// library's words, and nothing was enqueued then.
///
/// # Safety
/// The call's parameters and places must be those that the plan's builder made, each place valid on
/// the device for the bytes and the access of its binding, and the work's order the device's own.
pub type ForeignFn = unsafe fn(call: &ForeignCall<'_>) -> Result<(), String>;

/// What a foreign call is given.
#[derive(Debug)]
pub struct ForeignCall<'a> {
    /// The bytes of the parameter struct, aligned to 16.
    pub params: &'a [u8],
    /// Where each binding starts.
    pub places: &'a [Place],
    /// What the work goes into: on CUDA a `CUstream`, on Metal an `MTLCommandBuffer` with nothing else
    /// in it.
    pub stream: *mut std::ffi::c_void,
}

/// Where a binding starts, as the device's own calls want it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Memory: on CUDA an address, on Metal an `MTLBuffer`.
    pub memory: *mut std::ffi::c_void,
    /// Bytes from there on.
    pub offset: usize,
}

impl ForeignCall<'_> {
    /// The parameters as the struct that the plan was built with.
    ///
    /// # Panics
    /// If the plan was built with a struct of another size.
    pub fn params<P: bytemuck::Pod>(&self) -> &P {
        bytemuck::from_bytes(self.params)
    }
}

/// A kernel for the CPU: does the units of `call.units`.
///
/// # Safety
/// The call's parameters and pointers must be those that the kernel's plan builder made, each
/// pointer valid for the bytes and the access of its binding, and no other thread may be writing
/// them or be given the same units.
pub type NativeFn = unsafe fn(call: &mut Call<'_>);

/// What a CPU kernel is given: its parameters, its memory and its place.
#[derive(Debug)]
pub struct Call<'a> {
    /// The bytes of the parameter struct, aligned to 16.
    pub params: &'a [u8],
    /// The start of each binding.
    pub pointers: &'a [*mut u8],
    /// Which of the grid's units to do.
    pub units: Range<usize>,
    /// This worker's scratch memory, aligned to 64, contents undefined.
    pub scratch: &'a mut [u8],
    /// The first element that was refused, of all units of the plan; [`ACCEPTED`] if none was.
    pub(crate) refused: &'a AtomicU64,
}

/// No element was refused.
pub(crate) const ACCEPTED: u64 = u64::MAX;

impl Call<'_> {
    /// Notes that `element` of the plan's data cannot be used: an index that lies outside. The
    /// kernel leaves it out and goes on; the submission fails and names the first such element.
    pub fn refuse(&self, element: usize) {
        // Relaxed: read when the plan is over. The lowest wins, whoever comes first.
        self.refused.fetch_min(element as u64, Ordering::Relaxed);
    }

    /// The parameters as the struct that the plan was built with.
    ///
    /// # Panics
    /// If the plan was built with a struct of another size.
    pub fn params<P: bytemuck::Pod>(&self) -> &P {
        bytemuck::from_bytes(self.params)
    }

    /// Binding `index` as a pointer to `T`.
    pub fn pointer<T>(&self, index: usize) -> *mut T {
        self.pointers[index].cast()
    }
}

/// The extent of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Independent units (CPU) or groups (GPU). Their number follows from shapes alone, never
    /// from thread counts, so that results do not depend on who runs them.
    pub units: usize,
    /// Lanes in each group; 1 on the CPU.
    pub lanes: u32,
}

impl Grid {
    /// `units` units of one lane.
    pub fn units(units: usize) -> Grid {
        Grid { units, lanes: 1 }
    }
}

/// What a plan is expected to cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Bytes read and written.
    pub bytes: u64,
    /// Arithmetic operations.
    pub ops: u64,
}

/// How a plan uses a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads only.
    Read,
    /// Writes, and reads nothing that it has not written.
    Write,
    /// Reads and writes.
    Update,
}

impl Access {
    /// Whether the access writes.
    pub fn writes(self) -> bool {
        self != Access::Read
    }
}

/// Part of a buffer, and how a plan uses it.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The buffer.
    pub buffer: &'a Buffer,
    /// Where the kernel's pointer points, in bytes from the buffer's start.
    pub offset: usize,
    /// How it is used.
    pub access: Access,
}

// A plan is a kilobyte. Its builder is inlined, so that the plan is made in place and not moved once
// a step.
impl<'a> Plan<'a> {
    /// A plan of `kernel` over `grid` with parameters `params`, and no memory yet.
    #[inline(always)]
    pub fn new<P: bytemuck::Pod>(kernel: Kernel, grid: Grid, params: &P) -> Plan<'a> {
        Plan {
            kernel,
            grid,
            cost: Cost::default(),
            scratch: 0,
            params: Params::new(params),
            bindings: SmallVec::new(),
            maps: Vec::new(),
            parts: Parts::default(),
        }
    }

    /// The same plan that also reads `buffer` from byte `offset` on.
    #[inline(always)]
    pub fn read(mut self, buffer: &'a Buffer, offset: usize) -> Plan<'a> {
        self.bind(buffer, offset, Access::Read);
        self
    }

    /// The same plan that also writes `buffer` from byte `offset` on.
    #[inline(always)]
    pub fn write(mut self, buffer: &'a Buffer, offset: usize) -> Plan<'a> {
        self.bind(buffer, offset, Access::Write);
        self
    }

    /// The same plan that also reads and writes `buffer` from byte `offset` on.
    #[inline(always)]
    pub fn update(mut self, buffer: &'a Buffer, offset: usize) -> Plan<'a> {
        self.bind(buffer, offset, Access::Update);
        self
    }

    /// The same plan with scratch memory for each worker.
    #[inline(always)]
    pub fn scratch(mut self, bytes: usize) -> Plan<'a> {
        self.scratch = bytes;
        self
    }

    /// The same plan with its expected cost.
    #[inline(always)]
    pub fn cost(mut self, bytes: u64, ops: u64) -> Plan<'a> {
        self.cost = Cost { bytes, ops };
        self
    }

    /// The same plan with these maps of tensors.
    #[inline(always)]
    pub fn maps(mut self, maps: Vec<TensorMap>) -> Plan<'a> {
        self.maps = maps;
        self
    }

    /// The same plan, of which each unit has parts of the bindings to itself. What follows a plan
    /// part by part need not wait for all of it.
    #[inline(always)]
    pub fn parts(mut self, parts: Parts) -> Plan<'a> {
        self.parts = parts;
        self
    }

    /// Binds `buffer` from byte `offset` on, in place: for a plan so small that moving it counts.
    #[inline(always)]
    pub fn bind(&mut self, buffer: &'a Buffer, offset: usize, access: Access) {
        self.bindings.push(Binding {
            buffer,
            offset,
            access,
        });
    }
}

/// The bytes of a parameter struct, held inline so that a plan needs no allocation.
#[derive(Clone, Copy)]
pub struct Params {
    bytes: Aligned,
    len: u16,
}

#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Aligned([std::mem::MaybeUninit<u8>; MAX_PARAMS]);

impl Params {
    /// The bytes of `params`.
    #[inline(always)]
    pub fn new<P: bytemuck::Pod>(params: &P) -> Params {
        const { assert!(size_of::<P>() <= MAX_PARAMS && align_of::<P>() <= 16) };
        let mut bytes = Aligned([std::mem::MaybeUninit::uninit(); MAX_PARAMS]);
        let source = bytemuck::bytes_of(params);
        // SAFETY: the assertion above bounds the length, and a fresh local overlaps nothing.
        unsafe {
            std::ptr::copy_nonoverlapping(
                source.as_ptr(),
                bytes.0.as_mut_ptr().cast(),
                source.len(),
            );
        }
        Params {
            bytes,
            len: source.len() as u16,
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `new` initialised the first `len` bytes.
        unsafe { std::slice::from_raw_parts(self.bytes.0.as_ptr().cast(), self.len.into()) }
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Params").field(&self.bytes()).finish()
    }
}
