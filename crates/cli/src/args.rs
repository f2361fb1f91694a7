//! What the command line takes. The doc comments are the help texts.

use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};
use wootz::{DType, table};

use crate::check::Share;
use crate::environment::{SUBMISSIONS, VARIABLES};
use crate::failure::EXIT_CODES;
use crate::names::one_of;
use crate::scale::{load, mode};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Blue.on_default().bold())
    .usage(AnsiColor::Blue.on_default().bold())
    .literal(AnsiColor::Green.on_default());

/// Tensor operations from many threads at once on one device.
///
/// Wootz runs tensor operations on Apple GPUs, NVIDIA GPUs and the CPU, with no lock between
/// a thread and the device. This command shows what it can do on this machine, verifies that
/// it is right, and measures how fast it is and how it scales over threads.
#[derive(Debug, Parser)]
#[command(name = "wootz", version, styles = STYLES, after_long_help = with_all(EXAMPLES), arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  wootz info                        what this machine has
  wootz check                       does every op compute the right thing here?
  wootz scale                       threads sharing the best device
  wootz scale --plot scale.svg      the same as a picture
  wootz bench softmax --dtype bf16  an op against this machine's limit";

fn with_exit_codes(examples: &str) -> String {
    format!("{examples}\n\n{EXIT_CODES}")
}

fn with_ways(examples: &str) -> String {
    format!("{examples}\n\nHow work travels to a CUDA device (WOOTZ_SUBMIT):\n{SUBMISSIONS}")
}

fn with_all(examples: &str) -> String {
    format!("{}\n\n{VARIABLES}", with_exit_codes(examples))
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Info(Info),
    Check(Check),
    Bench(Bench),
    Scale(Scale),
    Tune(Tune),
    Completions(Completions),
    Man(Man),
    #[command(hide = true)]
    Worker(Worker),
}

/// Lists devices, those that are absent and why, how work travels to them, and the ops of each by
/// element type.
#[derive(Debug, Args)]
#[command(after_long_help = with_ways("Examples:
  wootz info
  wootz info --json | jq .ops.softmax"))]
pub struct Info {
    /// Print one JSON object per device; `absent` says why a device is not there
    #[arg(long)]
    pub json: bool,
}

/// Verifies ops on this machine against exact references.
///
/// Every op runs on ordinary and awkward inputs: strides, offsets, broadcasts, empty tensors,
/// NaN, infinities. Each result is compared with a reference in f64. The bound on the error
/// follows from the arithmetic; WORST is the largest error as a multiple of its bound,
/// so 1.00 is the most that passes.
#[derive(Debug, Args)]
#[command(after_long_help = with_exit_codes("Examples:
  wootz check
  wootz check --op softmax --device cpu
  wootz check --json > check.jsonl
  wootz check --op matmul --against vendor

JSON, one object per line: op, device, dtype, cases, failed, worst (null when beyond any bound)."))]
pub struct Check {
    /// Device to verify, as `wootz info` names it [default: every device]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Op to verify [default: every op]
    #[arg(long, value_name = "OP", hide_possible_values = true, value_parser = one_of("op", op_names()))]
    pub op: Option<&'static str>,
    /// Print one JSON object per op and element type
    #[arg(long)]
    pub json: bool,
    /// Processes that share the checks [default: one for each four cores where NVIDIA's compiler,
    /// which keeps no more of them busy, is at work; up to four]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub processes: Option<u8>,
    /// A share of the checks, for the process that shares them out
    #[arg(long, hide = true, conflicts_with_all = ["processes", "json", "against"])]
    pub share: Option<Share>,
    /// Compare matrix products with the vendor's instead: worst and typical errors of both,
    /// against f64, over shapes and ranges of values
    #[arg(long, value_name = "PATH", value_parser = ["vendor"], conflicts_with = "json")]
    pub against: Option<String>,
}

/// Measures ops against the limit of this machine.
///
/// Each op is timed in rounds that alternate with measurements of the limit: for ops bound by
/// memory the copy rate at the same number of bytes, for matrix products the rate of
/// multiply-adds in registers. FRACTION is the share of that limit which the op reaches.
///
/// On the CPU an op runs on one thread, unless WOOTZ_THREADS says otherwise; the rate of
/// multiply-adds is that of one thread, times as many.
#[derive(Debug, Args)]
#[command(after_long_help = with_exit_codes("Examples:
  wootz bench
  wootz bench softmax rms_norm --dtype f32,bf16
  wootz bench softmax --shape 7x100000
  wootz bench matmul --shape 1024x1024x1024 --json bench.jsonl

