//! What can go wrong between a caller and a device.

use std::fmt;

/// The result of a runtime call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the runtime. It names the device or stream it concerns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No device has this name.
    #[error("no device is named {name:?}; this machine has {}", available.join(", "))]
    UnknownDevice {
        /// The name that was asked for.
        name: String,
        /// The names that exist here.
        available: Vec<String>,
    },
    /// The device cannot give this much memory.
    #[error("{device} is out of memory: {requested} bytes asked, {used} in use, limit {limit}")]
    OutOfMemory {
        /// The device's name.
        device: String,
        /// Bytes that were asked for.
        requested: usize,
        /// Bytes that the pools of this device hold.
        used: usize,
        /// Bytes that they may hold.
        limit: usize,
    },
    /// Every stream the device can have is in use.
    #[error("{device} has all of its {limit} streams in use")]
    TooManyStreams {
        /// The device's name.
        device: String,
        /// How many streams can live at once.
        limit: usize,
    },
    /// Earlier work on a stream failed; found at a later wait.
    #[error("{stream} failed: {message}")]
    Fault {
        /// Which stream.
        stream: StreamName,
        /// What the device reported.
        message: String,
    },
    /// A kernel on the CPU panicked. Its output is undefined, everything else goes on.
    #[error("kernel {kernel} panicked: {message}")]
    KernelPanicked {
        /// The kernel's name.
        kernel: &'static str,
        /// The panic's message.
        message: String,
    },
    /// A kernel was given data that it cannot use, such as an index that lies outside. Its output
    /// is undefined, everything else goes on.
    #[error("kernel {kernel} refused element {element} of its data")]
    Refused {
        /// The kernel's name.
        kernel: &'static str,
        /// The first such element, counted in the order of the kernel's work.
        element: u64,
    },
    /// A kernel has no form that this device can run.
    #[error("{device} has no form of kernel {kernel}")]
    NoKernel {
        /// The device's name.
        device: String,
        /// The kernel's name.
        kernel: &'static str,
    },
    /// A kernel's source does not compile.
    #[error("kernel {kernel} does not compile for {device}:\n{log}")]
    Compile {
        /// The device's name.
        device: String,
        /// The entry point that was asked for.
        kernel: &'static str,
        /// What the compiler said.
        log: String,
    },
    /// The compiler that a device needs for new kernels is not here.
    #[error("{device} has no compiler for new kernels: {reason}")]
    NoCompiler {
        /// The device's name.
        device: String,
        /// What was tried, and what to do.
        reason: String,
    },
    /// A plan asks for more than a group of this device can have.
    #[error("{device} cannot launch {kernel}: {reason}")]
    LaunchLimit {
        /// The device's name.
        device: String,
        /// The kernel's name.
        kernel: &'static str,
        /// Which limit, and what was asked.
        reason: String,
    },
    /// The emulator stopped a kernel at a thing that hardware would not forgive. Its output is
    /// undefined, everything else goes on.
    #[error("{device} stopped a kernel: {report}")]
    KernelFault {
        /// The device's name.
        device: String,
        /// The kernel, the place and what it did there.
        report: String,
    },
    /// A call of the device's driver failed.
    #[error("{device}: {call} failed: {message}")]
    Driver {
        /// The device's name.
        device: String,
        /// The call.
        call: &'static str,
        /// The driver's words.
        message: String,
    },
    /// The device is broken until the process ends; nothing more runs on it.
    #[error("{device} is lost: {message}")]
    DeviceLost {
        /// The device's name.
        device: String,
        /// The driver's words.
        message: String,
    },
    /// A buffer lives on another device than the stream that was given it.
    #[error("a buffer of {found} was given to {expected}")]
    WrongDevice {
        /// Where the buffer lives.
        found: String,
        /// The stream's device.
        expected: String,
    },
    /// A buffer that belongs to another stream, or to no stream, was bound for writing.
    #[error("a buffer that {stream} did not allocate was given to it for writing")]
    WrongStream {
        /// The stream that was to write.
        stream: StreamName,
    },
    /// Bytes were asked of a buffer that it does not have.
    #[error("{count} bytes from byte {offset} on were asked of a buffer of {bytes}")]
    Outside {
        /// The first byte that was asked for.
        offset: usize,
        /// How many were asked for.
        count: usize,
        /// How many the buffer has.
        bytes: usize,
    },
    /// A value was asked of a tensor that only stands for a step of a recording.
    #[error(
        "this value belongs to a recorded graph: it has no contents until the graph is replayed"
    )]
    Recorded,
    /// A recording was asked for inside another on the same stream.
    #[error("{stream} is already recording")]
    Recording {
        /// Which stream.
        stream: StreamName,
    },
    /// A graph was replayed with other inputs than it was recorded for, or elsewhere.
    #[error("the graph was recorded for {expected}, and was given {found}")]
    GraphInputs {
        /// What the recording saw.
        expected: String,
        /// What the replay was given.
        found: String,
    },
}

/// A stream in words: the device's name and the stream's number on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamName {
    /// The device's name.
    pub device: String,
    /// The stream's number on that device.
    pub index: usize,
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {} of {}", self.index, self.device)
    }
}
