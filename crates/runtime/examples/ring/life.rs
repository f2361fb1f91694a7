//! How the executor comes and goes, and what others in the process see of it.

use crate::{
    checks::{stream, words},
    report,
    rows::{self, LENGTH, ROWS},
    small::{read, run as submit, upload},
};
use cudarc::driver::sys;
use std::{
    ptr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};
use wootz_runtime::{Device, Submission};

type Check = fn(Device) -> Result<String, String>;

const CHECKS: &[(&str, Check)] = &[
    ("leaving and coming back", comes_back),
    ("the race of leaving and publishing", race),
    ("others wait for the whole device", whole_device),
    ("crossing from one way to the other", crossing),
    ("a fork", fork),
];

pub fn run(device: Device) -> bool {
    let way = device.submission();
    device.set_submission(Submission::Ring);
    let mut sound = true;
    for (name, check) in CHECKS {
        sound &= report(name, check(device));
    }
    device.set_submission(way);
    sound
}

fn outcome(status: sys::CUresult) -> Result<(), String> {
    match status {
        sys::CUresult::CUDA_SUCCESS => Ok(()),
        status => Err(format!("{status:?}")),
    }
}

/// Makes the first device's context the thread's.
fn enter() -> Result<(), String> {
    let mut context = ptr::null_mut();
    // SAFETY: the primary context of the first device, which is retained for good.
    unsafe {
        outcome(sys::cuDevicePrimaryCtxRetain(&raw mut context, 0))?;
        outcome(sys::cuCtxSetCurrent(context))
    }
}

/// The driver's wait for all that the device was given.
pub fn synchronize() -> Result<Duration, String> {
    let start = Instant::now();
    enter()?;
    // SAFETY: nothing to get wrong.
    outcome(unsafe { sys::cuCtxSynchronize() })?;
    Ok(start.elapsed())
}

/// The driver's allocation and its free, which may wait for all that runs.
pub fn allocate_and_free(bytes: usize) -> Result<Duration, String> {
    let start = Instant::now();
    enter()?;
    let mut memory = 0;
    // SAFETY: memory that nobody else knows of.
    unsafe {
        outcome(sys::cuMemAlloc_v2(&raw mut memory, bytes))?;
        outcome(sys::cuMemFree_v2(memory))?;
    }
    Ok(start.elapsed())
}

/// Bytes of the device that nobody has.
pub fn free_memory() -> Result<usize, String> {
    enter()?;
    let (mut free, mut total) = (0, 0);
    // SAFETY: writes two numbers.
    outcome(unsafe { sys::cuMemGetInfo_v2(&raw mut free, &raw mut total) })?;
    Ok(free)
}

fn sorted(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!(
        "{:.1?} half, {:.1?} most, {:.1?} all",
        at(0.5),
        at(0.99),
        at(1.0)
    )
}

/// The first operation after a pause is the one that brings the executor back.
fn comes_back(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let x = upload(&stream, &vec![1.0; ROWS * LENGTH]).map_err(words)?;
    let once = || -> Result<Duration, String> {
        let start = Instant::now();
        rows::submit(&stream, &x, ROWS)
            .map_err(words)?
            .wait()
            .map_err(words)?;
        Ok(start.elapsed())
    };
    stream.enter(|| {
        let mut said = vec![];
        for pause in [0, 300, 900, 1500, 5000] {
            let mut times = vec![];
            for _ in 0..100 {
                thread::sleep(Duration::from_micros(pause));
                times.push(once()?);
            }
            said.push(format!("after {pause} µs {}", sorted(times)));
        }
        once()?;
        let left = synchronize()?;
        said.push(format!("the device is idle {left:.1?} after the last"));
        Ok(said.join("; "))
    })
}

