//! `wootz bench`: ops against the limit of this machine, measured in the same run.

mod fma;
mod limit;
pub mod timing;

use indicatif::ProgressBar;
use serde::Serialize;
use wootz::{DType, Device, Stream, Tensor, table};

use crate::args::{self, Shape};
use crate::failure::Failure;
use crate::output::{Align, OutputFile, Table, json_lines, print_line, three_digits};
use crate::{devices, inputs};
use limit::Limit;
use timing::Probe;

/// One op in one element type and shape, as JSON shows it.
#[derive(Debug, Serialize)]
struct Row {
    op: &'static str,
    device: &'static str,
    dtype: &'static str,
    shape: String,
    time_us: f64,
    gbps: f64,
    /// For matrix products, which arithmetic limits.
    gflops: Option<f64>,
    /// In GFLOP/s where `gflops` is there, else in GB/s.
    limit: Option<f64>,
    fraction: Option<f64>,
}

pub fn run(args: &args::Bench) -> Result<(), Failure> {
    let device = devices::open(&args.device)?;
    let cases = cases(device, args)?;
    cases.iter().try_for_each(|case| fits(device, case))?;
    let json = args.json.as_deref().map(OutputFile::open).transpose()?;
    let progress = ProgressBar::new(cases.len() as u64);
    let mut rows = Vec::new();
    for case in &cases {
        rows.push(measure(device, case)?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    if !json.as_ref().is_some_and(OutputFile::is_stdout) {
        print(device, &rows)?;
    }
    json.map_or(Ok(()), |file| file.write(&json_lines(&rows)))
}

struct Case {
    op: &'static str,
    dtype: DType,
    bench: table::Bench,
}

/// The benchmarks that were asked for; an error that says what there is when there is none.
fn cases(device: Device, args: &args::Bench) -> Result<Vec<Case>, Failure> {
    let asked = |row: &&table::Row| args.ops.is_empty() || args.ops.contains(&row.name);
    let mut cases = Vec::new();
    for row in table::rows().filter(asked) {
        for dtype in dtypes(row.dtypes_on(device), &args.dtype) {
            let case = |bench| Case {
                op: row.name,
                dtype,
                bench,
            };
            cases.extend(benches(args, row, dtype)?.into_iter().map(case));
        }
    }
    if cases.is_empty() {
        return Err(Failure::Input(nothing(device, args)));
    }
    Ok(cases)
}

/// An op's benchmarks, or the one at the shape that was asked for. Among all ops, those that
/// cannot take the shape are passed over.
fn benches(
    args: &args::Bench,
    row: &table::Row,
    dtype: DType,
) -> Result<Vec<table::Bench>, Failure> {
    let Some(Shape(dims)) = &args.shape else {
        return Ok(row.benches(dtype));
    };
    match row.bench(dtype, dims) {
        Ok(bench) => Ok(vec![bench]),
        Err(_) if args.ops.is_empty() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The element types to measure an op in.
fn dtypes(taken: &[DType], asked: &[&str]) -> Vec<DType> {
    if asked.is_empty() {
        let preferred = taken.contains(&DType::F32).then_some(DType::F32);
        return preferred.or(taken.first().copied()).into_iter().collect();
    }
    let wanted = |dtype: &DType| asked.contains(&"all") || asked.contains(&dtype.name());
    taken.iter().copied().filter(wanted).collect()
}

/// Why there is nothing to measure.
fn nothing(device: Device, args: &args::Bench) -> String {
    let or = |names: &[&str], all: &str| match names {
        [] => all.to_owned(),
        names => names.join(", "),
    };
    let ops = or(&args.ops, "any op");
    let dtypes = or(&args.dtype, "any element type");
    let shape = args.shape.as_ref();
    let shape = shape.map_or_else(String::new, |shape| format!(" at {shape}"));
    format!(
        "no benchmark of {ops} in {dtypes}{shape} on {}",
        device.name()
    )
}

/// Whether the device has room for the op and for the copies that it is measured against.
fn fits(device: Device, case: &Case) -> Result<(), Failure> {
    let (needed, limit) = (3 * u128::from(case.bench.bytes), device.memory_limit());
    if needed <= limit as u128 {
        return Ok(());
    }
    let gibibytes = |bytes: f64| bytes / f64::from(1 << 30);
    Err(Failure::Input(format!(
        "{}: measuring it at {} takes {:.1} GiB, and {} has {:.1}",
        case.op,
        Shape(case.bench.dims.clone()),
        gibibytes(needed as f64),
        device.name(),
        gibibytes(limit as f64),
    )))
}

fn measure(device: Device, case: &Case) -> Result<Row, Failure> {
    let Case { op, dtype, bench } = case;
    let stream = Stream::new(device)?;
    stream.enter(|| {
        let inputs: wootz::Result<Vec<Tensor>> = bench
            .inputs
            .iter()
            .map(|(dtype, dims)| inputs::tensor(*dtype, dims, device))
            .collect();
        let inputs = inputs?;
        let mut limit = Limit::new(device, *dtype, bench.bytes, bench.flops)?;
        let mut probes = vec![Probe::new(Box::new(|| (bench.run)(&inputs).map(Some)))];
        probes.append(&mut limit.probes());
        timing::interleave(&mut probes)?;
        let seconds: Vec<f64> = probes.iter().map(Probe::seconds).collect();
        drop(probes);

        let rate = |work: u64| work as f64 / seconds[0] / 1e9;
        let limit = limit.rate(&seconds[1..]);
        let gflops = (bench.flops > 0).then(|| rate(bench.flops));
        let gbps = rate(bench.bytes);
        Ok(Row {
            op,
            device: device.name(),
            dtype: dtype.name(),
            shape: Shape(bench.dims.clone()).to_string(),
            time_us: seconds[0] * 1e6,
            gbps,
            gflops,
            limit,
            fraction: limit.map(|limit| gflops.unwrap_or(gbps) / limit),
        })
    })
}

fn print(device: Device, rows: &[Row]) -> Result<(), Failure> {
    print_line(&format!("{}\n", devices::describe(device)))?;
    let (left, right) = (Align::Left, Align::Right);
    let mut table = Table::new(&[
        ("op", left),
        ("dtype", left),
        ("shape", left),
        ("µs", right),
        ("GB/s", right),
        ("GFLOP/s", right),
        ("limit", right),
        ("fraction", right),
    ]);
    let optional = |value: Option<f64>| value.map_or_else(String::new, three_digits);
    for row in rows {
        table.row(vec![
            row.op.to_owned(),
            row.dtype.to_owned(),
            row.shape.clone(),
            three_digits(row.time_us),
            three_digits(row.gbps),
            optional(row.gflops),
            optional(row.limit),
            row.fraction
                .map_or_else(String::new, |fraction| format!("{:.0}%", fraction * 100.0)),
        ]);
    }
    table.print()?;
    print_line(
        "\nThe limit is the copy rate at the same number of bytes (GB/s) or, for matrix products,\n\
         what multiply-adds in registers and that copy rate allow (GFLOP/s).",
    )
}
