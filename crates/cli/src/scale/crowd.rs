//! Callers that each do one operation after another, and how a round of them is measured.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::histogram::Histogram;
use crate::failure::Failure;

/// One caller's operation, from submission to its finished result.
pub type Call<'a> = Box<dyn FnMut() -> Result<(), Failure> + 'a>;

/// Makes a caller's operation; runs on the thread that will call it.
pub type MakeCall<'a> = dyn Fn() -> Result<Call<'a>, Failure> + Sync + 'a;

/// A way to have many callers at once: threads here, processes, or a peer library.
pub trait Crowd {
    /// Lets `callers` work side by side for `window`.
    fn round(&mut self, callers: usize, window: Duration) -> Result<Round, Failure>;
}

/// What the callers of one round did together.
#[derive(Debug)]
pub struct Round {
    /// Operations a second over all callers.
    pub rate: f64,
    /// How long each operation took its caller.
    pub latency: Histogram,
}

impl Round {
    pub fn empty() -> Round {
        Round {
            rate: 0.0,
            latency: Histogram::new(),
        }
    }

    /// Adds callers that worked at the same time.
    pub fn join(&mut self, other: &Round) {
        self.rate += other.rate;
        self.latency.merge(&other.latency);
    }
}

/// Runs a round on threads of this process. When every caller is warm, `start` is called
/// and may hold them all back; then they begin together.
pub fn race(
    callers: usize,
    window: Duration,
    make_call: &MakeCall<'_>,
    start: impl FnOnce() -> Result<(), Failure>,
) -> Result<Round, Failure> {
    let warm = Barrier::new(callers + 1);
    let go = Barrier::new(callers + 1);
    let caller = || {
        // Passed also by a caller that fails or panics, so that the others are never left waiting:
        // locals drop in reverse order, so `warm` first.
        let go = PassOnDrop(&go);
        let warm = PassOnDrop(&warm);
        let mut call = make_call()?;
        warm_up(&mut call, window / 8)?;
        drop(warm);
        drop(go);
        measure(&mut call, window)
    };
    thread::scope(|scope| {
        let handles: Vec<_> = (0..callers).map(|_| scope.spawn(caller)).collect();
        warm.wait();
        let started = start();
        go.wait();
        let mut round = Round::empty();
        for handle in handles {
            let panicked = |_| Failure::Device("a calling thread panicked".to_owned());
            round.join(&handle.join().map_err(panicked)??);
        }
        started.map(|()| round)
    })
}

struct PassOnDrop<'a>(&'a Barrier);

impl Drop for PassOnDrop<'_> {
    fn drop(&mut self) {
        self.0.wait();
    }
}

/// Calls until `window` has passed, at least twice: the first call may compile and allocate.
fn warm_up(call: &mut Call<'_>, window: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + window;
    call()?;
    call()?;
    while Instant::now() < deadline {
        call()?;
    }
    Ok(())
}

/// Calls until `window` has passed. The clock is read once a call: the end of one call is
/// the start of the next, and says when to stop, so callers share nothing while they run.
fn measure(call: &mut Call<'_>, window: Duration) -> Result<Round, Failure> {
    let mut latency = Histogram::new();
    let start = Instant::now();
    let mut last = start;
    let mut calls = 0_u64;
    while last - start < window {
        call()?;
        let now = Instant::now();
        latency.record((now - last).as_nanos() as u64);
        last = now;
        calls += 1;
    }
    Ok(Round {
        rate: calls as f64 / (last - start).as_secs_f64(),
        latency,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    const WINDOW: Duration = Duration::from_millis(2);

    fn run(callers: usize, make_call: &MakeCall<'_>) -> Result<Round, Failure> {
        race(callers, WINDOW, make_call, || Ok(()))
    }

    #[test]
    fn every_measured_call_is_counted_once() {
        let calls = AtomicU64::new(0);
        let make: &MakeCall<'_> = &|| {
            Ok(Box::new(|| {
                calls.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }))
        };
        let round = race(3, WINDOW, make, || {
            calls.store(0, Ordering::Relaxed);
            Ok(())
        });
        let round = round.expect("nothing fails");
        assert_eq!(round.latency.total(), calls.load(Ordering::Relaxed));
        assert!(round.rate > 0.0);
    }

    #[test]
    fn a_caller_that_cannot_start_holds_up_nobody() {
        let made = AtomicU64::new(0);
        let failed = run(3, &|| match made.fetch_add(1, Ordering::Relaxed) {
            1 => Err(Failure::Device("no stream".to_owned())),
            _ => Ok(Box::new(|| Ok(()))),
        });
        assert_eq!(
            failed.expect_err("one caller failed").to_string(),
            "no stream"
        );
    }

    #[test]
    fn a_panicking_caller_is_reported() {
        let made = AtomicU64::new(0);
        let failed = run(2, &|| match made.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(Box::new(|| panic!("planted"))),
            _ => Ok(Box::new(|| Ok(()))),
        });
        assert_eq!(failed.expect_err("one caller panicked").exit_code(), 3);
    }
}
