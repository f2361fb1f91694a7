//! The runtime of Wootz: devices, streams, memory and plans. It knows no op.
//!
//! Work goes one way: a [`Plan`] is submitted on a [`Stream`], which hands it to the backend of its
//! [`Device`]. A stream is driven by one thread at a time, proven at compile time, so there is no
//! lock on that way. [`Buffer`]s cross threads; a stream that is given one waits, on the device,
//! for the stream that produces it.

mod backend;
mod buffer;
mod cache;
mod caps;
#[cfg(any(
    feature = "emulated",
    all(not(loom), any(target_os = "linux", target_os = "macos", windows))
))]
mod compiled;
pub mod crew;
mod device;
pub mod encode;
mod error;
mod event;
mod fingerprint;
#[cfg_attr(
    not(all(not(loom), any(target_os = "linux", windows))),
    allow(dead_code, reason = "only CUDA takes graphs whole")
)]
mod graph;
pub mod hazard;
#[cfg(all(not(loom), any(target_os = "linux", target_os = "macos", windows)))]
mod kept;
pub mod kernels;
mod module;
pub mod plan;
mod pool;
#[cfg_attr(
    not(all(not(loom), any(target_os = "linux", windows))),
    allow(dead_code, reason = "only CUDA keeps kernels resident")
)]
mod resident;
pub mod returns;
pub mod ring;
pub mod slots;
mod stream;
pub mod sync;
mod tensor_map;
pub mod timeline;
mod waiters;

#[cfg(feature = "emulated")]
pub use backend::emulated;
pub use backend::null;
pub use buffer::{Buffer, RawMemory};
pub use cache::folder as cache_folder;
pub use caps::{Caps, Family};
pub use device::Device;
pub use error::{Error, Result, StreamName};
pub use event::Event;
pub use graph::{Bare, Calls, Graph};
pub use module::{Module, Source};
pub use plan::{
    Access, Body, Call, ForeignCall, ForeignFn, Grid, Kernel, NativeFn, Parts, Place, Plan,
};
pub use resident::{COSTS, Costs, Residence, Resident, Submission};
pub use stream::Stream;
pub use tensor_map::TensorMap;
