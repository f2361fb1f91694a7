//! The modes of `wootz scale`: what callers share, one row of the table each.

use std::process::Command;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use wootz::{DType, Device, Stream};

use super::crowd::{Call, Crowd, MakeCall, Round, race};
use super::load::Load;
use super::peer::{Peer, Pool};
use crate::failure::Failure;

/// Gathers that many callers for a task.
type Open = fn(&Arc<Task>, usize) -> Result<Box<dyn Crowd>, Failure>;

/// A way for callers to share a device.
pub struct Mode {
    pub name: &'static str,
    /// What the callers share, and so what limits them.
    pub about: &'static str,
    open: Open,
}

/// What all callers of a run do, and where.
pub struct Task {
    pub device: Device,
    pub dtype: DType,
    pub load: Load,
}

impl Mode {
    /// Sets up what up to `most` callers need, before any clock runs.
    pub fn open(&self, task: &Arc<Task>, most: usize) -> Result<Box<dyn Crowd>, Failure> {
        (self.open)(task, most)
    }
}

pub const MODES: &[Mode] = &[
    Mode {
        name: "own",
        about: "a stream for each thread: they share the device and nothing else",
        open: |task, _| Ok(Box::new(Threads(own_stream(task.clone())))),
    },
    Mode {
        name: "shared",
        about: "one stream behind a lock: submissions take turns",
        open: |task, _| Ok(Box::new(Threads(shared_stream(task.clone())?))),
    },
    Mode {
        name: "mutex",
        about: "a stream for each thread, one lock around each operation: one at a time",
        open: |task, _| Ok(Box::new(Threads(one_at_a_time(task.clone())))),
    },
    Mode {
        name: "processes",
        about: "a process for each caller: each pays for its own memory, code and device context",
        open: |task, most| Ok(Box::new(processes(task, most)?)),
    },
];

pub fn names() -> Vec<&'static str> {
    MODES.iter().map(|mode| mode.name).collect()
}

/// Callers that are threads of this process, made anew for each round.
struct Threads(Box<MakeCall<'static>>);

impl Crowd for Threads {
    fn round(&mut self, callers: usize, window: Duration) -> Result<Round, Failure> {
        race(callers, window, &*self.0, || Ok(()))
    }
}

pub fn own_stream(task: Arc<Task>) -> Box<MakeCall<'static>> {
    Box::new(move || {
        let stream = Stream::new(task.device)?;
        let submit = stream.enter(|| task.load.prepare(task.device))?;
        let call: Call<'static> = Box::new(move || Ok(stream.enter(|| submit()?.wait())?));
        Ok(call)
    })
}

#[expect(
    clippy::disallowed_types,
    reason = "the lock is what this mode measures"
)]
fn shared_stream(task: Arc<Task>) -> Result<Box<MakeCall<'static>>, Failure> {
    let stream = Arc::new(std::sync::Mutex::new(Stream::new(task.device)?));
    Ok(Box::new(move || {
        let stream = stream.clone();
        let locked = || stream.lock().unwrap_or_else(PoisonError::into_inner);
        let submit = locked().enter(|| task.load.prepare(task.device))?;
        // The lock is held to submit, not to wait: the best that sharing a stream can do.
        let call: Call<'static> = Box::new(move || {
            let result = stream
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .enter(&submit)?;
            Ok(result.wait()?)
        });
        Ok(call)
    }))
}

#[expect(
    clippy::disallowed_types,
    reason = "the lock is what this mode measures"
)]
fn one_at_a_time(task: Arc<Task>) -> Box<MakeCall<'static>> {
    let turn = Arc::new(std::sync::Mutex::new(()));
    let make_call = own_stream(task);
    Box::new(move || {
        let turn = turn.clone();
        let mut call = make_call()?;
        let call: Call<'static> = Box::new(move || {
            let _held = turn.lock().unwrap_or_else(PoisonError::into_inner);
            call()
        });
        Ok(call)
    })
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
