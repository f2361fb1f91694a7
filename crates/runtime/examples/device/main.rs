//! Runs small kernels on a device and tells what came of it: results, errors, and launch rates of
//! many threads.
//!
//! `cargo run --release -p wootz-runtime --example device -- cuda`
//!
//! After the name: `first` for no more than a first result, `check` for the results alone, `rates` for the rates alone, `break` to break the
//! device on purpose and see that nobody hangs.

mod breaking;
mod checks;
mod rates;
#[path = "../../tests/small/mod.rs"]
mod small;

use std::{process::ExitCode, time::Instant};
use wootz_runtime::Device;

fn main() -> ExitCode {
    let start = Instant::now();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, modes @ ..] = arguments.as_slice() else {
        eprintln!("which device? one of {:?}", Device::list());
        Device::absent()
            .iter()
            .for_each(|reason| eprintln!("{reason}"));
        return ExitCode::FAILURE;
    };
    let device = match Device::open(name) {
        Ok(device) => device,
        Err(error) => {
            eprintln!("{error}");
            Device::absent()
                .iter()
                .for_each(|reason| eprintln!("{reason}"));
            return ExitCode::FAILURE;
        }
    };
    println!("{device}: {:?}", device.caps());
    let wanted = |mode: &str| modes.iter().any(|given| given == mode);
    let mut sound = true;
    sound &= checks::first(device, start);
    if modes.is_empty() || wanted("check") {
        sound &= checks::run(device);
    }
    if modes.is_empty() || wanted("rates") {
        rates::run(device);
    }
    if wanted("break") {
        sound &= breaking::run(device);
    }
    if sound {
        ExitCode::SUCCESS
    } else {
        println!("FAILED");
        ExitCode::FAILURE
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
