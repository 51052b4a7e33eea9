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
