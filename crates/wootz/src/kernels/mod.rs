//! The one kernel source: families of kernels written in the dialect of `kernels/dialect`, and the
//! instances of them that devices run.
//!
//! An [`Instance`] names a body of a family file with its template arguments, parameter struct and
//! buffers. [`module`] renders instances to one self-contained text; Metal, NVRTC and the
//! emulator's compiler all get the same bytes.

mod catalogue;
mod instance;
mod params;
pub mod rows;
mod source;
pub mod structs;

pub use catalogue::modules;
pub use instance::{Buffer, Instance, module};
pub(crate) use params::kernel_params;
pub use params::{CField, CStruct, KernelParams};
pub use source::{SourceError, flatten};

use crate::DType;

/// The dialect's name of an element type.
pub fn element(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        DType::I32 => "i32",
        DType::U32 => "u32",
        DType::I64 => "i64",
        DType::U8 => "u8",
    }
}

/// Elements in a pack of 16 bytes.
pub fn pack(dtype: DType) -> usize {
    16 / dtype.size()
}
