//! What a device can do, as plain data: all that a plan may depend on besides shapes.

/// The family of a device: which kernel form it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Native kernels on the caller's thread and the crew.
    Cpu,
    /// Records plans and runs nothing.
    Null,
    /// The one kernel source, run by the emulator.
    Emulated,
    /// The one kernel source, compiled by NVRTC.
    Cuda,
    /// The one kernel source, compiled by Metal.
    Metal,
}

/// Capabilities of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// Which kernel form the device runs.
    pub family: Family,
    /// The product's name, as its maker gives it.
    pub product: String,
    /// Cores or multiprocessors.
    pub cores: usize,
    /// Vector or architecture level, in the maker's words (`avx512`, `sm_90`, `apple9`).
    pub level: String,
    /// Memory that the device can use, in bytes.
    pub memory: usize,
    /// Scratch memory that one group can have, in bytes.
    pub scratch: usize,
    /// Groups that can run together and reach each other's scratch memory; 1 where none can.
    pub cluster: usize,
    /// Whether the host can read and write the device's memory in place.
    pub host_visible: bool,
    /// Whether a plan is done when its submission returns.
    pub synchronous: bool,
    /// Whether `f32` arithmetic keeps values below the smallest normal one. Where it does not, such
    /// an operand or result may count as zero.
    pub subnormals: bool,
    /// How many streams can live at once.
    pub max_streams: usize,
}
