//! The command line of Proof of eXecution: `pox <verb> <thing>`.
//!
//! Results go to standard output, talk to standard error. Exit codes: 0 done, 1 verified and falls short, 2 not done.
//! It never takes a secret as an argument, and never overwrites a key or a result.

mod cli;
mod command;
mod context;
mod crypt4gh_keys;
mod embedded;
mod endorsements;
mod error;
mod home;
mod locate;
mod output;
mod owner;
mod page;
mod progress;
mod quantity;
mod sealed;
mod task_file;
mod trust;
mod unfinished;

use clap::Parser as _;
use cli::Cli;
use context::Context;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let context = Context::new(global);
    match command::run(&context, command) {
        Ok(code) => code,
        Err(failure) => {
            context.output.failure(&failure);
            // 1 is kept for what was verified and falls short.
            ExitCode::from(2)
        }
    }
}
