//! How long the kernels of an op run.

use std::time::{Duration, Instant};

use wootz::Stream;
use wootz::runtime::Calls;

use super::mode::Task;
use crate::failure::Failure;

/// Kernels in the graph that is timed, at least: enough that starting it does not show.
const MANY: usize = 256;
/// How long is measured.
const WINDOW: Duration = Duration::from_millis(20);

/// The kernels of an op.
#[derive(Clone, Copy)]
pub struct Kernels {
    pub count: usize,
    /// What they take when each starts as the last one ends: in a graph of the driver's.
    pub us: f64,
}

/// Times the kernels of one op. Nothing where no driver is asked.
pub fn kernels(task: &Task) -> Result<Option<Kernels>, Failure> {
    if task.device.caps().synchronous {
        return Ok(None);
    }
    let stream = Stream::new(task.device)?;
    let work = stream.enter(|| task.load.prepare(task.device))?;
    let steps = work.record(&stream, 1)?.steps();
    let calls = (MANY / steps.max(1)).max(1);
    let graph = work.record(&stream, calls)?;
    let Some(mut bare) = graph.bare(&stream, &work.inputs(), Calls::Graph)? else {
        return Ok(None);
    };
    bare.run(2)?;
    let (start, mut times) = (Instant::now(), 0);
    while start.elapsed() < WINDOW {
        bare.run(8)?;
        times += 8;
    }
    let ops = times * calls * task.load.chain;
    Ok(Some(Kernels {
        count: steps / task.load.chain,
        us: start.elapsed().as_secs_f64() * 1e6 / ops as f64,
    }))
}
