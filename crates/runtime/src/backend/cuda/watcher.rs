//! The thread that looks at lanes for those who sleep.

use super::gpu::Gpu;
use crate::timeline::Fault;
use std::{
    io,
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// How long it looks without pause; those who sleep have waited some time already.
const EAGER: Duration = Duration::from_micros(200);
/// The pause between later looks.
const PAUSE: Duration = Duration::from_micros(30);
/// How often the driver is asked whether the device is sound.
const CHECK: Duration = Duration::from_millis(5);

/// Starts the watcher of a device.
pub(super) fn start(gpu: &'static Gpu) -> io::Result<Thread> {
    let name = format!("wootz-{}", gpu.identity.name);
    let thread = thread::Builder::new()
        .name(name)
        .spawn(move || watch(gpu))?;
    Ok(thread.thread().clone())
}

fn watch(gpu: &Gpu) {
    loop {
        if look(gpu) {
            watch_wanted(gpu);
        } else {
            thread::park();
        }
    }
}

/// Looks until nothing is wanted.
fn watch_wanted(gpu: &Gpu) {
    let start = Instant::now();
    let mut checked = start;
    while look(gpu) {
        if start.elapsed() < EAGER {
            thread::yield_now();
            continue;
        }
        thread::sleep(PAUSE);
        if checked.elapsed() >= CHECK {
            check(gpu);
            checked = Instant::now();
        }
    }
}

/// Looks at every lane once; says whether anything is still wanted.
fn look(gpu: &Gpu) -> bool {
    let mut open = false;
    for lane in gpu.lanes() {
        if let Some((timeline, ticket)) = lane.wanted() {
            lane.observe(gpu, timeline, ticket);
            open |= lane.wanted().is_some();
        }
    }
    open
}

/// Gives those who wait on a broken stream its fault.
fn check(gpu: &Gpu) {
    for lane in gpu.lanes() {
        if let Some((timeline, _)) = lane.wanted()
            && let Err(error) = lane.check(gpu)
        {
            timeline.fail(Fault::new(error.to_string()));
        }
    }
}
