//! `wootz info`: what this machine and this build have.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;
use wootz::cpu::simd::Level;
use wootz::runtime::{COSTS, Family, Residence, Submission};
use wootz::{DType, Device, path, precision, table, tuning, vendor};

use crate::args::Info;
use crate::devices;
use crate::environment::SUBMISSIONS;
use crate::failure::Failure;
use crate::output::{Align, Table, json_lines, print_line};

/// One device, as JSON shows it.
#[derive(Debug, Serialize)]
struct Row {
    device: &'static str,
    product: &'static str,
    family: String,
    level: &'static str,
    cores: usize,
    memory_bytes: usize,
    max_streams: usize,
    synchronous: bool,
    host_visible: bool,
    best: bool,
    /// The vendor's library for matrix products, if it is here.
    vendor: Option<String>,
    /// How products choose between own kernels and the vendor's.
    path: &'static str,
    /// How precise products of f32 are.
    precision: &'static str,
    /// Kinds of products that were measured for that choice.
    tuned: usize,
    wootz: &'static str,
    /// How work travels to the device, as `WOOTZ_SUBMIT` names it. Null where there is one way.
    submission: Option<&'static str>,
    /// What there is of kernels that stay on the device.
    resident: Option<String>,
    ops: BTreeMap<&'static str, Vec<&'static str>>,
}

/// A device that this build could use and this machine lacks, as JSON shows it.
#[derive(Debug, Serialize)]
struct Absent {
    device: &'static str,
    /// Why.
    absent: &'static str,
}

pub fn run(args: &Info) -> Result<(), Failure> {
    let devices = Device::list();
    let rows: Vec<Row> = devices.iter().copied().map(row).collect();
    let absent: Vec<Absent> = devices::absent()
        .map(|(device, absent)| Absent { device, absent })
        .collect();
    if args.json {
        let lines = json_lines(&rows) + &json_lines(&absent);
        return Ok(std::io::stdout().lock().write_all(lines.as_bytes())?);
    }
    print_line(concat!("wootz ", env!("CARGO_PKG_VERSION"), "\n"))?;
    device_table(&rows).print()?;
    print_line("")?;
    for (row, device) in rows.iter().zip(&devices) {
        print_line(&products(row, *device))?;
    }
    for Absent { device, absent } in &absent {
        print_line(&format!("\nNo {device}: {absent}"))?;
    }
    for row in &rows {
        if let (Some(way), Some(resident)) = (row.submission, &row.resident) {
            print_line(&format!("\nThe way to {}: {}", row.device, about(way)))?;
            print_line(&format!("Resident kernels: {resident}"))?;
            print_line(&format!("What `auto` goes by: {}", costs()))?;
        }
    }
    for (devices, table) in op_tables(&devices) {
        print_line(&format!("\nOps on {}\n", devices.join(", ")))?;
        table.print()?;
    }
    Ok(())
}

/// What a way means, as the help of `WOOTZ_SUBMIT` has it.
fn about(way: &str) -> &str {
    let ways = SUBMISSIONS.lines().map(str::trim_start);
    let mut found = ways.filter(|line| line.split(' ').next() == Some(way));
    found.next().unwrap_or(way)
}

/// What small work costs by each way, in words.
fn costs() -> String {
    let micros = |nanos: u64| format!("{:.1} µs", nanos as f64 / 1e3);
    let [launch, graph, graph_step, ring, ring_step, meeting, call] = [
        COSTS.launch,
        COSTS.graph,
        COSTS.graph_step,
        COSTS.ring,
        COSTS.ring_step,
        COSTS.meeting,
        COSTS.call,
    ]
    .map(micros);
    format!(
        "a launch takes {launch}, a graph {graph} and {graph_step} a step, the ring {ring} and \
         {ring_step} a step, {meeting} more where its blocks meet and {call} more behind a call"
    )
}

/// In words.
fn told(residence: Residence) -> String {
    match residence {
        Residence::Absent(why) => format!("none: {why}"),
        Residence::Coming => "compiled when there is much small work".to_owned(),
        Residence::Ready {
            kernels,
            executors,
            registers,
        } => format!("{kernels} for {executors} streams at once, {registers} registers a lane"),
    }
}

