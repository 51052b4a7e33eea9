//! Where blocks, state and code are kept.
//!
//! State is kept as trie nodes under their hashes and never overwritten, so every block's state stays readable,
//! a restart loads nothing but what is asked for, and dropping blocks only moves the head.

mod disk;
mod memory;

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use revm::database_interface::DBErrorMarker;
use thiserror::Error;

pub(crate) use self::{
    disk::{DiskStore, Identity},
    memory::MemoryStore,
};
use crate::{block::Block, header::Header, state::Changes, trie::Nodes};

/// A place of a transaction in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) block: u64,
    pub(crate) index: usize,
}

/// The canonical chain, and the states of all blocks it ever had.
pub(crate) trait Store: Nodes + Send + Sync {
    /// Number of the last block; `None` before genesis.
    fn head(&self) -> Result<Option<u64>, StoreError>;

    /// The block with that number.
    fn block(&self, number: u64) -> Result<Option<Arc<Block>>, StoreError>;

    /// The header of the block with that number; cheaper than the block where it isn't in memory.
    fn header(&self, number: u64) -> Result<Option<Header>, StoreError>;

    /// The number of the block with that hash.
    fn number_of(&self, hash: &B256) -> Result<Option<u64>, StoreError>;

    /// Where the transaction with that hash is.
    fn location(&self, transaction: &B256) -> Result<Option<Location>, StoreError>;

    /// The code with that hash; the empty code for its hash.
    fn code(&self, hash: &B256) -> Result<Bytes, StoreError>;

    /// Adds the block after the head, with all that its state adds. It is there wholly, and for good, on return,
    /// or not at all.
    fn append(&self, block: Arc<Block>, changes: Changes) -> Result<(), StoreError>;

    /// Drops all blocks after `head`, wholly or not at all.
    fn truncate(&self, head: u64) -> Result<(), StoreError>;
}

/// The store failed, or what it holds is damaged. Nobody's input causes that.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database can't be read or written.
    #[error("the database failed")]
    Database(#[source] Box<redb::Error>),
    /// A state refers to a trie node that isn't there.
    #[error("trie node {0} is missing from the database")]
    MissingNode(B256),
    /// An account refers to code that isn't there.
    #[error("code {0} is missing from the database")]
    MissingCode(B256),
    /// A record can't be read back.
    #[error("a damaged {0} in the database")]
    Damaged(&'static str),
    /// Two keys of a trie have different lengths.
    #[error("a trie in the database has keys of different lengths")]
    KeyLength,
    /// A block doesn't follow the head.
    #[error("block {0} doesn't follow the last block")]
    OutOfOrder(u64),
}

impl DBErrorMarker for StoreError {}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Database(Box::new(error.into()))
    }
}
