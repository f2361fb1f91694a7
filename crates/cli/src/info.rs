//! `wootz info`: what this machine and this build have.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;
use wootz::{DType, Device, table};

use crate::args::Info;
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
    wootz: &'static str,
    ops: BTreeMap<&'static str, Vec<&'static str>>,
}

pub fn run(args: &Info) -> Result<(), Failure> {
    let devices: Vec<Row> = Device::list().into_iter().map(row).collect();
    if args.json {
        return Ok(std::io::stdout()
            .lock()
            .write_all(json_lines(&devices).as_bytes())?);
    }
    print_line(concat!("wootz ", env!("CARGO_PKG_VERSION"), "\n"))?;
    device_table(&devices).print()?;
    print_line("")?;
    op_table().print()
}

fn row(device: Device) -> Row {
    let caps = device.caps();
    Row {
        device: device.name(),
        product: &caps.product,
        family: format!("{:?}", caps.family).to_lowercase(),
        level: &caps.level,
        cores: caps.cores,
        memory_bytes: caps.memory,
        max_streams: caps.max_streams,
        synchronous: caps.synchronous,
        host_visible: caps.host_visible,
        best: device == Device::best(),
        wootz: env!("CARGO_PKG_VERSION"),
        ops: table::rows()
            .map(|row| {
                (
                    row.name,
                    row.dtypes.iter().map(|dtype| dtype.name()).collect(),
                )
            })
            .collect(),
    }
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

/// Ops by family, with a mark for each element type that they take.
fn op_table() -> Table {
    let mut columns = vec![("op", Align::Left)];
    columns.extend(DType::ALL.iter().map(|dtype| (dtype.name(), Align::Left)));
    columns.push(("computes", Align::Left));
    let mut table = Table::new(&columns);
    let mut family = None;
    for row in table::rows() {
        if family.is_some_and(|family| family != row.family) {
            table.blank();
        }
        family = Some(row.family);
        let mark = |dtype| {
            if row.dtypes.contains(dtype) {
                "•"
            } else {
                ""
            }
            .to_owned()
        };
        let marks = DType::ALL.iter().map(mark);
        table.row(
            [row.name.to_owned()]
                .into_iter()
                .chain(marks)
                .chain([row.summary.to_owned()])
                .collect(),
        );
    }
    table
}
