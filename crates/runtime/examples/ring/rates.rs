//! Softmax over 64×1024 f32, a second, of threads with a stream each; by the ring and by launches.

use crate::{
    race::{Laps, race},
    rows::{self, LENGTH, ROWS},
    small::upload,
};
use wootz_runtime::{Device, Result, Stream, Submission};

const THREADS: &[usize] = &[1, 2, 4, 8, 16, 32];

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
                    Ok(laps) => {
                        let rate = batch as f64 * laps.rate;
                        one = if threads == 1 { rate } else { one };
                        let efficiency = 100.0 * rate / (threads as f64 * one);
                        let [half, most, nearly, all] =
                            [0.5, 0.99, 0.999, 1.0].map(|share| laps.at(share));
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

/// Waits of `threads` threads, each for a chain of `batch` operations.
fn rate(device: Device, threads: usize, batch: usize) -> Result<Laps> {
    race(threads, |race| {
        let prepared = Stream::new(device).and_then(|stream| {
            let x = upload(&stream, &vec![1.0; ROWS * LENGTH])?;
            for _ in 0..100 {
                rows::submit(&stream, &x, ROWS)?.wait()?;
            }
            Ok((stream, x))
        });
        race.start();
        let (stream, x) = prepared?;
        stream.enter(|| {
            race.run(|| {
                let mut y = rows::submit(&stream, &x, ROWS)?;
                for _ in 1..batch {
                    y = rows::submit(&stream, &y, ROWS)?;
                }
                y.wait()
            })
        })
    })
}
