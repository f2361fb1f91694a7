//! The command `wootz`: inspect devices, verify ops, benchmark them, measure thread scaling.

mod against;
mod args;
mod bench;
mod check;
mod devices;
mod documents;
mod environment;
mod failure;
mod info;
mod inputs;
mod names;
mod output;
mod scale;
mod tune;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(told) => return tell(&told),
    };
    if matches!(
        command,
        Command::Bench(_) | Command::Scale(_) | Command::Worker(_)
    ) {
        environment::default_to_one_thread();
    }
    let outcome = environment::check().and_then(|()| run(&command));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(&failure),
    }
}

fn end(failure: &Failure) -> ExitCode {
    if failure.exit_code() != 0 {
        eprintln!("wootz: {failure}");
    }
    ExitCode::from(failure.exit_code())
}

/// Prints the help that was asked for, or what is wrong with the command line.
fn tell(told: &clap::Error) -> ExitCode {
    match told.print() {
        Err(error) if !told.use_stderr() => end(&error.into()),
        _ => ExitCode::from(told.exit_code().try_into().unwrap_or(2)),
    }
}

fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Info(args) => info::run(args),
        Command::Check(args) => check::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Scale(args) => scale::run(args),
        Command::Tune(args) => tune::run(args),
        Command::Worker(args) => scale::work(args),
        Command::Completions(args) => documents::completions(args),
        Command::Man(args) => documents::man(args),
    }
}