fn row(device: Device) -> Row {
    let caps = device.caps();
    let cuda = caps.family == Family::Cuda;
    let name = |way| Submission::NAMES.iter().find(|(_, known)| *known == way);
    Row {
        device: device.name(),
        product: &caps.product,
        family: format!("{:?}", caps.family).to_lowercase(),
        level: match caps.family {
            Family::Cpu => Level::current().name(),
            _ => &caps.level,
        },
        cores: caps.cores,
        memory_bytes: caps.memory,
        max_streams: caps.max_streams,
        synchronous: caps.synchronous,
        host_visible: caps.host_visible,
        best: device == Device::best(),
        vendor: vendor::library(device).ok(),
        path: path::current().name(),
        precision: precision::current().name(),
        tuned: tuned(device),
        wootz: env!("CARGO_PKG_VERSION"),
        submission: cuda
            .then(|| name(device.submission()).map(|(name, _)| *name))
            .flatten(),
        resident: cuda.then(|| told(device.residence())),
        ops: table::rows()
            .map(|row| (row.name, names(row.dtypes_on(device))))
            .filter(|(_, dtypes)| !dtypes.is_empty())
            .collect(),
    }
}

/// Kinds of products that were measured on a device.
fn tuned(device: Device) -> usize {
    let table = tuning::Table::read(device);
    table.ok().flatten().map_or(0, |table| table.entries.len())
}

/// Which way matrix products go on a device.
fn products(row: &Row, device: Device) -> String {
    let vendor = match vendor::library(device) {
        Ok(library) => library,
        Err(why) => format!("no vendor's library ({why})"),
    };
    let Row {
        device,
        path,
        precision,
        tuned,
        ..
    } = row;
    format!(
        "Products on {device}: own kernels, {vendor}; path {path}, {tuned} kinds tuned; \
         {precision} for f32"
    )
}

fn device_table(devices: &[Row]) -> Table {
    let left = |name| (name, Align::Left);
    let right = |name| (name, Align::Right);
    let mut table = Table::new(&[
        left("device"),
        left("product"),
        left("level"),
        right("cores"),
        right("memory"),
        left(""),
    ]);
    for device in devices {
        table.row(vec![
            device.device.to_owned(),
            device.product.to_owned(),
            device.level.to_owned(),
            device.cores.to_string(),
            format!("{:.1} GiB", device.memory_bytes as f64 / f64::from(1 << 30)),
            if device.best { "best" } else { "" }.to_owned(),
        ]);
    }
    table
}

fn names(dtypes: &[DType]) -> Vec<&'static str> {
    dtypes.iter().map(|dtype| dtype.name()).collect()
}

/// The ops of each device; devices that have the same share a table.
fn op_tables(devices: &[Device]) -> Vec<(Vec<&'static str>, Table)> {
    let ops = |device| table::rows().map(move |row| row.dtypes_on(device));
    let mut tables: Vec<(Device, Vec<&'static str>)> = Vec::new();
    for &device in devices {
        match tables
            .iter_mut()
            .find(|(first, _)| ops(*first).eq(ops(device)))
        {
            Some((_, names)) => names.push(device.name()),
            None => tables.push((device, vec![device.name()])),
        }
    }
    let tables = tables.into_iter();
    tables
        .map(|(device, names)| (names, op_table(device)))
        .collect()
}

/// The ops of a device by family, with a mark for each element type that they take.
fn op_table(device: Device) -> Table {
    let mut columns = vec![("op", Align::Left)];
    columns.extend(DType::ALL.iter().map(|dtype| (dtype.name(), Align::Left)));
    columns.push(("computes", Align::Left));
    let mut table = Table::new(&columns);
    let mut family = None;
    for row in table::rows() {
        let dtypes = row.dtypes_on(device);
        if dtypes.is_empty() {
            continue;
        }
        if family.is_some_and(|family| family != row.family) {
            table.blank();
        }
        family = Some(row.family);
        let mark = |dtype| if dtypes.contains(dtype) { "•" } else { "" }.to_owned();
        let mut cells = vec![row.name.to_owned()];
        cells.extend(DType::ALL.iter().map(mark));
        cells.push(row.summary.to_owned());
        table.row(cells);
    }
    table
}
