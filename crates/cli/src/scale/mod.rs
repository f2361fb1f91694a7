//! `wootz scale`: what happens to throughput and latency when more threads share a device.

mod crowd;
mod histogram;
mod layer;
pub mod load;
pub mod mode;
mod peer;
mod plot;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use wootz::DType;

use crate::args::{Scale, Worker};
use crate::devices;
use crate::failure::Failure;
use crate::output::{Align, OutputFile, Table, json_lines, print_line, thousands, three_digits};
use crowd::{Crowd, Round};
use histogram::Histogram;
use load::Load;
use mode::{MODES, Task};
use peer::Peer;

/// Each row is measured in this many rounds, which alternate with those of all other rows.
const ROUNDS: u32 = 5;

/// One mode at one thread count, as tables, JSON and plots show it.
#[derive(Clone, Debug, Serialize)]
struct Row {
    device: String,
    op: String,
    mode: String,
    threads: u32,
    ops_per_s: f64,
    /// Against the same mode's one-thread rate.
    speedup: f64,
    /// `speedup / threads`.
    efficiency: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
}

/// A mode or a peer, ready to run.
struct Contender {
    name: String,
    about: String,
    crowd: Box<dyn Crowd>,
}

/// What the rounds of one row gave.
struct Cell {
    contender: usize,
    threads: u32,
    rates: Vec<f64>,
    latency: Histogram,
}

pub fn run(args: &Scale) -> Result<(), Failure> {
    let task = Arc::new(task(&args.device, args.op, args.dtype)?);
    let json = args.json.as_deref().map(OutputFile::open).transpose()?;
    let plot = args.plot.as_deref().map(OutputFile::open).transpose()?;
    let threads = thread_counts(&args.threads);
    let most = threads.last().map_or(1, |most| *most as usize);

    let mut contenders = Vec::new();
    for mode in MODES
        .iter()
        .filter(|mode| args.mode.contains(&"all") || args.mode.contains(&mode.name))
    {
        let (name, about) = (mode.name.to_owned(), mode.about.to_owned());
        contenders.push(Contender {
            name,
            about,
            crowd: mode.open(&task, most)?,
        });
    }
    for program in &args.peers {
        contenders.push(peer(program, &task)?);
    }
    let cells = measure(&mut contenders, &threads, args.seconds)?;
    let rows = rows(&task, &contenders, &cells);

    let caption = format!(
        "{} {} on {}",
        task.load.op,
        task.load.shape,
        devices::describe(task.device)
    );
    if !json.as_ref().is_some_and(OutputFile::is_stdout) {
        print(&caption, &contenders, &rows)?;
    }
    if let Some(file) = json {
        file.write(&json_lines(&rows))?;
    }
    if let Some(file) = plot {
        file.write(&plot::svg(
            &rows,
            &format!("{caption} · every caller waits for its result"),
        ))?;
    }
    Ok(())
}

/// The hidden subcommand: one process of mode `processes`.
pub fn work(args: &Worker) -> Result<(), Failure> {
    let task = task(&args.device, args.op, args.dtype);
    peer::serve(task.map(|task| mode::own_stream(Arc::new(task))))
}

fn task(device: &str, op: &'static str, dtype: &str) -> Result<Task, Failure> {
    let dtype = DType::from_name(dtype).expect("names come from the list of types");
    Ok(Task {
        device: devices::open(device)?,
        dtype,
        load: Load::find(op, dtype)?,
    })
}

/// In order, and with 1, to which efficiency relates.
fn thread_counts(asked: &[u32]) -> Vec<u32> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut counts = match asked {
        [] => (0..5)
            .map(|power| 1 << power)
            .filter(|count| *count as usize <= cores)
            .collect(),
        asked => asked.to_vec(),
    };
    counts.push(1);
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// Starts a program that does the same work with another library.
fn peer(program: &Path, task: &Task) -> Result<Contender, Failure> {
    let name = program
        .file_stem()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned();
    let mut command = Command::new(program);
    command.args([
        "--device",
        task.device.name(),
        "--op",
        task.load.op,
        "--dtype",
        task.dtype.name(),
    ]);
    let mut peer = Peer::start(&program.display().to_string(), command)?;
    let about = peer.hello()?;
    Ok(Contender {
        name,
        about,
        crowd: Box::new(peer),
    })
}

