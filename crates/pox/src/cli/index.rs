//! The index, and what is asked of it.

use clap::{ArgGroup, Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Database {
    /// The index: a file, or postgres://USER@HOST/NAME without a password, which comes from PGPASSWORD or .pgpass. POX_DB if left out
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) db: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Index {
    #[command(flatten)]
    pub(crate) database: Database,
    /// End at the chain's newest block, which is what happens without --follow
    #[arg(long, conflicts_with = "follow")]
    pub(crate) once: bool,
    /// Go on with new blocks until stopped; stopping it loses nothing at any time
    #[arg(long)]
    pub(crate) follow: bool,
    /// Ranges of blocks, each as wide as the profile allows, that are asked for at once
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) ranges: u8,
}

#[derive(Debug, Args)]
pub(crate) struct Tasks {
    #[command(flatten)]
    pub(crate) database: Database,
    /// Requested by this account
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) owner: Option<String>,
    /// Matched by this account, now or when the task ended
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) processor: Option<String>,
    /// Of this image: sha256:… or 0x…
    #[arg(long, value_name = "DIGEST")]
    pub(crate) image: Option<String>,
    /// With this dataset commitment among its inputs
    #[arg(long, value_name = "COMMITMENT")]
    pub(crate) input: Option<String>,
    /// With these results
    #[arg(long, value_name = "COMMITMENT")]
    pub(crate) result: Option<String>,
    /// Requested at this time or later: 2026-01-31, 2026-01-31T12:00:00Z, or Unix seconds
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Requested at this time or earlier
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// In this phase
    #[arg(long, value_enum)]
    pub(crate) phase: Option<Phase>,
    /// Most tasks of one page, up to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    pub(crate) limit: u32,
    /// Only those after this place, which the page before names
    #[arg(long, value_name = "BLOCK:INDEX")]
    pub(crate) after: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Priority {
    /// The program: sha256:… or 0x…
    pub(crate) image: String,
    /// Only runs with this dataset commitment among their inputs
    pub(crate) input: Option<String>,
    #[command(flatten)]
    pub(crate) database: Database,
    /// Write the first run's proof file, and say its grade
    #[arg(long, value_name = "FILE")]
    pub(crate) proof: Option<PathBuf>,
    /// Where that task's archive is, for whoever is not its owner
    #[arg(long, value_name = "DIR|URL", requires = "proof")]
    pub(crate) archive: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("subject").required(true).args(["input", "task"]))]
pub(crate) struct History {
    #[command(flatten)]
    pub(crate) database: Database,
    /// Every task that uses this dataset, with every step
    #[arg(long, value_name = "COMMITMENT")]
    pub(crate) input: Option<String>,
    /// Every step of this task
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<String>,
    /// Ask the contract whether these are all the steps that it has committed to
    #[arg(long)]
    pub(crate) check: bool,
    /// Most tasks of one page, up to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    pub(crate) limit: u32,
    /// Only tasks after this place, which the page before names
    #[arg(long, value_name = "BLOCK:INDEX")]
    pub(crate) after: Option<String>,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Phase {
    /// Open to be matched
    Requested,
    /// Waits for the owner
    Matched,
    /// Waits for the receipt
    Approved,
    /// Ended by a receipt
    Proven,
    /// Ended by its owner
    Cancelled,
    /// Ended by time
    Expired,
}
