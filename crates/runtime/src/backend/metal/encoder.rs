//! A stream's command buffers, as Metal makes them.

use super::{gpu::Gpu, kernels::Pipeline, memory::Memory};
use crate::{
    encode::{Await, Commands},
    error::{Error, Result},
    plan::{ForeignCall, ForeignFn, Place, Plan},
    timeline::Ticket,
};
use block2::RcBlock;
use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_metal::{
    MTLBarrierScope, MTLCommandBuffer, MTLCommandEncoder, MTLCommandQueue,
    MTLComputeCommandEncoder, MTLDevice, MTLDispatchType, MTLFence, MTLSharedEvent, MTLSize,
};
use smallvec::SmallVec;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
};

/// Threadgroup memory is given in steps of this many bytes.
const SCRATCH_STEP: usize = 16;

pub(super) struct Encoder {
    gpu: &'static Gpu,
    index: usize,
    event: Retained<ProtocolObject<dyn MTLSharedEvent>>,
    fence: Retained<ProtocolObject<dyn MTLFence>>,
    before: Option<Before>,
    open: Option<Open>,
}

struct Open {
    buffer: Retained<ProtocolObject<dyn MTLCommandBuffer>>,
    /// None in a buffer that another library encodes.
    encoder: Option<Retained<ProtocolObject<dyn MTLComputeCommandEncoder>>>,
    waits: SmallVec<[Await; 2]>,
}

/// The stream's last buffer that was committed.
#[derive(Clone, Copy)]
struct Before {
    last: Ticket,
    /// Whether it updates the fence: another library's passes do not.
    fences: bool,
}

// SAFETY: Metal lets any thread use a command buffer and its encoder, one at a time; they are touched
// in turns only (`encode`), and after the commit by the driver alone.
unsafe impl Send for Open {}

impl Encoder {
    pub(super) fn new(
        gpu: &'static Gpu,
        index: usize,
        event: Retained<ProtocolObject<dyn MTLSharedEvent>>,
    ) -> Result<Encoder> {
        let fence = gpu.device.newFence();
        Ok(Encoder {
            gpu,
            index,
            event,
            fence: fence.ok_or_else(|| gpu.refused("newFence", "no fence"))?,
            before: None,
            open: None,
        })
    }

    /// Encodes the plan over `groups` groups.
    ///
    /// # Safety
    /// As for [`Stream::submit`](crate::Stream::submit), on this stream; the pipeline is the plan's.
    pub(super) unsafe fn dispatch(&self, pipeline: &Pipeline, plan: &Plan<'_>, groups: usize) {
        let Some(Open {
            encoder: Some(encoder),
            ..
        }) = &self.open
        else {
            return;
        };
        let params = plan.params.bytes();
        let scratch = plan.scratch.max(1).next_multiple_of(SCRATCH_STEP);
        let size = |width| MTLSize {
            width,
            height: 1,
            depth: 1,
        };
        autoreleasepool(|_| {
            encoder.setComputePipelineState(&pipeline.state);
            // SAFETY: the caller vouches that bindings and parameters are the kernel's, in its order,
            // as `dialect/metal.h` has them. The command buffer keeps what it is given alive, and
            // copies the parameters.
            unsafe {
                for (index, binding) in plan.bindings.iter().enumerate() {
                    let memory = Memory::of(binding.buffer.memory());
                    encoder.setBuffer_offset_atIndex(Some(&memory.buffer), binding.offset, index);
                }
                let index = plan.bindings.len();
                // Metal's validation ends a process that sets none.
                if !params.is_empty() {
                    let start = NonNull::from(params).cast();
                    encoder.setBytes_length_atIndex(start, params.len(), index);
                }
                encoder.setThreadgroupMemoryLength_atIndex(scratch, 0);
            }
            let lanes = size(plan.grid.lanes as usize);
            encoder.dispatchThreadgroups_threadsPerThreadgroup(size(groups), lanes);
        });
    }