fn measure(
    contenders: &mut [Contender],
    threads: &[u32],
    seconds: f64,
) -> Result<Vec<Cell>, Failure> {
    let window = Duration::from_secs_f64(seconds / f64::from(ROUNDS));
    let cell = |(contender, threads)| Cell {
        contender,
        threads,
        rates: Vec::new(),
        latency: Histogram::new(),
    };
    let pairs =
        (0..contenders.len()).flat_map(|i| threads.iter().map(move |threads| (i, *threads)));
    let mut cells: Vec<Cell> = pairs.map(cell).collect();
    let progress = progress_bar(cells.len() as u64 * u64::from(ROUNDS));
    for _ in 0..ROUNDS {
        for cell in &mut cells {
            let contender = &mut contenders[cell.contender];
            progress.set_message(format!("{} × {}", contender.name, cell.threads));
            let Round { rate, latency } = contender.crowd.round(cell.threads as usize, window)?;
            cell.rates.push(rate);
            cell.latency.merge(&latency);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(cells)
}

/// On standard error, and nothing at all where that is no terminal.
fn progress_bar(rounds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3}%  {eta} left  {msg}");
    ProgressBar::new(rounds).with_style(style.expect("a valid template"))
}

fn rows(task: &Task, contenders: &[Contender], cells: &[Cell]) -> Vec<Row> {
    let rate_of = |contender: usize, threads: u32| {
        let same = |cell: &&Cell| cell.contender == contender && cell.threads == threads;
        cells
            .iter()
            .find(same)
            .map_or(f64::NAN, |cell| median(&cell.rates))
    };
    let row = |cell: &Cell| {
        let ops_per_s = median(&cell.rates);
        let speedup = ops_per_s / rate_of(cell.contender, 1);
        Row {
            device: task.device.name().to_owned(),
            op: task.load.op.to_owned(),
            mode: contenders[cell.contender].name.clone(),
            threads: cell.threads,
            ops_per_s,
            speedup,
            efficiency: speedup / f64::from(cell.threads),
            p50_us: cell.latency.quantile(0.5) / 1e3,
            p99_us: cell.latency.quantile(0.99) / 1e3,
            p999_us: cell.latency.quantile(0.999) / 1e3,
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

fn print(caption: &str, contenders: &[Contender], rows: &[Row]) -> Result<(), Failure> {
    print_line(&format!("{caption}\nEvery caller waits for each result.\n"))?;
    let right = |name| (name, Align::Right);
    let mut table = Table::new(&[
        ("mode", Align::Left),
        right("threads"),
        right("ops/s"),
        right("speed-up"),
        right("efficiency"),
        right("p50 µs"),
        right("p99 µs"),
        right("p99.9 µs"),
    ]);
    for (i, row) in rows.iter().enumerate() {
        if i > 0 && rows[i - 1].mode != row.mode {
            table.blank();
        }
        table.row(vec![
            row.mode.clone(),
            row.threads.to_string(),
            thousands(row.ops_per_s),
            format!("{:.2}×", row.speedup),
            format!("{:.1}%", row.efficiency * 100.0),
            three_digits(row.p50_us),
            three_digits(row.p99_us),
            three_digits(row.p999_us),
        ]);
    }
    table.print()?;
    let mut legend = Table::new(&[("", Align::Left), ("", Align::Left)]);
    for contender in contenders {
        legend.row(vec![contender.name.clone(), contender.about.clone()]);
    }
    legend.print()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_is_always_among_the_counts() {
        assert_eq!(thread_counts(&[4, 2, 4]), [1, 2, 4]);
        assert_eq!(thread_counts(&[])[0], 1);
    }

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
