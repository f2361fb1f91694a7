//! Graphs: a stream's plans, recorded once and replayed with new inputs.
//!
//! While a stream records, nothing runs: what the steps would write are placeholders with no
//! memory. When the recording ends, placeholders that are never needed at once get one *block*
//! between them ([`lifetimes`]), and each step learns which earlier ones it must come after
//! ([`order`]). A replay gives each block fresh memory of the replaying stream, so that many
//! threads can replay one graph at once.

mod lifetimes;
mod order;

use crate::{
    backend::BareCalls,
    buffer::Buffer,
    device::Device,
    error::{Error, Result},
    plan::{Access, Binding, Cost, Grid, Kernel, Params, Parts, Plan},
    stream::{MARK_BYTES, Stream},
    tensor_map::TensorMap,
};
use smallvec::SmallVec;
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

/// A recorded sequence of plans.
#[derive(Debug)]
pub struct Graph {
    device: Device,
    /// What backends know the graph by, as long as it lives.
    identity: Arc<()>,
    inputs: Vec<usize>,
    /// Bytes of the memory that each replay allocates.
    blocks: Vec<usize>,
    constants: Vec<Buffer>,
    steps: Vec<Step>,
    outputs: Vec<Slot>,
    /// What the steps write.
    written: Vec<Slot>,
    /// The kernel that may refuse elements, if there is one.
    refuses: Option<&'static str>,
}

/// Where a replay finds a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    Input(usize),
    Constant(usize),
    Block(usize),
    /// Where the replaying stream's kernels note what they refuse.
    Mark,
}

impl Slot {
    /// Whether a replay may give both the same memory.
    pub(crate) fn may_be(self, other: Slot) -> bool {
        let outside = |slot| matches!(slot, Slot::Input(_) | Slot::Constant(_));
        self == other || outside(self) && outside(other)
    }
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) kernel: Kernel,
    pub(crate) grid: Grid,
    pub(crate) cost: Cost,
    pub(crate) scratch: usize,
    pub(crate) params: Params,
    pub(crate) bindings: SmallVec<[Bound; 6]>,
    pub(crate) maps: Vec<TensorMap>,
    pub(crate) parts: Parts,
    /// The earlier steps that must be done before this one; what those wait for is left out.
    pub(crate) after: SmallVec<[usize; 4]>,
}

/// A binding of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) slot: Slot,
    pub(crate) offset: usize,
    pub(crate) access: Access,
}

