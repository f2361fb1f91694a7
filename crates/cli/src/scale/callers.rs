//! What one caller does in each mode, from its stream to the end of its wait.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use wootz::Stream;
use wootz::runtime::{Calls, Submission};

use super::crowd::{Call, Crowd, MakeCall, Round, race};
use super::load::Work;
use super::mode::Task;
use crate::failure::Failure;

/// Callers that are threads of this process, made anew for each round.
pub struct Threads {
    pub task: Arc<Task>,
    /// How their work travels; as the library likes if nothing is said.
    pub way: Option<Submission>,
    pub make_call: Box<MakeCall<'static>>,
}

impl Crowd for Threads {
    fn round(&mut self, callers: usize, window: Duration) -> Result<Round, Failure> {
        let (device, make_call) = (self.task.device, &*self.make_call);
        let usual = device.submission();
        device.set_submission(self.way.unwrap_or(usual));
        let round = race(callers, window, make_call, || Ok(()));
        device.set_submission(usual);
        round
    }
}

/// A stream of the caller's own, with its work.
fn own(task: &Task) -> Result<(Stream, Work), Failure> {
    let stream = Stream::new(task.device)?;
    let work = stream.enter(|| task.load.prepare(task.device))?;
    Ok((stream, work))
}

pub fn own_stream(task: Arc<Task>) -> Box<MakeCall<'static>> {
    batch(task, 1)
}

/// Several calls for each wait.
pub fn batch(task: Arc<Task>, calls: usize) -> Box<MakeCall<'static>> {
    Box::new(move || {
        let (stream, work) = own(&task)?;
        let call: Call<'static> = Box::new(move || {
            stream.enter(|| {
                for _ in 1..calls {
                    work.submit()?;
                }
                Ok(work.submit()?.wait()?)
            })
        });
        Ok(call)
    })
}

pub fn graph(task: Arc<Task>) -> Box<MakeCall<'static>> {
    Box::new(move || {
        let (stream, work) = own(&task)?;
        let graph = work.record(&stream, 1)?;
        let call: Call<'static> = Box::new(move || {
            stream.enter(|| {
                let results = graph.replay(&stream, &work.inputs())?;
                let mut results = results.iter();
                Ok(results.try_for_each(|result| result.wait())?)
            })
        });
        Ok(call)
    })
}

pub fn bare(task: Arc<Task>, calls: Calls) -> Box<MakeCall<'static>> {
    Box::new(move || {
        let (stream, work) = own(&task)?;
        let graph = work.record(&stream, 1)?;
        let bare = graph.bare(&stream, &work.inputs(), calls)?;
        let none = || {
            let (op, device) = (task.load.op, task.device.name());
            Failure::Input(format!("the driver of {device} alone cannot do {op}"))
        };
        let mut bare = bare.ok_or_else(none)?;
        let call: Call<'static> = Box::new(move || {
            // The memory of the calls is this stream's.
            let _home = &stream;
            Ok(bare.run(1)?)
        });
        Ok(call)
    })
}

/// The work of one stream, then the same on another with its result. `through_host`: the caller
/// waits in between, and the streams do not know of each other.
pub fn two_streams(task: Arc<Task>, through_host: bool) -> Box<MakeCall<'static>> {
    Box::new(move || {
        let (first, then) = (own(&task)?, own(&task)?);
        let call: Call<'static> = Box::new(move || {
            let x = first.0.enter(|| first.1.submit())?;
            if through_host {
                x.wait()?;
            }
            Ok(then.0.enter(|| then.1.submit_after(&x))?.wait()?)
        });
        Ok(call)
    })
}

#[expect(
    clippy::disallowed_types,
    reason = "the lock is what this mode measures"
)]
pub fn shared_stream(task: Arc<Task>) -> Result<Box<MakeCall<'static>>, Failure> {
    let stream = Arc::new(std::sync::Mutex::new(Stream::new(task.device)?));
    Ok(Box::new(move || {
        let stream = stream.clone();
        let locked = || stream.lock().unwrap_or_else(PoisonError::into_inner);
        let work = locked().enter(|| task.load.prepare(task.device))?;
        // The lock is held to submit, not to wait: the best that sharing a stream can do.
        let call: Call<'static> = Box::new(move || {
            let result = stream
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .enter(|| work.submit())?;
            Ok(result.wait()?)
        });
        Ok(call)
    }))
}

#[expect(
    clippy::disallowed_types,
    reason = "the lock is what this mode measures"
)]
pub fn one_at_a_time(task: Arc<Task>) -> Box<MakeCall<'static>> {
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
