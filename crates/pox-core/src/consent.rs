//! What an account says by its signature and somebody else carries to the contract (spec §3.3, §4).

use crate::abi;
use crate::domain::Domain;
use crate::id::TaskId;
use crate::signature::Signature;
use alloy_primitives::{Address, B256, Bytes};

/// A signature in a call, as far as it can be judged here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    /// Of an account with a key.
    Signature(Bytes),
    /// Of an account that is a contract: what its code answered (ERC-1271).
    ByCode(bool),
}

impl Consent {
    /// Whether the account agreed to the digest.
    pub fn is_of(&self, account: Address, digest: B256) -> bool {
        match self {
            Self::ByCode(answer) => *answer,
            Self::Signature(bytes) => {
                Signature::parse(bytes).and_then(|signature| signature.signer(digest)) == Ok(account)
            }
        }
    }
}

/// What a party signs to refuse an enclave: `EIP712(Refusal)`.
pub fn refusal(domain: &Domain, task: TaskId, enclave: Address, reason: u8) -> B256 {
    domain.digest(&abi::Refusal { task: task.0, enclave, reason })
}

/// What an owner signs to take a request back: `EIP712(Cancellation)`.
pub fn cancellation(domain: &Domain, task: TaskId) -> B256 {
    domain.digest(&abi::Cancellation { task: task.0 })
}
