//! What goes wrong with an index, by whose doing.

use pox_chain::ChainError;
use pox_core::{Address, event::BadEvent};

/// An index can't be read, written or brought forward.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The chain, or the endpoint that it is read through.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The embedded database.
    #[error("the index: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The shared database.
    #[error("the index: {}", postgres_words(.0))]
    Postgres(#[from] postgres::Error),
    /// TLS to the shared database can't be set up.
    #[error("TLS to the database: {0}")]
    Tls(String),
    /// There is no index where one is to be read.
    #[error("there is no index there")]
    Missing,
    /// A newer program has made the index.
    #[error("the index has schema {found}, and this program knows up to {known}")]
    Newer {
        /// What it has.
        found: i64,
        /// What this program writes.
        known: i64,
    },
    /// The index is of another contract.
    #[error("the index is of the contract {contract} on chain {chain}")]
    OtherContract {
        /// Its chain.
        chain: u64,
        /// Its contract.
        contract: Address,
    },
    /// Something else has brought the index forward meanwhile.
    #[error("another process follows the chain into this index")]
    OtherWriter,
    /// What the index holds is not what this crate writes.
    #[error("the index is damaged: {0}")]
    Damaged(&'static str),
    /// A stored event is none.
    #[error("the index is damaged: {0}")]
    Event(#[from] BadEvent),
    /// The chain has a number that no database column takes.
    #[error("the endpoint tells a {0} beyond 63 bits")]
    OutOfRange(&'static str),
}

/// The server's own words, which the error's first line leaves out.
fn postgres_words(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(told) => told.message().to_owned(),
        None => {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
            format!("{error}{}", cause.unwrap_or_default())
        }
    }
}
