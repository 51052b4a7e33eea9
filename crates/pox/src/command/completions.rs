//! `pox completions`: what a shell needs to complete commands.

use crate::cli::{Cli, Completions};
use crate::error::Failure;
use crate::output::write_out;
use clap::CommandFactory as _;

pub(crate) fn run(args: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pox", &mut script);
    write_out(&String::from_utf8(script).map_err(Failure::machine)?)
}
