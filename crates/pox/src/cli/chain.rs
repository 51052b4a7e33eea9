//! The contract and the chain.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Contract {
    /// Deploy the contract with this home's account
    Deploy,
    /// Check that the contract's code is the one that this program knows
    Check,
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
