//! Proofs and their verdicts.

use super::{AnchorTrust, Trust};
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
    /// What shows the steps: the contract's state in one block, or an event for each step where nodes prove no state
    #[arg(long, value_enum, default_value_t = ChainProof::Auto)]
    pub(crate) chain_proof: ChainProof,
    /// Show this member of a batch, by its number: what it came to and left. Needs a key that opens the results
    #[arg(long, value_name = "N")]
    pub(crate) member: Option<u16>,
    /// Open the member's own arguments too; those of the other runs stay hidden
    #[arg(long, requires = "member")]
    pub(crate) open_args: bool,
}

/// What shows a task's steps in a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChainProof {
    /// State if the endpoint proves any, else receipts
    Auto,
    /// State, or an error
    State,
    /// Receipts: larger, and rejected matches can be left out unseen
    Receipts,
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
    pub(crate) anchors: AnchorTrust,
    #[command(flatten)]
    pub(crate) trust: Trust,
    #[command(flatten)]
    pub(crate) today: Today,
}

/// What is known today of the vendors' hardware.
#[derive(Debug, Args, Default)]
pub(crate) struct Today {
    /// Judge the evidence as of today too, by endorsements of today: a folder that `pox evidence fetch-collateral` wrote, or `KIND=FILE`; may be repeated
    #[arg(long, value_name = "DIR|KIND=FILE")]
    pub(crate) today: Vec<String>,
    /// Machine that is not to be believed today, as `ppid:0x…`, `chip-id:0x…` or `module-id:0x…`; may be repeated
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) deny_platform: Vec<String>,
    /// Flaw that is not to be put up with today, by its vendor's name; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) deny_advisory: Vec<String>,
    /// File of such machines and flaws, one on a line, `#` before what is for people; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) deny_list: Vec<PathBuf>,
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
