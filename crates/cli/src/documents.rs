//! `wootz completions` and `wootz man`: what is generated from the command line's definition.

use std::io::Write;

use clap::CommandFactory;

use crate::args::{Cli, Completions, Man};
use crate::failure::Failure;

pub fn completions(args: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "wootz", &mut script);
    Ok(std::io::stdout().lock().write_all(&script)?)
}

pub fn man(args: &Man) -> Result<(), Failure> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        return Ok(std::io::stdout().lock().write_all(&page)?);
    };
    std::fs::create_dir_all(dir).map_err(|error| Failure::file(dir, "create", &error))?;
    clap_mangen::generate_to(Cli::command(), dir)
        .map_err(|error| Failure::file(dir, "write", &error))
}
