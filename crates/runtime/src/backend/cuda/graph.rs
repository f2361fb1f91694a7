//! Recorded graphs as graphs of the driver's: a replay is one call.
//!
//! A stream has an *instance* of each graph that is replayed on it, made the first time. Its nodes
//! hold the addresses that they were given last. Who replays over and over gets the same memory from
//! the stream's pool, in whatever order. Blocks of one size are swapped so that each is where it was
//! last time, and then nothing is to be done but the call. Where memory has moved all the same, the
//! nodes that use it are given the new address first; that concerns later launches of the instance
//! and leaves those under way alone.
//!
//! Nodes come after those that the graph's order names, so that branches run side by side. Where one
//! comes after one other alone, it is started early, while that one runs, and waits for its end
//! itself (`follow_closely` in the dialect): so its start costs no time. Every kernel waits before
//! it touches memory; so the end of the one before means that all before that one have ended too.

use super::{
    driver::{AddEdges, Driver, Failure, Handle, add_edges},
    gpu::Gpu,
    launch::Launch,
};
use crate::{
    buffer::Buffer,
    error::Result,
    graph::{Run, Slot, Step},
    plan::Body,
};
use cudarc::driver::sys::{
    CUdeviceptr, CUgraph_st, CUgraphEdgeData, CUgraphExec_st, CUgraphNode_st, CUstream_st,
};
use smallvec::SmallVec;
use std::{
    ptr,
    sync::{Arc, Weak},
};

/// Graphs that a stream has instances of at once.
const MOST: usize = 32;

/// The instances of one stream.
pub(super) struct Graphs(Vec<Known>);

struct Known {
    /// The graph's identity. Held, so that no other graph gets the same address.
    of: Weak<()>,
    /// None where the driver made none: the steps are launched then.
    instance: Option<Instance>,
}

/// What the nodes come after.
#[derive(Clone, Copy)]
enum Order {
    /// What the graph says; by this call a node is started while the one before it runs.
    Early(AddEdges),
    /// What the graph says.
    AsNeeded,
    /// The node before.
    Chain,
}

impl Order {
    /// The best that the device can do.
    fn best(gpu: &Gpu) -> Order {
        /// The oldest compute capability whose kernels can wait by themselves.
        const OLDEST: u32 = 90;
        let early = add_edges().filter(|_| gpu.identity.capability >= OLDEST);
        early.map_or(Order::AsNeeded, Order::Early)
    }
}

/// A graph of the driver's that can be launched.
pub(super) struct Instance {
    driver: &'static Driver,
    graph: Handle<CUgraph_st>,
    executable: Handle<CUgraphExec_st>,
    /// The node of each step that has groups.
    nodes: Vec<Option<Node>>,
    /// Where the memory was that moves from replay to replay.
    places: Vec<(Slot, CUdeviceptr)>,
}

struct Node {
    handle: Handle<CUgraphNode_st>,
    launch: Launch,
}

fn place(run: &Run<'_>, slot: Slot) -> CUdeviceptr {
    run.buffer(slot).memory().handle as CUdeviceptr
}

pub(super) fn addresses(run: &Run<'_>, step: &Step) -> impl Iterator<Item = CUdeviceptr> {
    let bound = step.bindings.iter();
    bound.map(|bound| place(run, bound.slot) + bound.offset as CUdeviceptr)
}

/// Whether another library has a part in it: what that enqueues cannot be told to the driver.
pub(super) fn is_foreign(run: &Run<'_>) -> bool {
    let mut steps = run.steps().iter();
    steps.any(|step| matches!(step.kernel.body, Body::Foreign(_)))
}

/// How the lines of entry points begin whose kernels follow closely on the one before.
const WAITING: [&str; 5] = [
    "ENTRY(",
    "DENSE_ENTRY(",
    "CLUSTER_ENTRY(1, ",
    "CLUSTER_ENTRY(2, ",
    "CLUSTER_ENTRY(4, ",
];

/// Whether the kernel waits for the one before it: by its entry line, or, of Hopper's own, in its body.
fn waits_itself(step: &Step) -> bool {
    let Body::Source(source) = step.kernel.body else {
        return false;
    };
    let made_by = |sort| format!("\n{sort}{}, ", source.entry);
    let mut sorts = WAITING.into_iter();
    sorts.any(|sort| source.module.text().contains(&made_by(sort)))
}

impl Graphs {
    pub(super) fn new() -> Graphs {
        Graphs(Vec::new())
    }

