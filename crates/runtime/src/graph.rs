//! Graphs: a stream's plans, recorded once and replayed with new inputs.
//!
//! While a stream records, nothing runs: what the steps would write are placeholders with no
//! memory. A replay gives each placeholder fresh memory of the replaying stream, and frees it
//! after its last use, so that many threads can replay one graph at once.

use crate::{
    buffer::Buffer,
    device::Device,
    error::{Error, Result},
    plan::{Access, Binding, Cost, Grid, Kernel, Params, Plan},
    stream::Stream,
};
use smallvec::SmallVec;
use std::collections::HashMap;

/// A recorded sequence of plans.
#[derive(Debug)]
pub struct Graph {
    device: Device,
    inputs: Vec<usize>,
    temporaries: Vec<usize>,
    constants: Vec<Buffer>,
    steps: Vec<Step>,
    outputs: Vec<Slot>,
}

/// Where a replay finds a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Input(usize),
    Constant(usize),
    Temporary(usize),
}

#[derive(Debug)]
struct Step {
    kernel: Kernel,
    grid: Grid,
    cost: Cost,
    scratch: usize,
    params: Params,
    bindings: SmallVec<[(Slot, usize, Access); 6]>,
    /// Temporaries that no later step uses.
    last: SmallVec<[usize; 2]>,
}

/// A recording in progress.
pub(crate) struct Recorder {
    slots: HashMap<usize, Slot>,
    /// Handles that keep the identities in `slots` from being used again.
    held: Vec<Buffer>,
    graph: Graph,
}

impl Recorder {
    fn new(device: Device, inputs: &[Buffer]) -> Recorder {
        let slots = inputs
            .iter()
            .enumerate()
            .map(|(i, b)| (b.id(), Slot::Input(i)))
            .collect();
        let graph = Graph {
            device,
            inputs: inputs.iter().map(Buffer::bytes).collect(),
            temporaries: Vec::new(),
            constants: Vec::new(),
            steps: Vec::new(),
            outputs: Vec::new(),
        };
        Recorder {
            slots,
            held: inputs.to_vec(),
            graph,
        }
    }

    pub(crate) fn push(&mut self, plan: &Plan<'_>) {
        let bindings = plan
            .bindings
            .iter()
            .map(|b| (self.slot(b.buffer), b.offset, b.access));
        let bindings = bindings.collect();
        self.graph.steps.push(Step {
            kernel: plan.kernel,
            grid: plan.grid,
            cost: plan.cost,
            scratch: plan.scratch,
            params: plan.params,
            bindings,
            last: SmallVec::new(),
        });
    }

    fn slot(&mut self, buffer: &Buffer) -> Slot {
        if let Some(slot) = self.slots.get(&buffer.id()) {
            return *slot;
        }
        let slot = if buffer.is_recorded() {
            self.graph.temporaries.push(buffer.bytes());
            self.held.push(buffer.clone());
            Slot::Temporary(self.graph.temporaries.len() - 1)
        } else {
            self.graph.constants.push(buffer.clone());
            Slot::Constant(self.graph.constants.len() - 1)
        };
        self.slots.insert(buffer.id(), slot);
        slot
    }

    fn finish(mut self, outputs: &[Buffer]) -> Graph {
        self.graph.outputs = outputs.iter().map(|buffer| self.slot(buffer)).collect();
        let mut seen: Vec<bool> = vec![false; self.graph.temporaries.len()];
        for output in &self.graph.outputs {
            if let Slot::Temporary(index) = output {
                seen[*index] = true;
            }
        }
        for step in self.graph.steps.iter_mut().rev() {
            for &(slot, ..) in &step.bindings {
                if let Slot::Temporary(index) = slot
                    && !std::mem::replace(&mut seen[index], true)
                {
                    step.last.push(index);
                }
            }
        }
        self.graph
    }
}

