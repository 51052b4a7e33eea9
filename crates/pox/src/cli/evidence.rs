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
    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// Which builds of the runtime are known, beside this program's own.
#[derive(Debug, Args, Default)]
pub(crate) struct Trust {
    /// Release manifest that you have reason to trust, as `pox guest measure` writes it; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) releases: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Evidence {
    /// Explain what a quote, report or document says, and what is wrong with it
    Show(EvidenceFile),
    /// The same, and exit with 1 if it does not hold or the policy refuses it (without one: if the platform was out of date), with 2 if nothing endorses it
    Verify(EvidenceVerify),
    /// Fetch what endorses it from the vendors' services
    FetchCollateral(EvidenceFetch),
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceFile {
    /// An SGX or TDX quote, an SEV-SNP report, a Nitro document, or an evidence of PoX; bytes or hexadecimal digits. Or a proof: its key evidence, by the endorsements that it archives
    pub(crate) file: PathBuf,
    /// What endorses it: a folder that `fetch-collateral` wrote, or `KIND=FILE` with one of the kinds dcap-collateral, snp-key, snp-issuer, snp-crl, nitro-crl; may be repeated
    #[arg(long, value_name = "DIR|KIND=FILE")]
    pub(crate) endorsements: Vec<String>,
    /// Event log of the TDX guest (what the ACPI table CCEL points to), to be replayed against the quote's registers
    #[arg(long, value_name = "FILE")]
    pub(crate) event_log: Option<PathBuf>,
    /// Time at which the endorsements must be in force, such as 2025-06-20 or 2025-06-20T13:00:00Z; now if left out. A Nitro document is judged at its own
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
    #[command(flatten)]
    pub(crate) trust: Trust,
}

#[derive(Debug, Args)]
pub(crate) struct EvidenceFetch {
    /// See `pox evidence show`; of a proof, for both its evidences
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
