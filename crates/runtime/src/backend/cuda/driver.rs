//! The driver's functions.
//!
//! cudarc finds the library and names its types. Its own call stubs are not used: they panic where
//! a driver lacks a symbol, and they read a status as a Rust enum, which a newer driver's status
//! need not be. Here all symbols are looked up once, and a status is a number.

use cudarc::driver::sys::{
    CUDA_KERNEL_NODE_PARAMS_v1, CUcontext, CUdevice, CUdeviceptr, CUevent, CUfunction, CUgraph,
    CUgraphEdgeData, CUgraphExec, CUgraphNode, CUmemPoolProps, CUmemoryPool, CUmodule, CUstream,
    culib, is_culib_present,
};
use std::{
    ffi::{CStr, c_char, c_void},
    fmt, ptr,
    sync::OnceLock,
};

/// A call that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) call: &'static str,
    pub(super) code: u32,
}

impl Failure {
    pub(super) const OUT_OF_MEMORY: u32 = 2;
    const NO_DEVICE: u32 = 100;
    pub(super) const NOT_FOUND: u32 = 500;
    pub(super) const NOT_READY: u32 = 600;

    /// Whether the context is broken for good: no later call on it can succeed.
    pub(super) fn is_final(self) -> bool {
        /// Deinitialized; device unavailable; invalid, destroyed or unusable context.
        const GONE: &[u32] = &[4, 46, 201, 709];
        /// Memory and link errors that the hardware found.
        const HARDWARE: &[u32] = &[214, 220, 226];
        /// Errors of kernels, from the illegal address on, asserts and traps among them.
        const KERNEL: &[u32] = &[700, 702, 710, 714, 715, 716, 717, 718, 719, 721, 999];
        [GONE, HARDWARE, KERNEL].concat().contains(&self.code)
    }

    /// The driver's words for it.
    pub(super) fn words(self) -> String {
        let Ok(driver) = driver() else {
            return format!("error {}", self.code);
        };
        let (mut name, mut words) = (ptr::null(), ptr::null());
        // SAFETY: each call stores a pointer to a constant string, or leaves null.
        let known = unsafe {
            let named = driver.error_name(self.code, &raw mut name);
            named.and_then(|()| driver.error_words(self.code, &raw mut words))
        };
        if known.is_err() || name.is_null() || words.is_null() {
            return format!("error {}", self.code);
        }
        // SAFETY: constant C strings of the driver, by the calls above.
        let [name, words] = [name, words].map(|text| unsafe { CStr::from_ptr(text) });
        format!("{}: {}", name.to_string_lossy(), words.to_string_lossy())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.call, self.words())
    }
}

macro_rules! functions {
    ($($name:ident $symbol:literal ($($argument:ident: $type:ty),*);)*) => {
        /// The driver's functions that a device needs.
        pub(super) struct Driver {
            $($name: unsafe extern "system" fn($($type),*) -> u32,)*
        }

        #[allow(clippy::too_many_arguments, reason = "the driver's interface")]
        impl Driver {
            fn load() -> Result<Driver, String> {
                Ok(Driver { $($name: symbol($symbol)?,)* })
            }

            $(
                /// # Safety
                /// What the driver's manual asks of its callers.
                pub(super) unsafe fn $name(&self, $($argument: $type),*) -> Result<(), Failure> {
                    // SAFETY: passed on from the caller.
                    match unsafe { (self.$name)($($argument),*) } {
                        0 => Ok(()),
                        code => Err(Failure { call: $symbol, code }),
                    }
                }
            )*
        }
    };
}

