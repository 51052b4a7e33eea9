//! A task's steps and the running commitment over them (spec §5).

use crate::id::{ArchivedBatchId, ArchivedReceiptId, History, OfferId, TaskId};
use crate::record::UnixTime;
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;

/// Where in the chain a step stands.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    minicbor::Encode,
    minicbor::Decode,
)]
pub struct At {
    /// Block number.
    #[n(0)]
    pub number: u64,
    /// Block time.
    #[n(1)]
    pub time: UnixTime,
}

/// What one transaction did to a task, as its history keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// The owner asked for the task.
    Request(TaskId),
    /// An offer was joined to it, naming an enclave and its evidence.
    Match {
        /// The offer.
        offer: OfferId,
        /// Who matched.
        processor: Address,
        /// The enclave's account.
        enclave: Address,
        /// keccak256 of the evidence as it stood in the call.
        evidence: B256,
    },
    /// The owner or a co-owner refused the evidence.
    Reject {
        /// Who.
        account: Address,
        /// Why, by spec §9.4.
        reason: u8,
    },
    /// The owner released a secret to an enclave.
    Approve {
        /// The enclave's account.
        enclave: Address,
        /// keccak256 of the signed and sealed secret as it stood in the call.
        secret: B256,
    },
    /// The enclave's receipt was posted.
    Prove(ArchivedReceiptId),
    /// The owner took the request back.
    Cancel,
    /// Its deadline passed.
    Expire,
    /// One of several parties released its secret to an enclave.
    Release {
        /// The owner or co-owner.
        account: Address,
        /// The enclave's account.
        enclave: Address,
        /// keccak256 of the signed and sealed secret as it stood in the call.
        secret: B256,
    },
    /// The closing receipt of a batch was posted.
    ProveMany(ArchivedBatchId),
}

/// One step, reduced to what the history hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct Step {
    /// The step's code, 1 to 9.
    #[n(0)]
    pub code: u8,
    /// The payload's word.
    #[cbor(n(1), with = "crate::bytes::word")]
    pub payload: B256,
    /// The block that the step is in.
    #[n(2)]
    pub at: At,
}

impl Payload {
    /// The step's code (spec §5.1).
    pub fn code(&self) -> u8 {
        match self {
            Self::Request(_) => 1,
            Self::Match { .. } => 2,
            Self::Reject { .. } => 3,
            Self::Approve { .. } => 4,
            Self::Prove(_) => 5,
            Self::Cancel => 6,
            Self::Expire => 7,
            Self::Release { .. } => 8,
            Self::ProveMany(_) => 9,
        }
    }

    /// The word that the history hashes (spec §5.1).
    pub fn word(&self) -> B256 {
        match *self {
            Self::Request(task) => task.0,
            Self::Match { offer, processor, enclave, evidence } => {
                keccak256((offer.0, processor, enclave, evidence).abi_encode())
            }
            Self::Reject { account, reason } => {
                let account = U256::from_be_slice(account.as_slice());
                B256::from((account << 8) | U256::from(reason))
            }
            Self::Approve { enclave, secret } => keccak256((enclave, secret).abi_encode()),
            Self::Prove(statement) => statement.0,
            Self::Cancel | Self::Expire => B256::ZERO,
            Self::Release { account, enclave, secret } => keccak256((account, enclave, secret).abi_encode()),
            Self::ProveMany(statement) => statement.0,
        }
    }

    /// The step that this payload makes in a block.
    pub fn step(&self, at: At) -> Step {
        Step { code: self.code(), payload: self.word(), at }
    }
}

impl History {
    /// The commitment after one more step (spec §5.2).
    #[must_use]
    pub fn then(self, step: &Step) -> Self {
        let words = (
            self.0,
            U256::from(step.code),
            step.payload,
            U256::from(step.at.number),
            U256::from(step.at.time.0),
        );
        Self(keccak256(words.abi_encode()))
    }

    /// The commitment over all of a task's steps, in their order.
    pub fn over<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Self {
        steps.into_iter().fold(Self::ZERO, Self::then)
    }
}
