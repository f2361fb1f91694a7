//! Everything at once and at random, for as long as one likes: `soak SECONDS`. Threads with streams
//! that come and go, chains, graphs, values that cross threads, ways that change, and somebody else
//! who waits for the device and frees memory. Each value is known, and checked to the bit.

use crate::{
    checks::{stream, words},
    life::{allocate_and_free, free_memory, synchronize},
    small::{read, run as submit, upload},
};
use std::{
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};
use wootz_runtime::{Buffer, Device, Graph, Stream, Submission};

const THREADS: usize = 16;
/// Elements of a value; the last is too many for the ring.
const COUNTS: &[usize] = &[100, 700, 3000, 8000, 300_000];

/// A buffer whose elements are all `value`.
#[derive(Clone)]
struct Known {
    buffer: Buffer,
    count: usize,
    value: f32,
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }
}

#[derive(Default)]
struct Counts {
    operations: AtomicU64,
    checks: AtomicU64,
    crossings: AtomicU64,
    streams: AtomicU64,
}

pub fn run(device: Device, lasting: Duration, seed: u64) -> Result<String, String> {
    let (over, counts) = (&AtomicBool::new(false), &Counts::default());
    let before = free_memory()?;
    let start = Instant::now();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel()).unzip();
    let outcome = thread::scope(|scope| {
        let senders = &senders;
        let workers: Vec<_> = receivers
            .into_iter()
            .enumerate()
            .map(|(index, receiver)| {
                let random = Random((seed + index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                scope.spawn(move || {
                    let outcome = work(device, random, senders, &receiver, over, counts);
                    // One that fails ends all.
                    over.fetch_or(outcome.is_err(), Relaxed);
                    outcome
                })
            })
            .collect();
        let other = scope.spawn(move || somebody_else(device, Random(seed | 1), over));
        while start.elapsed() < lasting && !over.load(Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        over.store(true, Relaxed);
        let all = workers.into_iter().chain([other]);
        all.map(|worker| worker.join().unwrap_or_else(|_| Err("panicked".to_owned())))
            .collect::<Result<Vec<()>, _>>()
    });
    outcome?;
    let lasted = start.elapsed();
    let kept = before.saturating_sub(free_memory()?) >> 20;
    let of = |count: &AtomicU64| count.load(Relaxed);
    Ok(format!(
        "{lasted:.1?}, {} operations, {} checks, {} crossings, {} streams; \
         {} MiB in pools, {kept} MiB of the device taken, others' included",
        of(&counts.operations),
        of(&counts.checks),
        of(&counts.crossings),
        of(&counts.streams),
        device.memory_used() >> 20,
    ))
}

fn somebody_else(device: Device, mut random: Random, over: &AtomicBool) -> Result<(), String> {
    const WAYS: &[Submission] = &[
        Submission::Ring,
        Submission::Ring,
        Submission::Ring,
        Submission::Auto,
        Submission::Graph,
        Submission::Launch,
    ];
    while !over.load(Relaxed) {
        device.set_submission(WAYS[random.below(WAYS.len())]);
        thread::sleep(Duration::from_micros(random.below(6000) as u64));
        match random.below(4) {
            0 => _ = synchronize()?,
            1 => _ = allocate_and_free(1 << (12 + random.below(14)))?,
            _ => {}
        }
    }
    Ok(())
}

fn work(
    device: Device,
    mut random: Random,
    others: &[Sender<Known>],
    received: &Receiver<Known>,
    over: &AtomicBool,
    counts: &Counts,
) -> Result<(), String> {
    let fresh = |stream: &Stream, random: &mut Random| {
        let (count, value) = (
            COUNTS[random.below(COUNTS.len())],
            random.below(1000) as f32,
        );
        let buffer = upload(stream, &vec![value; count]).map_err(words)?;
        Ok::<_, String>(Known {
            buffer,
            count,
            value,
        })
    };
    let check = |known: &Known| {
        counts.checks.fetch_add(1, Relaxed);
        let found = read(&known.buffer, known.count).map_err(words)?;
        let wrong = found
            .iter()
            .position(|f| f.to_bits() != known.value.to_bits());
        wrong.map_or(Ok(()), |at| {
            let (found, value) = (found[at], known.value);
            Err(format!(
                "element {at} of {}: {found}, not {value}",
                known.count
            ))
        })
    };
    let mut streams = [stream(device)?, stream(device)?];
    let mut graph: Option<(Graph, usize, f32)> = None;
    let mut held = fresh(&streams[0], &mut random)?;
    while !over.load(Relaxed) {
        let at = random.below(streams.len());
        let stream = &streams[at];
        match random.below(24) {
            0 => {
                check(&held)?;
                held = fresh(stream, &mut random)?;
            }
            1 => {
                streams[at] = self::stream(device)?;
                counts.streams.fetch_add(1, Relaxed);
            }
            2 => {
                let other = &others[random.below(others.len())];
                let _ = other.send(held.clone());
            }
            3 => thread::sleep(Duration::from_micros(random.below(2000) as u64)),
            4 => held.buffer.wait().map_err(words)?,
            5 => {
                let steps = 1 + random.below(40);
                let recorded = stream.record(&[4 * held.count], |inputs| {
                    let mut x = inputs[0].clone();
                    for _ in 0..steps {
                        x = submit(stream, "small_count_up", held.count, 1, &[&x])?;
                    }
                    Ok::<_, wootz_runtime::Error>(vec![x])
                });
                graph = Some((recorded.map_err(words)?, held.count, steps as f32));
            }
            6..10 => {
                if let Some((graph, count, steps)) = &graph
                    && *count <= held.count
                {
                    let outputs = graph.replay(stream, &[&held.buffer]).map_err(words)?;
                    counts.operations.fetch_add(*steps as u64, Relaxed);
                    held = Known {
                        buffer: outputs[0].clone(),
                        count: *count,
                        value: held.value + steps,
                    };
                }
            }
            10..12 => {
                if let Ok(other) = received.try_recv() {
                    counts.crossings.fetch_add(1, Relaxed);
                    let count = held.count.min(other.count);
                    let both = [&held.buffer, &other.buffer];
                    let sum = submit(stream, "small_add", count, 0, &both).map_err(words)?;
                    check(&Known {
                        buffer: sum,
                        count,
                        value: held.value + other.value,
                    })?;
                }
            }
            _ => {
                for _ in 0..1 + random.below(6) {
                    let turns = 1 + random.below(4);
                    let (x, count) = (&held.buffer, held.count);
                    let buffer = submit(stream, "small_count_up", count, turns as u64, &[x]);
                    held.buffer = buffer.map_err(words)?;
                    held.value += turns as f32;
                    counts.operations.fetch_add(1, Relaxed);
                }
            }
        }
        // Whole numbers stay exact.
        if held.value > 4e6 {
            check(&held)?;
            held = fresh(&streams[at], &mut random)?;
        }
    }
    check(&held)
}
