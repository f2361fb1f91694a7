//! Tensor operations from many threads at once on one device, with no lock between caller and
//! device.
//!
//! ```
//! use wootz::{Device, Tensor, ops};
//!
//! let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2], Device::best())?;
//! let rows: Vec<_> = std::thread::scope(|scope| {
//!     let workers = [0, 1].map(|row| {
//!         let row = x.narrow(0, row, 1);
//!         scope.spawn(move || ops::softmax(&row?, -1)?.to_vec::<f32>())
//!     });
//!     workers.into_iter().map(|worker| worker.join().unwrap()).collect()
//! });
//! assert_eq!(rows[0], rows[1]);
//! # Ok::<(), wootz::Error>(())
//! ```

mod activation;
pub mod case;
pub mod conformance;

pub mod cpu;
mod display;
mod dtype;
mod error;
mod float8;
mod graph;
pub mod kernels;
mod layout;
pub mod ops;
mod packed;
pub mod path;
pub mod precision;
pub mod reference;
pub mod safetensors;
mod setting;
pub mod table;
mod tensor;
pub mod tuning;
pub mod vendor;

pub use activation::Activation;
pub use dtype::{DType, Element};
pub use error::{Error, Result};
pub use float8::F8E4M3;
pub use graph::Graph;
pub use half::{bf16, f16};
pub use layout::{Layout, MAX_RANK, Shape, collapse};
pub use tensor::Tensor;
pub use wootz_runtime::{self as runtime, Caps, Device, Event, Stream};

/// The program in the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
