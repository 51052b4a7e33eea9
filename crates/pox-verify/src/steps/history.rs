//! Step 12: the contract's own word for this task, under the header's state root, commits to exactly these steps.

use super::lifecycle::Steps;
use super::parse::Records;
use super::policy::Accepted;
use crate::anchors::Anchors;
use crate::chain::state::{Account, NO_CODE, history_slot, history_word};
use crate::chain::trie::lookup;
use crate::rejection::{ContractCode, HistoryMismatch, Rejection, StateProof};
use crate::verified::Verified;
use alloy_primitives::B256;
use pox_core::{Domain, History, TaskId};

/// The history is in the state of the header's block; whether the chain has that block is step 13's.
pub(crate) struct Kept;

/// Follows the state proof, and compares code and history.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    task: &Verified<TaskId>,
    steps: &Verified<Steps>,
    _policy: &Verified<Accepted>,
    anchors: &Anchors,
) -> Result<Verified<Kept>, Rejection> {
    let (chain, header, domain) = (&records.proof.chain, &records.header, &records.domain);
    let (block, proven) = (header.number, steps.proven.at.number);
    if block < proven || header.time < steps.proven.at.time {
        return Err(StateProof::TooOld { block, proven }.into());
    }
    let account = lookup(header.state_root, domain.contract.as_slice(), &chain.account);
    let account = Account::parse(account.map_err(StateProof::Account)?).map_err(StateProof::from)?;
    check_code(account.code_hash, domain, anchors)?;
    let word = lookup(account.storage_root, history_slot(**task).as_slice(), &chain.storage);
    let kept = history_word(word.map_err(StateProof::Storage)?).ok_or(StateProof::Word)?;
    let actual = History::over(&records.proof.steps);
    if actual == kept { Ok(Verified::by_check(Kept)) } else { Err(HistoryMismatch { actual, kept }.into()) }
}

/// Without an anchor for the chain any code will do here: nothing then vouches for the chain at all.
fn check_code(actual: B256, domain: &Domain, anchors: &Anchors) -> Result<(), ContractCode> {
    if actual == NO_CODE {
        return Err(ContractCode::None);
    }
    match anchors.chains.get(&domain.chain_id).map(|chain| chain.contract_code) {
        Some(expected) if expected != actual => Err(ContractCode::Another { actual, expected }),
        _ => Ok(()),
    }
}
