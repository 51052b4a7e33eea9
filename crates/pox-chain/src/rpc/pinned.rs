//! Reads of the state of one block, whichever replica answers them.

use super::dialect::unknown_form;
use super::{BlockAt, CallParams, Rpc, unknown_state};
use crate::error::ChainError;
use alloy_primitives::Bytes;
use serde_json::{Value, json};
use std::thread::sleep;

/// The form of EIP-1898, by which a block is named by its hash.
const BY_HASH: &str = "blocks named by hash";
/// How often a replica that does not have the block yet is asked again.
const LOOKS: u32 = 4;

impl Rpc {
    /// Runs a call on the state at the end of a block that was read before, and of no other: named by its hash where the node
    /// takes that, else by its number, after which the hash is looked at again.
    pub(crate) fn call_at(&self, call: &CallParams<'_>, at: BlockAt) -> Result<Bytes, ChainError> {
        self.agreed(&format!("a call at block {}", at.number), |one| one.call_at_of_one(call, at))
    }

    /// Runs a call on the newest state that the endpoints agree on.
    pub(crate) fn call(&self, call: &CallParams<'_>) -> Result<Bytes, ChainError> {
        if self.is_alone() {
            // One replica or another: what it holds to be the newest.
            return self.require("eth_call", json!([call, "latest"]));
        }
        let head = self.head()?;
        self.call_at(call, head.at)
    }

    /// Runs a call on the state of the block of a number, whatever its hash.
    pub(crate) fn call_at_number(&self, call: &CallParams<'_>, number: u64) -> Result<Bytes, ChainError> {
        self.first(|one| one.stated(number, one.require("eth_call", json!([call, format!("{number:#x}")]))))
    }

    fn call_at_of_one(&self, call: &CallParams<'_>, at: BlockAt) -> Result<Bytes, ChainError> {
        let mut looks = 1;
        loop {
            match self.call_once_at(call, at) {
                Err(ChainError::Lagging(_)) if looks < LOOKS => {
                    looks += 1;
                    sleep(self.poll_interval());
                }
                answer => return answer,
            }
        }
    }

    fn call_once_at(&self, call: &CallParams<'_>, at: BlockAt) -> Result<Bytes, ChainError> {
        if !self.lacks(BY_HASH) {
            let block: Value = json!({ "blockHash": at.hash, "requireCanonical": true });
            match self.stated(at.number, self.require("eth_call", json!([call, block]))) {
                Err(ChainError::Refused { code, message, .. }) if unknown_form(code, &message) => {
                    self.note_lack(BY_HASH);
                }
                answer => return answer,
            }
        }
        let number = format!("{:#x}", at.number);
        let answer = self.stated(at.number, self.require("eth_call", json!([call, number])));
        // A revert is an answer too, and of this block's state only if this is still the block.
        if matches!(answer, Ok(_) | Err(ChainError::Reverted(_)))
            && self.block_of_one(at.number)?.is_none_or(|block| block.at != at)
        {
            return Err(ChainError::Reorganised(at.number));
        }
        answer
    }

    /// An answer about a block's state, with the node's ways to say that it does not have it sorted out.
    pub(crate) fn stated<T>(&self, number: u64, answer: Result<T, ChainError>) -> Result<T, ChainError> {
        match answer {
            Err(ChainError::Refused { message, .. }) if unknown_state(&message) => {
                Err(ChainError::Lagging(format!("the state of block {number}")))
            }
            answer => answer,
        }
    }
}
