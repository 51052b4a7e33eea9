//! What the contract's state says at one block.

use super::rlp;
use alloy_primitives::{B256, U256, keccak256};
use pox_core::{History, TaskId};

/// keccak256 of no bytes: the code hash of an account without code.
pub(crate) const NO_CODE: B256 = alloy_primitives::KECCAK256_EMPTY;
/// The slot of the contract's `tasks` mapping (spec §5.3).
const TASKS_SLOT: U256 = U256::ZERO;
/// Where in a task's record its history stands (spec §5.3).
const HISTORY_SLOT: U256 = U256::from_limbs([3, 0, 0, 0]);

/// A trie's value is no account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state holds no account there")]
pub struct BadAccount;

/// The parts of an account that a judge needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    /// Root of its storage.
    pub(crate) storage_root: B256,
    /// keccak256 of its code.
    pub(crate) code_hash: B256,
}

impl Account {
    /// Parses an account's RLP: nonce, balance, storage root, code hash.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, BadAccount> {
        let fields = rlp::list(value, 4).map_err(|_| BadAccount)?;
        let [nonce, balance, storage_root, code_hash] = fields.as_slice() else { return Err(BadAccount) };
        nonce.integer().ok_or(BadAccount)?;
        balance.big_endian().ok_or(BadAccount)?;
        Ok(Self {
            storage_root: storage_root.fixed().map(B256::from).ok_or(BadAccount)?,
            code_hash: code_hash.fixed().map(B256::from).ok_or(BadAccount)?,
        })
    }
}

/// The slot of a task's history (spec §5.3).
pub(crate) fn history_slot(task: TaskId) -> B256 {
    let base = keccak256([task.as_bytes().as_slice(), &TASKS_SLOT.to_be_bytes::<32>()].concat());
    B256::from(U256::from_be_bytes(base.0).wrapping_add(HISTORY_SLOT))
}

/// Parses a storage word: RLP of it without leading zeros. Zero is never stored.
pub(crate) fn history_word(value: &[u8]) -> Option<History> {
    let digits =
        rlp::string(value).filter(|digits| !digits.is_empty() && digits.len() <= 32 && digits[0] != 0)?;
    Some(History(B256::from(U256::from_be_slice(digits))))
}
