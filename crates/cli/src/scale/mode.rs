//! The modes of `wootz scale`: what callers share and how their work travels, one row of the table
//! each.

use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use wootz::runtime::{Calls, Family, Residence, Submission};
use wootz::{DType, Device, Stream};

use super::callers::{self, Threads};
use super::crowd::{Crowd, MakeCall};
use super::limit::Shared;
use super::load::Load;
use super::peer::{Peer, Pool};
use crate::failure::Failure;

/// What all callers of a run do, and where.
pub struct Task {
    pub device: Device,
    pub dtype: DType,
    pub load: Load,
    /// Calls for each wait, in mode `batch`.
    pub batch: usize,
}

/// A way for callers to share a device.
pub struct Mode {
    pub name: &'static str,
    /// What the callers share, and so what limits them.
    pub about: &'static str,
    pub shared: Shared,
    /// Calls for each wait.
    pub calls: fn(&Task) -> usize,
    open: Open,
}

/// Gathers that many callers for a task.
type Open = fn(&Arc<Task>, usize) -> Result<Opened, Failure>;

/// What came of opening a mode.
pub enum Opened {
    Ready(Box<dyn Crowd>),
    /// It has no meaning here, and why.
    Absent(String),
}

impl Mode {
    /// Sets up what up to `most` callers need, before any clock runs.
    pub fn open(&self, task: &Arc<Task>, most: usize) -> Result<Opened, Failure> {
        (self.open)(task, most)
    }
}

const ONE: fn(&Task) -> usize = |_| 1;
const TWO: fn(&Task) -> usize = |_| 2;

pub const MODES: &[Mode] = &[
    Mode {
        name: "own",
        about: "a stream for each thread: they share the device and nothing else",
        shared: Shared::Device,
        calls: ONE,
        open: |task, _| Ok(threads(task, None, callers::own_stream(task.clone()))),
    },
    Mode {
        name: "launch",
        about: "the same, each op by a launch of the driver's",
        shared: Shared::Driver,
        calls: ONE,
        open: |task, _| on_cuda(task, Submission::Launch, callers::own_stream),
    },
    Mode {
        name: "graph",
        about: "a stream for each thread, each call a recorded graph",
        shared: Shared::Driver,
        calls: ONE,
        open: |task, _| {
            let way = is_cuda(task).then_some(Submission::Graph);
            Ok(threads(task, way, callers::graph(task.clone())))
        },
    },
    Mode {
        name: "ring",
        about: "a stream for each thread, small ops to a kernel that stays on the device",
        shared: Shared::Bus,
        calls: ONE,
        open: |task, _| match residence(task)? {
            Some(why) => Ok(Opened::Absent(why)),
            None => on_cuda(task, Submission::Ring, callers::own_stream),
        },
    },
    Mode {
        name: "ring-graph",
        about: "a stream for each thread, each call a recorded graph that such a kernel walks",
        shared: Shared::Bus,
        calls: ONE,
        open: |task, _| match residence(task)? {
            Some(why) => Ok(Opened::Absent(why)),
            None => on_cuda(task, Submission::Ring, callers::graph),
        },
    },
    Mode {
        name: "batch",
        about: "a stream for each thread, several calls for each wait",
        shared: Shared::Device,
        calls: |task| task.batch,
        open: |task, _| {
            let calls = callers::batch(task.clone(), task.batch);
            Ok(threads(task, None, calls))
        },
    },
    Mode {
        name: "device-wait",
        about: "two streams a thread, one with the other's result: it waits on the device",
        shared: Shared::Device,
        calls: TWO,
        open: |task, _| two_streams(task, false),
    },
    Mode {
        name: "event-wait",
        about: "the same, but the thread waits for the event in between",
        shared: Shared::Device,
        calls: TWO,
        open: |task, _| two_streams(task, true),
    },
    Mode {
        name: "raw",
        about: "the driver's launch and synchronize and nothing else, on the same kernels",
        shared: Shared::Bare,
        calls: ONE,
        open: |task, _| bare(task, Calls::Launches),
    },
    Mode {
        name: "raw-graph",
        about: "the driver's graph launch and synchronize and nothing else",
        shared: Shared::Bare,
        calls: ONE,
        open: |task, _| bare(task, Calls::Graph),
    },
    Mode {
        name: "shared",
        about: "one stream behind a lock: submissions take turns",
        shared: Shared::Lock,
        calls: ONE,
        open: |task, _| {
            let calls = callers::shared_stream(task.clone())?;
            Ok(threads(task, None, calls))
        },
    },
    Mode {
        name: "mutex",
        about: "a stream for each thread, one lock around each operation: one at a time",
        shared: Shared::Lock,
        calls: ONE,
        open: |task, _| Ok(threads(task, None, callers::one_at_a_time(task.clone()))),
    },
    Mode {
        name: "processes",
        about: "a process for each caller: each pays for its own memory, code and device context",
        shared: Shared::Contexts,
        calls: ONE,
        open: |task, most| Ok(Opened::Ready(Box::new(processes(task, most)?))),
    },
];

