//! Small plans through the ring of a CUDA device: that both ways give the same bits, that the
//! executor comes, goes and comes back, and what it is worth.
//!
//! `cargo run --release -p wootz-runtime --example ring -- check life rates walks soak=10`

mod checks;
#[cfg(target_os = "linux")]
mod life;
mod race;
mod rates;
mod rows;
#[path = "../../tests/small/mod.rs"]
mod small;
#[cfg(target_os = "linux")]
mod soak;
mod walks;

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};
use wootz_runtime::{Device, Residence, Resident, Submission};

fn main() -> ExitCode {
    let start = Instant::now();
    let modes: Vec<String> = std::env::args().skip(1).collect();
    let device = match Device::open("cuda") {
        Ok(device) => device,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "{device}: {}, {:?}",
        device.caps().product,
        device.submission()
    );
    Resident::provide(rows::resident);
    let wanted = |mode: &str| modes.is_empty() || modes.iter().any(|given| given == mode);
    let mut sound = report("the executor", arrives(device, start));
    if wanted("check") {
        sound &= checks::run(device);
    }
    #[cfg(target_os = "linux")]
    if wanted("life") {
        sound &= life::run(device);
    }
    #[cfg(target_os = "linux")]
    for seconds in modes.iter().filter_map(|mode| mode.strip_prefix("soak=")) {
        let way = device.submission();
        let lasting = Duration::from_secs(seconds.parse().unwrap_or(10));
        let seed = std::process::id().into();
        sound &= report("soak", soak::run(device, lasting, seed));
        device.set_submission(way);
    }
    if wanted("rates") {
        rates::run(device);
    }
    if wanted("walks") {
        let way = device.submission();
        walks::rates(device, &[1, 2, 4, 8, 16]);
        device.set_submission(way);
    }
    if sound {
        ExitCode::SUCCESS
    } else {
        println!("FAILED");
        ExitCode::FAILURE
    }
}

/// Waits until small plans take the ring, which is asked for: else many would have to come first.
fn arrives(device: Device, start: Instant) -> Result<String, String> {
    let way = device.submission();
    if way == Submission::Auto {
        device.set_submission(Submission::Ring);
    }
    let outcome = waited_for(device, start);
    device.set_submission(way);
    outcome
}

fn waited_for(device: Device, start: Instant) -> Result<String, String> {
    loop {
        rows::once(device).map_err(|error| error.to_string())?;
        match device.residence() {
            Residence::Coming => thread::sleep(Duration::from_millis(1)),
            ready @ Residence::Ready { .. } => {
                return Ok(format!(
                    "{:.0} ms after the start: {ready:?}",
                    start.elapsed().as_secs_f64() * 1e3
                ));
            }
            Residence::Absent(reason) if device.submission() == Submission::Launch => {
                return Ok(format!("not wanted: {reason}"));
            }
            Residence::Absent(reason) => return Err(reason),
        }
    }
}

/// Prints how a check went.
fn report(name: &str, outcome: Result<String, String>) -> bool {
    let (word, said) = match &outcome {
        Ok(said) => ("ok  ", said),
        Err(said) => ("FAIL", said),
    };
    println!("{word} {name}: {said}");
    outcome.is_ok()
}
