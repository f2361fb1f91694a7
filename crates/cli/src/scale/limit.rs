//! What limits a row of the table, told from its own figures and those beside it.

/// What the callers of a mode share besides the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shared {
    /// Nothing.
    Device,
    /// The driver's calls.
    Driver,
    /// The same, and they do nothing else.
    Bare,
    /// The bus to a kernel that stays on the device.
    Bus,
    /// A lock of this command's.
    Lock,
    /// The device, which serves one process at a time.
    Contexts,
    /// What another library has them share.
    Peer,
}

/// What is known of a row.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub shared: Shared,
    pub threads: u32,
    /// Cores of this machine.
    pub cores: usize,
    /// Whether ops are done when their call returns.
    pub synchronous: bool,
    pub efficiency: f64,
    /// The share of each caller's time that its kernels run, where that is known.
    pub kernels: Option<f64>,
    /// Ops for each wait.
    pub ops: usize,
    /// The rate against bare driver calls at as many threads, where those were measured.
    pub against_raw: Option<f64>,
}

/// In a few words.
pub fn limit(facts: &Facts) -> &'static str {
    /// From here on a share is nearly all.
    const MOST: f64 = 0.75;
    /// From here on it scales.
    const SCALES: f64 = 0.9;
    /// What beats bare driver calls by this much made none.
    const BEYOND: f64 = 1.5;
    let without_the_driver =
        facts.ops == 1 && facts.against_raw.is_some_and(|ratio| ratio > BEYOND);
    let shared = match facts.shared {
        Shared::Device if without_the_driver => Shared::Bus,
        shared => shared,
    };
    let as_raw = facts.against_raw.is_none_or(|ratio| ratio > SCALES);
    if facts.kernels.is_some_and(|share| share > MOST) {
        return "the kernels' own time";
    }
    if facts.threads == 1 {
        return match (facts.synchronous, shared) {
            (_, Shared::Peer) => "its own way to the device",
            (true, _) => "the op's own time",
            (false, Shared::Bus) => "the way over the bus and back",
            (false, _) if as_raw => "a launch's way there and back",
            (false, _) => "host work around the launch",
        };
    }
    if facts.threads as usize > facts.cores {
        return "more callers than cores";
    }
    match (shared, facts.synchronous) {
        (Shared::Lock, _) => "the lock",
        _ if facts.efficiency > SCALES => "as one thread",
        (Shared::Peer, _) => "what its threads share",
        (_, true) => "what cores share, or other load",
        (Shared::Contexts, _) => "processes take turns on the device",
        (Shared::Bus, _) => "the bus, and resident kernels side by side",
        _ if as_raw => "the driver's locks",
        _ => "host work around the launch",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPU: Facts = Facts {
        shared: Shared::Device,
        threads: 8,
        cores: 16,
        synchronous: false,
        efficiency: 0.5,
        kernels: Some(0.2),
        ops: 1,
        against_raw: Some(1.0),
    };

    #[test]
    fn figures_decide() {
        assert_eq!(limit(&GPU), "the driver's locks");
        let slow = Facts {
            against_raw: Some(0.5),
            ..GPU
        };
        assert_eq!(limit(&slow), "host work around the launch");
        let busy = Facts {
            kernels: Some(0.8),
            ..GPU
        };
        assert_eq!(limit(&busy), "the kernels' own time");
        let scales = Facts {
            efficiency: 0.97,
            ..GPU
        };
        assert_eq!(limit(&scales), "as one thread");
        let alone = Facts { threads: 1, ..GPU };
        assert_eq!(limit(&alone), "a launch's way there and back");
        let by_ring = Facts {
            against_raw: Some(2.0),
            ..alone
        };
        assert_eq!(limit(&by_ring), "the way over the bus and back");
        let batch = Facts { ops: 32, ..by_ring };
        assert_eq!(limit(&batch), "a launch's way there and back");
        let many = Facts { threads: 17, ..GPU };
        assert_eq!(limit(&many), "more callers than cores");
        let locked = Facts {
            shared: Shared::Lock,
            efficiency: 0.95,
            ..GPU
        };
        assert_eq!(limit(&locked), "the lock");
    }
}