    /// Lets another library encode the plan into a buffer that was opened for it alone.
    ///
    /// # Safety
    /// As for [`Stream::submit`](crate::Stream::submit), on this stream; the function is the plan's.
    pub(super) unsafe fn call(&self, plan: &Plan<'_>, function: ForeignFn) -> Result<(), String> {
        let Some(Open {
            buffer,
            encoder: None,
            ..
        }) = &self.open
        else {
            return Err("no buffer was opened for it".to_owned());
        };
        let places: SmallVec<[Place; 8]> = plan
            .bindings
            .iter()
            .map(|binding| {
                // SAFETY: memory of this device, which the plan's buffer keeps.
                let memory = unsafe { Memory::of(binding.buffer.memory()) };
                Place {
                    memory: Retained::as_ptr(&memory.buffer).cast_mut().cast(),
                    offset: binding.offset,
                }
            })
            .collect();
        let call = ForeignCall {
            params: plan.params.bytes(),
            places: &places,
            stream: Retained::as_ptr(buffer).cast_mut().cast(),
        };
        // An object that the library does not make, for want of memory, is a panic of its bindings:
        // it must not leave the turn with a buffer that nobody ends.
        let guarded = AssertUnwindSafe(|| {
            // SAFETY: the caller vouches that bindings and parameters are the function's. The buffer
            // waits for all that this stream committed before, and what comes next waits for it.
            autoreleasepool(|_| unsafe { function(&call) })
        });
        let refused = |_| Err("an object of the library was not made".to_owned());
        catch_unwind(guarded).unwrap_or_else(refused)
    }
}

impl Commands for Encoder {
    type Error = Error;

    fn open(&mut self, waits: &[Await], alone: bool) -> Result<()> {
        autoreleasepool(|_| {
            let refused = |call| self.gpu.refused(call, "nothing");
            let buffer = self.gpu.queue.commandBuffer();
            let buffer = buffer.ok_or_else(|| refused("commandBuffer"))?;
            for wait in waits {
                // A stream that others wait for has a track.
                if let Some(track) = self.gpu.track(wait.stream) {
                    let event = ProtocolObject::from_ref(&*track.event);
                    buffer.encodeWaitForEvent_value(event, wait.ticket.number());
                }
            }
            // The stream's own fence orders its own passes only.
            let fenced = self.before.filter(|before| !alone && before.fences);
            if let Some(before) = self.before.filter(|_| fenced.is_none()) {
                let event = ProtocolObject::from_ref(&*self.event);
                buffer.encodeWaitForEvent_value(event, before.last.number());
            }
            let encoder = match alone {
                true => None,
                false => {
                    let made =
                        buffer.computeCommandEncoderWithDispatchType(MTLDispatchType::Concurrent);
                    Some(made.ok_or_else(|| refused("computeCommandEncoderWithDispatchType"))?)
                }
            };
            if let (Some(encoder), Some(_)) = (&encoder, fenced) {
                encoder.waitForFence(&self.fence);
            }
            let waits = SmallVec::from_slice(waits);
            self.open = Some(Open {
                buffer,
                encoder,
                waits,
            });
            Ok(())
        })
    }

    fn barrier(&mut self) {
        if let Some(Open {
            encoder: Some(encoder),
            ..
        }) = &self.open
        {
            encoder.memoryBarrierWithScope(MTLBarrierScope::Buffers);
        }
    }

    fn commit(&mut self, last: Ticket) {
        let Some(open) = self.open.take() else {
            return;
        };
        let Open {
            buffer,
            encoder,
            waits,
        } = open;
        autoreleasepool(|_| {
            if let Some(encoder) = &encoder {
                encoder.updateFence(&self.fence);
                encoder.endEncoding();
            }
            self.before = Some(Before {
                last,
                fences: encoder.is_some(),
            });
            let event = ProtocolObject::from_ref(&*self.event);
            buffer.encodeSignalEvent_value(event, last.number());
            let (gpu, index) = (self.gpu, self.index);
            let handler = RcBlock::new(
                move |buffer: NonNull<ProtocolObject<dyn MTLCommandBuffer>>| {
                    // SAFETY: Metal passes the buffer that this handler was added to.
                    let buffer = unsafe { buffer.as_ref() };
                    gpu.finished(index, last, &waits, buffer);
                },
            );
            // SAFETY: a valid block, which Metal copies; it may run on any thread, and what it holds
            // may go there.
            unsafe { buffer.addCompletedHandler(RcBlock::as_ptr(&handler)) };
            buffer.commit();
        });
    }
}