    /// Launches the graph of `run` on a CUDA stream; `false` when its steps must be.
    ///
    /// # Safety
    /// As for [`Launch::launch`], for each step.
    pub(super) unsafe fn launch(
        &mut self,
        gpu: &Gpu,
        stream: Handle<CUstream_st>,
        run: &Run<'_>,
    ) -> Result<bool> {
        let known = self.known(gpu, run)?;
        let Some(instance) = &mut known.instance else {
            return Ok(false);
        };
        // SAFETY: passed on from the caller; the instance is of this graph.
        let launched = unsafe { instance.launch(stream, run) };
        match launched {
            Err(failure) if !failure.is_final() => {
                known.refused(failure);
                Ok(false)
            }
            outcome => gpu.attempt(outcome).map(|()| true),
        }
    }

    /// Puts the blocks of a replay where they were last time.
    pub(super) fn arrange(&self, graph: &Arc<()>, blocks: &mut [Buffer]) {
        if let Some(index) = self.position(graph)
            && let Some(instance) = &self.0[index].instance
        {
            instance.arrange(blocks);
        }
    }

    fn position(&self, graph: &Arc<()>) -> Option<usize> {
        let known = self.0.iter();
        let mut known = known.map(|known| ptr::eq(known.of.as_ptr(), Arc::as_ptr(graph)));
        known.position(|same| same)
    }

    fn known(&mut self, gpu: &Gpu, run: &Run<'_>) -> Result<&mut Known> {
        let of = run.identity();
        if let Some(index) = self.position(of) {
            return Ok(&mut self.0[index]);
        }
        self.0.retain(|known| known.of.strong_count() > 0);
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        let mut known = Known {
            of: Arc::downgrade(of),
            instance: None,
        };
        if is_foreign(run) {
            return Ok(self.0.push_mut(known));
        }
        let made = match Instance::new(gpu, run, Order::best(gpu))? {
            Err(failure) if !failure.is_final() => Instance::new(gpu, run, Order::AsNeeded)?,
            made => made,
        };
        match made {
            Ok(instance) => known.instance = Some(instance),
            Err(failure) if failure.is_final() => gpu.attempt(Err(failure))?,
            Err(failure) => known.refused(failure),
        }
        Ok(self.0.push_mut(known))
    }
}

impl Known {
    fn refused(&mut self, failure: Failure) {
        eprintln!("wootz: a recorded graph is launched step by step: {failure}");
        self.instance = None;
    }
}

impl Instance {
    /// An instance whose nodes come one after the other.
    pub(super) fn chain(gpu: &Gpu, run: &Run<'_>) -> Result<Result<Instance, Failure>> {
        Instance::new(gpu, run, Order::Chain)
    }

    fn new(gpu: &Gpu, run: &Run<'_>, order: Order) -> Result<Result<Instance, Failure>> {
        // First, since it may compile for long, or find that a plan cannot run.
        let launch = |step: &Step| Launch::of(gpu, step.kernel, step.grid, step.scratch);
        let launches: Result<Vec<_>> = run.steps().iter().map(launch).collect();
        Ok(Instance::around(gpu, run, &launches?, order))
    }

    fn around(
        gpu: &Gpu,
        run: &Run<'_>,
        launches: &[Option<Launch>],
        order: Order,
    ) -> Result<Instance, Failure> {
        let driver = gpu.driver;
        let (mut graph, mut executable) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: writes one handle, which the instance destroys.
        unsafe { driver.make_graph(&raw mut graph, 0)? };
        let mut instance = Instance {
            driver,
            graph: Handle(graph),
            executable: Handle(executable),
            nodes: Vec::with_capacity(launches.len()),
            places: run.moving().map(|slot| (slot, place(run, slot))).collect(),
        };
        for (step, launch) in run.steps().iter().zip(launches) {
            let node = launch.map(|launch| instance.add(run, step, launch, order));
            instance.nodes.push(node.transpose()?);
        }
        // SAFETY: writes one handle, which the instance destroys; the graph lives.
        unsafe { driver.make_executable(&raw mut executable, graph, 0)? };
        instance.executable = Handle(executable);
        Ok(instance)
    }

    /// Adds the node of the next step.
    fn add(
        &self,
        run: &Run<'_>,
        step: &Step,
        launch: Launch,
        order: Order,
    ) -> Result<Node, Failure> {
        let mut after: SmallVec<[*mut CUgraphNode_st; 4]> = SmallVec::new();
        match order {
            Order::Early(_) | Order::AsNeeded => step
                .after
                .iter()
                .for_each(|&earlier| self.wait_for(run, earlier, &mut after)),
            Order::Chain => {
                let last = self.nodes.iter().rev().flatten().next();
                after.extend(last.map(|node| node.handle.0));
            }
        }
        let early = match order {
            Order::Early(add_edges) if after.len() == 1 && waits_itself(step) => {
                after.pop().map(|before| (add_edges, before))
            }
            _ => None,
        };
        let mut node = ptr::null_mut();
        let graph = self.graph.0;
        launch.as_node(addresses(run, step), &step.maps, &step.params, |params| {
            // SAFETY: writes one handle, which the graph owns; the driver copies the parameters.
            unsafe {
                let (first, count) = (after.as_ptr(), after.len());
                self.driver
                    .add_node(&raw mut node, graph, first, count, params)
            }
        })?;
        if let Some((add_edges, before)) = early {
            // SAFETY: nodes of this graph.
            unsafe { start_early(add_edges, graph, before, node)? };
        }
        Ok(Node {
            handle: Handle(node),
            launch,
        })
    }

