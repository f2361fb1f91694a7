//! Why a command did not succeed, and the exit code that says so.

use std::fmt;

/// Exit codes as `--help` and the manual state them; clap itself leaves with 2 on bad usage.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  a check failed
  2  bad usage or input: an unknown name, a file that cannot be written
  3  the device failed";

/// A command's failure: one line for the user and a kind that decides the exit code.
#[derive(Debug)]
pub enum Failure {
    /// A conformance check found an error past its bound.
    Check(String),
    /// The request cannot be served as it was written.
    Input(String),
    /// The device, or a process or thread driving it, failed.
    Device(String),
    /// Whoever read our output went away; that is no error of ours or theirs.
    OutputClosed,
}

impl Failure {
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::OutputClosed => 0,
            Failure::Check(_) => 1,
            Failure::Input(_) => 2,
            Failure::Device(_) => 3,
        }
    }

    /// A failed read or write of the named file.
    pub fn file(path: &std::path::Path, action: &str, error: &std::io::Error) -> Failure {
        Failure::Input(format!("cannot {action} {}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Check(text) | Failure::Input(text) | Failure::Device(text) => {
                f.write_str(text)
            }
            Failure::OutputClosed => f.write_str("output closed"),
        }
    }
}

/// Failures of writing to standard output.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Input(format!("cannot write to standard output: {error}")),
        }
    }
}
