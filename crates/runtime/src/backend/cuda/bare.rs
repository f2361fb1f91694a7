//! The driver's own calls for a recorded graph: the yardstick for what this library adds.

use super::{
    driver::{Failure, Handle},
    gpu::Gpu,
    graph::{Instance, addresses},
    lane::make_stream,
    launch::Launch,
};
use crate::{
    backend::BareCalls,
    error::Result,
    graph::{Calls, Run},
    plan::Params,
    tensor_map::TensorMap,
};
use cudarc::driver::sys::{CUdeviceptr, CUstream_st};
use smallvec::SmallVec;

/// The calls of [`Graph::bare`](crate::Graph::bare), on a CUDA stream of their own.
pub(super) struct Alone {
    gpu: &'static Gpu,
    stream: Handle<CUstream_st>,
    what: What,
}

/// A launch, and what it is given.
struct Call {
    launch: Launch,
    addresses: SmallVec<[CUdeviceptr; 8]>,
    maps: Vec<TensorMap>,
    params: Params,
}

enum What {
    Launches(Vec<Call>),
    Graph(Box<Instance>),
}

impl Alone {
    /// # Safety
    /// As for [`Launch::launch`], for each step, whenever the calls are made.
    pub(super) unsafe fn new(gpu: &'static Gpu, run: &Run<'_>, calls: Calls) -> Result<Alone> {
        let what = match calls {
            Calls::Graph => {
                let instance = Instance::chain(gpu, run)?;
                What::Graph(Box::new(gpu.attempt(instance)?))
            }
            Calls::Launches => {
                let mut launches = Vec::new();
                for step in run.steps() {
                    let launch = Launch::of(gpu, step.kernel, step.grid, step.scratch)?;
                    launches.extend(launch.map(|launch| Call {
                        launch,
                        addresses: addresses(run, step).collect(),
                        maps: step.maps.clone(),
                        params: step.params,
                    }));
                }
                What::Launches(launches)
            }
        };
        Ok(Alone {
            gpu,
            stream: gpu.attempt(make_stream(gpu.driver))?,
            what,
        })
    }

    fn call(&self) -> Result<(), Failure> {
        match &self.what {
            // SAFETY: vouched for by the caller of `new`, whose memory is kept.
            What::Graph(instance) => unsafe { instance.launch_as_it_is(self.stream) },
            What::Launches(launches) => launches.iter().try_for_each(|call| {
                let addresses = call.addresses.iter().copied();
                let (maps, params) = (&call.maps, &call.params);
                // SAFETY: as above.
                unsafe {
                    call.launch
                        .launch(self.gpu, self.stream, addresses, maps, params)
                }
            }),
        }
    }
}

impl BareCalls for Alone {
    fn run(&mut self, times: usize) -> Result<()> {
        self.gpu.enter()?;
        let called = (0..times).try_for_each(|_| self.call());
        // SAFETY: the stream lives.
        let done = called.and_then(|()| unsafe { self.gpu.driver.finish_stream(self.stream.0) });
        self.gpu.attempt(done)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // SAFETY: its own, and nothing is under way on it.
        let _ = unsafe { self.gpu.driver.drop_stream(self.stream.0) };
    }
}
