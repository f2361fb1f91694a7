//! The table's benchmarks one at a time, as another program asks for them; `peers/bench.py` does,
//! and runs PyTorch in turns with them.
//!
//! A line in, such as `softmax f32 64x1024 20`, names a benchmark and for how many milliseconds to
//! repeat it; a line out has the fewest seconds of a call. `fma f32` is this core's multiply-add
//! rate, as seconds for each GFLOP.

use std::collections::HashMap;
use std::io::BufRead;
use std::time::{Duration, Instant};
use wootz::{DType, Device, Tensor, table};

#[path = "../../cli/src/bench/fma.rs"]
mod fma;
#[path = "../../cli/src/inputs.rs"]
mod inputs;

fn main() {
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
            // One at a time: inputs of the last would fill the memory.
            cases.clear();
            match Case::new(op, dtype, shape) {
                Ok(case) => cases.insert(name.clone(), case),
                Err(why) => {
                    println!("{why}");
                    continue;
                }
            };
        }
        let case = &cases[&name];
        println!(
            "{:e}",
            fastest(time, || drop((case.bench.run)(&case.inputs)))
        );
    }
}

struct Case {
    bench: table::Bench,
    inputs: Vec<Tensor>,
}

impl Case {
    fn new(op: &str, dtype: Option<DType>, shape: &str) -> Result<Case, String> {
        let row = table::find(op).ok_or(format!("no op {op}"))?;
        let dtype = dtype.ok_or("no such element type")?;
        let dims: Result<Vec<usize>, _> = shape.split('x').map(str::parse).collect();
        let dims = dims.map_err(|_| format!("{shape} is no shape"))?;
        let bench = row.bench(dtype, &dims).map_err(|why| why.to_string())?;
        let inputs = bench.inputs.iter();
        let inputs = inputs.map(|(dtype, dims)| inputs::tensor(*dtype, dims, Device::cpu()));
        let inputs: wootz::Result<Vec<Tensor>> = inputs.collect();
        let inputs = inputs.map_err(|why| why.to_string())?;
        Ok(Case { bench, inputs })
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
