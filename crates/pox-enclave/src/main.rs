//! The measured runtime's program: one launch, one task, over its standard input and output.
//!
//! Its one argument is a folder for its private files; a memory file system covers it where the enclave may mount one. As the
//! first process of a measured guest it needs none: see [`pox_enclave::guest`].

use pox_enclave::runtime::{Outside, Simulated, Workspace, serve};
use pox_enclave::sandbox::harden_self;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() == FIRST_PROCESS {
        pox_enclave::guest::main()
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Never holds anything of the owner's: these are errors before a secret was taken, or of the channel.
            eprintln!("pox-enclave: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let work = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: pox-enclave FOLDER")?;
    // A host that dies takes the enclave with it: nobody would be there to take its receipt.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| format!("cannot follow the host: {error}"))?;
    harden_self().map_err(|error| error.to_string())?;
    let attester =
        Simulated::of_this_program().map_err(|error| format!("cannot measure this program: {error}"))?;
    let workspace = Workspace::create(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    let outside = Outside::new(BufReader::new(io::stdin().lock()), io::stdout().lock());
    serve(&attester, outside, &workspace).map_err(|error| error.to_string())
}

/// The one that a kernel starts by itself.
const FIRST_PROCESS: u32 = 1;
