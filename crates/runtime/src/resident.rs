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
}

static PROVIDED: OnceLock<fn() -> Resident> = OnceLock::new();

impl Resident {
    /// Names the kernels that devices of this process keep resident. `make` is called when a
    /// device first wants them, and not on a submitting thread. The first call counts.
    pub fn provide(make: fn() -> Resident) {
        PROVIDED.get_or_init(|| make);
    }

    /// Whether there is something to keep.
    pub(crate) fn is_provided() -> bool {
        PROVIDED.get().is_some()
    }

    /// What was provided.
    pub(crate) fn provided() -> Option<Resident> {
        PROVIDED.get().map(|make| make())
    }
}

/// How plans travel to a device. All ways give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Submission {
    /// Small plans, and recorded graphs of one or two such, through the ring where it is welcome;
    /// other graphs whole, and other plans by launches.
    Auto,
    /// Each plan by a launch, those of a recorded graph too.
    Launch,
    /// Recorded graphs whole, other plans by launches.
    /// The default until soaks of all ways at random have run for hours.
    #[default]
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

/// What a device has of residents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Residence {
    /// None, and why.
    Absent(String),
    /// They are being compiled, or will be when a plan first wants them.
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
}
