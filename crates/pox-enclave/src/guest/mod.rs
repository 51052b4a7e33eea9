//! The runtime as the first and only program of a measured guest (spec §14.5).
//!
//! It loads the modules it came with, makes the folders that the sandbox needs, serves one task over a serial port, and switches
//! the machine off, whatever happens. Nothing of it listens to a network, a keyboard or a console, and no other program is ever
//! started but the task's.

mod modules;
mod ports;
mod root;

use crate::runtime::{
    AttestError, Attester, Expect, Interfaces, Outside, RuntimeError, VmSim, Workspace, attester, serve,
};
use crate::sandbox::{SandboxError, harden_self};
use pox_core::channel::{ChannelError, EnclaveMessage};
use rustix::io::Errno;
use rustix::system::{RebootCommand, reboot};
use std::io::{self, BufReader};
use std::path::Path;

/// The guest can't serve.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// Something that every guest has to have is missing.
    #[error("{what}: {source}")]
    Machine {
        /// What was tried.
        what: String,
        /// How it failed.
        source: io::Error,
    },
    /// The processor gives no randomness, and the host's is not to be trusted.
    #[error("the processor has no random numbers of its own")]
    NoRandomness,
    /// The host connected no port of this name.
    #[error("the host gives the guest no port {0}")]
    NoPort(&'static str),
    /// The guest can't protect itself.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// There is a TEE, and it gives no evidence.
    #[error(transparent)]
    Evidence(#[from] AttestError),
    /// The task was not served to its end.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The channel broke.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

/// Serves one task and switches the machine off.
pub fn main() -> ! {
    std::panic::set_hook(Box::new(|panic| {
        // Says where, never what: a message could hold anything.
        eprintln!("pox-enclave: internal error at {}", panic.location().map_or("?", |place| place.file()));
        switch_off()
    }));
    if let Err(error) = run() {
        // Never holds anything of the owner's: these are errors before a secret was taken, or of the channel.
        eprintln!("pox-enclave: {error}");
    }
    switch_off()
}

fn run() -> Result<(), GuestError> {
    modules::load(Path::new(modules::FOLDER))?;
    root::enter()?;
    root::close_doors()?;
    harden_self()?;
    if !has_random_numbers() {
        return Err(GuestError::NoRandomness);
    }
    let channel = ports::open(CHANNEL_PORT)?;
    ports::follow(&channel)?;
    let mut outside = Outside::new(BufReader::new(&channel), &channel);
    let (attester, workspace) = match prepare() {
        Ok(prepared) => prepared,
        Err(error) => {
            outside.say(&EnclaveMessage::BootFailed { reason: error.to_string() })?;
            return Err(error);
        }
    };
    Ok(serve(attester.as_ref(), outside, &workspace)?)
}

fn prepare() -> Result<(Box<dyn Attester>, Workspace), GuestError> {
    // A TEE that is there is the only one that is asked; its host can't talk the guest into anything weaker.
    let attester = match attester(&Interfaces::of_this_machine(), Expect::Tee) {
        Err(AttestError::NoTee) => Box::new(VmSim::behind(ports::open(TEE_PORT)?)) as Box<dyn Attester>,
        found => found?,
    };
    let workspace = Workspace::create(Path::new(root::WORK)).map_err(machine("making the workspace"))?;
    Ok((attester, workspace))
}

/// Memory is gone with the machine, and with it every key.
fn switch_off() -> ! {
    // Both return only if they fail. Then this program ends, at which the kernel panics, which ends the machine too.
    let _ = reboot(RebootCommand::PowerOff);
    let _ = reboot(RebootCommand::Restart);
    crate::sandbox::sys::exit(1)
}

/// Whether the processor has an instruction for random numbers: the kernel, told to trust it, then needs nobody else's.
#[cfg(target_arch = "x86_64")]
fn has_random_numbers() -> bool {
    std::arch::is_x86_feature_detected!("rdrand")
}

/// Guests are built for x86-64 only.
#[cfg(not(target_arch = "x86_64"))]
fn has_random_numbers() -> bool {
    false
}

fn machine<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> GuestError {
    let what = what.into();
    move |source| GuestError::Machine { what, source: source.into() }
}

fn unless(tolerated: Errno, result: Result<(), Errno>) -> Result<(), Errno> {
    result.or_else(|error| if error == tolerated { Ok(()) } else { Err(error) })
}

/// Spec §14.4.
const CHANNEL_PORT: &str = "pox.channel";
const TEE_PORT: &str = "pox.tee";
