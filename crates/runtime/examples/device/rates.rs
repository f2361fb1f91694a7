//! Launches a second, of threads with a stream each.

use crate::small::{run as submit, upload};
use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use wootz_runtime::{Device, Result, Stream};

const THREADS: &[usize] = &[1, 2, 4, 8, 16];
/// Elements of a launch: 64 rows of 1024.
const COUNT: usize = 64 << 10;
const LASTING: Duration = Duration::from_millis(700);

/// Measures waits after each launch, and after batches.
pub fn run(device: Device) {
    for batch in [1, 32, 256] {
        println!("add of 64×1024 f32, a wait after {batch} launches");
        println!("threads      ops/s  efficiency  submit µs/op");
        let mut one = 0.0;
        for &threads in THREADS {
            match rate(device, threads, batch) {
                Ok((rate, submitting)) => {
                    one = if threads == 1 { rate } else { one };
                    let efficiency = 100.0 * rate / (threads as f64 * one);
                    println!("{threads:>7} {rate:>10.0} {efficiency:>10.0}% {submitting:>13.2}");
                }
                Err(error) => println!("{threads:>7} {error}"),
            }
        }
    }
}

/// Launches a second over all threads, and the mean microseconds that submitting one takes.
fn rate(device: Device, threads: usize, batch: u64) -> Result<(f64, f64)> {
    let (ready, over) = (&Barrier::new(threads + 1), &AtomicBool::new(false));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(move || work(device, batch, ready, over)))
            .collect();
        ready.wait();
        let start = Instant::now();
        thread::sleep(LASTING);
        over.store(true, Ordering::Relaxed);
        let mut all = (0, Duration::ZERO);
        for worker in workers {
            let (launches, submitting) = worker.join().expect("a worker does not panic")?;
            all = (all.0 + launches, all.1 + submitting);
        }
        let rate = all.0 as f64 / start.elapsed().as_secs_f64();
        Ok((rate, all.1.as_secs_f64() * 1e6 / all.0 as f64))
    })
}

fn work(device: Device, batch: u64, ready: &Barrier, over: &AtomicBool) -> Result<(u64, Duration)> {
    let prepared = Stream::new(device).and_then(|stream| {
        let x = upload(&stream, &vec![1.0; COUNT])?;
        submit(&stream, "small_add", COUNT, 0, &[&x, &x])?;
        stream.synchronize()?;
        Ok((stream, x))
    });
    ready.wait();
    let (stream, x) = prepared?;
    let (mut launches, mut submitting) = (0, Duration::ZERO);
    stream.enter(|| {
        while !over.load(Ordering::Relaxed) {
            let start = Instant::now();
            for _ in 0..batch {
                submit(&stream, "small_add", COUNT, 0, &[&x, &x])?;
            }
            submitting += start.elapsed();
            stream.synchronize()?;
            launches += batch;
        }
        Ok((launches, submitting))
    })
}
