//! The row ops on a device one at a time, as another program asks for them; `peers/device.py` does,
//! and runs PyTorch in turns with them.
//!
//! A line in, such as `softmax f32 16384x4096 8`, names an op or one of the forms below, the shape
//! and for how many milliseconds to repeat it; a line out has the seconds of a call among many that
//! are not waited for one by one. The device is the first argument.

use std::collections::HashMap;
use std::io::BufRead;
use std::time::{Duration, Instant};
use wootz::{DType, Device, Result, Tensor, ops, table};

#[path = "../../cli/src/inputs.rs"]
mod inputs;

type Call = Box<dyn Fn() -> Result<Tensor>>;
/// Ops in forms that the table's benchmarks have not, of operands of these sizes.
type Form = (
    &'static str,
    fn(&mut Store, DType, &[usize]) -> Result<Call>,
);

const FORMS: &[Form] = &[
    ("softmax_columns", |store, dtype, dims| {
        let x = store.tensor(dtype, dims)?;
        Ok(Box::new(move || ops::softmax(&x, 0)))
    }),
    ("sum_columns", |store, dtype, dims| {
        let x = store.tensor(dtype, dims)?;
        Ok(Box::new(move || ops::sum(&x, 0, false)))
    }),
    ("max_columns", |store, dtype, dims| {
        let x = store.tensor(dtype, dims)?;
        Ok(Box::new(move || ops::max(&x, 0, false)))
    }),
    ("argmax_columns", |store, dtype, dims| {
        let x = store.tensor(dtype, dims)?;
        Ok(Box::new(move || ops::argmax(&x, 0, false)))
    }),
    ("sum_all", |store, dtype, dims| {
        let x = store.tensor(dtype, dims)?;
        Ok(Box::new(move || ops::sum(&x, ops::Over::All, false)))
    }),
    ("add_row", |store, dtype, dims| {
        let (x, row) = (store.tensor(dtype, dims)?, store.tensor(dtype, &dims[1..])?);
        Ok(Box::new(move || ops::add(&x, &row)))
    }),
    ("add_column", |store, dtype, dims| {
        let (x, column) = (
            store.tensor(dtype, dims)?,
            store.tensor(dtype, &[dims[0], 1])?,
        );
        Ok(Box::new(move || ops::add(&x, &column)))
    }),
    ("transposed", |store, dtype, dims| {
        let x = store.tensor(dtype, dims)?.transpose(-2, -1)?;
        Ok(Box::new(move || x.contiguous()))
    }),
    ("rows_picked", |store, dtype, dims| {
        let table = store.tensor(dtype, dims)?;
        let row = |i: usize| (i as i64 * 7919 + 13) % dims[0] as i64;
        let picked: Vec<i64> = (0..dims[0]).map(row).collect();
        let picked = Tensor::from_slice(&picked, &[dims[0]], store.device)?;
        Ok(Box::new(move || ops::embedding(&table, &picked)))
    }),
];

fn main() {
    let device = std::env::args().nth(1).expect("a device's name");
    let device = Device::open(&device).expect("a device of that name");
    let mut store = Store {
        device,
        values: HashMap::new(),
        taken: 0,
    };
    let mut last: Option<(String, Call)> = None;
    for line in std::io::stdin()
        .lock()
        .lines()
        .map_while(std::io::Result::ok)
    {
        println!(
            "{}",
            answer(&mut store, &mut last, &line).unwrap_or_else(|why| why)
        );
    }
}

fn answer(
    store: &mut Store,
    last: &mut Option<(String, Call)>,
    line: &str,
) -> std::result::Result<String, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[op, dtype, shape, milliseconds] = &words[..] else {
        return Err("expected op, dtype, shape, milliseconds".to_owned());
    };
    let name = words[..3].join(" ");
    if last.as_ref().is_none_or(|(known, _)| *known != name) {
        let dtype = DType::ALL.iter().copied().find(|d| d.name() == dtype);
        let dtype = dtype.ok_or("no such element type")?;
        let dims: std::result::Result<Vec<usize>, _> = shape.split('x').map(str::parse).collect();
        let dims = dims.map_err(|_| format!("{shape} is no shape"))?;
        *last = Some((name, call(store, op, dtype, &dims)?));
    }
    let time = Duration::from_millis(milliseconds.parse().unwrap_or(8));
    let call = &last.as_ref().expect("just set").1;
    let seconds = seconds(time, call).map_err(|why| why.to_string())?;
    Ok(format!("{seconds:e}"))
}

fn call(
    store: &mut Store,
    op: &str,
    dtype: DType,
    dims: &[usize],
) -> std::result::Result<Call, String> {
    store.taken = 0;
    let made = match FORMS.iter().find(|(name, _)| *name == op) {
        Some((_, form)) => form(store, dtype, dims),
        None => {
            let row = table::find(op).ok_or(format!("no op {op}"))?;
            let bench = row.bench(dtype, dims).map_err(|why| why.to_string())?;
            let inputs = bench
                .inputs
                .iter()
                .map(|(dtype, dims)| store.tensor(*dtype, dims));
            let inputs: Result<Vec<Tensor>> = inputs.collect();
            inputs.map(|inputs| Box::new(move || (bench.run)(&inputs)) as Call)
        }
    };
    made.map_err(|why| why.to_string())
}

/// Values of each type on the device, of which tensors are parts.
struct Store {
    device: Device,
    values: HashMap<DType, Tensor>,
    taken: usize,
}

impl Store {
    const BLOCK: usize = 1 << 22;

    /// The next tensor of these sizes, apart from those that were taken for the same call.
    fn tensor(&mut self, dtype: DType, dims: &[usize]) -> Result<Tensor> {
        let (start, count) = (self.taken, dims.iter().product::<usize>());
        self.taken += count.next_multiple_of(64);
        let blocks = self.taken.div_ceil(Store::BLOCK).next_power_of_two();
        if self
            .values
            .get(&dtype)
            .is_none_or(|all| all.count() < self.taken)
        {
            let block = inputs::tensor(dtype, &[Store::BLOCK], self.device)?;
            let all = block.broadcast_to(&[blocks, Store::BLOCK])?.contiguous()?;
            self.values
                .insert(dtype, all.reshape(&[blocks * Store::BLOCK])?);
        }
        self.values[&dtype].narrow(0, start, count)?.reshape(dims)
    }
}

/// The seconds of one call, of so many in a row that they take at least `time`.
fn seconds(time: Duration, call: &Call) -> Result<f64> {
    let (mut calls, end) = (1_u32, Instant::now() + 4 * time);
    loop {
        let start = Instant::now();
        let mut last = call()?;
        for _ in 1..calls {
            last = call()?;
        }
        last.wait()?;
        let taken = start.elapsed();
        if taken >= time || Instant::now() > end {
            return Ok(taken.as_secs_f64() / f64::from(calls));
        }
        calls *= 2;
    }
}
