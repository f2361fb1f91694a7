//! Multiply-adds with nothing else: independent chains in registers, in the widest form
//! that the CPU has for an element type.

use std::hint::black_box;

use wootz::DType;

/// Floating-point operations of one `run`, a multiple of what any form does in one step.
pub const FLOPS: u64 = 3 << 19;
/// Chains that do not wait for each other: more than latency times units on any known core,
/// and few enough for 32 registers.
const CHAINS: usize = 16;

/// Does `FLOPS` floating-point operations on values of `dtype`, accumulated in f32.
pub fn run(dtype: DType) {
    #[cfg(target_arch = "x86_64")]
    x86::run(dtype);
    #[cfg(target_arch = "aarch64")]
    arm::run();
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    portable();
    let _ = dtype;
}

/// A multiplier and an addend that keep the chains at ordinary numbers, unknown to the compiler.
fn factors() -> (f32, f32) {
    (black_box(0.5), black_box(0.25))
}

#[cfg(not(target_arch = "aarch64"))]
fn portable() {
    const LANES: usize = 4;
    let (a, b) = factors();
    let mut chains = [[1.0_f32; LANES]; CHAINS / 2];
    for _ in 0..FLOPS as usize / (2 * LANES * chains.len()) {
        for lane in chains.as_flattened_mut() {
            *lane = *lane * a + b;
        }
    }
    black_box(chains);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{CHAINS, DType, FLOPS, black_box, factors, portable};

    pub fn run(dtype: DType) {
        let wide = is_x86_feature_detected!("avx512f");
        if wide && dtype == DType::BF16 && is_x86_feature_detected!("avx512bf16") {
            // SAFETY: the features were detected.
            unsafe { dot_bf16() }
        } else if wide {
            // SAFETY: the feature was detected.
            unsafe { fma_512() }
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the features were detected.
            unsafe { fma_256() }
        } else {
            portable();
        }
    }

    #[target_feature(enable = "avx512f")]
    fn fma_512() {
        let (a, b) = factors();
        let (a, b) = (_mm512_set1_ps(a), _mm512_set1_ps(b));
        let mut chains = [b; CHAINS];
        for _ in 0..FLOPS as usize / (2 * 16 * CHAINS) {
            for chain in &mut chains {
                *chain = _mm512_fmadd_ps(*chain, a, b);
            }
        }
        black_box(chains);
    }

    #[target_feature(enable = "avx2,fma")]
    fn fma_256() {
        // With the factors, 14 of 16 registers.
        const FITTING: usize = 12;
        let (a, b) = factors();
        let (a, b) = (_mm256_set1_ps(a), _mm256_set1_ps(b));
        let mut chains = [b; FITTING];
        for _ in 0..FLOPS as usize / (2 * 8 * FITTING) {
            for chain in &mut chains {
                *chain = _mm256_fmadd_ps(*chain, a, b);
            }
        }
        black_box(chains);
    }

    /// Pairs of bf16 products added to f32: 64 operations an instruction.
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn dot_bf16() {
        let (a, b) = factors();
        let pairs = _mm512_cvtne2ps_pbh(_mm512_set1_ps(a), _mm512_set1_ps(b));
        let mut chains = [_mm512_set1_ps(b); CHAINS];
        for _ in 0..FLOPS as usize / (2 * 32 * CHAINS) {
            for chain in &mut chains {
                *chain = _mm512_dpbf16_ps(*chain, pairs, pairs);
            }
        }
        black_box(chains);
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::{vdupq_n_f32, vfmaq_f32};

    use super::{CHAINS, FLOPS, black_box, factors};

    pub fn run() {
        let (a, b) = factors();
        // SAFETY: every aarch64 CPU has these instructions.
        unsafe {
            let (a, b) = (vdupq_n_f32(a), vdupq_n_f32(b));
            let mut chains = [b; CHAINS];
            for _ in 0..FLOPS as usize / (2 * 4 * CHAINS) {
                for chain in &mut chains {
                    *chain = vfmaq_f32(b, *chain, a);
                }
            }
            black_box(chains);
        }
    }
}
