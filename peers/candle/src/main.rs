//! Candle as a contender in `wootz scale`: as many threads as asked, each with its own input, each
//! waiting for every result. `crates/cli/src/scale/peer.rs` has the conversation.

mod loads;

use std::collections::BTreeMap;
use std::io::{BufRead, Write, stdin, stdout};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Result};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Request {
    callers: usize,
    window_ns: u64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Ready { ready: String },
    Warm { warm: bool },
    Done { rate: f64, latency: Vec<(u64, u64)> },
    Error { error: String },
}

/// What to do, from the command line.
struct Task {
    device: Device,
    dtype: DType,
    op: String,
    chain: usize,
}

fn main() {
    if let Err(error) = task().and_then(serve) {
        say(&Answer::Error { error });
    }
}

fn task() -> std::result::Result<Task, String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let pair = arguments.chunks(2).find(|pair| pair[0] == name);
        pair.and_then(|pair| pair.get(1)).map(String::as_str)
    };
    let device = match value("--device").unwrap_or("cpu") {
        "cpu" => Ok(Device::Cpu),
        name if name.starts_with("cuda") => Device::new_cuda_with_stream(0),
        name if name.starts_with("metal") => Device::new_metal(0),
        other => return Err(format!("no device {other} here")),
    };
    let dtype = match value("--dtype").unwrap_or("f32") {
        "f32" => DType::F32,
        "f16" => DType::F16,
        "bf16" => DType::BF16,
        other => return Err(format!("no {other} here")),
    };
    Ok(Task {
        device: device.map_err(|error| error.to_string())?,
        dtype,
        op: value("--op").unwrap_or("softmax").to_owned(),
        chain: value("--chain").and_then(|n| n.parse().ok()).unwrap_or(1),
    })
}

fn serve(task: Task) -> std::result::Result<(), String> {
    let words = |error: candle_core::Error| error.to_string();
    // Says now what cannot be done.
    task.call().and_then(|mut call| call()).map_err(words)?;
    say(&Answer::Ready {
        ready: "Candle 0.9, one device object for each thread".to_owned(),
    });
    while let Some(line) = hear() {
        let request: Request = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        say(&round(&task, &request).map_err(words)?);
    }
    Ok(())
}

impl Task {
    /// A thread's call, from submission to the finished result.
    fn call(&self) -> Result<impl FnMut() -> Result<()> + use<>> {
        // On CUDA a device object is a stream.
        let device = match &self.device {
            Device::Cuda(_) => Device::new_cuda_with_stream(0)?,
            other => other.clone(),
        };
        let (op, input) = loads::find(&self.op, self.dtype, &device)?;
        let chain = self.chain;
        Ok(move || {
            let mut x = op(&input)?;
            for _ in 1..chain {
                x = op(&x)?;
            }
            device.synchronize()
        })
    }
}

fn round(task: &Task, request: &Request) -> Result<Answer> {
    let window = Duration::from_nanos(request.window_ns);
    let (warm, go) = (
        Barrier::new(request.callers + 1),
        Barrier::new(request.callers + 1),
    );
    let caller = || {
        let warmed = task.call().and_then(|mut call| {
            let start = Instant::now();
            while start.elapsed() < window / 8 {
                call()?;
            }
            Ok(call)
        });
        warm.wait();
        go.wait();
        measure(&mut warmed?, window)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..request.callers).map(|_| scope.spawn(caller)).collect();
        warm.wait();
        say(&Answer::Warm { warm: true });
        hear();
        go.wait();
        let (mut rate, mut latency) = (0.0, BTreeMap::new());
        for thread in threads {
            let (own, times) = thread.join().expect("callers do not panic")?;
            rate += own;
            for nanos in times {
                *latency.entry(seven_bits(nanos)).or_insert(0) += 1;
            }
        }
        let latency = latency.into_iter().collect();
        Ok(Answer::Done { rate, latency })
    })
}

fn measure(call: &mut impl FnMut() -> Result<()>, window: Duration) -> Result<(f64, Vec<u64>)> {
    let mut times = Vec::new();
    let start = Instant::now();
    let mut last = start;
    while last - start < window {
        call()?;
        let now = Instant::now();
        times.push((now - last).as_nanos() as u64);
        last = now;
    }
    Ok((times.len() as f64 / (last - start).as_secs_f64(), times))
}

/// The value to within 1/64, so that few different ones remain.
fn seven_bits(nanos: u64) -> u64 {
    let shift = nanos.max(1).ilog2().saturating_sub(6);
    nanos >> shift << shift
}

fn say(answer: &Answer) {
    let line = serde_json::to_string(answer).expect("plain data");
    let mut out = stdout().lock();
    // Who no longer listens is not told.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn hear() -> Option<String> {
    let mut line = String::new();
    let read = stdin().lock().read_line(&mut line);
    read.is_ok_and(|bytes| bytes > 0).then_some(line)
}
