//! Checks shared out to processes.
//!
//! NVIDIA's compiler holds a lock of its process for about a quarter of each compile, so that no
//! more than four or five threads are ever at work in it. A first check compiles some two thousand
//! kernels. On a machine with more cores, several processes share it.

use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread;

use serde::{Deserialize, Serialize};
use wootz::conformance::{self, Outcome};
use wootz::runtime::Family;

use super::Checked;
use crate::failure::Failure;

/// Cores for each process: it keeps up to four busy with compiling, but not all the time.
const CORES: usize = 2;
/// The most processes that are started unasked: each holds a context of the device.
const MOST: usize = 8;
/// As many checks are worth a process.
const WORTH: usize = 32;

/// One of so many shares of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    which: usize,
    of: NonZeroUsize,
}

impl Share {
    /// Neighbours in the list, an op in its types, are dear together, so they go to different shares.
    fn has(self, place: usize) -> bool {
        place % self.of == self.which
    }
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Share, Self::Err> {
        let share = || {
            let (which, of) = text.split_once('/')?;
            let (which, of) = (which.parse().ok()?, of.parse::<NonZeroUsize>().ok()?);
            (which < of.get()).then_some(Share { which, of })
        };
        share().ok_or("a share is K/N, with K below N")
    }
}

/// What became of a check, as one process tells another: a line of JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    place: usize,
    cases: usize,
    failed: usize,
    /// Infinite where absent.
    worst: Option<f64>,
    failure: Option<String>,
}

impl Told {
    fn of(place: usize, outcome: Outcome) -> Told {
        Told {
            place,
            cases: outcome.cases,
            failed: outcome.failed,
            worst: Some(outcome.worst).filter(|worst| worst.is_finite()),
            failure: outcome.failure,
        }
    }

    fn outcome(self, (device, op, dtype): Checked) -> Outcome {
        Outcome {
            op: op.name,
            device: device.name(),
            dtype,
            cases: self.cases,
            failed: self.failed,
            worst: self.worst.unwrap_or(f64::INFINITY),
            failure: self.failure,
        }
    }
}

/// How many processes share `checks` where nobody says.
pub fn processes(checks: &[Checked]) -> usize {
    let compiled = |&&(device, ..): &&Checked| device.caps().family == Family::Cuda;
    let worth = checks.iter().filter(compiled).count() / WORTH;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (cores / CORES).min(MOST).min(worth).max(1)
}

/// Checks a share, for the process that asked for it: a blank line after each check, and in the end
/// a line for each of what became of it.
pub fn tell(share: Share, checks: &[Checked]) -> Result<(), Failure> {
    let mine = (0..checks.len()).filter(|&place| share.has(place));
    let (places, mine): (Vec<_>, Vec<_>) = mine.map(|place| (place, checks[place])).unzip();
    // A closed output is met below; until then the checks go on.
    let outcomes = conformance::check_all(&mine, |_| _ = std::io::stdout().write_all(b"\n"));
    let mut out = std::io::stdout().lock();
    for (place, outcome) in places.into_iter().zip(outcomes) {
        serde_json::to_writer(&mut out, &Told::of(place, outcome)).map_err(std::io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Has so many processes run the checks, each this command with `arguments` and a share, and calls
/// `done` after each check.
pub fn check_all(
    processes: usize,
    arguments: &[String],
    checks: &[Checked],
    done: impl Fn() + Sync,
) -> Vec<Outcome> {
    // One would only be in the way of this one.
    let shares = if processes > 1 { processes } else { 0 };
    let told = thread::scope(|scope| {
        let children = (0..shares).map_while(|which| {
            let child = start(arguments, &format!("{which}/{shares}")).ok()?;
            Some(scope.spawn(|| listen(child, &done)))
        });
        let children: Vec<_> = children.collect();
        let told = children.into_iter().filter_map(|child| child.join().ok());
        told.flatten().collect()
    });
    complete(told, checks, done)
}

fn start(arguments: &[String], share: &str) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("check")
        .args(arguments)
        .args(["--share", share]);
    // What a process complains of, this one meets too when it checks in that one's place.
    let command = command.stdin(Stdio::null()).stderr(Stdio::null());
    command.stdout(Stdio::piped()).spawn()
}

/// What a process tells until it ends, however it ends.
fn listen(mut child: Child, done: impl Fn()) -> Vec<Told> {
    let mut told = vec![];
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            match line.is_empty() {
                true => done(),
                false => told.extend(serde_json::from_str::<Told>(&line)),
            }
        }
    }
    let _ = child.wait();
    told
}

/// The outcomes of all checks, in their order: as told, or of checks in this process where no
/// process told.
fn complete(told: Vec<Told>, checks: &[Checked], done: impl Fn() + Sync) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; checks.len()];
    for told in told {
        if let Some(&check) = checks.get(told.place) {
            let place = told.place;
            outcomes[place] = Some(told.outcome(check));
        }
    }
    let open = |(outcome, check): (&Option<Outcome>, &Checked)| outcome.is_none().then_some(*check);
    let left: Vec<Checked> = outcomes.iter().zip(checks).filter_map(open).collect();
    let mut rest = conformance::check_all(&left, |_| done()).into_iter();
    let outcomes = outcomes.into_iter();
    outcomes
        .filter_map(|told| told.or_else(|| rest.next()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wootz::{DType, Device, table};

    #[test]
    fn every_check_is_in_one_share() {
        let shares = [0, 1, 2].map(|which| format!("{which}/3").parse::<Share>().unwrap());
        for place in 0..10 {
            assert_eq!(shares.iter().filter(|share| share.has(place)).count(), 1);
        }
        for wrong in ["", "1", "3/3", "0/0", "-1/2", "a/b"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_no_process_told_is_checked_here() {
        let clamp = table::rows().find(|row| row.name == "clamp").unwrap();
        let types = [DType::F32, DType::BF16, DType::I64];
        let checks = types.map(|dtype| (Device::cpu(), clamp, dtype));
        let alone = conformance::check_all(&checks, |_| ());
        let lines = || alone.iter().cloned().enumerate();
        let told = |skip: usize| {
            let lines = lines().filter(|&(place, _)| place != skip);
            lines
                .map(|(place, outcome)| Told::of(place, outcome))
                .collect()
        };
        for skip in 0..4 {
            assert_eq!(
                complete(told(skip), &checks, || ()),
                alone,
                "without {skip}"
            );
        }
    }
}