    /// Collects the nodes of a step, or, if it has none, of those that it comes after.
    fn wait_for(
        &self,
        run: &Run<'_>,
        earlier: usize,
        after: &mut SmallVec<[*mut CUgraphNode_st; 4]>,
    ) {
        match &self.nodes[earlier] {
            Some(node) if after.contains(&node.handle.0) => {}
            Some(node) => after.push(node.handle.0),
            None => {
                let before = run.steps()[earlier].after.iter();
                before.for_each(|&earlier| self.wait_for(run, earlier, after));
            }
        }
    }

    /// # Safety
    /// As for [`Launch::launch`], for each step; the graph of `run` is this instance's.
    unsafe fn launch(&mut self, stream: Handle<CUstream_st>, run: &Run<'_>) -> Result<(), Failure> {
        self.follow(run)?;
        // SAFETY: passed on from the caller; nodes have the memory of this run.
        unsafe { self.launch_as_it_is(stream) }
    }

    /// Launches it with the memory of the last run.
    ///
    /// # Safety
    /// As for [`Launch::launch`], for each step.
    pub(super) unsafe fn launch_as_it_is(
        &self,
        stream: Handle<CUstream_st>,
    ) -> Result<(), Failure> {
        // SAFETY: passed on from the caller; the executable and the stream live.
        unsafe { self.driver.launch_graph(self.executable.0, stream.0) }
    }

    fn arrange(&self, blocks: &mut [Buffer]) {
        for &(slot, last) in &self.places {
            let Slot::Block(block) = slot else {
                continue;
            };
            // Those before it are where they were, or can be nowhere.
            let bytes = blocks[block].bytes();
            let was_here = |found: &Buffer| {
                found.memory().handle as CUdeviceptr == last && found.bytes() == bytes
            };
            if let Some(ahead) = blocks[block..].iter().position(was_here) {
                blocks.swap(block, block + ahead);
            }
        }
    }

    /// Gives the nodes the memory of this run.
    fn follow(&mut self, run: &Run<'_>) -> Result<(), Failure> {
        let mut moved: SmallVec<[Slot; 16]> = SmallVec::new();
        for (slot, last) in &mut self.places {
            let now = place(run, *slot);
            if std::mem::replace(last, now) != now {
                moved.push(*slot);
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        for (step, node) in run.steps().iter().zip(&self.nodes) {
            let Some(Node { handle, launch }) = node else {
                continue;
            };
            if !step.bindings.iter().any(|b| moved.contains(&b.slot)) {
                continue;
            }
            launch.as_node(addresses(run, step), &step.maps, &step.params, |params| {
                // SAFETY: the executable and the node live and belong together; only arguments
                // differ, which the driver copies.
                unsafe { self.driver.change_node(self.executable.0, handle.0, params) }
            })?;
        }
        Ok(())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: the instance's own; the driver ends launches that are under way first. A failure
        // means that the device is gone, and with it what is to be destroyed.
        unsafe {
            if !self.executable.0.is_null() {
                let _ = self.driver.drop_executable(self.executable.0);
            }
            let _ = self.driver.drop_graph(self.graph.0);
        }
    }
}

/// Has a node started as soon as every group of the one before it has ended or said that it may.
///
/// # Safety
/// The nodes are the graph's.
unsafe fn start_early(
    add_edges: AddEdges,
    graph: *mut CUgraph_st,
    before: *mut CUgraphNode_st,
    node: *mut CUgraphNode_st,
) -> Result<(), Failure> {
    const SAID_SO: u8 = 1;
    const PROGRAMMATIC: u8 = 1;
    let edge = CUgraphEdgeData {
        from_port: SAID_SO,
        to_port: 0,
        type_: PROGRAMMATIC,
        reserved: [0; 5],
    };
    // SAFETY: the driver reads one of each.
    match unsafe {
        add_edges(
            graph,
            &raw const before,
            &raw const node,
            &raw const edge,
            1,
        )
    } {
        0 => Ok(()),
        code => Err(Failure {
            call: "cuGraphAddDependencies_v2",
            code,
        }),
    }
}
