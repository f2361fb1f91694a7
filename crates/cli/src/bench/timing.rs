//! Timing several things in turns, so that what disturbs one disturbs all.

use std::time::{Duration, Instant};

use wootz::Tensor;

use crate::failure::Failure;

/// Turns that each probe gets.
const ROUNDS: usize = 9;
/// How long a turn lasts at least.
const TURN: Duration = Duration::from_millis(8);

/// Something to time. What it returns is waited for once a turn, so that a device
/// which works on its own gets many calls in a row.
pub type Work<'a> = Box<dyn FnMut() -> wootz::Result<Option<Tensor>> + 'a>;

/// One thing under the clock.
pub struct Probe<'a> {
    work: Work<'a>,
    calls: u32,
    times: Vec<f64>,
}

impl<'a> Probe<'a> {
    pub fn new(work: Work<'a>) -> Probe<'a> {
        Probe {
            work,
            calls: 1,
            times: Vec::new(),
        }
    }

    /// Median seconds of one call.
    pub fn seconds(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn turn(&mut self) -> Result<Duration, Failure> {
        let start = Instant::now();
        let mut last = None;
        for _ in 0..self.calls {
            last = (self.work)()?;
        }
        if let Some(last) = last {
            last.wait()?;
        }
        Ok(start.elapsed())
    }

    /// Finds how many calls fill a turn; warms up by the way.
    fn calibrate(&mut self) -> Result<(), Failure> {
        self.turn()?;
        while self.turn()? < TURN && self.calls < 1 << 24 {
            self.calls *= 2;
        }
        Ok(())
    }
}

/// Times every probe, in turns.
pub fn interleave(probes: &mut [Probe<'_>]) -> Result<(), Failure> {
    probes.iter_mut().try_for_each(Probe::calibrate)?;
    for _ in 0..ROUNDS {
        for probe in probes.iter_mut() {
            let time = probe.turn()?.as_secs_f64() / f64::from(probe.calls);
            probe.times.push(time);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn every_probe_gets_every_turn() {
        let calls = [Cell::new(0), Cell::new(0)];
        let probe = |calls: &'_ Cell<usize>| -> wootz::Result<Option<Tensor>> {
            calls.set(calls.get() + 1);
            std::thread::sleep(TURN);
            Ok(None)
        };
        let mut probes = [
            Probe::new(Box::new(|| probe(&calls[0]))),
            Probe::new(Box::new(|| probe(&calls[1]))),
        ];
        interleave(&mut probes).expect("nothing fails");
        for (probe, calls) in probes.iter().zip(&calls) {
            assert_eq!(probe.times.len(), ROUNDS);
            // One call fills a turn: two to calibrate, then one a round.
            assert_eq!(calls.get(), 2 + ROUNDS);
        }
    }
}
