//! Why the chain's part of a proof is rejected: steps 12 and 13.

use crate::chain::authorities::{ChangeFault, SealFault};
use crate::chain::receipt::ReceiptFault;
use crate::chain::state::BadAccount;
use crate::chain::trie::TrieError;
use alloy_primitives::{Address, B256};
use pox_core::{BadEvent, History};

/// Step 12: the contract has kept another history.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the steps make up {actual}, and the contract's word is {kept}")]
pub struct HistoryMismatch {
    /// Over the steps in the proof.
    pub actual: History,
    /// In the contract's storage.
    pub kept: History,
}

/// Step 12: the state proof does not lead from the header to the task's word.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateProof {
    /// The block is older than what it should show.
    #[error("the state is that of block {block}, and the receipt was proven in block {proven}")]
    TooOld {
        /// The header's number.
        block: u64,
        /// The prove step's.
        proven: u64,
    },
    /// The way to the account.
    #[error("the contract's account: {0}")]
    Account(TrieError),
    /// The account's content.
    #[error("the contract's account: {0}")]
    Content(#[from] BadAccount),
    /// The way to the word.
    #[error("the task's history: {0}")]
    Storage(TrieError),
    /// The word is not one.
    #[error("the task's history is no word of storage")]
    Word,
}

/// Step 12: the account does not have the contract's code.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContractCode {
    /// It has none.
    #[error("the account has no code")]
    None,
    /// It has another.
    #[error("the account's code has the hash {actual}, and the contract's is {expected}")]
    Another {
        /// In the state.
        actual: B256,
        /// The anchor's.
        expected: B256,
    },
}

/// Step 12: the receipts do not show the steps, which count from 0.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventProof {
    /// Each step has one receipt.
    #[error("{receipts} receipts can't show {steps} steps")]
    Count {
        /// Steps of the history.
        steps: usize,
        /// Receipts beside them.
        receipts: usize,
    },
    /// The step's block has no header in the proof.
    #[error("step {position}: the proof has no header of block {number}")]
    NoHeader {
        /// Which step.
        position: usize,
        /// Its block.
        number: u64,
    },
    /// The step's block has another time.
    #[error("step {position}: its block has another time")]
    Time {
        /// Which step.
        position: usize,
    },
    /// Its log does not come after that of the step before.
    #[error("step {position}: its log does not come after that of the step before")]
    Order {
        /// Which step.
        position: usize,
    },
    /// The nodes do not show a log.
    #[error("step {position}: {error}")]
    Receipt {
        /// Which step.
        position: usize,
        /// Why.
        error: ReceiptFault,
    },
    /// The log is another contract's.
    #[error("step {position}: its log is of {actual}, not of the contract")]
    Emitter {
        /// Which step.
        position: usize,
        /// Who emitted it.
        actual: Address,
    },
    /// The log is none of the contract's events.
    #[error("step {position}: {error}")]
    Event {
        /// Which step.
        position: usize,
        /// Why.
        error: BadEvent,
    },
    /// The event makes another step, or is of another task.
    #[error("step {position}: its event makes another step")]
    AnotherStep {
        /// Which step.
        position: usize,
    },
}

/// Step 13: a header is not one that the chain would have. Runs count from 0, as headers do in each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderSeal {
    /// The headers of the proof are of more than one chain.
    #[error("block {number} contradicts another header of the proof")]
    Fork {
        /// Which block.
        number: u64,
    },
    /// The authorities did not seal a run.
    #[error("run {run}, {fault}")]
    Seal {
        /// Which run.
        run: usize,
        /// What is wrong.
        fault: SealFault,
    },
    /// The chain has another block of this number.
    #[error("block {number} has the hash {actual}, and the chain's is {trusted}")]
    NotTheTrusted {
        /// Which block.
        number: u64,
        /// In the proof.
        actual: B256,
        /// The caller's.
        trusted: B256,
    },
}

/// Step 13: a change of the authorities is not shown. Changes count from 0.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityChange {
    /// It does not hold.
    #[error("change {position} of the authorities: {fault}")]
    Fault {
        /// Which change.
        position: usize,
        /// What is wrong.
        fault: ChangeFault,
    },
    /// No header that the history rests on comes after it.
    #[error("change {position} of the authorities comes after everything that it could matter to")]
    Unneeded {
        /// Which change.
        position: usize,
    },
}
