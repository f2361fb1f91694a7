//! What an op call costs before its kernel runs: `cargo run --release --example overhead`.
//!
//! An op on one element is all overhead: check, plan, memory, submission and the dropped result.
//! The kernel itself is measured alone, and the difference is what the library adds.

use std::time::Instant;
use wootz::{Device, Result, Tensor, ops};

fn main() -> Result<()> {
    let x = Tensor::from_slice(&[1.0f32], &[1], Device::cpu())?;
    for (name, op) in OPS {
        println!("{name:<10} {:6.1} ns a call", nanoseconds(|| op(&x)));
    }
    Ok(())
}

type Op = fn(&Tensor) -> Result<Tensor>;
const OPS: &[(&str, Op)] = &[("copy", ops::copy), ("softmax", |x| ops::softmax(x, -1))];

/// The fastest of many rounds: what disturbs a round only makes it slower.
fn nanoseconds(mut call: impl FnMut() -> Result<Tensor>) -> f64 {
    const CALLS: u32 = 1000;
    let mut best = f64::INFINITY;
    for _ in 0..500 {
        let start = Instant::now();
        for _ in 0..CALLS {
            let _ = std::hint::black_box(call());
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(CALLS));
    }
    best
}