/// A recording in progress. Until it ends, each temporary has a block of its own.
pub(crate) struct Recorder {
    slots: HashMap<usize, Slot>,
    /// Handles that keep the identities in `slots` from being used again.
    held: Vec<Buffer>,
    mark: Option<Buffer>,
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
            identity: Arc::new(()),
            inputs: inputs.iter().map(Buffer::bytes).collect(),
            blocks: Vec::new(),
            constants: Vec::new(),
            steps: Vec::new(),
            outputs: Vec::new(),
            written: Vec::new(),
            refuses: None,
        };
        Recorder {
            slots,
            held: inputs.to_vec(),
            mark: None,
            graph,
        }
    }

    pub(crate) fn push(&mut self, plan: &Plan<'_>) -> Result<()> {
        let bound = |binding: &Binding<'_>| {
            Ok(Bound {
                slot: self.slot(binding.buffer)?,
                offset: binding.offset,
                access: binding.access,
            })
        };
        let bindings = plan.bindings.iter().map(bound).collect::<Result<_>>()?;
        self.graph.steps.push(Step {
            kernel: plan.kernel,
            grid: plan.grid,
            cost: plan.cost,
            scratch: plan.scratch,
            params: plan.params,
            bindings,
            maps: plan.maps.clone(),
            parts: plan.parts,
            after: SmallVec::new(),
        });
        Ok(())
    }

    /// What stands for the place where `kernel` notes what it refuses.
    pub(crate) fn refusals(&mut self, kernel: &'static str) -> Buffer {
        self.graph.refuses = Some(kernel);
        let (slots, device) = (&mut self.slots, self.graph.device);
        let mark = self.mark.get_or_insert_with(|| {
            let mark = Buffer::placeholder(device, MARK_BYTES);
            slots.insert(mark.id(), Slot::Mark);
            mark
        });
        mark.clone()
    }

    /// What stands for memory that a step is to write.
    pub(crate) fn allocate(&mut self, bytes: usize) -> Buffer {
        let buffer = Buffer::placeholder(self.graph.device, bytes);
        self.slots
            .insert(buffer.id(), Slot::Block(self.graph.blocks.len()));
        self.graph.blocks.push(bytes);
        self.held.push(buffer.clone());
        buffer
    }

    /// Where a replay finds `buffer`.
    fn slot(&mut self, buffer: &Buffer) -> Result<Slot> {
        if let Some(slot) = self.slots.get(&buffer.id()) {
            return Ok(*slot);
        }
        // Of another recording.
        buffer.check_contents()?;
        let slot = Slot::Constant(self.graph.constants.len());
        self.graph.constants.push(buffer.clone());
        self.slots.insert(buffer.id(), slot);
        Ok(slot)
    }

    fn finish(mut self, outputs: &[Buffer]) -> Result<Graph> {
        let outputs = outputs.iter().map(|buffer| self.slot(buffer));
        self.graph.outputs = outputs.collect::<Result<_>>()?;
        let Graph {
            blocks,
            steps,
            outputs,
            written,
            ..
        } = &mut self.graph;
        *blocks = lifetimes::share(blocks, steps, outputs);
        order::order(steps);
        let bindings = steps.iter().flat_map(|step| &step.bindings);
        let writes = bindings.filter(|bound| bound.access.writes());
        let slots: HashSet<Slot> = writes.map(|bound| bound.slot).collect();
        *written = slots.into_iter().collect();
        Ok(self.graph)
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
        let recorder = recorder.ok_or_else(|| E::from(Error::Recorded))?;
        Ok(recorder.finish(&outputs)?)
    }
}

impl Graph {
    /// How many plans a replay submits.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// The device that the graph was recorded for.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Runs the recorded plans on `stream` with these inputs, each at least as long as recorded.
    pub fn replay(&self, stream: &Stream, inputs: &[&Buffer]) -> Result<Vec<Buffer>> {
        let mut memory = self.memory(stream, inputs)?;
        stream.arrange(&self.identity, &mut memory.blocks);
        let run = self.run(inputs, &memory);
        // SAFETY: the recorded plans were vouched for, and every buffer is as long as the one it
        // stands for.
        let ran = unsafe { stream.replay(&run) };
        let outputs = self.outputs.iter();
        let outputs = outputs.map(|&slot| run.buffer(slot).clone()).collect();
        // The rest is free at once, here.
        stream.enter(|| drop(memory));
        ran.map(|()| outputs)
    }

    /// The driver's own calls for what a replay would do with these inputs now: nothing of this
    /// library between the caller and the driver. They write memory of their own, over and over,
    /// and are there to be compared with. Nothing where no driver is asked.
    pub fn bare(&self, stream: &Stream, inputs: &[&Buffer], calls: Calls) -> Result<Option<Bare>> {
        let memory = self.memory(stream, inputs)?;
        let run = self.run(inputs, &memory);
        // SAFETY: as for a replay; `Bare` keeps the memory, which nobody else writes.
        let calls = unsafe { stream.bare(&run, calls)? };
        let held = inputs.iter().copied().chain(&self.constants).cloned();
        let held: Vec<Buffer> = held.collect();
        Ok(calls.map(|calls| Bare {
            calls,
            _held: held,
            _memory: memory,
        }))
    }

    /// What a replay on `stream` writes.
    fn memory(&self, stream: &Stream, inputs: &[&Buffer]) -> Result<Memory> {
        self.check(stream, inputs)?;
        let blocks = self.blocks.iter().map(|&bytes| stream.allocate(bytes));
        Ok(Memory {
            blocks: blocks.collect::<Result<_>>()?,
            mark: match self.refuses {
                Some(kernel) => Some(stream.refusals(kernel)?),
                None => None,
            },
        })
    }

