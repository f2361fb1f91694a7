//! What came of a run: its rows, and the table of them.

use serde::Serialize;

use super::kernel_time::Kernels;
use super::limit::{Facts, Shared, limit};
use super::mode::Task;
use super::{Absent, Cell, Contender};
use crate::devices;
use crate::failure::Failure;
use crate::output::{Align, Table, print_line, thousands, three_digits};

/// One mode at one thread count, as tables, JSON and plots show it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub device: String,
    pub op: String,
    pub mode: String,
    pub threads: u32,
    pub ops_per_s: f64,
    /// Against the same mode's one-thread rate.
    pub speedup: f64,
    /// `speedup / threads`.
    pub efficiency: f64,
    /// From a caller's submission to the end of its wait.
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    /// Ops for each wait.
    pub ops_per_wait: usize,
    /// Kernel time times rate: how many kernels run at once. Null where kernels cannot be timed.
    pub gpu_share: Option<f64>,
    /// What limits the rate.
    pub limit: &'static str,
}

/// What is measured, and where.
pub fn caption(task: &Task) -> String {
    let chain = match task.load.chain {
        1 => String::new(),
        chain => format!(", chains of {chain},"),
    };
    let (op, shape) = (task.load.op, &task.load.shape);
    let device = devices::describe(task.device);
    format!("{op} {shape}{chain} on {device}")
}

pub fn rows(
    task: &Task,
    contenders: &[Contender],
    cells: &[Cell],
    kernels: Option<Kernels>,
) -> Vec<Row> {
    let rate = |cell: &Cell| median(&cell.rates) * contenders[cell.contender].ops as f64;
    let rate_of = |contender: usize, threads: u32| {
        let same = |cell: &&Cell| cell.contender == contender && cell.threads == threads;
        cells.iter().find(same).map_or(f64::NAN, rate)
    };
    // Of several ops for each wait the bare graph is the measure.
    let raw = ["raw-graph", "raw"];
    let raw = &raw[usize::from(task.load.chain == 1)..];
    let raw = raw
        .iter()
        .find_map(|raw| contenders.iter().position(|found| found.name == *raw));
    let row = |cell: &Cell| {
        let contender = &contenders[cell.contender];
        let ops_per_s = rate(cell);
        let speedup = ops_per_s / rate_of(cell.contender, 1);
        let efficiency = speedup / f64::from(cell.threads);
        // What a peer's kernels take is not known.
        let own = kernels.filter(|_| contender.shared != Shared::Peer);
        let gpu_share = own.map(|kernels| kernels.us * ops_per_s * 1e-6);
        let facts = Facts {
            shared: contender.shared,
            threads: cell.threads,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            synchronous: task.device.caps().synchronous,
            efficiency,
            kernels: gpu_share.map(|share| share / f64::from(cell.threads)),
            ops: contender.ops,
            against_raw: raw
                .filter(|_| contender.shared != Shared::Bare)
                .map(|raw| ops_per_s / rate_of(raw, cell.threads)),
        };
        Row {
            device: task.device.name().to_owned(),
            op: task.load.op.to_owned(),
            mode: contender.name.clone(),
            threads: cell.threads,
            ops_per_s,
            speedup,
            efficiency,
            p50_us: cell.latency.quantile(0.5) / 1e3,
            p99_us: cell.latency.quantile(0.99) / 1e3,
            p999_us: cell.latency.quantile(0.999) / 1e3,
            ops_per_wait: contender.ops,
            gpu_share,
            limit: limit(&facts),
        }
    };
    cells.iter().map(row).collect()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n => (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
    }
}

pub fn print(
    caption: &str,
    kernels: Option<Kernels>,
    contenders: &[Contender],
    rows: &[Row],
    absent: &[Absent],
) -> Result<(), Failure> {
    print_line(&format!("{caption}\nEvery caller waits for each result."))?;
    if let Some(Kernels { count, us }) = kernels {
        let us = three_digits(us);
        let line = match count {
            1 => format!("Its kernel runs for {us} µs."),
            _ => format!("Its {count} kernels run for {us} µs, one after the other."),
        };
        print_line(&line)?;
    }
    print_line("")?;
    let right = |name| (name, Align::Right);
    let mut columns = vec![
        ("mode", Align::Left),
        right("threads"),
        right("ops/s"),
        right("speed-up"),
        right("efficiency"),
        right("p50 µs"),
        right("p99 µs"),
        right("p99.9 µs"),
    ];
    columns.extend(kernels.map(|_| right("GPU")));
    columns.push(("limited by", Align::Left));
    let mut table = Table::new(&columns);
    for (i, row) in rows.iter().enumerate() {
        if i > 0 && rows[i - 1].mode != row.mode {
            table.blank();
        }
        let mut cells = vec![
            row.mode.clone(),
            row.threads.to_string(),
            thousands(row.ops_per_s),
            format!("{:.2}×", row.speedup),
            format!("{:.1}%", row.efficiency * 100.0),
            three_digits(row.p50_us),
            three_digits(row.p99_us),
            three_digits(row.p999_us),
        ];
        let share = |share: f64| format!("{:.0}%", share * 100.0);
        cells.extend(kernels.map(|_| row.gpu_share.map_or_else(String::new, share)));
        cells.push(row.limit.to_owned());
        table.row(cells);
    }
    table.print()?;
    let mut legend = Table::new(&[("", Align::Left), ("", Align::Left)]);
    for contender in contenders {
        let waits = match contender.ops {
            1 => String::new(),
            ops => format!("; {ops} ops for each wait"),
        };
        let about = format!("{}{waits}", contender.about);
        legend.row(vec![contender.name.clone(), about]);
    }
    for Absent { mode, why } in absent {
        legend.row(vec![(*mode).to_owned(), format!("not here: {why}")]);
    }
    legend.print()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
