//! Many checks on all cores. A device compiles what a case first asks for while the case waits, so
//! that one op's cases can take longer than all other ops': who has no check left helps with others'.

use super::{Check, Outcome};
use crate::{DType, Device, table::Row};
use std::{
    panic::resume_unwind,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Checks that are under way, by their place in the list.
#[expect(
    clippy::disallowed_types,
    reason = "taken twice a check, by the suite and no op"
)]
#[derive(Default)]
struct Open(std::sync::Mutex<Vec<(usize, Arc<Check>)>>);

impl Open {
    fn with<R>(&self, f: impl FnOnce(&mut Vec<(usize, Arc<Check>)>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Works on a check until nobody has to begin with any more of it.
    fn work(&self, place: usize, check: &Check) -> (usize, Outcome) {
        let outcome = check.work();
        self.with(|open| open.retain(|&(other, _)| other != place));
        (place, outcome)
    }
}

/// Runs checks on as many threads as there are cores, each with streams of its own, and calls `done`
/// after each. The outcomes are in the order of the checks.
pub fn check_all(checks: &[(Device, &Row, DType)], done: impl Fn(&Outcome) + Sync) -> Vec<Outcome> {
    let (next, open) = (AtomicUsize::new(0), Open::default());
    let work = || {
        let mut parts = vec![];
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(device, row, dtype)) = checks.get(place) else {
                break;
            };
            let check = Arc::new(Check::new(device, row, dtype));
            open.with(|open| open.push((place, check.clone())));
            let part = open.work(place, &check);
            done(&part.1);
            parts.push(part);
        }
        while let Some((place, check)) = open.with(|open| open.first().cloned()) {
            parts.push(open.work(place, &check));
        }
        parts
    };
    let mut parts: Vec<(usize, Outcome)> = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let parts = threads.into_iter().map(|thread| thread.join());
        // A check that panics is a fault of this program, and goes on as one.
        parts
            .flat_map(|parts| parts.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    parts.sort_by_key(|&(place, _)| place);
    let mut outcomes: Vec<Outcome> = vec![];
    let mut last = None;
    for (place, part) in parts {
        match outcomes.last_mut().filter(|_| last == Some(place)) {
            Some(outcome) => outcome.add(part),
            None => outcomes.push(part),
        }
        last = Some(place);
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{conformance::check, ops::clamp::ROWS};

    #[test]
    fn shared_checks_come_out_as_those_of_one_thread() {
        // Not by way of the table, which would have the unit tests hold every kernel there is.
        let clamp = &ROWS[0];
        let checks =
            [DType::F32, DType::BF16, DType::I64].map(|dtype| (Device::cpu(), clamp, dtype));
        let alone = checks.map(|(device, row, dtype)| check(device, row, dtype));
        assert_eq!(check_all(&checks, |_| ()), alone);
    }
}
