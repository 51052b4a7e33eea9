//! Step 12: the chain holds exactly these steps: in the contract's own word for the task, or in its events.

use super::lifecycle::Steps;
use super::parse::Records;
use super::policy::Accepted;
use crate::anchors::Anchors;
use crate::chain::header::Header;
use crate::chain::receipt;
use crate::chain::state::{Account, NO_CODE, history_slot, history_word};
use crate::chain::trie::lookup;
use crate::rejection::{ContractCode, EventProof, HistoryMismatch, Rejection, StateProof};
use crate::verified::Verified;
use alloy_primitives::B256;
use pox_core::history::Step;
use pox_core::proof::{HistoryProof, ReceiptProof};
use pox_core::{Domain, Event, History, TaskId};
use std::collections::BTreeSet;

/// What of the chain shows the history; whether the chain has those blocks is step 13's.
pub(crate) struct Kept {
    pub(crate) form: Form,
    /// The blocks that it rests on.
    pub(crate) blocks: BTreeSet<u64>,
    /// The one of them that the verdict speaks of.
    pub(crate) block: Header,
}

/// How the history is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// By the contract's word: these steps and no others, by code that is known.
    State,
    /// By an event for each step: each of these happened, by whatever code stands at the contract's address.
    Receipts,
}

/// Follows the proofs, and compares what they show with the steps.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    task: &Verified<TaskId>,
    steps: &Verified<Steps>,
    _policy: &Verified<Accepted>,
    anchors: &Anchors,
) -> Result<Verified<Kept>, Rejection> {
    let kept = match &records.proof.chain.history {
        HistoryProof::State(proof) => check_state(records, **task, steps, proof, anchors)?,
        HistoryProof::Receipts(proofs) => check_receipts(records, **task, proofs)?,
    };
    Ok(Verified::by_check(kept))
}

fn check_state(
    records: &Records<'_>,
    task: TaskId,
    steps: &Steps,
    proof: &pox_core::proof::StateProof,
    anchors: &Anchors,
) -> Result<Kept, Rejection> {
    let domain = &records.domain;
    // Step 1 has seen that there is one run, and runs are never empty.
    let header = records.runs.first().and_then(|run| run.first()).ok_or(StateProof::Word)?;
    let (block, proven) = (header.number, steps.proven.at.number);
    if block < proven || header.time < steps.proven.at.time {
        return Err(StateProof::TooOld { block, proven }.into());
    }
    let account = lookup(header.state_root, domain.contract.as_slice(), &proof.account);
    let account = Account::parse(account.map_err(StateProof::Account)?).map_err(StateProof::from)?;
    check_code(account.code_hash, domain, anchors)?;
    let word = lookup(account.storage_root, history_slot(task).as_slice(), &proof.storage);
    let kept = history_word(word.map_err(StateProof::Storage)?).ok_or(StateProof::Word)?;
    let actual = History::over(&records.proof.steps);
    if actual != kept {
        return Err(HistoryMismatch { actual, kept }.into());
    }
    Ok(Kept { form: Form::State, blocks: BTreeSet::from([block]), block: header.clone() })
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

fn check_receipts(records: &Records<'_>, task: TaskId, proofs: &[ReceiptProof]) -> Result<Kept, EventProof> {
    let steps = &records.proof.steps;
    if steps.len() != proofs.len() {
        return Err(EventProof::Count { steps: steps.len(), receipts: proofs.len() });
    }
    let mut blocks = BTreeSet::new();
    let mut last = None;
    let mut before = None;
    for (position, (step, proof)) in steps.iter().zip(proofs).enumerate() {
        let number = step.at.number;
        let header = records.header(number).ok_or(EventProof::NoHeader { position, number })?;
        if header.time != step.at.time {
            return Err(EventProof::Time { position });
        }
        // No log is two steps, and steps have the order of their logs.
        let place = (number, proof.index, proof.log);
        if before.replace(place).is_some_and(|before| before >= place) {
            return Err(EventProof::Order { position });
        }
        check_event(records, task, header, step, proof, position)?;
        blocks.insert(number);
        last = Some(header);
    }
    let block = last.ok_or(EventProof::Count { steps: 0, receipts: 0 })?.clone();
    Ok(Kept { form: Form::Receipts, blocks, block })
}

fn check_event(
    records: &Records<'_>,
    task: TaskId,
    header: &Header,
    step: &Step,
    proof: &ReceiptProof,
    position: usize,
) -> Result<(), EventProof> {
    let log = receipt::prove(header.receipts_root, proof)
        .map_err(|error| EventProof::Receipt { position, error })?;
    if log.address != records.domain.contract {
        return Err(EventProof::Emitter { position, actual: log.address });
    }
    let event =
        Event::parse(&records.domain, &log.content).map_err(|error| EventProof::Event { position, error })?;
    // The receipt's own event does not tell the members; the enclave has signed them with it, which step 6 has checked.
    let members = records.proof.proven.members;
    let payload = event.payload(&records.domain, members).filter(|_| event.task() == Some(task));
    if payload.map(|payload| payload.step(step.at)) == Some(*step) {
        Ok(())
    } else {
        Err(EventProof::AnotherStep { position })
    }
}