functions! {
    init "cuInit" (flags: u32);
    version "cuDriverGetVersion" (out: *mut i32);
    error_name "cuGetErrorName" (code: u32, out: *mut *const c_char);
    error_words "cuGetErrorString" (code: u32, out: *mut *const c_char);
    device_count "cuDeviceGetCount" (out: *mut i32);
    device "cuDeviceGet" (out: *mut CUdevice, ordinal: i32);
    device_name "cuDeviceGetName" (out: *mut c_char, bytes: i32, device: CUdevice);
    device_memory "cuDeviceTotalMem_v2" (out: *mut usize, device: CUdevice);
    device_attribute "cuDeviceGetAttribute" (out: *mut i32, attribute: u32, device: CUdevice);
    retain_context "cuDevicePrimaryCtxRetain" (out: *mut CUcontext, device: CUdevice);
    set_context "cuCtxSetCurrent" (context: CUcontext);
    make_stream "cuStreamCreate" (out: *mut CUstream, flags: u32);
    make_stream_first "cuStreamCreateWithPriority" (out: *mut CUstream, flags: u32, priority: i32);
    drop_stream "cuStreamDestroy_v2" (stream: CUstream);
    query_stream "cuStreamQuery" (stream: CUstream);
    finish_stream "cuStreamSynchronize" (stream: CUstream);
    await_event "cuStreamWaitEvent" (stream: CUstream, event: CUevent, flags: u32);
    await_value "cuStreamWaitValue64_v2" (stream: CUstream, at: CUdeviceptr, value: u64, flags: u32);
    write_value "cuStreamWriteValue64_v2" (stream: CUstream, at: CUdeviceptr, value: u64, flags: u32);
    make_event "cuEventCreate" (out: *mut CUevent, flags: u32);
    record_event "cuEventRecord" (event: CUevent, stream: CUstream);
    pin "cuMemHostAlloc" (out: *mut *mut c_void, bytes: usize, flags: u32);
    pinned_address "cuMemHostGetDevicePointer_v2" (out: *mut CUdeviceptr, host: *mut c_void, flags: u32);
    make_pool "cuMemPoolCreate" (out: *mut CUmemoryPool, properties: *const CUmemPoolProps);
    set_pool "cuMemPoolSetAttribute" (pool: CUmemoryPool, attribute: u32, value: *mut c_void);
    trim_pool "cuMemPoolTrimTo" (pool: CUmemoryPool, keep: usize);
    allocate "cuMemAllocFromPoolAsync" (out: *mut CUdeviceptr, bytes: usize, pool: CUmemoryPool, stream: CUstream);
    free "cuMemFreeAsync" (memory: CUdeviceptr, stream: CUstream);
    allocate_now "cuMemAlloc_v2" (out: *mut CUdeviceptr, bytes: usize);
    fill "cuMemsetD8Async" (at: CUdeviceptr, value: u8, bytes: usize, stream: CUstream);
    upload "cuMemcpyHtoDAsync_v2" (to: CUdeviceptr, from: *const c_void, bytes: usize, stream: CUstream);
    download "cuMemcpyDtoHAsync_v2" (to: *mut c_void, from: CUdeviceptr, bytes: usize, stream: CUstream);
    load_module "cuModuleLoadData" (out: *mut CUmodule, image: *const c_void);
    find_function "cuModuleGetFunction" (out: *mut CUfunction, module: CUmodule, name: *const c_char);
    set_function "cuFuncSetAttribute" (function: CUfunction, attribute: u32, value: i32);
    function_attribute "cuFuncGetAttribute" (out: *mut i32, attribute: u32, function: CUfunction);
    fitting "cuOccupancyMaxActiveBlocksPerMultiprocessor" (out: *mut i32, function: CUfunction, lanes: i32, scratch: usize);
    make_graph "cuGraphCreate" (out: *mut CUgraph, flags: u32);
    add_node "cuGraphAddKernelNode" (
        out: *mut CUgraphNode, graph: CUgraph, after: *const CUgraphNode, count: usize,
        params: *const CUDA_KERNEL_NODE_PARAMS_v1
    );
    make_executable "cuGraphInstantiateWithFlags" (out: *mut CUgraphExec, graph: CUgraph, flags: u64);
    change_node "cuGraphExecKernelNodeSetParams" (
        executable: CUgraphExec, node: CUgraphNode, params: *const CUDA_KERNEL_NODE_PARAMS_v1
    );
    launch_graph "cuGraphLaunch" (executable: CUgraphExec, stream: CUstream);
    drop_executable "cuGraphExecDestroy" (executable: CUgraphExec);
    drop_graph "cuGraphDestroy" (graph: CUgraph);
    launch "cuLaunchKernel" (
        function: CUfunction,
        groups_x: u32, groups_y: u32, groups_z: u32,
        lanes_x: u32, lanes_y: u32, lanes_z: u32,
        scratch: u32, stream: CUstream,
        arguments: *mut *mut c_void, extra: *mut *mut c_void
    );
}

pub(super) fn symbol<F: Copy>(name: &str) -> Result<F, String> {
    // SAFETY: `driver` has seen that the library is there; `functions!` gives each symbol the
    // signature of the driver's manual.
    let found = unsafe { culib().get::<F>(name) };
    found
        .map(|symbol| *symbol)
        .map_err(|_| format!("the NVIDIA driver is too old: it lacks {name}"))
}

/// `cuGraphAddDependencies_v2`, of drivers from CUDA 12.3 on.
pub(super) type AddEdges = unsafe extern "system" fn(
    graph: CUgraph,
    from: *const CUgraphNode,
    to: *const CUgraphNode,
    edges: *const CUgraphEdgeData,
    count: usize,
) -> u32;

/// The call that adds edges of several kinds to a graph, where the driver has it.
pub(super) fn add_edges() -> Option<AddEdges> {
    static FOUND: OnceLock<Option<AddEdges>> = OnceLock::new();
    *FOUND.get_or_init(|| symbol("cuGraphAddDependencies_v2").ok())
}

/// The driver, ready for use; or why there is none.
pub(super) fn driver() -> Result<&'static Driver, String> {
    static DRIVER: OnceLock<Result<Driver, String>> = OnceLock::new();
    DRIVER
        .get_or_init(|| {
            // SAFETY: looks the library up as the loader does; its initialisers are NVIDIA's.
            if !unsafe { is_culib_present() } {
                return Err("no NVIDIA driver: its library (libcuda) was not found".to_owned());
            }
            let driver = Driver::load()?;
            // SAFETY: no arguments to get wrong.
            unsafe { driver.init(0) }.map_err(|failure| match failure.code {
                Failure::NO_DEVICE => "the NVIDIA driver sees no device".to_owned(),
                code => format!("the NVIDIA driver does not start: error {code}"),
            })?;
            Ok(driver)
        })
        .as_ref()
        .map_err(Clone::clone)
}

/// The CUDA version that the driver speaks, as 1000 × major + 10 × minor.
pub(super) fn version(driver: &Driver) -> i32 {
    let mut version = 0;
    // SAFETY: writes one integer.
    match unsafe { driver.version(&raw mut version) } {
        Ok(()) => version,
        Err(_) => 0,
    }
}

/// The name of a driver object. The driver lets every thread use it.
pub(super) struct Handle<T>(pub(super) *mut T);

// SAFETY: a name, dereferenced by the driver alone, which serves all threads.
unsafe impl<T> Send for Handle<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Handle<T> {}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Handle<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_break_the_context_are_final() {
        let is_final = |code| Failure { call: "", code }.is_final();
        assert!([700, 719, 214, 709].into_iter().all(is_final));
        // Out of memory, invalid value, not found, not ready.
        assert!(![2, 1, 500, 600].into_iter().any(is_final));
    }
}
