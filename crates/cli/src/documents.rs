//! `wootz completions` and `wootz man`: what is generated from the command line's definition.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;

use crate::args::{Cli, Completions, Man};
use crate::failure::Failure;

pub fn completions(args: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "wootz", &mut script);
    Ok(std::io::stdout().lock().write_all(&script)?)
}

pub fn man(args: &Man) -> Result<(), Failure> {
    let root = Cli::command();
    let Some(dir) = &args.dir else {
        return Ok(std::io::stdout().lock().write_all(&page(root)?)?);
    };
    std::fs::create_dir_all(dir).map_err(|error| Failure::file(dir, "create", &error))?;
    write_page(dir, "wootz", root.clone())?;
    for command in root
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
    {
        let name = format!("wootz-{}", command.get_name());
        // Leaked once a page: clap keeps names for as long as the program runs.
        let title: &'static str = name.clone().leak();
        write_page(dir, &name, command.clone().name(title))?;
    }
    Ok(())
}

fn write_page(dir: &Path, name: &str, command: clap::Command) -> Result<(), Failure> {
    let path = dir.join(format!("{name}.1"));
    std::fs::write(&path, page(command)?).map_err(|error| Failure::file(&path, "write", &error))
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}
