//! Results of both ways, and of both mixed.

use crate::{
    report,
    rows::{self, LENGTH},
    small::{read, run as submit, upload},
    walks,
};
use std::{
    thread,
    time::{Duration, Instant},
};
use wootz_runtime::{Buffer, Device, Error, Stream, Submission};

type Check = fn(Device) -> Result<String, String>;

const CHECKS: &[(&str, Check)] = &[
    ("the same bits both ways", same_bits),
    ("long chains, and more than a ring holds", long_chains),
    ("ways that change", ways_that_change),
    ("small and large plans in turn", small_and_large),
    ("between streams and ways", between_streams),
    ("threads, streams and ways in chains", chains),
    ("more threads than executors", many_threads),
    ("graphs as one descriptor", walks::same_bits),
    ("chains as one descriptor", walks::chain),
];

pub fn run(device: Device) -> bool {
    let way = device.submission();
    let mut sound = true;
    for (name, check) in CHECKS {
        device.set_submission(Submission::Ring);
        let start = Instant::now();
        let outcome = check(device).map(|said| format!("{said}, {:.1?}", start.elapsed()));
        sound &= report(name, outcome);
    }
    device.set_submission(way);
    sound
}

pub fn words(error: Error) -> String {
    error.to_string()
}

pub fn stream(device: Device) -> Result<Stream, String> {
    Stream::new(device).map_err(words)
}

fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i * 37 % 4096) as f32 / 64.0).collect()
}

pub fn expect(buffer: &Buffer, expected: &[f32]) -> Result<(), String> {
    let found = read(buffer, expected.len()).map_err(words)?;
    match found
        .iter()
        .zip(expected)
        .position(|(f, e)| f.to_bits() != e.to_bits())
    {
        Some(at) => Err(format!("element {at}: {}, not {}", found[at], expected[at])),
        None => Ok(()),
    }
}

fn same_bits(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let sizes = [1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 64, 100, 255, 256, 511];
    for rows in sizes {
        let x = upload(&stream, &ramp(rows * LENGTH)).map_err(words)?;
        let mut outcomes = vec![];
        for way in [Submission::Launch, Submission::Ring] {
            device.set_submission(way);
            let softmax = rows::submit(&stream, &x, rows).map_err(words)?;
            let count = rows * 256;
            let backwards = submit(&stream, "small_reverse", count, 0, &[&x]).map_err(words)?;
            let sum = submit(&stream, "small_add", count - 3, 0, &[&x, &backwards]);
            let sum = sum.map_err(words)?;
            outcomes.push([
                read(&softmax, rows * LENGTH).map_err(words)?,
                read(&backwards, count).map_err(words)?,
                read(&sum, count - 3).map_err(words)?,
            ]);
        }
        if outcomes[0] != outcomes[1] {
            return Err(format!("{rows} rows differ"));
        }
    }
    Ok(format!("three kernels of {} sizes", sizes.len()))
}

fn long_chains(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let count = 1000;
    let mut x = upload(&stream, &vec![0.0; count]).map_err(words)?;
    let steps = 5000;
    for step in 0..steps {
        // Now one block, now several, so that blocks are left out in turn.
        let count = if step % 3 == 0 { count } else { 100 };
        let y = submit(&stream, "small_count_up", count, 1, &[&x]).map_err(words)?;
        if count == 1000 || step % 3 == 2 {
            x = submit(&stream, "small_add", 1000, 0, &[&x, &x]).map_err(words)?;
            x = submit(&stream, "small_count_up", 1000, 1, &[&x]).map_err(words)?;
        }
        drop(y);
        if step % 16 == 15 {
            x = upload(&stream, &vec![step as f32; 1000]).map_err(words)?;
        }
    }
    let mut expected = 0.0f32;
    for step in 0..steps {
        if step % 3 != 1 {
            expected = 2.0 * expected + 1.0;
        }
        if step % 16 == 15 {
            expected = step as f32;
        }
    }
    expect(&x, &vec![expected; 1000])?;
    Ok(format!("{steps} steps"))
}

