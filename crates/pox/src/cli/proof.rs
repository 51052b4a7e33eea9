//! Proofs and their verdicts.

use super::AnchorTrust;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Proof {
    /// Task id
    pub(crate) task: String,
    /// Proof file
    #[arg(long, short, value_name = "FILE", default_value = "proof.pox")]
    pub(crate) output: PathBuf,
    /// Leaf of the terms or metadata to open in the proof, by name; may be repeated. `all` opens all, and is the default for the owner; `none` opens none
    #[arg(long, value_name = "LEAF")]
    pub(crate) disclose: Vec<String>,
    /// Where the task's archive is, for whoever is not its owner
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) archive: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Proof file, or a task id
    pub(crate) proof: String,
    /// Least grade that is good enough
    #[arg(long, value_enum, default_value_t = Grade::Hardware)]
    pub(crate) require: Grade,
    /// Ask the chain's endpoint whether the proof's block is in its chain
    #[arg(long)]
    pub(crate) live: bool,
    /// Where the task's archive is, to verify a task by its id
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) archive: Option<String>,
    /// Detached time stamp of the proof file, .tsr or .ots; may be repeated. It adds a time, and changes no grade
    #[arg(long, value_name = "FILE")]
    pub(crate) timestamp: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: AnchorTrust,
}

/// Grade of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Grade {
    /// Hardware evidence with an up-to-date TCB, and a chain whose authorities are pinned
    Hardware,
    /// Hardware evidence whose TCB was out of date
    HardwareTcbOutdated,
    /// No hardware: a simulated TEE or chain
    Simulated,
    /// Nothing but the endpoint's word
    Asserted,
}
