//! Threads that do the same over and over for a while, and how long each time took.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use wootz_runtime::Result;

const LASTING: Duration = Duration::from_millis(250);

/// Where all threads start, and whether they are to stop.
pub struct Race {
    ready: Barrier,
    over: AtomicBool,
}

/// How often the threads came round in a second, and how long each round took, sorted.
pub struct Laps {
    pub rate: f64,
    rounds: Vec<Duration>,
}

/// Has each thread do `work`, which prepares, waits for the start and then gives its rounds.
pub fn race(threads: usize, work: impl Fn(&Race) -> Result<Vec<Duration>> + Sync) -> Result<Laps> {
    let race = &Race {
        ready: Barrier::new(threads + 1),
        over: AtomicBool::new(false),
    };
    let work = &work;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(move || work(race)))
            .collect();
        race.start();
        let start = Instant::now();
        thread::sleep(LASTING);
        race.over.store(true, Ordering::Relaxed);
        let lasted = start.elapsed();
        let mut rounds = vec![];
        for worker in workers {
            rounds.extend(worker.join().expect("a worker does not panic")?);
        }
        rounds.sort();
        let rate = rounds.len() as f64 / lasted.as_secs_f64();
        Ok(Laps { rate, rounds })
    })
}

impl Race {
    /// Returns when every thread is ready. Each comes here once, also one that has failed.
    pub fn start(&self) {
        self.ready.wait();
    }

    /// Calls `round` until the race is over.
    pub fn run(&self, mut round: impl FnMut() -> Result<()>) -> Result<Vec<Duration>> {
        let mut rounds = Vec::with_capacity(1 << 18);
        let mut last = Instant::now();
        while !self.over.load(Ordering::Relaxed) {
            round()?;
            let now = Instant::now();
            rounds.push(now - last);
            last = now;
        }
        Ok(rounds)
    }
}

impl Laps {
    /// The microseconds that this share of the rounds did not exceed.
    pub fn at(&self, share: f64) -> f64 {
        let last = (self.rounds.len() - 1) as f64;
        self.rounds[(last * share) as usize].as_secs_f64() * 1e6
    }
}