fn ways_that_change(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let mut x = upload(&stream, &vec![0.0; 3000]).map_err(words)?;
    let steps = 4000;
    for step in 0..steps {
        let way = [Submission::Ring, Submission::Launch][step / (1 + step % 3) % 2];
        device.set_submission(way);
        x = submit(
            &stream,
            "small_count_up",
            3000,
            1 + (step % 7) as u64,
            &[&x],
        )
        .map_err(words)?;
    }
    let expected: usize = (0..steps).map(|step| 1 + step % 7).sum();
    expect(&x, &vec![expected as f32; 3000])?;
    Ok(format!("{steps} steps"))
}

fn small_and_large(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let (small, large) = (500, 1 << 20);
    let mut x = upload(&stream, &vec![0.0; large]).map_err(words)?;
    for _ in 0..300 {
        x = submit(&stream, "small_count_up", large, 1, &[&x]).map_err(words)?;
        let part = submit(&stream, "small_count_up", small, 1, &[&x]).map_err(words)?;
        let sum = submit(&stream, "small_add", small, 0, &[&part, &x]).map_err(words)?;
        drop((part, sum));
    }
    expect(&x, &vec![300.0; large])?;
    Ok("300 of each".to_owned())
}

/// A value goes round streams of which some launch and some ring.
fn between_streams(device: Device) -> Result<String, String> {
    let streams = (0..4)
        .map(|_| stream(device))
        .collect::<Result<Vec<_>, _>>()?;
    let large = 300_000;
    let mut x = upload(&streams[0], &vec![0.0; large]).map_err(words)?;
    for round in 0..400 {
        for (index, stream) in streams.iter().enumerate() {
            // The first stream's plans are too large for the ring.
            let count = if index == 0 { large } else { 2000 };
            let y = submit(stream, "small_count_up", count, 1, &[&x]).map_err(words)?;
            x = if index == 3 {
                expect(&y, &vec![4.0 * round as f32 + 4.0; 2000])
                    .map_err(|e| format!("round {round}: {e}"))?;
                upload(&streams[0], &vec![4.0 * round as f32 + 4.0; large]).map_err(words)?
            } else {
                y
            };
        }
    }
    Ok("400 rounds of 4 streams".to_owned())
}

pub fn each_thread(
    threads: usize,
    work: impl Fn(usize) -> Result<(), String> + Sync,
) -> Result<(), String> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..threads)
            .map(|index| scope.spawn(move || work(index)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("panicked".to_owned())))
    })
}

fn chains(device: Device) -> Result<String, String> {
    const STREAMS: usize = 3;
    let rounds = 300;
    each_thread(12, |thread| {
        let streams = (0..STREAMS)
            .map(|_| stream(device))
            .collect::<Result<Vec<_>, _>>()?;
        let mut x = upload(&streams[0], &vec![thread as f32; 2500]).map_err(words)?;
        let mut expected = thread as f32;
        for round in 0..rounds {
            for (index, stream) in streams.iter().enumerate() {
                let turns = 1 + ((thread + round * index) % 50) as u64;
                x = submit(stream, "small_count_up", 2500, turns, &[&x]).map_err(words)?;
                expected += turns as f32;
            }
            if (round + thread) % 29 == 0 {
                device.set_submission([Submission::Ring, Submission::Launch][round % 2]);
            }
            if (round * 7 + thread) % 97 == 0 {
                thread::sleep(Duration::from_micros(1500));
            }
        }
        expect(&x, &vec![expected; 2500])
    })?;
    Ok(format!("12 threads, {} hops each", rounds * STREAMS))
}

fn many_threads(device: Device) -> Result<String, String> {
    each_thread(40, |thread| {
        for round in 0..5 {
            // A new stream each time: seats and lanes change hands.
            let stream = stream(device)?;
            let mut x = upload(&stream, &vec![thread as f32; 700]).map_err(words)?;
            for _ in 0..100 {
                x = submit(&stream, "small_count_up", 700, 3, &[&x]).map_err(words)?;
                x.wait().map_err(words)?;
            }
            expect(&x, &vec![thread as f32 + 300.0; 700]).map_err(|e| format!("{round}: {e}"))?;
        }
        Ok(())
    })?;
    Ok("40 threads, 5 streams each, one after the other".to_owned())
}
