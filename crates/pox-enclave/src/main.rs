//! The measured runtime's program: one launch, one task, over its standard input and output.
//!
//! `pox-enclave FOLDER [--simulated]`: a folder for its private files, which a memory file system covers where the enclave may
//! mount one; and whether it is to run without a TEE, **which protects nothing** and is refused where there is one.

use pox_enclave::runtime::{Expect, Interfaces, Outside, Workspace, attester, refuse, serve};
use pox_enclave::sandbox::harden_self;
use std::ffi::OsString;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
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
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (work, expect) = match arguments.as_slice() {
        [work] => (PathBuf::from(work), Expect::Tee),
        [work, flag] if flag == "--simulated" => (PathBuf::from(work), Expect::DangerousSimulated),
        _ => return Err("usage: pox-enclave FOLDER [--simulated]".into()),
    };
    // A host that dies takes the enclave with it: nobody would be there to take its receipt.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| format!("cannot follow the host: {error}"))?;
    let workspace = Workspace::create(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    harden_self().map_err(|error| error.to_string())?;
    let outside = Outside::new(BufReader::new(io::stdin().lock()), io::stdout().lock());
    let attester = match attester(&Interfaces::of_this_machine(), expect) {
        Ok(attester) => attester,
        Err(error) => {
            // Nobody may read what is printed below.
            let _ = refuse(outside, &error);
            return Err(error.to_string());
        }
    };
    serve(attester.as_ref(), outside, &workspace).map_err(|error| error.to_string())
}
