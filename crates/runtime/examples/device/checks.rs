//! Results and errors that are known beforehand.

use crate::{
    report,
    small::{self, LANES, module, plan, read, run as submit, upload},
};
use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Instant,
};
use wootz_runtime::{Buffer, Device, Error, Stream};

type Check = fn(Device) -> Result<String, String>;

const CHECKS: &[(&str, Check)] = &[
    ("add", add),
    ("reverse through scratch", reverse),
    ("upload and download", transfers),
    ("waiting long", waiting_long),
    ("awaiting", awaiting),
    ("readers of one slow producer", one_producer),
    ("threads and streams in chains", chains),
    ("memory in use stays", memory_stays),
    ("graph", graph),
    ("source that does not compile", bad_source),
    ("limits of a group", limits),
    ("out of memory", out_of_memory),
];

/// How long it takes from `start` to a first result.
pub fn first(device: Device, start: Instant) -> bool {
    let first = add(device).map(|_| format!("{:.0} ms", start.elapsed().as_secs_f64() * 1e3));
    report("process start to first result", first)
}

/// Runs every check; whether all went well.
pub fn run(device: Device) -> bool {
    let mut sound = true;
    for (name, check) in CHECKS {
        sound &= report(name, check(device));
    }
    sound
}

fn words(error: Error) -> String {
    error.to_string()
}

fn stream(device: Device) -> Result<Stream, String> {
    Stream::new(device).map_err(words)
}

fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i % 4096) as f32).collect()
}

fn same<T: PartialEq + std::fmt::Debug>(found: &[T], expected: &[T]) -> Result<(), String> {
    match found.iter().zip(expected).position(|(f, e)| f != e) {
        Some(at) => Err(format!(
            "element {at}: {:?}, not {:?}",
            found[at], expected[at]
        )),
        None if found.len() == expected.len() => Ok(()),
        None => Err(format!("{} elements, not {}", found.len(), expected.len())),
    }
}

fn add(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let count = 1_000_003;
    let x = ramp(count);
    let a = upload(&stream, &x).map_err(words)?;
    let sum = submit(&stream, "small_add", count, 0, &[&a, &a]).map_err(words)?;
    let expected: Vec<f32> = x.iter().map(|x| x + x).collect();
    same(&read(&sum, count).map_err(words)?, &expected)?;
    Ok(format!("{count} elements"))
}

fn reverse(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let (lanes, count) = (LANES as usize, 1000 * LANES as usize);
    let x = ramp(count);
    let a = upload(&stream, &x).map_err(words)?;
    let out = submit(&stream, "small_reverse", count, 0, &[&a]).map_err(words)?;
    let expected: Vec<f32> = x
        .chunks(lanes)
        .flat_map(|row| row.iter().rev())
        .copied()
        .collect();
    same(&read(&out, count).map_err(words)?, &expected)?;
    Ok("1000 groups".to_owned())
}

fn transfers(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let mut said = vec![];
    for bytes in [1, 3, 4096, (256 << 10) + 1, (5 << 20) + 3, 256 << 20] {
        let sent: Vec<u8> = (0..bytes).map(|i| (i * 7 + i / 251) as u8).collect();
        // Filled, so that its pages are there before the clock starts.
        let mut came = vec![1; bytes];
        let start = Instant::now();
        let buffer = stream.upload(&sent).map_err(words)?;
        stream.synchronize().map_err(words)?;
        let up = start.elapsed();
        let start = Instant::now();
        buffer.read(0, &mut came).map_err(words)?;
        let down = start.elapsed();
        same(&came, &sent)?;
        let rate = |time: std::time::Duration| bytes as f64 / time.as_secs_f64() / 1e9;
        said.push(format!("{bytes} B {:.2}/{:.2} GB/s", rate(up), rate(down)));
    }
    let buffer = stream.upload(&[1, 2, 3, 4, 5]).map_err(words)?;
    let mut part = [0; 3];
    buffer.read(1, &mut part).map_err(words)?;
    same(&part, &[2, 3, 4])?;
    Ok(said.join(", "))
}

/// Turns that keep a device busy for some ten milliseconds, or the emulator for a moment.
fn slow(device: Device) -> u64 {
    if device.caps().synchronous {
        10
    } else {
        5_000_000
    }
}

fn waiting_long(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let x = upload(&stream, &[0.0; 64]).map_err(words)?;
    submit(&stream, "small_count_up", 64, 1, &[&x]).map_err(words)?;
    stream.synchronize().map_err(words)?;
    let start = Instant::now();
    let y = submit(&stream, "small_count_up", 64, slow(device), &[&x]).map_err(words)?;
    let submitted = start.elapsed();
    y.wait().map_err(words)?;
    let expected = [slow(device) as f32; 64];
    same(&read(&y, 64).map_err(words)?, &expected)?;
    Ok(format!(
        "submitted in {submitted:?}, done after {:?}",
        start.elapsed()
    ))
}

/// Runs a future to its end on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn awaiting(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let x = upload(&stream, &[1.0; 64]).map_err(words)?;
    let start = Instant::now();
    for turns in [1, slow(device) / 10, slow(device)] {
        let y = submit(&stream, "small_count_up", 64, turns, &[&x]).map_err(words)?;
        block_on(y.ready()).map_err(words)?;
        if !y.is_ready() {
            return Err("awaited and not ready".to_owned());
        }
    }
    let y = submit(&stream, "small_count_up", 64, slow(device) / 10, &[&x]).map_err(words)?;
    while !y.is_ready() {
        thread::yield_now();
    }
    Ok(format!("3 awaited and 1 polled in {:?}", start.elapsed()))
}

const THREADS: usize = 16;

