//! A plan as the driver is given it.

use super::{
    driver::{Failure, Handle},
    gpu::Gpu,
    maps,
};
use crate::{
    error::{Error, Result},
    plan::{Body, Cost, Grid, Kernel, Params, Plan},
    tensor_map::TensorMap,
};
use cudarc::driver::sys::{CUDA_KERNEL_NODE_PARAMS_v1, CUdeviceptr, CUfunc_st, CUstream_st};
use smallvec::SmallVec;
use std::{ffi::c_void, ptr};

/// What of a launch does not change with the memory that it is given.
#[derive(Clone, Copy)]
pub(super) struct Launch {
    function: Handle<CUfunc_st>,
    groups: u32,
    lanes: u32,
    scratch: u32,
}

/// Nanoseconds that a launch of this cost is expected to take: a wrong guess of 2 changes how
/// somebody waits, and nothing else.
pub(super) fn expected(cost: Cost) -> u64 {
    /// Of a kernel that does next to nothing.
    const LEAST: u64 = 2_000;
    const BYTES_PER_NANOSECOND: u64 = 2_000;
    const OPS_PER_NANOSECOND: u64 = 20_000;
    LEAST + cost.bytes / BYTES_PER_NANOSECOND + cost.ops / OPS_PER_NANOSECOND
}

/// The addresses that a plan's kernel is given.
pub(super) fn addresses(plan: &Plan<'_>) -> impl Iterator<Item = CUdeviceptr> {
    let bindings = plan.bindings.iter();
    bindings.map(|binding| (binding.buffer.memory().handle + binding.offset) as CUdeviceptr)
}

impl Launch {
    /// The launch of this kernel, compiled if nobody has; nothing when there are no groups.
    pub(super) fn of(
        gpu: &Gpu,
        kernel: Kernel,
        grid: Grid,
        scratch: usize,
    ) -> Result<Option<Launch>> {
        let Body::Source(source) = kernel.body else {
            return Err(Error::NoKernel {
                device: gpu.identity.name.clone(),
                kernel: kernel.name,
            });
        };
        let function = gpu.kernels.find(gpu, source)?;
        let groups = function.groups(gpu, kernel.name, grid, scratch)?;
        Ok((groups > 0).then_some(Launch {
            function: function.handle,
            groups,
            lanes: grid.lanes,
            scratch: scratch as u32,
        }))
    }

    /// Launches it on a CUDA stream.
    ///
    /// # Safety
    /// The addresses and parameters are the kernel's, in its order, as `dialect/cuda.h` has them,
    /// and otherwise as for [`Stream::submit`](crate::Stream::submit). The stream lives, and its
    /// context is current.
    pub(super) unsafe fn launch(
        &self,
        gpu: &Gpu,
        stream: Handle<CUstream_st>,
        addresses: impl Iterator<Item = CUdeviceptr>,
        maps: &[TensorMap],
        params: &Params,
    ) -> Result<(), Failure> {
        with_arguments(addresses, maps, params, |arguments| {
            // SAFETY: passed on from the caller; the driver copies what the arguments point at
            // before it returns.
            unsafe {
                gpu.driver.launch(
                    self.function.0,
                    self.groups,
                    1,
                    1,
                    self.lanes,
                    1,
                    1,
                    self.scratch,
                    stream.0,
                    arguments,
                    ptr::null_mut(),
                )
            }
        })
    }

    /// Calls `f` with the launch as a node of a graph.
    pub(super) fn as_node(
        &self,
        addresses: impl Iterator<Item = CUdeviceptr>,
        maps: &[TensorMap],
        params: &Params,
        f: impl FnOnce(&CUDA_KERNEL_NODE_PARAMS_v1) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        with_arguments(addresses, maps, params, |arguments| {
            f(&CUDA_KERNEL_NODE_PARAMS_v1 {
                func: self.function.0,
                gridDimX: self.groups,
                gridDimY: 1,
                gridDimZ: 1,
                blockDimX: self.lanes,
                blockDimY: 1,
                blockDimZ: 1,
                sharedMemBytes: self.scratch,
                kernelParams: arguments,
                extra: ptr::null_mut(),
            })
        })
    }
}

/// Calls `f` with a pointer to each argument of a kernel.
fn with_arguments(
    addresses: impl Iterator<Item = CUdeviceptr>,
    maps: &[TensorMap],
    params: &Params,
    f: impl FnOnce(*mut *mut c_void) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut addresses: SmallVec<[CUdeviceptr; 8]> = addresses.collect();
    let mut maps = maps::encode(maps, &addresses)?;
    let addresses = addresses.iter_mut().map(|one| ptr::from_mut(one).cast());
    let mut arguments: SmallVec<[*mut c_void; 9]> = addresses.collect();
    arguments.extend(maps.iter_mut().map(|map| ptr::from_mut(map).cast()));
    // The driver only reads: the struct's bytes go to the kernel by value.
    arguments.push(params.bytes().as_ptr().cast_mut().cast());
    f(arguments.as_mut_ptr())
}
