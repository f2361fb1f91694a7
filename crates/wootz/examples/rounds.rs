//! The table's benchmarks one at a time, as another program asks for them; `peers/bench.py` does,
//! and runs PyTorch in turns with them.
//!
//! A line in, such as `softmax f32 64x1024 20`, names a benchmark and for how many milliseconds to
//! repeat it; a line out has the fewest seconds of a call. `fma f32` is this core's multiply-add
//! rate, as seconds for each GFLOP.

use std::collections::HashMap;
use std::io::BufRead;
use std::time::{Duration, Instant};
use wootz::{DType, Device, Result, Tensor, table};

#[path = "../../cli/src/bench/fma.rs"]
mod fma;
#[path = "../../cli/src/inputs.rs"]
mod inputs;

fn main() -> Result<()> {
    let mut cases: HashMap<String, Case> = HashMap::new();
    for line in std::io::stdin()
        .lock()
        .lines()
        .map_while(std::io::Result::ok)
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[op, dtype, shape, milliseconds] = &words[..] else {
            println!("expected op, dtype, shape, milliseconds");
            continue;
        };
        let dtype = DType::ALL.iter().copied().find(|d| d.name() == dtype);
        let time = Duration::from_millis(milliseconds.parse().unwrap_or(20));
        let name = words[..3].join(" ");
        if op == "fma" {
            let dtype = dtype.unwrap_or(DType::F32);
            let seconds = fastest(time, || fma::run(dtype));
            println!("{:e}", seconds / fma::FLOPS as f64 * 1e9);
            continue;
        }
        if !cases.contains_key(&name) {
            let Some(case) = dtype.and_then(|dtype| Case::find(op, dtype, shape)) else {
                println!("no {name}");
                continue;
            };
            // One at a time: inputs of the last would fill the memory.
            cases.clear();
            cases.insert(name.clone(), case?);
        }
        let case = &cases[&name];
        println!(
            "{:e}",
            fastest(time, || drop((case.bench.run)(&case.inputs)))
        );
    }
    Ok(())
}

struct Case {
    bench: table::Bench,
    inputs: Vec<Tensor>,
}

impl Case {
    fn find(op: &str, dtype: DType, shape: &str) -> Option<Result<Case>> {
        let mut benches = table::find(op)?.benches(dtype).into_iter();
        let named = |bench: &table::Bench| {
            let dims: Vec<String> = bench.dims.iter().map(usize::to_string).collect();
            dims.join("x") == shape
        };
        let bench = benches.find(named)?;
        let inputs = bench.inputs.iter();
        let inputs = inputs.map(|(dtype, dims)| inputs::tensor(*dtype, dims, Device::cpu()));
        let inputs: Result<Vec<Tensor>> = inputs.collect();
        Some(inputs.map(|inputs| Case { bench, inputs }))
    }
}

/// The fewest seconds of a call: what disturbs one only makes it slower. Short calls are timed
/// several at a time, so that the clock does not count; long ones a few times at least.
fn fastest(time: Duration, mut call: impl FnMut()) -> f64 {
    let end = Instant::now() + time;
    let (mut best, mut calls, mut times) = (f64::INFINITY, 1u32, 0);
    while Instant::now() < end || times < 4 {
        times += 1;
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        let taken = start.elapsed();
        best = best.min(taken.as_secs_f64() / f64::from(calls));
        if taken < Duration::from_micros(20) {
            calls *= 2;
        }
    }
    best
}
