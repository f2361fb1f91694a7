//! Sees to it that nobody waits for ever for an executor, should one neither go on nor end: the thread
//! that compiled them stays, and looks from time to time whether rings go on.

use crate::backend::cuda::{gpu::Gpu, lane::Lane};
use std::{env, thread, time::Duration};

/// How long a ring may stand still with work open. Its executor may have to wait for room behind a
/// large kernel, of another process too, or for that process's turn to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Looks in that time.
const LOOKS: u32 = 60;
/// Looks in vain after which `WOOTZ_LOG=ring` tells of what stands still.
const TELL: u32 = 2;

/// What was seen of one lane.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    progress: u64,
    /// How many looks in a row found nothing new. They are counted, and not the time: a process that
    /// is stopped does not look.
    vain: u32,
}

/// Looks until the device is gone, or for ever.
pub(super) fn watch(gpu: &Gpu) {
    let Some(patience) = patience(env::var("WOOTZ_PATIENCE").ok().as_deref()) else {
        return;
    };
    let topics = env::var("WOOTZ_LOG").unwrap_or_default();
    let tells = topics.split(',').any(|topic| topic == "ring");
    let mut seen: Vec<Seen> = vec![];
    while !gpu.is_gone() {
        thread::sleep(patience / LOOKS);
        seen.resize(gpu.lanes().count().max(seen.len()), Seen::default());
        for (lane, seen) in gpu.lanes().zip(&mut seen) {
            let vain = seen.look(lane.progress());
            if vain >= LOOKS {
                return let_go(gpu, lane);
            }
            if tells && vain == TELL {
                eprintln!("wootz: {} stands still: {}", gpu.identity.name, state(lane));
            }
        }
    }
}

impl Seen {
    /// How often nothing new was found. A ring without open work has no progress to make.
    fn look(&mut self, progress: Option<u64>) -> u32 {
        self.vain = match progress {
            Some(progress) if progress == self.progress => self.vain + 1,
            _ => 0,
        };
        self.progress = progress.unwrap_or_default();
        self.vain
    }
}

/// How long to wait, by what `WOOTZ_PATIENCE` says in seconds; for ever, at 0.
fn patience(said: Option<&str>) -> Option<Duration> {
    let seconds = said.and_then(|said| said.parse().ok());
    let patience = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Some(patience.unwrap_or(PATIENCE)).filter(|patience| !patience.is_zero())
}

fn state(lane: &Lane) -> String {
    let seat = lane
        .seat()
        .map_or_else(|| "no".to_owned(), |seat| seat.to_string());
    let (index, done, rung) = (lane.index, lane.done().number(), lane.rung());
    let says = lane.say.read();
    format!(
        "stream {index} has {done} of {rung} done, in seat {seat}, whose executor says {says:#x}"
    )
}

/// Gives the device up. Faults come first, so nobody takes what was not done for done.
fn let_go(gpu: &Gpu, lane: &Lane) {
    _ = gpu.give_up(&format!("an executor stands still: {}", state(lane)));
    gpu.lanes().for_each(Lane::let_go);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_open_work_that_does_not_go_on_is_in_vain() {
        let mut seen = Seen::default();
        let looks = [
            Some(3),
            Some(3),
            Some(3),
            Some(4),
            None,
            None,
            Some(4),
            Some(4),
        ];
        let vain: Vec<u32> = looks.into_iter().map(|look| seen.look(look)).collect();
        assert_eq!(vain, [0, 1, 2, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn patience_is_in_seconds() {
        assert_eq!(patience(None), Some(PATIENCE));
        assert_eq!(patience(Some("0.5")), Some(Duration::from_millis(500)));
        assert_eq!(patience(Some("0")), None);
        assert_eq!(patience(Some("-1")), Some(PATIENCE));
        assert_eq!(patience(Some("long")), Some(PATIENCE));
    }
}
