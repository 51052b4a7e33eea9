//! Time anchors beside the chain.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Timestamp {
    /// Have others attest now that a proof file exists: writes detached files beside it
    Create(CreateTimestamp),
    /// Ask calendars whether a Bitcoin block has a timestamp by now
    Upgrade(UpgradeTimestamp),
    /// Verify detached time stamps of a proof file, offline
    Verify(VerifyTimestamp),
}

#[derive(Debug, Args)]
pub(crate) struct CreateTimestamp {
    /// Proof file
    pub(crate) proof: PathBuf,
    /// Time-stamping authority (RFC 3161); its answer goes to PROOF.tsr
    #[arg(long, value_name = "URL")]
    pub(crate) rfc3161: Option<String>,
    /// Write the query to PROOF.tsq and send nothing, for authorities that are reached in other ways
    #[arg(long, conflicts_with = "rfc3161")]
    pub(crate) query_only: bool,
    /// Trusted certificates, PEM: check the authority's answer at once
    #[arg(long, value_name = "FILE", requires = "rfc3161")]
    pub(crate) ca: Vec<PathBuf>,
    /// OpenTimestamps calendar; may be repeated. What they answer goes to PROOF.ots
    #[arg(long, value_name = "URL")]
    pub(crate) calendar: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct UpgradeTimestamp {
    /// Timestamp file, .ots
    pub(crate) ots: PathBuf,
    /// Calendar to ask; may be repeated. Others that the file names are not asked
    #[arg(long, value_name = "URL", required = true)]
    pub(crate) calendar: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyTimestamp {
    /// Proof file
    pub(crate) proof: PathBuf,
    /// Answer of a time-stamping authority; may be repeated
    #[arg(long, value_name = "FILE", requires = "ca")]
    pub(crate) tsr: Vec<PathBuf>,
    /// OpenTimestamps file; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) ots: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: AnchorTrust,
    /// A time at which you know that the authority's answer was there: its certificates have to be in force then. Now if left out
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
}

/// What an auditor trusts about time anchors.
#[derive(Debug, Args)]
pub(crate) struct AnchorTrust {
    /// Certificates that you trust to vouch for time-stamping authorities, PEM; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,
    /// A Bitcoin block that you know: HEIGHT:HEADER in hexadecimal, or HEIGHT:ROOT:TIME; may be repeated
    #[arg(long, value_name = "BLOCK")]
    pub(crate) bitcoin_header: Vec<String>,
    /// File with such blocks, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) bitcoin_headers: Option<PathBuf>,
}