    fn run<'a>(&'a self, inputs: &'a [&'a Buffer], memory: &'a Memory) -> Run<'a> {
        Run {
            graph: self,
            inputs,
            memory,
        }
    }

    fn check(&self, stream: &Stream, inputs: &[&Buffer]) -> Result<()> {
        if stream.device() != self.device {
            return Err(Error::GraphInputs {
                expected: self.device.name().to_owned(),
                found: format!("a stream of {}", stream.device()),
            });
        }
        let fits = inputs.len() == self.inputs.len()
            && inputs
                .iter()
                .zip(&self.inputs)
                .all(|(given, recorded)| given.bytes() >= *recorded);
        if fits {
            return Ok(());
        }
        let words = |sizes: &[usize]| format!("{} buffers of {sizes:?} bytes", sizes.len());
        let lengths: Vec<usize> = inputs.iter().map(|buffer| buffer.bytes()).collect();
        Err(Error::GraphInputs {
            expected: words(&self.inputs),
            found: words(&lengths),
        })
    }
}

/// The memory of one replay.
struct Memory {
    blocks: SmallVec<[Buffer; 8]>,
    mark: Option<Buffer>,
}

/// A graph with the memory of one replay.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    graph: &'a Graph,
    inputs: &'a [&'a Buffer],
    memory: &'a Memory,
}

impl<'a> Run<'a> {
    /// What the graph is known by.
    pub(crate) fn identity(&self) -> &'a Arc<()> {
        &self.graph.identity
    }

    pub(crate) fn steps(&self) -> &'a [Step] {
        &self.graph.steps
    }

    pub(crate) fn buffer(&self, slot: Slot) -> &'a Buffer {
        match slot {
            Slot::Input(index) => self.inputs[index],
            Slot::Constant(index) => &self.graph.constants[index],
            Slot::Block(index) => &self.memory.blocks[index],
            Slot::Mark => {
                let mark = self.memory.mark.as_ref();
                mark.expect("made for a graph that has this slot")
            }
        }
    }

    /// What may come from other streams.
    pub(crate) fn given(&self) -> impl Iterator<Item = &'a Buffer> {
        self.inputs.iter().copied().chain(&self.graph.constants)
    }

    /// The slots that need not be the same memory in each replay.
    pub(crate) fn moving(&self) -> impl Iterator<Item = Slot> + use<> {
        let inputs = (0..self.inputs.len()).map(Slot::Input);
        let blocks = (0..self.memory.blocks.len()).map(Slot::Block);
        let mark = self.memory.mark.is_some().then_some(Slot::Mark);
        inputs.chain(blocks).chain(mark)
    }

    /// What the steps write.
    pub(crate) fn written(&self) -> impl Iterator<Item = &'a Buffer> {
        let run = *self;
        self.graph.written.iter().map(move |&slot| run.buffer(slot))
    }

    /// A step as a plan of its own.
    pub(crate) fn plan(&self, step: &Step) -> Plan<'a> {
        let bindings = step.bindings.iter().map(|bound| Binding {
            buffer: self.buffer(bound.slot),
            offset: bound.offset,
            access: bound.access,
        });
        Plan {
            kernel: step.kernel,
            grid: step.grid,
            cost: step.cost,
            scratch: step.scratch,
            params: step.params,
            bindings: bindings.collect(),
            maps: step.maps.clone(),
            parts: step.parts,
        }
    }
}

/// Which of the driver's calls [`Graph::bare`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// A launch for each step.
    Launches,
    /// One launch of a graph of the driver's, a step behind the other.
    Graph,
}

/// What [`Graph::bare`] gives.
pub struct Bare {
    calls: Box<dyn BareCalls>,
    _held: Vec<Buffer>,
    _memory: Memory,
}

impl Bare {
    /// Makes the calls `times` times, then the one that waits for all of them.
    pub fn run(&mut self, times: usize) -> Result<()> {
        self.calls.run(times)
    }
}

impl fmt::Debug for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bare").finish_non_exhaustive()
    }
}