impl Stream {
    /// Records what `f` submits on this stream. `f` gets a placeholder for each input, of the
    /// given size in bytes, and gives the buffers that a replay is to return. Nothing runs.
    pub fn record<E: From<Error>>(
        &self,
        inputs: &[usize],
        f: impl FnOnce(&[Buffer]) -> Result<Vec<Buffer>, E>,
    ) -> Result<Graph, E> {
        let device = self.device();
        let inputs: Vec<_> = inputs
            .iter()
            .map(|&b| Buffer::placeholder(device, b))
            .collect();
        self.start_recording(Recorder::new(device, &inputs))?;
        // Leaves the recording on unwinding too.
        struct Stop<'a>(&'a Stream);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.stop_recording();
            }
        }
        let stop = Stop(self);
        let outputs = self.enter(|| f(&inputs))?;
        let recorder = self.stop_recording();
        drop(stop);
        recorder
            .map(|recorder| recorder.finish(&outputs))
            .ok_or_else(|| E::from(Error::Recorded))
    }
}

impl Graph {
    /// How many plans a replay submits.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Runs the recorded plans on `stream` with these inputs, each at least as long as recorded.
    pub fn replay(&self, stream: &Stream, inputs: &[&Buffer]) -> Result<Vec<Buffer>> {
        self.check(inputs)?;
        let mut temporaries: Vec<Option<Buffer>> = vec![None; self.temporaries.len()];
        for step in &self.steps {
            for &(slot, ..) in &step.bindings {
                self.fill(stream, &mut temporaries, slot)?;
            }
            let plan = self.plan(step, inputs, &temporaries)?;
            // SAFETY: the recorded plan was vouched for, and every buffer is as long as the one
            // it stands for.
            unsafe { stream.submit(&plan)? };
            drop(plan);
            for &index in &step.last {
                temporaries[index] = None;
            }
        }
        self.outputs
            .iter()
            .map(|&slot| {
                self.fill(stream, &mut temporaries, slot)?;
                self.find(inputs, &temporaries, slot)
                    .cloned()
                    .ok_or(Error::Recorded)
            })
            .collect()
    }

    fn plan<'a>(
        &'a self,
        step: &Step,
        inputs: &[&'a Buffer],
        live: &'a [Option<Buffer>],
    ) -> Result<Plan<'a>> {
        let bindings = step.bindings.iter().map(|&(slot, offset, access)| {
            Some(Binding {
                buffer: self.find(inputs, live, slot)?,
                offset,
                access,
            })
        });
        Ok(Plan {
            kernel: step.kernel,
            grid: step.grid,
            cost: step.cost,
            scratch: step.scratch,
            params: step.params,
            bindings: bindings.collect::<Option<_>>().ok_or(Error::Recorded)?,
        })
    }

    fn check(&self, inputs: &[&Buffer]) -> Result<()> {
        let lengths: Vec<usize> = inputs.iter().map(|buffer| buffer.bytes()).collect();
        let fits = lengths.len() == self.inputs.len()
            && lengths
                .iter()
                .zip(&self.inputs)
                .all(|(given, recorded)| given >= recorded);
        if fits {
            return Ok(());
        }
        let words = |sizes: &[usize]| format!("{} buffers of {sizes:?} bytes", sizes.len());
        Err(Error::GraphInputs {
            expected: words(&self.inputs),
            found: words(&lengths),
        })
    }

    fn fill(&self, stream: &Stream, live: &mut [Option<Buffer>], slot: Slot) -> Result<()> {
        if let Slot::Temporary(index) = slot
            && live[index].is_none()
        {
            live[index] = Some(stream.allocate(self.temporaries[index])?);
        }
        Ok(())
    }

    fn find<'a>(
        &'a self,
        inputs: &[&'a Buffer],
        live: &'a [Option<Buffer>],
        slot: Slot,
    ) -> Option<&'a Buffer> {
        match slot {
            Slot::Input(index) => inputs.get(index).copied(),
            Slot::Constant(index) => self.constants.get(index),
            Slot::Temporary(index) => live[index].as_ref(),
        }
    }

    /// The device that the graph was recorded for.
    pub fn device(&self) -> Device {
        self.device
    }
}
