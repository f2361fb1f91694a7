//! Softmax over 64×1024 f32, a second, of threads with a stream each; by the ring and by launches.

use crate::{
    rows::{self, LENGTH, ROWS},
    small::upload,
};
use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use wootz_runtime::{Device, Result, Stream, Submission};

const THREADS: &[usize] = &[1, 2, 4, 8, 16, 32];
const LASTING: Duration = Duration::from_millis(250);

pub fn run(device: Device) {
    let way = device.submission();
    println!(
        "way      batch threads      ops/s  efficiency    p50 µs    p99 µs  p99.9 µs   most µs"
    );
    for batch in [1, 32] {
        for (name, way) in [("launch", Submission::Launch), ("ring", Submission::Ring)] {
            device.set_submission(way);
            let mut one = 0.0;
            for &threads in THREADS {
                let start = format!("{name:<8} {batch:>5} {threads:>7}");
                match rate(device, threads, batch) {
                    Ok((rate, waits)) => {
                        one = if threads == 1 { rate } else { one };
                        let efficiency = 100.0 * rate / (threads as f64 * one);
                        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
                        let [half, most, nearly, all] =
                            [0.5, 0.99, 0.999, 1.0].map(|share| at(share).as_secs_f64() * 1e6);
                        println!(
                            "{start} {rate:>10.0} {efficiency:>10.0}% {half:>9.2} {most:>9.2} {nearly:>9.2} {all:>9.2}"
                        );
                    }
                    Err(error) => println!("{start} {error}"),
                }
            }
        }
    }
    device.set_submission(way);
}

/// Operations a second over all threads, and how long each wait took, sorted.
fn rate(device: Device, threads: usize, batch: usize) -> Result<(f64, Vec<Duration>)> {
    let (ready, over) = (&Barrier::new(threads + 1), &AtomicBool::new(false));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(move || work(device, batch, ready, over)))
            .collect();
        ready.wait();
        let start = Instant::now();
        thread::sleep(LASTING);
        over.store(true, Ordering::Relaxed);
        let lasted = start.elapsed();
        let mut waits = vec![];
        for worker in workers {
            waits.extend(worker.join().expect("a worker does not panic")?);
        }
        waits.sort();
        Ok(((batch * waits.len()) as f64 / lasted.as_secs_f64(), waits))
    })
}

fn work(device: Device, batch: usize, ready: &Barrier, over: &AtomicBool) -> Result<Vec<Duration>> {
    let prepared = Stream::new(device).and_then(|stream| {
        let x = upload(&stream, &vec![1.0; ROWS * LENGTH])?;
        for _ in 0..100 {
            rows::submit(&stream, &x, ROWS)?.wait()?;
        }
        Ok((stream, x))
    });
    ready.wait();
    let (stream, x) = prepared?;
    let mut waits = Vec::with_capacity(1 << 18);
    stream.enter(|| {
        let mut last = Instant::now();
        while !over.load(Ordering::Relaxed) {
            let mut y = rows::submit(&stream, &x, ROWS)?;
            for _ in 1..batch {
                y = rows::submit(&stream, &y, ROWS)?;
            }
            y.wait()?;
            let now = Instant::now();
            waits.push(now - last);
            last = now;
        }
        Ok(waits)
    })
}
