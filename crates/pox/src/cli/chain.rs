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
    /// Send on what this home's outbox keeps, and show what each transaction waits for
    Outbox,
}

#[derive(Debug, Args)]
pub(crate) struct ChainShow {
    /// Profile or template, or a file; the chain that --chain names if it is left out
    pub(crate) name: Option<String>,
}
