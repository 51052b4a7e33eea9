//! Evidence and what is accepted of it.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Print the default policy: hardware only
    Default,
    /// Check a policy, print it in canonical form and its hash
    Check(PolicyCheck),
}

#[derive(Debug, Args)]
pub(crate) struct PolicyCheck {
    /// A JSON file
    pub(crate) file: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Evidence {
    /// Explain what a quote, report or document says, and what is wrong with it
    Show(EvidenceFile),
    /// The same, and exit with 1 if it does not hold or the policy refuses it, with 2 if nothing endorses it
    Verify(EvidenceVerify),
    /// Fetch what endorses it from the vendors' services
    FetchCollateral(EvidenceFetch),
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceFile {
    /// An SGX or TDX quote, an SEV-SNP report, a Nitro document, or an evidence of PoX; bytes or hexadecimal digits
    pub(crate) file: PathBuf,
    /// What endorses it: a folder that `fetch-collateral` wrote, or `KIND=FILE` with one of the kinds dcap-collateral, snp-key, snp-issuer, snp-crl, nitro-crl; may be repeated
    #[arg(long, value_name = "DIR|KIND=FILE")]
    pub(crate) endorsements: Vec<String>,
    /// Time at which the endorsements must be in force, such as 2025-06-20T00:00:00Z; now if left out
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceVerify {
    #[command(flatten)]
    pub(crate) file: EvidenceFile,
    /// Evidence policy that must accept it
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceFetch {
    /// See `pox evidence show`
    pub(crate) file: PathBuf,
    /// Folder for what is fetched
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Cache of Intel's certification service (PCCS), instead of Intel itself
    #[arg(long, value_name = "URL")]
    pub(crate) intel: Option<String>,
    /// Cache of AMD's key distribution service, instead of AMD itself
    #[arg(long, value_name = "URL")]
    pub(crate) amd: Option<String>,
    /// Revocation list of a Nitro authority; may be repeated
    #[arg(long, value_name = "URL")]
    pub(crate) nitro_crl: Vec<String>,
}
