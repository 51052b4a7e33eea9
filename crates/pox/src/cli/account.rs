//! Keys and coins.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make an account key and a data identity
    New(KeyNew),
    /// Show the account's address and the data recipient
    Show,
    /// Print this home's Crypt4GH public key file, for whoever seals for it
    Crypt4gh(KeyCrypt4gh),
}

#[derive(Debug, Args)]
pub(crate) struct KeyCrypt4gh {
    /// Write the secret key file too, without a passphrase, for other Crypt4GH tools
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_to: Option<std::path::PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct KeyNew {
    /// Make an X25519 data identity, for age clients older than 1.3, instead of a post-quantum one
    #[arg(long)]
    pub(crate) x25519: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Fund {
    /// Account; this home's own if left out
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// How much, in wei
    #[arg(long, value_name = "WEI", default_value_t = 1_000_000_000_000_000_000)]
    pub(crate) wei: u128,
}