JSON, one object per line: op, device, dtype, shape, time_us, gbps, gflops, limit, fraction.
`limit` is in GFLOP/s where `gflops` is not null, else in GB/s."))]
pub struct Bench {
    /// Ops to measure [default: every op]
    #[arg(value_name = "OP", hide_possible_values = true, value_parser = one_of("op", op_names()))]
    pub ops: Vec<&'static str>,
    /// Device to measure on, as `wootz info` names it
    #[arg(long, value_name = "DEVICE", default_value = "best")]
    pub device: String,
    /// Element types, or `all` [default: f32 where an op takes it, else its first]
    #[arg(long, value_name = "DTYPE,…", value_delimiter = ',', value_parser = one_of("element type", and_all(dtype_names())))]
    pub dtype: Vec<&'static str>,
    /// Measure at this shape, as in 64x1024, instead of those that people use; for matrix
    /// products it is m×n×k. Without OP: every op that takes it
    #[arg(long, value_name = "SHAPE", allow_hyphen_values = true, value_parser = shape)]
    pub shape: Option<Shape>,
    /// Write JSON lines to FILE; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Shows what happens when more threads share one device
///
/// Every caller runs the same operation over and over and waits for each result. The modes
/// differ in what callers share:
///
///   own          a stream for each thread, the way Wootz is meant to be used
///   shared       one stream that all threads take turns on, behind a lock
///   mutex        a stream for each thread, but one lock around every operation
///   processes    a process for each caller
///
/// and, each with a stream for each thread, in how their work travels:
///
///   graph        each call is a recorded graph
///   batch        several calls for each wait
///   device-wait  two streams a thread, of which one waits on the device for the other's result
///   event-wait   the same, but the thread waits for it
///
/// On a CUDA device, besides, `own` goes as WOOTZ_SUBMIT says, and there are
///
///   launch       each op is launched
///   ring         small ops go to a kernel that stays on the device
///   ring-graph   the same, each call a recorded graph
///   raw          the driver's launch and synchronize, on the same kernels and nothing else: the
///                limit of launches
///   raw-graph    the driver's graph launch and synchronize, likewise
///
/// EFFICIENCY is the rate at T threads over T times the same mode's rate at one thread, which
/// is always measured. Rounds of all modes and thread counts alternate, so that a busy machine
/// disturbs all of them alike; the table shows medians. GPU is the time of an op's kernels, by
/// itself, times the rate: how many run at once. Ops of a chain or a batch are counted each;
/// latencies are those of waits.
///
/// On the CPU an operation runs on its caller's thread alone, unless WOOTZ_THREADS says
/// otherwise.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_long_help = with_exit_codes("Examples:
  wootz scale
  wootz scale --op layer --threads 1,2,4
  wootz scale --mode own,mutex --seconds 5 --plot scale.svg
  wootz scale --mode own,graph,raw-graph --chain 32
  wootz scale --with peers/torch.py --json scale.jsonl

JSON, one object per line: device, op, mode, threads, ops_per_s, speedup, efficiency,
p50_us, p99_us, p999_us, ops_per_wait, gpu_share (null where kernels cannot be timed), limit."))]
pub struct Scale {
    /// Device to share, as `wootz info` names it
    #[arg(long, value_name = "DEVICE", default_value = "best")]
    pub device: String,
    /// What each caller does: `layer` is a transformer encoder layer, anything else an op at its
    /// first benchmark's shape
    #[arg(long, value_name = "OP", default_value = "softmax", hide_possible_values = true, value_parser = one_of("op", load::names()))]
    pub op: &'static str,
    /// Element type
    #[arg(long, value_name = "DTYPE", default_value = "f32", value_parser = one_of("element type", dtype_names()))]
    pub dtype: &'static str,
    /// Numbers of callers, as in 1,2,4,8 [default: powers of two up to the cores, at most 16]
    #[arg(long, value_name = "N,…", value_delimiter = ',', allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Vec<u32>,
    /// Modes to compare, or `all`
    #[arg(long, value_name = "MODE,…", value_delimiter = ',', default_value = "all", value_parser = one_of("mode", and_all(mode::names())))]
    pub mode: Vec<&'static str>,
    /// Ops that are one call, each of the last one's result
    #[arg(long, value_name = "N", default_value = "1", allow_negative_numbers = true, value_parser = count())]
    pub chain: usize,
    /// Calls for each wait in mode `batch`
    #[arg(long, value_name = "N", default_value = "32", allow_negative_numbers = true, value_parser = count())]
    pub batch: usize,
    /// A program that does the same work with another library, to stand in the same table;
    /// may be given several times
    #[arg(long = "with", value_name = "PROGRAM")]
    pub peers: Vec<PathBuf>,
    /// Seconds to measure each row of the table
    #[arg(long, value_name = "S", default_value = "1", allow_negative_numbers = true, value_parser = seconds)]
    pub seconds: f64,
    /// Write JSON lines to FILE; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw throughput and efficiency into FILE, as SVG; `-` is standard output
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// Measures own kernels in several tiles, and the vendor's, and keeps which is faster where.
///
/// Matrix products of many shapes run every way, in turns. The library then takes the fastest way
/// of the nearest shape, unless WOOTZ_PATH says otherwise. What was measured is kept at once:
/// an interrupted run goes on where it ended, and several may run at a time.
#[derive(Debug, Args)]
#[command(after_long_help = with_exit_codes("Examples:
  wootz tune --dry-run
  wootz tune --device cuda:0
  wootz tune --dtype bf16 --shape 512x3072x768
  wootz tune --show"))]
pub struct Tune {
    /// Device to measure on, as `wootz info` names it
    #[arg(long, value_name = "DEVICE", default_value = "best")]
    pub device: String,
    /// Element types to measure [default: those that the device has products of]
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',', value_parser = one_of("element type", float_names()))]
    pub dtype: Vec<&'static str>,
    /// Measure the product m×n×k, or batch×m×n×k, instead of those of models' layers
    #[arg(long, value_name = "SHAPE", value_parser = shape)]
    pub shape: Option<Shape>,
    /// Only say what would be measured
    #[arg(long)]
    pub dry_run: bool,
    /// Only print what was measured
    #[arg(long, conflicts_with = "dry_run")]
    pub show: bool,
    /// Measure anew what was measured before
    #[arg(long, conflicts_with = "show")]
    pub again: bool,
}

