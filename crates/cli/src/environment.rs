//! What the environment says: how many threads an op on the CPU may use and which instructions, and
//! how work travels to a GPU.
//!
//! The library splits large ops over helper threads. Measurements turn that off: a core's rate
//! is compared with a core's limit, and callers that share a machine are its only threads.

use wootz::cpu::simd::Level;
use wootz::path::Path;
use wootz::precision::Precision;
use wootz::runtime::{Submission, crew};

use crate::failure::Failure;
use crate::names::unknown;

const THREADS: &str = "WOOTZ_THREADS";
const LEVEL: &str = "WOOTZ_CPU";
const SUBMIT: &str = "WOOTZ_SUBMIT";

/// The part of the help that tells of them.
pub const VARIABLES: &str = "\
Environment:
  WOOTZ_THREADS    threads that share a large op on the CPU [default: every core; 1 to measure]
  WOOTZ_CPU        instruction set on the CPU: portable, neon, avx2, avx512 [default: the widest]
  WOOTZ_SUBMIT     how work travels to a CUDA device: auto, launch, graph, ring [default: auto]
  WOOTZ_PATIENCE   seconds that the ring may stand still before the device is lost; 0 for no end
                   [default: 60]
  WOOTZ_PATH       matrix products by: auto, own, vendor, portable (own, but for one machine's)
                   [default: auto, which `wootz tune` measures]
  WOOTZ_PRECISION  products of f32: f32, tf32 (less precise where that is faster) [default: f32]
  WOOTZ_PACKED     MiB for packed forms of weights on the CPU [default: an eighth of the memory]
  WOOTZ_LOG        what to tell on standard error: path (which way products go, and why), ring
                   (what stands still there)
  WOOTZ_CUBLASLT   file of cuBLASLt, if it is not found
  WOOTZ_BLAS       file of a BLAS for the CPU, if it is not found
  WOOTZ_CUDA_PATH  where the CUDA toolkit is, if it is not found
  WOOTZ_CACHE      folder for compiled kernels and measurements [default: the system's for caches]
  NO_COLOR         set to anything: no colours";

/// The ways of `WOOTZ_SUBMIT`, a line each.
pub const SUBMISSIONS: &str =
    "  auto    small ops to a kernel that stays on the device, longer recorded graphs whole
  launch  each op launched by itself, those of a recorded graph too
  graph   recorded graphs whole, other ops launched
  ring    small ops to a kernel that stays on the device, even where auto would not";

/// A variable whose values have no list of names.
struct Variable {
    name: &'static str,
    expected: &'static str,
    takes: fn(&str) -> bool,
}

const FREE: [Variable; 3] = [
    Variable {
        name: "WOOTZ_PATIENCE",
        expected: "a number of seconds",
        takes: |value| {
            value
                .parse()
                .is_ok_and(|seconds| (0.0..1e9).contains(&seconds))
        },
    },
    Variable {
        name: "WOOTZ_PACKED",
        expected: "a number of MiB",
        takes: |value| value.parse::<usize>().is_ok(),
    },
    Variable {
        name: "WOOTZ_LOG",
        expected: "path, ring or both",
        takes: |value| {
            let mut topics = value.split(',');
            topics.all(|topic| ["path", "ring"].contains(&topic))
        },
    },
];

/// Refuses what the library would pass over in silence.
pub fn check() -> Result<(), Failure> {
    crew::threads().map_err(|error| Failure::Input(error.to_string()))?;
    for Variable {
        name,
        expected,
        takes,
    } in FREE
    {
        let value = std::env::var_os(name).unwrap_or_default();
        let value = value.to_string_lossy();
        if !value.is_empty() && !takes(&value) {
            let what = format!("{name}: expected {expected}, not '{value}'");
            return Err(Failure::Input(what));
        }
    }
    check_named(SUBMIT, "way to submit", Submission::NAMES)?;
    check_named(Path::VARIABLE, "path", &Path::NAMES)?;
    check_named(Precision::VARIABLE, "precision", &Precision::NAMES)?;
    let Some(name) = std::env::var_os(LEVEL) else {
        return Ok(());
    };
    let name = name.to_string_lossy();
    let names = Level::ALL.map(Level::name);
    match Level::ALL.iter().find(|level| level.name() == name) {
        Some(level) if level.available() => Ok(()),
        Some(_) => Err(Failure::Input(format!(
            "{LEVEL}: this machine has no {name}"
        ))),
        None => {
            let what = unknown("instruction set", &name, names);
            Err(Failure::Input(format!("{LEVEL}: {what}")))
        }
    }
}

/// Refuses a variable that says none of these names.
fn check_named<T>(variable: &str, what: &str, names: &[(&str, T)]) -> Result<(), Failure> {
    let Some(name) = std::env::var_os(variable) else {
        return Ok(());
    };
    let name = name.to_string_lossy();
    if names.iter().any(|(known, _)| *known == name) {
        return Ok(());
    }
    let what = unknown(what, &name, names.iter().map(|(name, _)| *name));
    Err(Failure::Input(format!("{variable}: {what}")))
}

/// One thread for each op, unless the user said otherwise.
pub fn default_to_one_thread() {
    if std::env::var_os(THREADS).is_none() {
        // SAFETY: `main` calls this before it starts anything, so no other thread reads the
        // environment.
        unsafe { std::env::set_var(THREADS, "1") };
    }
}

/// Threads that share a large op.
pub fn threads() -> usize {
    crew::threads().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_way_to_submit_and_the_default() {
        let names = Submission::NAMES.iter().map(|(name, _)| *name);
        let listed = SUBMISSIONS
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        assert!(listed.eq(names.clone()));
        assert!(SUBMISSIONS.lines().all(|line| line.starts_with("  ")));
        let default = Submission::NAMES
            .iter()
            .find(|(_, way)| *way == Submission::default());
        let (default, _) = default.expect("it has a name");
        let names: Vec<_> = names.collect();
        let told = format!("{} [default: {default}]", names.join(", "));
        assert!(VARIABLES.contains(&told), "{told}");
    }
}