/// Every thread reads at once what one stream is still writing.
fn one_producer(device: Device) -> Result<String, String> {
    let producer = stream(device)?;
    let count = 1000;
    let x = upload(&producer, &vec![0.0; count]).map_err(words)?;
    let turns = slow(device) / 10;
    let slow = submit(&producer, "small_count_up", count, turns, &[&x]).map_err(words)?;
    each_thread(|_| {
        let stream = stream(device)?;
        for _ in 0..20 {
            let y = submit(&stream, "small_add", count, 0, &[&slow, &x]).map_err(words)?;
            same(&read(&y, count).map_err(words)?, &vec![turns as f32; count])?;
        }
        Ok(())
    })?;
    Ok(format!("{THREADS} threads, 20 times each"))
}

/// Each thread passes a buffer round its streams, each of which adds to it slowly.
fn chains(device: Device) -> Result<String, String> {
    const STREAMS: usize = 4;
    let rounds = if device.caps().synchronous { 2 } else { 100 };
    let (count, turns) = (300, if device.caps().synchronous { 3 } else { 2000 });
    let start = Instant::now();
    each_thread(|thread| {
        let streams: Vec<Stream> = (0..STREAMS)
            .map(|_| stream(device))
            .collect::<Result<_, _>>()?;
        let mut x = upload(&streams[0], &vec![thread as f32; count]).map_err(words)?;
        for round in 0..rounds {
            for stream in &streams {
                let turns = turns + (round % 3) as u64;
                x = submit(stream, "small_count_up", count, turns, &[&x]).map_err(words)?;
            }
        }
        let turned: u64 = (0..rounds).map(|round| turns + (round % 3) as u64).sum();
        let expected = thread as f32 + (turned * STREAMS as u64) as f32;
        same(&read(&x, count).map_err(words)?, &vec![expected; count])
    })?;
    let hops = rounds * STREAMS;
    Ok(format!(
        "{THREADS} threads × {hops} hops in {:?}",
        start.elapsed()
    ))
}

fn each_thread(work: impl Fn(usize) -> Result<(), String> + Sync) -> Result<(), String> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..THREADS)
            .map(|index| scope.spawn(move || work(index)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("panicked".to_owned())))
    })
}

fn memory_stays(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let rounds = if device.caps().synchronous { 3 } else { 2000 };
    let x = upload(&stream, &ramp(1000)).map_err(words)?;
    let step = || submit(&stream, "small_count_up", 1000, 1, &[&x]).map_err(words);
    stream.enter(|| {
        step()?;
        let used = device.memory_used();
        for _ in 0..rounds {
            step()?;
        }
        match device.memory_used() {
            now if now == used => Ok(format!("{used} bytes before and after {rounds} rounds")),
            now => Err(format!("{used} bytes before, {now} after")),
        }
    })
}

fn graph(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let count = 1000;
    let graph = stream.record::<Error>(&[4 * count], |inputs| {
        let y = submit(&stream, "small_count_up", count, 2, &[&inputs[0]])?;
        Ok(vec![submit(
            &stream,
            "small_add",
            count,
            0,
            &[&inputs[0], &y],
        )?])
    });
    let graph = graph.map_err(words)?;
    for start in [0.0, 7.0] {
        let values: Vec<f32> = ramp(count).iter().map(|x| x + start).collect();
        let input = upload(&stream, &values).map_err(words)?;
        let outputs = graph.replay(&stream, &[&input]).map_err(words)?;
        let expected: Vec<f32> = values.iter().map(|x| 2.0 * x + 2.0).collect();
        same(&read(&outputs[0], count).map_err(words)?, &expected)?;
    }
    Ok(format!("{} steps, replayed twice", graph.steps()))
}

fn bad_source(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let out = stream.allocate(4).map_err(words)?;
    let bad = module("inline void broken() { this is no kernel; }\n");
    // SAFETY: nothing runs.
    let outcome = unsafe { stream.submit(&plan(bad, "broken", 1, 0, &[], &out)) };
    let log = match outcome {
        Err(Error::Compile { log, .. }) => log,
        other => return Err(format!("{other:?}")),
    };
    // SAFETY: nothing runs.
    let outcome = unsafe { stream.submit(&plan(small::small(), "absent", 1, 0, &[], &out)) };
    match outcome {
        Err(Error::Compile { .. }) => Ok(log.lines().next().unwrap_or_default().to_owned()),
        other => Err(format!("{other:?}")),
    }
}

fn limits(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let out: Buffer = stream.allocate(4).map_err(words)?;
    let valid = plan(small::small(), "small_stray", 1, 0, &[], &out);
    let mut wide = valid.clone();
    wide.grid.lanes = 2048;
    let mut many = valid.clone();
    many.grid.units = 1 << 33;
    for plan in [wide, many, valid.scratch(1 << 20)] {
        // SAFETY: the device refuses the plan.
        match unsafe { stream.submit(&plan) } {
            Err(Error::LaunchLimit { .. }) => {}
            other => return Err(format!("{other:?}")),
        }
    }
    Ok("lanes, groups and scratch".to_owned())
}

fn out_of_memory(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let limit = device.memory_limit();
    let mut said = vec![];
    let mut refused = |bytes| match stream.allocate(bytes) {
        Err(error @ Error::OutOfMemory { .. }) => {
            said.push(error.to_string());
            Ok(())
        }
        other => Err(format!("{other:?}")),
    };
    refused(2 * limit)?;
    if !device.caps().host_visible {
        // Past the runtime's own limit, so that the driver refuses.
        device.set_memory_limit(usize::MAX);
        let outcome = refused(1 << 40);
        device.set_memory_limit(limit);
        outcome?;
    }
    add(device)?;
    Ok(said.join("; "))
}