/// Prints a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  wootz completions bash > ~/.local/share/bash-completion/completions/wootz
  wootz completions zsh > ~/.zfunc/_wootz
  wootz completions fish > ~/.config/fish/completions/wootz.fish")]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Prints the manual page, or writes it and one for each subcommand into a directory.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  wootz man | man -l -
  wootz man --dir /usr/local/share/man/man1")]
pub struct Man {
    /// Write wootz.1, wootz-scale.1, … into DIR
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// One process of `wootz scale --mode processes`: serves rounds over its standard input and output.
#[derive(Debug, Args)]
pub struct Worker {
    #[arg(long)]
    pub device: String,
    #[arg(long, hide_possible_values = true, value_parser = one_of("op", load::names()))]
    pub op: &'static str,
    #[arg(long, value_parser = one_of("element type", dtype_names()))]
    pub dtype: &'static str,
    #[arg(long, default_value = "1", value_parser = count())]
    pub chain: usize,
}

pub fn op_names() -> Vec<&'static str> {
    table::rows().map(|row| row.name).collect()
}

fn float_names() -> Vec<&'static str> {
    DType::FLOATS.iter().map(|dtype| dtype.name()).collect()
}

fn dtype_names() -> Vec<&'static str> {
    DType::ALL.iter().map(|dtype| dtype.name()).collect()
}

fn and_all(mut names: Vec<&'static str>) -> Vec<&'static str> {
    names.push("all");
    names
}

/// Sizes of axes, as in `64x1024`.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape(pub Vec<usize>);

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&sizes.join("x"))
    }
}

fn shape(text: &str) -> Result<Shape, String> {
    let sizes: Result<_, _> = text.split('x').map(str::parse).collect();
    sizes
        .map(Shape)
        .map_err(|_| "a shape is sizes joined by 'x', as in 64x1024".to_owned())
}

/// A count of ops.
fn count() -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(u16).range(1..=4096).map(usize::from)
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds from 0.001 to 3600".to_owned()),
    }
}