pub fn names() -> Vec<&'static str> {
    MODES.iter().map(|mode| mode.name).collect()
}

fn is_cuda(task: &Task) -> bool {
    task.device.caps().family == Family::Cuda
}

fn threads(task: &Arc<Task>, way: Option<Submission>, make_call: Box<MakeCall<'static>>) -> Opened {
    Opened::Ready(Box::new(Threads {
        task: task.clone(),
        way,
        make_call,
    }))
}

fn on_cuda(
    task: &Arc<Task>,
    way: Submission,
    make_call: impl FnOnce(Arc<Task>) -> Box<MakeCall<'static>>,
) -> Result<Opened, Failure> {
    if !is_cuda(task) {
        let why = "only a CUDA device has several ways for work to travel";
        return Ok(Opened::Absent(why.to_owned()));
    }
    Ok(threads(task, Some(way), make_call(task.clone())))
}

fn bare(task: &Arc<Task>, calls: Calls) -> Result<Opened, Failure> {
    on_cuda(task, Submission::Launch, |task| callers::bare(task, calls))
}

fn two_streams(task: &Arc<Task>, through_host: bool) -> Result<Opened, Failure> {
    if task.device.caps().synchronous {
        let why = "an op on this device is done when its call returns";
        return Ok(Opened::Absent(why.to_owned()));
    }
    if !task.load.chains(task.device)? {
        let why = format!("{} does not take its own result", task.load.op);
        return Ok(Opened::Absent(why));
    }
    let calls = callers::two_streams(task.clone(), through_host);
    Ok(threads(task, None, calls))
}

/// Waits until the ring can be used; says why it never can.
fn residence(task: &Task) -> Result<Option<String>, Failure> {
    const LONGEST: Duration = Duration::from_secs(120);
    if !is_cuda(task) {
        return Ok(Some("only a CUDA device keeps kernels".to_owned()));
    }
    let (device, usual) = (task.device, task.device.submission());
    device.set_submission(Submission::Ring);
    let stream = Stream::new(device)?;
    // The first plan has the resident kernel compiled.
    let result = stream.enter(|| task.load.prepare(device)?.submit()?.wait());
    let start = Instant::now();
    let outcome = loop {
        match device.residence() {
            Residence::Ready { .. } => break None,
            Residence::Absent(why) => break Some(why),
            Residence::Coming if start.elapsed() > LONGEST => {
                break Some("the resident kernel did not come".to_owned());
            }
            Residence::Coming => thread::sleep(Duration::from_millis(20)),
        }
    };
    device.set_submission(usual);
    result?;
    Ok(outcome)
}

/// This program again, as often as there will be callers.
fn processes(task: &Task, most: usize) -> Result<Pool, Failure> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::Device(format!(
            "cannot find this program to start it again: {error}"
        ))
    })?;
    let start = |_| {
        let mut command = Command::new(&program);
        command.args(["worker", "--device", task.device.name()]);
        command.args(["--op", task.load.op, "--dtype", task.dtype.name()]);
        command.args(["--chain", &task.load.chain.to_string()]);
        Peer::start("a worker process", command)
    };
    let mut peers = (0..most)
        .map(start)
        .collect::<Result<Vec<Peer>, Failure>>()?;
    for peer in &mut peers {
        peer.hello()?;
    }
    Ok(Pool(peers))
}
