//! What the emulator reports, in words that lead to the line at fault.

use super::shadow::{Touch, Wrong};
use std::fmt;

/// A thing that hardware would not forgive, with the place where it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kernel's entry point.
    pub kernel: String,
    /// The group of the grid.
    pub group: u32,
    /// The lane of the group.
    pub lane: u32,
    /// What it did.
    pub what: What,
}

/// What a lane did wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An access outside of all that the launch was given.
    OutOfRange {
        /// `reads` or `writes`.
        verb: &'static str,
        /// Size of the access.
        bytes: u64,
        /// Where it fell, relative to the nearest memory.
        whereabouts: String,
    },
    /// A write to a buffer that is bound for reading.
    ReadOnly {
        /// Index of the binding.
        buffer: usize,
        /// Byte offset in it.
        offset: usize,
    },
    /// An access to a part of a buffer that the plan leaves to another group.
    Stranger {
        /// `reads` or `writes`.
        verb: &'static str,
        /// Index of the binding.
        buffer: usize,
        /// Byte offset in it.
        offset: usize,
    },
    /// A read of memory that nobody has written.
    Unwritten {
        /// Which memory.
        memory: Memory,
        /// Byte offset in it.
        offset: usize,
    },
    /// A byte of a buffer that is read and written, though bound for reading too.
    Promised {
        /// `reads` or `writes`.
        verb: &'static str,
        /// Which memory.
        memory: Memory,
        /// Byte offset in it.
        offset: usize,
    },
    /// Two lanes, one of them writing, with no barrier between.
    Race {
        /// Which memory.
        memory: Memory,
        /// Byte offset in it.
        offset: usize,
        /// `reads` or `writes`.
        verb: &'static str,
        /// What the other lane did: `read` or `written`.
        earlier: &'static str,
        /// The other lane.
        other: u16,
        /// Whether the other lane is in another group.
        foreign: bool,
    },
    /// A pack that is not aligned to its size.
    Misaligned {
        /// The alignment it needs.
        alignment: u64,
    },
    /// A barrier or simd operation that not all lanes reach.
    Diverged {
        /// Where this lane waits.
        here: Wait,
        /// What the lane that does not come is doing.
        other_lane: u32,
        /// Where that one waits; `None` when it has returned.
        other: Option<Wait>,
    },
}

/// A kind of memory that a launch was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// The group's scratch.
    Scratch,
    /// A binding, by index.
    Buffer(usize),
}

/// Where a lane waits for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// For whom.
    pub kind: WaitKind,
    /// Line of the flattened source.
    pub line: u32,
}

/// What a lane waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitKind {
    /// `scratch_barrier`.
    Scratch,
    /// `device_barrier`.
    Device,
    /// `simd_barrier`.
    Simd,
    /// A simd operation on values of this many bytes.
    Exchange(u64),
}

impl What {
    pub(super) fn from_shadow(memory: Memory, offset: usize, touch: Touch, wrong: Wrong) -> What {
        match wrong {
            Wrong::Unwritten => What::Unwritten { memory, offset },
            Wrong::Promised => What::Promised {
                verb: verb(touch),
                memory,
                offset,
            },
            Wrong::Race {
                other,
                foreign,
                earlier,
            } => {
                let earlier = if earlier == Touch::Read {
                    "read"
                } else {
                    "written"
                };
                What::Race {
                    memory,
                    offset,
                    verb: verb(touch),
                    earlier,
                    other,
                    foreign,
                }
            }
        }
    }
}

pub(super) fn verb(touch: Touch) -> &'static str {
    if touch.writes() { "writes" } else { "reads" }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "kernel {}, group {}, lane {} ",
            self.kernel, self.group, self.lane
        )?;
        match &self.what {
            What::OutOfRange {
                verb,
                bytes,
                whereabouts,
            } => {
                write!(f, "{verb} {bytes} bytes out of range: {whereabouts}")
            }
            What::ReadOnly { buffer, offset } => {
                write!(
                    f,
                    "writes byte {offset} of buffer {buffer}, which is bound for reading"
                )
            }
            What::Stranger {
                verb,
                buffer,
                offset,
            } => {
                write!(
                    f,
                    "{verb} byte {offset} of buffer {buffer}, which the plan leaves to another group"
                )
            }
            What::Unwritten { memory, offset } => {
                write!(
                    f,
                    "reads byte {offset} of {memory}, which nobody has written"
                )
            }
            What::Promised {
                verb,
                memory,
                offset,
            } => {
                let other = if *verb == "reads" { "written" } else { "read" };
                write!(
                    f,
                    "{verb} byte {offset} of {memory}, {other} before: it is bound for reading too, which promises that nobody writes it"
                )
            }
            What::Race {
                memory,
                offset,
                verb,
                earlier,
                other,
                foreign,
            } => {
                let group = if *foreign { " of another group" } else { "" };
                let order = if *foreign {
                    "groups have no order"
                } else {
                    "no barrier between"
                };
                write!(
                    f,
                    "{verb} byte {offset} of {memory}, {earlier} by lane {other}{group}: {order}"
                )
            }
            What::Misaligned { alignment } => {
                write!(
                    f,
                    "moves a pack of {alignment} bytes at an address that is not aligned to it"
                )
            }
            What::Diverged {
                here,
                other_lane,
                other: Some(other),
            } => {
                write!(f, "waits at {here}, lane {other_lane} at {other}")
            }
            What::Diverged {
                here,
                other_lane,
                other: None,
            } => {
                write!(f, "waits at {here}, but lane {other_lane} has returned")
            }
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Memory::Scratch => write!(f, "scratch"),
            Memory::Buffer(index) => write!(f, "buffer {index}"),
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            WaitKind::Scratch => "a scratch barrier",
            WaitKind::Device => "a device barrier",
            WaitKind::Simd => "a simd barrier",
            WaitKind::Exchange(_) => "a simd operation",
        };
        write!(f, "{name} (line {})", self.line)
    }
}
