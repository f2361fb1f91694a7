//! Which ways a device takes small plans: by launches, or through kernels that stay on it.

use crate::module::Module;
use std::sync::OnceLock;

/// Kernels that a device may keep resident: small work of them then needs no driver call.
#[derive(Debug)]
pub struct Resident {
    /// One text with every kernel. The bodies are those of the modules that plans name, so that a
    /// kernel gives the same bits either way.
    pub module: Module,
    /// The entry points, which are known by their names alone.
    pub entries: Vec<&'static str>,
    /// How many of them, from the first on, are small enough to need no call.
    pub in_place: usize,
}

static PROVIDED: OnceLock<fn() -> Resident> = OnceLock::new();

impl Resident {
    /// Names the kernels that devices of this process keep resident. `make` is called when a
    /// device first wants them, and not on a submitting thread. The first call counts.
    pub fn provide(make: fn() -> Resident) {
        PROVIDED.get_or_init(|| make);
    }

    /// What was provided.
    pub(crate) fn provided() -> Option<fn() -> Resident> {
        PROVIDED.get().copied()
    }
}

/// How plans travel to a device. All ways give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Submission {
    /// Small plans through the ring where it is welcome, and recorded graphs of such where that is
    /// quicker by [`COSTS`]; other graphs whole, and other plans by launches.
    #[default]
    Auto,
    /// Each plan by a launch, those of a recorded graph too.
    Launch,
    /// Recorded graphs whole, other plans by launches.
    Graph,
    /// Small plans through the ring, also where `Auto` would keep off it.
    Ring,
}

impl Submission {
    /// Every way, with the name that `WOOTZ_SUBMIT` has for it.
    pub const NAMES: &'static [(&'static str, Submission)] = &[
        ("auto", Submission::Auto),
        ("launch", Submission::Launch),
        ("graph", Submission::Graph),
        ("ring", Submission::Ring),
    ];

    /// Whether a recorded graph goes to the device whole.
    pub(crate) fn takes_graphs(self) -> bool {
        matches!(self, Submission::Auto | Submission::Graph)
    }

    /// The way of this name.
    pub fn named(name: &str) -> Option<Submission> {
        let found = Submission::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, way)| *way)
    }
}

/// What small work costs by each way, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// A launch that is waited for.
    pub launch: u64,
    /// A graph of the driver's that is waited for.
    pub graph: u64,
    /// Each step of it.
    pub graph_step: u64,
    /// A descriptor in a ring that is waited for.
    pub ring: u64,
    /// Each step of a graph that an executor walks.
    pub ring_step: u64,
    /// Each of its steps before which the executor's blocks meet, besides.
    pub meeting: u64,
    /// Each of its steps whose kernel is behind a call, besides: norms take this long, others less.
    pub call: u64,
}

/// What [`Submission::Auto`] goes by: medians of four threads with a stream each on an H200.
pub const COSTS: Costs = Costs {
    launch: 11_800,
    graph: 9_700,
    graph_step: 1_550,
    ring: 3_800,
    ring_step: 1_500,
    meeting: 1_500,
    call: 2_200,
};

impl Costs {
    /// Whether an executor walks a graph sooner than the driver does.
    pub fn prefer_walk(&self, steps: usize, meetings: usize, calls: usize) -> bool {
        let steps_alone = self.ring_step * steps as u64;
        let walk =
            self.ring + steps_alone + self.meeting * meetings as u64 + self.call * calls as u64;
        walk < self.graph + self.graph_step * steps as u64
    }
}

/// What a device has of residents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Residence {
    /// None, and why.
    Absent(String),
    /// They are being compiled, or will be when plans have wanted them often enough.
    Coming,
    /// They are there.
    Ready {
        /// How many kernels.
        kernels: usize,
        /// How many streams can have an executor at once.
        executors: usize,
        /// Registers of a lane.
        registers: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_found_by_name() {
        assert_eq!(Submission::named("ring"), Some(Submission::Ring));
        assert_eq!(Submission::named("Ring"), None);
    }

    #[test]
    fn a_graph_is_walked_while_meetings_and_calls_cost_less_than_the_driver() {
        assert!(COSTS.prefer_walk(1, 0, 1) && COSTS.prefer_walk(500, 0, 0));
        assert!(COSTS.prefer_walk(4, 3, 0) && !COSTS.prefer_walk(8, 7, 0));
        assert!(COSTS.prefer_walk(2, 0, 2) && !COSTS.prefer_walk(32, 0, 32));
    }
}
