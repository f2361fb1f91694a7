//! `wootz scale`: what happens to throughput and latency when more threads share a device.

mod callers;
mod crowd;
mod histogram;
mod kernel_time;
mod layer;
mod limit;
pub mod load;
pub mod mode;
mod peer;
mod plot;
mod report;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use wootz::DType;

use crate::args::{Scale, Worker};
use crate::devices;
use crate::failure::Failure;
use crate::output::{OutputFile, json_lines};
use crowd::{Crowd, Round};
use histogram::Histogram;
use limit::Shared;
use load::Load;
use mode::{MODES, Opened, Task};
use peer::Peer;

/// Each row is measured in this many rounds, which alternate with those of all other rows.
const ROUNDS: u32 = 5;

/// A mode or a peer, ready to run.
struct Contender {
    name: String,
    about: String,
    shared: Shared,
    /// Ops for each wait.
    ops: usize,
    crowd: Box<dyn Crowd>,
}

/// A mode that has no meaning here.
struct Absent {
    mode: &'static str,
    why: String,
}

/// What the rounds of one row gave.
struct Cell {
    contender: usize,
    threads: u32,
    rates: Vec<f64>,
    latency: Histogram,
}

pub fn run(args: &Scale) -> Result<(), Failure> {
    check_files(args)?;
    let task = Arc::new(task(
        &args.device,
        args.op,
        args.dtype,
        args.chain,
        args.batch,
    )?);
    let json = args.json.as_deref().map(OutputFile::open).transpose()?;
    let plot = args.plot.as_deref().map(OutputFile::open).transpose()?;
    let threads = thread_counts(&args.threads);
    let most = threads.last().map_or(1, |most| *most as usize);
    let chain = task.load.chain;
    if chain > 1 && !task.load.chains(task.device)? {
        let op = task.load.op;
        return Err(Failure::Input(format!(
            "--chain {chain}: {op} does not take its own result"
        )));
    }

    let (mut contenders, absent) = contenders(args, &task, most)?;
    let kernels = kernel_time::kernels(&task)?;
    let cells = measure(&mut contenders, &threads, args.seconds)?;
    let rows = report::rows(&task, &contenders, &cells, kernels);

    let caption = report::caption(&task);
    if ![&json, &plot]
        .into_iter()
        .flatten()
        .any(OutputFile::is_stdout)
    {
        report::print(&caption, kernels, &contenders, &rows, &absent)?;
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

/// Refuses files that would not hold what their names say.
fn check_files(args: &Scale) -> Result<(), Failure> {
    let Some(plot) = &args.plot else {
        return Ok(());
    };
    let other = ["png", "jpg", "jpeg", "gif", "webp", "pdf"];
    let extension = plot.extension().unwrap_or_default();
    let other = other
        .iter()
        .any(|name| extension.eq_ignore_ascii_case(name));
    let why = if args.json.as_ref() == Some(plot) {
        "--json writes there too"
    } else if other {
        "the picture is SVG"
    } else {
        return Ok(());
    };
    let plot = plot.display();
    Err(Failure::Input(format!("--plot {plot}: {why}")))
}

/// The modes and peers that were asked for; and, of all modes, those that have no meaning here.
fn contenders(
    args: &Scale,
    task: &Arc<Task>,
    most: usize,
) -> Result<(Vec<Contender>, Vec<Absent>), Failure> {
    let (mut contenders, mut absent) = (Vec::new(), Vec::new());
    let all = args.mode.contains(&"all");
    let asked = MODES
        .iter()
        .filter(|mode| all || args.mode.contains(&mode.name));
    for mode in asked {
        match mode.open(task, most)? {
            Opened::Ready(crowd) => contenders.push(Contender {
                name: mode.name.to_owned(),
                about: mode.about.to_owned(),
                shared: mode.shared,
                ops: (mode.calls)(task) * task.load.chain,
                crowd,
            }),
            Opened::Absent(why) if all => absent.push(Absent {
                mode: mode.name,
                why,
            }),
            Opened::Absent(why) => {
                let (mode, device) = (mode.name, task.device.name());
                return Err(Failure::Input(format!("no mode {mode} on {device}: {why}")));
            }
        }
    }
    for program in &args.peers {
        contenders.push(peer(program, task)?);
    }
    Ok((contenders, absent))
}

/// The hidden subcommand: one process of mode `processes`.
pub fn work(args: &Worker) -> Result<(), Failure> {
    let task = task(&args.device, args.op, args.dtype, args.chain, 1);
    peer::serve(task.map(|task| callers::own_stream(Arc::new(task))))
}

fn task(
    device: &str,
    op: &'static str,
    dtype: &str,
    chain: usize,
    batch: usize,
) -> Result<Task, Failure> {
    let dtype = DType::from_name(dtype).expect("names come from the list of types");
    Ok(Task {
        device: devices::open(device)?,
        dtype,
        load: Load::find(op, dtype, chain)?,
        batch,
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
    if task.load.chain > 1 {
        command.args(["--chain", &task.load.chain.to_string()]);
    }
    let mut peer = Peer::start(&program.display().to_string(), command)?;
    let about = peer.hello()?;
    Ok(Contender {
        name,
        about,
        shared: Shared::Peer,
        ops: task.load.chain,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_is_always_among_the_counts() {
        assert_eq!(thread_counts(&[4, 2, 4]), [1, 2, 4]);
        assert_eq!(thread_counts(&[])[0], 1);
    }
}
