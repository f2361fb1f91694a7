//! `wootz check`: the conformance suite, on the user's own machine.

mod shares;

use std::{fmt::Write as _, io::Write};

use indicatif::ProgressBar;
use serde::Serialize;
use wootz::conformance::Outcome;
use wootz::{DType, Device, table};

use crate::args::Check;
use crate::failure::Failure;
use crate::output::{Align, Table, json_lines};
use crate::{against, devices};

pub use shares::Share;

/// An op to be checked, where and in which type.
type Checked = (Device, &'static table::Row, DType);

/// One op in one element type on one device, as JSON shows it.
#[derive(Debug, Serialize)]
struct Row {
    op: &'static str,
    device: &'static str,
    dtype: &'static str,
    cases: usize,
    failed: usize,
    /// As a multiple of its bound; infinite, so null, where a result is no number at all.
    worst: f64,
}

pub fn run(args: &Check) -> Result<(), Failure> {
    if args.against.is_some() {
        return against(args);
    }
    let mut checks = Vec::new();
    for device in devices::open_or_all(args.device.as_deref())? {
        for op in table::rows().filter(|row| args.op.is_none_or(|op| op == row.name)) {
            let dtypes = op.dtypes_on(device).iter();
            checks.extend(dtypes.map(|dtype| (device, op, *dtype)));
        }
    }
    if checks.is_empty() {
        let op = args.op.unwrap_or("any op");
        let device = args.device.as_deref().unwrap_or("any device");
        return Err(Failure::Input(format!("no kernel of {op} for {device}")));
    }
    if let Some(share) = args.share {
        return shares::tell(share, &checks);
    }
    let processes = args.processes.map(usize::from);
    let processes = processes.unwrap_or_else(|| shares::processes(&checks));
    let progress = ProgressBar::new(checks.len() as u64);
    let outcomes = shares::check_all(processes, &arguments(args), &checks, || progress.inc(1));
    progress.finish_and_clear();
    print(args.json, &outcomes)?;
    verdict(&outcomes)
}

/// What another process is told to check the same.
fn arguments(args: &Check) -> Vec<String> {
    let named = [("--device", args.device.as_deref()), ("--op", args.op)];
    let named = named
        .into_iter()
        .filter_map(|(name, value)| Some([name, value?]));
    named.flatten().map(str::to_owned).collect()
}

/// Own products beside the vendor's. Of other ops there is only one kind.
fn against(args: &Check) -> Result<(), Failure> {
    if let Some(op) = args.op.filter(|&op| op != "matmul") {
        let why = format!("{op} has no vendor's way of its own; --against compares matmul");
        return Err(Failure::Input(why));
    }
    against::run(&devices::open_or_all(args.device.as_deref())?)
}

fn print(json: bool, outcomes: &[Outcome]) -> Result<(), Failure> {
    let rows: Vec<Row> = outcomes.iter().map(row).collect();
    if json {
        return Ok(std::io::stdout()
            .lock()
            .write_all(json_lines(&rows).as_bytes())?);
    }
    let (left, right) = (Align::Left, Align::Right);
    let mut table = Table::new(&[
        ("op", left),
        ("device", left),
        ("dtype", left),
        ("cases", right),
        ("failed", right),
        ("worst", right),
        ("", left),
    ]);
    for row in &rows {
        table.row(vec![
            row.op.to_owned(),
            row.device.to_owned(),
            row.dtype.to_owned(),
            row.cases.to_string(),
            row.failed.to_string(),
            format!("{:.2}", row.worst),
            if row.failed > 0 { "FAILED" } else { "ok" }.to_owned(),
        ]);
    }
    table.print()
}

fn row(outcome: &Outcome) -> Row {
    Row {
        op: outcome.op,
        device: outcome.device,
        dtype: outcome.dtype.name(),
        cases: outcome.cases,
        failed: outcome.failed,
        worst: outcome.worst,
    }
}

/// Each failed check in words.
fn verdict(outcomes: &[Outcome]) -> Result<(), Failure> {
    let failed: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| outcome.failed > 0)
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    let mut text = format!("{} of {} checks failed", failed.len(), outcomes.len());
    for outcome in failed {
        let Outcome {
            op, device, dtype, ..
        } = outcome;
        let what = outcome.failure.as_deref().unwrap_or("no result");
        let _ = write!(text, "\n  {op} {dtype} on {device}: {what}");
    }
    Err(Failure::Check(text))
}
