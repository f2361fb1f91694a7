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
    let command = Cli::parse().command;
    if matches!(
        command,
        Command::Bench(_) | Command::Scale(_) | Command::Worker(_)
    ) {
        environment::default_to_one_thread();
    }
    let outcome = environment::check().and_then(|()| run(&command));
    let Err(failure) = outcome else {
        return ExitCode::SUCCESS;
    };
    if failure.exit_code() != 0 {
        eprintln!("wootz: {failure}");
    }
    ExitCode::from(failure.exit_code())
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
