//! The contract and the chain.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Contract {
    /// Deploy the contract with this home's account
    Deploy,
    /// Check that the contract's code is the one that this program knows
    Check,
}
