//! Threads that keep executors busy inside a process of somebody else: `citizen.py` loads this
//! beside PyTorch and does there what libraries do that share a device.
//!
//! `cargo build --release -p wootz-runtime --example citizen`, then
//! `python3 crates/runtime/examples/citizen/citizen.py target/release/examples/libcitizen.so`

#[path = "../ring/rows.rs"]
mod rows;
#[path = "../../tests/small/mod.rs"]
mod small;

use rows::{LENGTH, ROWS};
use std::{
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use wootz_runtime::{Device, Residence, Resident, Result, Stream, Submission};

/// Threads at work.
#[derive(Debug)]
pub struct Crowd {
    over: Arc<AtomicBool>,
    /// Operations done so far.
    done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

/// Starts threads that each wait for one small operation after the other; null when there is no
/// executor to keep busy.
#[unsafe(no_mangle)]
pub extern "C" fn citizen_start(threads: u32) -> *mut Crowd {
    match start(threads) {
        Ok(crowd) => Box::into_raw(Box::new(crowd)),
        Err(reason) => {
            eprintln!("citizen: {reason}");
            ptr::null_mut()
        }
    }
}

/// How many operations the threads have done.
///
/// # Safety
/// `crowd` came from `citizen_start` and was not stopped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn citizen_done(crowd: *const Crowd) -> u64 {
    // SAFETY: the caller's word.
    unsafe { &*crowd }.done.load(Ordering::Relaxed)
}

/// Ends the threads; says whether all their results were right.
///
/// # Safety
/// `crowd` came from `citizen_start`, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn citizen_stop(crowd: *mut Crowd) -> bool {
    // SAFETY: the caller's word.
    let crowd = unsafe { Box::from_raw(crowd) };
    crowd.over.store(true, Ordering::Relaxed);
    let mut sound = true;
    for thread in crowd.threads {
        let outcome = thread.join().unwrap_or_else(|_| Err("panicked".to_owned()));
        if let Err(reason) = outcome {
            eprintln!("citizen: {reason}");
            sound = false;
        }
    }
    sound
}

fn start(threads: u32) -> Result<Crowd, String> {
    let words = |error: wootz_runtime::Error| error.to_string();
    let device = Device::open("cuda").map_err(words)?;
    device.set_submission(Submission::Ring);
    Resident::provide(rows::resident);
    loop {
        rows::once(device).map_err(words)?;
        match device.residence() {
            Residence::Coming => thread::sleep(Duration::from_millis(1)),
            Residence::Ready { .. } => break,
            Residence::Absent(reason) => return Err(reason),
        }
    }
    let (over, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let work = |index: u32| {
        let (over, done) = (over.clone(), done.clone());
        thread::spawn(move || work(device, index, &over, &done).map_err(words)?)
    };
    let threads = (0..threads).map(work).collect();
    Ok(Crowd {
        over,
        done,
        threads,
    })
}

fn work(
    device: Device,
    index: u32,
    over: &AtomicBool,
    done: &AtomicU64,
) -> Result<Result<(), String>> {
    let stream = Stream::new(device)?;
    let values: Vec<f32> = (0..ROWS * LENGTH).map(|i| (i % 97) as f32 / 16.0).collect();
    let x = small::upload(&stream, &values)?;
    let once = || {
        let y = rows::submit(&stream, &x, ROWS)?;
        rows::submit(&stream, &y, ROWS)
    };
    let expected = small::read(&once()?, ROWS * LENGTH)?;
    stream.enter(|| {
        let mut round = 0u64;
        while !over.load(Ordering::Relaxed) {
            let y = once()?;
            y.wait()?;
            round += 1;
            done.fetch_add(2, Ordering::Relaxed);
            if round.is_multiple_of(512) && small::read(&y, ROWS * LENGTH)? != expected {
                return Ok(Err(format!(
                    "thread {index}, round {round}: a wrong result"
                )));
            }
        }
        Ok(Ok(()))
    })
}
