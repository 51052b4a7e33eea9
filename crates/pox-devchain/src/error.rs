//! Errors, by whose doing they are.

use alloy_primitives::{Address, B256, U256};
use thiserror::Error;

use crate::{config::InvalidKey, fork::GenesisError, store::StoreError};

/// A chain can't be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The configuration contradicts itself.
    #[error("bad configuration: {0}")]
    Config(&'static str),
    /// The data folder can't be used.
    #[error("can't use the data folder")]
    Folder(#[source] std::io::Error),
    /// Another process has the chain open.
    #[error("the chain is in use by another process")]
    InUse,
    /// The data folder holds a chain with another id, hardfork, genesis or step.
    #[error("the data folder holds another chain")]
    OtherChain,
    /// The data folder was written by another version of this program, in a layout that this one does not read.
    #[error("the data folder was written by another version of this program")]
    OtherVersion,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The genesis file of a recorded chain is malformed.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A recorded chain breaks its own rules.
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// A recorded block is not what running it gives.
#[derive(Debug, Error)]
pub enum ImportError {
    /// Not RLP of blocks.
    #[error("malformed block after block {after}")]
    Malformed {
        /// Number of the last good block.
        after: u64,
    },
    /// A field of the header contradicts the block's content or its parent.
    #[error("block {number}: wrong {field}")]
    Wrong {
        /// Number of the block.
        number: u64,
        /// What is wrong, as JSON-RPC names it.
        field: &'static str,
    },
    /// A transaction can't be in the block.
    #[error("block {number}: transaction {index} can't run: {reason}")]
    Transaction {
        /// Number of the block.
        number: u64,
        /// Place of the transaction in the block.
        index: usize,
        /// Why.
        reason: String,
    },
}

/// A block can't be made, or the chain not be changed as asked.
#[derive(Debug, Error)]
pub enum ChainError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys of all authorities are elsewhere.
    #[error("none of the authorities that seal the next block is here")]
    NoSealer,
    /// A recorded chain is not continued.
    #[error("a recorded chain can't be continued")]
    ReadOnly,
    /// A block can't be older than its parent, nor in its step.
    #[error("the next block can't be before time {earliest}")]
    TooEarly {
        /// The earliest possible Unix time, in seconds.
        earliest: u64,
    },
    /// Times end at 2^63 seconds.
    #[error("the time is out of range")]
    TimeRange,
    /// There are fewer blocks after genesis.
    #[error("can't drop {depth} of {height} blocks")]
    TooDeep {
        /// Blocks to drop.
        depth: u64,
        /// Blocks there are, without genesis.
        height: u64,
    },
    /// A snapshot can't be gone back to on a durable chain, whose blocks were promised to stay.
    #[error("a durable chain can't go back to a snapshot")]
    Durable,
    /// The authority's key doesn't sign.
    #[error("the block can't be sealed")]
    Seal(#[source] InvalidKey),
    /// The EVM gave up on a valid block.
    #[error("the EVM failed: {0}")]
    Evm(String),
}

/// A transaction is not accepted. The texts are those that clients look for.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// Not a signed transaction.
    #[error("{0}")]
    Malformed(String),
    /// Larger than any transaction may be.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized {
        /// Bytes.
        size: usize,
        /// Bytes.
        limit: usize,
    },
    /// Its signature is not one.
    #[error("invalid sender")]
    Signature,
    /// The chain's hardfork doesn't know its type.
    #[error("transaction type not supported")]
    Type,
    /// Signed for another chain.
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId {
        /// Of the transaction.
        have: u64,
        /// Of the chain.
        want: u64,
    },
    /// The pool has it already.
    #[error("already known")]
    AlreadyKnown,
    /// Its nonce was used.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The account's.
        next: u64,
        /// The transaction's.
        nonce: u64,
    },
    /// Its nonce is further ahead than the pool keeps.
    #[error("nonce too high: next nonce {next}, tx nonce {nonce}")]
    NonceTooHigh {
        /// The account's.
        next: u64,
        /// The transaction's.
        nonce: u64,
    },
    /// The last nonce can't be used.
    #[error("nonce has max value")]
    NonceMax,
    /// The account can't pay for it and for its transactions before.
    #[error("insufficient funds for gas * price + value: address {address} have {have} want {want}")]
    InsufficientFunds {
        /// Who has to pay.
        address: Address,
        /// In wei.
        have: U256,
        /// In wei.
        want: U256,
    },
    /// Its gas doesn't cover its bytes.
    #[error("intrinsic gas too low: gas {gas}, minimum needed {needed}")]
    IntrinsicGas {
        /// Its gas limit.
        gas: u64,
        /// The least that is charged.
        needed: u64,
    },
    /// Its gas doesn't cover the least price of its data (EIP-7623).
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {needed}")]
    FloorGas {
        /// Its gas limit.
        gas: u64,
        /// The least that is charged.
        needed: u64,
    },
    /// No block has so much gas.
    #[error("exceeds block gas limit")]
    BlockGasLimit,
    /// No transaction may have so much gas (EIP-7825).
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasCap {
        /// The limit.
        cap: u64,
        /// Its gas limit.
        gas: u64,
    },
    /// It pays less than the chain asks.
    #[error("transaction underpriced: gas price {price}, minimum needed {minimum}")]
    Underpriced {
        /// In wei.
        price: u128,
        /// In wei.
        minimum: u128,
    },
    /// It has the nonce of a waiting transaction, and doesn't pay a tenth more.
    #[error("replacement transaction underpriced")]
    ReplacementUnderpriced,
    /// Its tip is more than its whole fee.
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFee,
    /// The code that it deploys is too large.
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitCode {
        /// Bytes.
        size: usize,
        /// Bytes.
        limit: usize,
    },
    /// Its sender has code (EIP-3607).
    #[error("sender not an eoa: address {0}")]
    SenderHasCode(Address),
    /// Its blobs are missing, too many, or don't match its hashes.
    #[error("invalid blobs: {0}")]
    Blobs(&'static str),
    /// It authorises nobody (EIP-7702), or deploys where it can't.
    #[error("{0}")]
    Shape(&'static str),
    /// There is no room for it.
    #[error("txpool is full")]
    PoolFull,
    /// It was accepted, and no block could be made with it.
    #[error("accepted as {hash}, but no block could be made")]
    NotMined {
        /// The transaction.
        hash: B256,
        /// Why.
        #[source]
        reason: ChainError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SubmitError {
    /// Whether the fault is the chain's, not the transaction's.
    #[must_use]
    pub const fn is_internal(&self) -> bool {
        matches!(self, Self::Store(_) | Self::NotMined { .. })
    }
}
