//! The contract and the chain.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Contract {
    /// Deploy the contract with this home's account
    Deploy(ContractDeploy),
    /// Compare the code at an address with the contract that this program knows
    Check(ContractCheck),
    /// Write what explorers need to verify the contract's source
    Metadata(ContractMetadata),
}

#[derive(Debug, Args)]
pub(crate) struct ContractDeploy {
    /// Deploy at the address that the contract has on every chain, through the deployment proxy, which is made where it is missing
    #[arg(long)]
    pub(crate) deterministic: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ContractCheck {
    /// Address to look at, instead of the known ones
    pub(crate) address: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ContractMetadata {
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Chain {
    /// List the profiles and templates that come with this program
    Profiles,
    /// Print a profile, or a template to start from
    Show(ChainShow),
    /// Examine the profile's endpoints, or those of --rpc: what differs, and what to do
    ///
    /// Exit code 0 if everything fits, 1 if something differs, 2 if an endpoint can't be reached.
    Doctor,
    /// Tell who seals an Aura chain now, and pin it in a profile
    ///
    /// The set is what announced changes make of one that the profile pins, or what the set's contract tells; either has to have
    /// sealed the last blocks, each authority in its turn.
    Authorities(ChainAuthorities),
    /// Send on what this home's outbox keeps, and show what each transaction waits for
    Outbox,
}

#[derive(Debug, Args)]
pub(crate) struct ChainAuthorities {
    /// The contract that keeps the set, instead of the profile's
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) validators: Option<String>,
    /// Length of a step, seconds, where the profile does not say
    #[arg(long, value_name = "SECONDS")]
    pub(crate) step: Option<std::num::NonZeroU64>,
    /// File for the profile with this set pinned
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ChainShow {
    /// Profile or template, or a file; the chain that --chain names if it is left out
    pub(crate) name: Option<String>,
}