/// Pauses around the idle time, so that publications fall into the moment of leaving.
fn race(device: Device) -> Result<String, String> {
    let rounds = 1500;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread: u64| {
                scope.spawn(move || {
                    let stream = stream(device)?;
                    let mut x = upload(&stream, &[0.0; 600]).map_err(words)?;
                    for round in 0..rounds {
                        let jitter = (round * 7919 + thread * 104_729) % 160;
                        let until = Instant::now() + Duration::from_nanos(940_000 + jitter * 1000);
                        while Instant::now() < until {}
                        x = submit(&stream, "small_count_up", 600, 1, &[&x]).map_err(words)?;
                        x.wait().map_err(words)?;
                    }
                    let found = read(&x, 600).map_err(words)?;
                    (found == [rounds as f32; 600])
                        .then_some(())
                        .ok_or(format!("{found:?}"))
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("panicked".to_owned())))
    })?;
    Ok(format!("8 threads, {rounds} rounds each"))
}

/// Somebody waits for the whole device, and frees memory, while all rings are busy.
fn whole_device(device: Device) -> Result<String, String> {
    let over = &AtomicBool::new(false);
    thread::scope(|scope| {
        let busy: Vec<_> = (0..8)
            .map(|index| {
                scope.spawn(move || {
                    let stream = stream(device)?;
                    let x = upload(&stream, &vec![1.0; ROWS * LENGTH]).map_err(words)?;
                    let mut waits = 0u64;
                    stream.enter(|| {
                        while !over.load(Ordering::Relaxed) {
                            // Half of them never let their ring run empty.
                            let y = rows::submit(&stream, &x, ROWS).map_err(words)?;
                            if index % 2 == 0 || waits.is_multiple_of(4096) {
                                y.wait().map_err(words)?;
                            }
                            waits += 1;
                        }
                        Ok::<u64, String>(waits)
                    })
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(30));
        let outcome = (|| {
            let (mut waits, mut frees) = (vec![], vec![]);
            for _ in 0..20 {
                waits.push(synchronize()?);
                frees.push(allocate_and_free(8 << 20)?);
            }
            Ok(format!("waits {}; frees {}", sorted(waits), sorted(frees)))
        })();
        over.store(true, Ordering::Relaxed);
        let mut done = 0;
        for thread in busy {
            done += thread
                .join()
                .unwrap_or_else(|_| Err("panicked".to_owned()))?;
        }
        outcome.map(|said| format!("{said}; {done} operations meanwhile"))
    })
}

/// What it costs a stream to change ways.
fn crossing(device: Device) -> Result<String, String> {
    const ROUNDS: u32 = 200;
    let stream = stream(device)?;
    let x = upload(&stream, &vec![1.0; ROWS * LENGTH]).map_err(words)?;
    let mut said = vec![];
    for (name, ways) in [
        ("ring", [Submission::Ring; 2]),
        ("launch", [Submission::Launch; 2]),
        ("in turn", [Submission::Ring, Submission::Launch]),
    ] {
        for waiting in [true, false] {
            let start = Instant::now();
            stream.enter(|| -> Result<(), String> {
                let mut y = x.clone();
                for _ in 0..ROUNDS {
                    for way in ways {
                        device.set_submission(way);
                        y = rows::submit(&stream, &y, ROWS).map_err(words)?;
                        if waiting {
                            y.wait().map_err(words)?;
                        }
                    }
                }
                y.wait().map_err(words)
            })?;
            let each = start.elapsed() / ROUNDS / 2;
            said.push(format!(
                "{name}{} {each:.1?}",
                if waiting { ", waiting," } else { "" }
            ));
        }
    }
    device.set_submission(Submission::Ring);
    Ok(said.join("; "))
}

/// A child of this process is told that it has no device.
fn fork(device: Device) -> Result<String, String> {
    let stream = stream(device)?;
    let x = upload(&stream, &[0.0; 600]).map_err(words)?;
    // SAFETY: the child uses no lock that a thread of the parent may hold: it submits and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = submit(&stream, "small_count_up", 600, 1, &[&x]).is_err();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(!refused)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    let y = submit(&stream, "small_count_up", 600, 1, &[&x]).map_err(words)?;
    y.wait().map_err(words)?;
    (libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0)
        .then(|| "the child gets an error, the parent goes on".to_owned())
        .ok_or(format!("the child ended with {status}"))
}
