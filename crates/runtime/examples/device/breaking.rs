//! Breaks the device on purpose: everybody must get an error, and nobody may hang.

use crate::{
    report,
    small::{run as submit, upload},
};
use std::{sync::mpsc, thread, time::Duration};
use wootz_runtime::{Device, Error, Stream};

/// Whether all who wait are told.
pub fn run(device: Device) -> bool {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(breaks(device)));
    let outcome = told.recv_timeout(Duration::from_secs(30));
    let outcome = outcome.unwrap_or_else(|_| Err("somebody hangs".to_owned()));
    report("a broken device", outcome)
}

fn breaks(device: Device) -> Result<String, String> {
    let words = |error: Error| error.to_string();
    let stream = || Stream::new(device).map_err(words);
    let (bystander, culprit, follower) = (stream()?, stream()?, stream()?);
    let x = upload(&bystander, &[0.0; 64]).map_err(words)?;
    bystander.synchronize().map_err(words)?;
    if device.caps().synchronous {
        return match submit(&culprit, "small_stray", 1 << 16, 0, &[]) {
            Err(seen) => Ok(seen.to_string()),
            Ok(_) => Err(UNNOTICED.to_owned()),
        };
    }
    // Most of a second, so that both others park while they wait.
    let slow = submit(&bystander, "small_count_up", 64, 400_000_000, &[&x]).map_err(words)?;
    let beside = thread::spawn(move || slow.wait());
    let stray = submit(&culprit, "small_stray", 1 << 16, 0, &[]).map_err(words)?;
    let behind = submit(&follower, "small_count_up", 64, 1, &[&stray]).map_err(words)?;
    let behind = thread::spawn(move || behind.wait());
    let Err(seen) = culprit.synchronize() else {
        return Err(UNNOTICED.to_owned());
    };
    let panicked = |_| "a wait panicked".to_owned();
    if behind.join().map_err(panicked)?.is_ok() {
        return Err("work that follows the stray kernel ended well".to_owned());
    }
    // What was done before the device broke was done well.
    let beside = beside
        .join()
        .map_err(panicked)?
        .map_or("broken too", |()| "done before");
    match submit(&bystander, "small_count_up", 64, 1, &[&x]) {
        Err(Error::DeviceLost { .. }) => Ok(format!("{seen}; work beside it: {beside}")),
        other => Err(format!("a later submission gave {other:?}")),
    }
}

const UNNOTICED: &str = "the stray kernel went unnoticed";
