//! What a device could reach at best: the copy rate and the multiply-add rate.

use std::hint::black_box;

use wootz::runtime::Family;
use wootz::{DType, Device, Tensor, ops};

use super::fma;
use super::timing::{Probe, Work};
use crate::failure::Failure;
use crate::{environment, inputs};

/// The limit for work that moves so many bytes and does so many floating-point operations.
pub struct Limit {
    dtype: DType,
    bytes: u64,
    flops: u64,
    on_cpu: bool,
    source: Tensor,
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Limit {
    /// A copy reads half of `bytes` and writes half, so that it works in the same level of
    /// the memory hierarchy as what it is compared with.
    pub fn new(device: Device, dtype: DType, bytes: u64, flops: u64) -> Result<Limit, Failure> {
        let half = usize::try_from(bytes / 2).unwrap_or(usize::MAX).max(64);
        let on_cpu = device.caps().family == Family::Cpu;
        let source = inputs::tensor(DType::U8, &[half], device)?;
        let host = || if on_cpu { vec![1_u8; half] } else { Vec::new() };
        Ok(Limit {
            dtype,
            bytes,
            flops,
            on_cpu,
            from: host(),
            to: host(),
            source,
        })
    }

    /// What to time beside the work: copies, and multiply-adds where they matter and are known.
    pub fn probes(&mut self) -> Vec<Probe<'_>> {
        let Limit {
            dtype,
            flops,
            on_cpu,
            source,
            from,
            to,
            ..
        } = self;
        let mut works: Vec<Work<'_>> = vec![Box::new(|| ops::copy(source).map(Some))];
        if *on_cpu {
            works.push(Box::new(|| {
                black_box(&mut *to).copy_from_slice(black_box(from));
                Ok(None)
            }));
        }
        if *on_cpu && *flops > 0 {
            works.push(Box::new(|| {
                fma::run(*dtype);
                Ok(None)
            }));
        }
        works.into_iter().map(Probe::new).collect()
    }

    /// The rate that the times of the probes allow: GFLOP/s for work with floating-point
    /// operations, else GB/s.
    pub fn rate(&self, seconds: &[f64]) -> Option<f64> {
        let copies = &seconds[..if self.on_cpu { 2 } else { 1 }];
        let best = copies.iter().copied().fold(f64::INFINITY, f64::min);
        let copy_rate = 2.0 * self.source.count() as f64 / best;
        if self.flops == 0 {
            return Some(copy_rate / 1e9);
        }
        let one_thread = fma::FLOPS as f64 / seconds.get(2)?;
        let fma_rate = one_thread * environment::threads() as f64;
        let time = (self.bytes as f64 / copy_rate).max(self.flops as f64 / fma_rate);
        Some(self.flops as f64 / time / 1e9)
    }
}
