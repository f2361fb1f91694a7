//! Recorded graphs, which an executor walks step by step.

use crate::{
    checks::{each_thread, expect, stream, words},
    race::{Laps, race},
    rows::{self, LENGTH, ROWS},
    small::{read, run as submit, upload},
};
use wootz_runtime::{Buffer, Device, Graph, Result, Stream, Submission};

/// Steps of the chain that is measured.
const STEPS: usize = 32;

/// A graph of random steps over two inputs: wide ones and narrow ones, chains and branches.
fn random(stream: &Stream, seed: u64, steps: usize) -> Result<Graph> {
    const COUNT: usize = 8192;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below
    };
    stream.record(&[4 * COUNT; 2], |inputs| {
        // Buffers with what is known of each: how many elements it has.
        let mut made: Vec<(Buffer, usize)> = inputs.iter().map(|b| (b.clone(), COUNT)).collect();
        for _ in 0..steps {
            let recent = made.len().min(5);
            let (x, has) = made[made.len() - 1 - draw(recent)].clone();
            let (y, also) = made[made.len() - 1 - draw(recent)].clone();
            let count = [has.min(also), 200, 1500][draw(3)].min(has.min(also));
            let z = match draw(3) {
                0 => submit(stream, "small_add", count, 0, &[&x, &y])?,
                1 => submit(stream, "small_count_up", count, 1 + draw(9) as u64, &[&x])?,
                _ => {
                    let whole = (count / 256).max(1) * 256;
                    if has < whole {
                        continue;
                    }
                    submit(stream, "small_reverse", whole, 0, &[&x])?
                }
            };
            let count = if has >= 256 { count } else { count.min(has) };
            made.push((z, count));
        }
        let last = made.len().saturating_sub(3);
        Ok(made
            .split_off(last)
            .into_iter()
            .map(|(buffer, _)| buffer)
            .collect())
    })
}

fn bits(outputs: &[Buffer]) -> Result<Vec<Vec<u32>>, String> {
    let read = |buffer: &Buffer| {
        // The first elements of what is at least so long.
        let values = read(buffer, 200).map_err(words)?;
        Ok(values.into_iter().map(f32::to_bits).collect())
    };
    outputs.iter().map(read).collect()
}

/// The same bits however the steps of random graphs travel.
pub fn same_bits(device: Device) -> Result<String, String> {
    let graphs = 60;
    let rounds = 4;
    each_thread(6, |thread| {
        let stream = stream(device)?;
        for number in 0..graphs / 6 {
            let seed = (thread * 1000 + number) as u64;
            let graph = random(&stream, seed + 1, 3 + number * 7).map_err(words)?;
            for round in 0..rounds {
                let ramp = |k: usize| -> Vec<f32> {
                    (0..8192).map(|i| ((i * k + round) % 512) as f32).collect()
                };
                let x = upload(&stream, &ramp(7)).map_err(words)?;
                let y = upload(&stream, &ramp(3)).map_err(words)?;
                x.wait().and_then(|()| y.wait()).map_err(words)?;
                let replay = || graph.replay(&stream, &[&x, &y]).map_err(words);
                let by_ring = (bits(&replay()?)?, bits(&replay()?)?);
                device.set_submission(Submission::Launch);
                let launched = bits(&replay()?)?;
                device.set_submission(Submission::Ring);
                if by_ring.0 != launched || by_ring.1 != launched {
                    return Err(format!("graph {seed}, round {round} differs"));
                }
            }
        }
        Ok(())
    })?;
    Ok(format!(
        "{graphs} random graphs, {rounds} inputs each, from 6 threads"
    ))
}

/// A long chain, whose last element says how many steps were done.
pub fn chain(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    for (count, steps) in [(100, 300), (8000, 300), (3000, 37)] {
        let graph = stream.record(&[4 * count], |inputs| {
            let mut x = inputs[0].clone();
            for _ in 0..steps {
                x = submit(&stream, "small_count_up", count, 2, &[&x])?;
            }
            Ok::<_, wootz_runtime::Error>(vec![x])
        });
        let graph = graph.map_err(words)?;
        let x = upload(&stream, &vec![1.0; count]).map_err(words)?;
        for _ in 0..20 {
            let y = graph.replay(&stream, &[&x]).map_err(words)?;
            expect(&y[0], &vec![1.0 + 2.0 * steps as f32; count])?;
        }
    }
    Ok("three lengths, 20 times each".to_owned())
}

/// Chains of softmax, one wait for each, by each way.
pub fn rates(device: Device, threads: &[usize]) {
    println!(
        "chains of {STEPS}: way threads ops/s of all, efficiency, p50 and p99 of a chain in µs"
    );
    for (name, way) in [
        ("launch", Submission::Launch),
        ("graph", Submission::Graph),
        ("ring", Submission::Ring),
    ] {
        device.set_submission(way);
        let mut one = 0.0;
        for &threads in threads {
            match rate(device, threads) {
                Ok(laps) => {
                    let rate = STEPS as f64 * laps.rate;
                    one = if threads == 1 { rate } else { one };
                    let efficiency = 100.0 * rate / (threads as f64 * one);
                    let (half, most) = (laps.at(0.5), laps.at(0.99));
                    println!(
                        "{name:<7} {threads:>2} {rate:>10.0} {efficiency:>4.0}% {half:>8.1} {most:>8.1}"
                    );
                }
                Err(error) => println!("{name:<7} {threads:>2} {error}"),
            }
        }
    }
}

/// Waits of `threads` threads, each for a replay.
fn rate(device: Device, threads: usize) -> Result<Laps> {
    race(threads, |race| {
        let prepared = Stream::new(device).and_then(|stream| {
            let x = upload(&stream, &vec![1.0; ROWS * LENGTH])?;
            let graph = stream.record(&[4 * ROWS * LENGTH], |inputs| {
                let mut y = inputs[0].clone();
                for _ in 0..STEPS {
                    y = rows::submit(&stream, &y, ROWS)?;
                }
                Ok::<_, wootz_runtime::Error>(vec![y])
            })?;
            for _ in 0..20 {
                graph.replay(&stream, &[&x])?[0].wait()?;
            }
            Ok((stream, x, graph))
        });
        race.start();
        let (stream, x, graph) = prepared?;
        stream.enter(|| race.run(|| graph.replay(&stream, &[&x])?[0].wait()))
    })
}
