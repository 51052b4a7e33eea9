//! How much gas a transaction needs, and what it touches.

use std::collections::{BTreeMap, BTreeSet};

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, U256};
use revm::{
    context::result::{ExecutionResult, ResultAndState},
    context_interface::cfg::gas::CALL_STIPEND,
    primitives::hardfork::SpecId,
};
use serde_json::json;

use super::{
    Answer,
    calls::{CALL_GAS, CallRequest, halt_message, no_overrides, output, revert_message, run},
    error::RpcError,
    params::{At, Params},
    render::quantity,
};
use crate::{block::Block, chain::Inner, exec::succeeded, fork::Rules, state::State};

/// Gas of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;

/// An estimate may be above the least sufficient gas by that part, in thousandths; go-ethereum's tolerance.
const TOLERANCE_PER_MILLE: u64 = 15;

/// Rounds after which an access list that still changes is given as it is.
const MAX_ROUNDS: usize = 16;

pub(super) fn estimate_gas(chain: &Inner, mut params: Params) -> Answer {
    let request: CallRequest = params.required()?;
    let at: At = params.optional()?.unwrap_or_default();
    no_overrides(params)?;
    let block = at.block(chain)?;
    Ok(quantity(estimate(chain, &block, &request)?))
}

/// The search of go-ethereum, so that its numbers come out: the least gas with which the call succeeds, or up to
/// [`TOLERANCE_PER_MILLE`] more.
fn estimate(chain: &Inner, block: &Block, request: &CallRequest) -> Result<u64, RpcError> {
    let limit = highest(chain, block, request)?;
    let state = State::new(chain.store(), block.header.state_root);
    if let (true, Some(to)) = (request.input.is_empty(), &request.to)
        && state.code(to)?.is_empty()
        && run(chain, block, request, TRANSFER_GAS).is_ok_and(|ran| succeeded(&ran.result))
    {
        return Ok(TRANSFER_GAS);
    }
    let first = run(chain, block, request, limit)?.result;
    match &first {
        ExecutionResult::Success { .. } => {}
        ExecutionResult::Halt { reason, .. } if halt_message(reason) == "out of gas" => {
            return Err(RpcError::server(format!("gas required exceeds allowance ({limit})")));
        }
        _ => return Err(output(first).err().unwrap_or_else(|| RpcError::server("execution failed"))),
    }
    let enough = |gas| run(chain, block, request, gas).is_ok_and(|ran| succeeded(&ran.result));
    // What was used in the end is too little at most by a unit: refunds come after, and less gas can't use less.
    let (mut low, mut high) = (first.tx_gas_used().saturating_sub(1), limit);
    let peak = first.gas().total_gas_spent().max(first.tx_gas_used());
    // All but 1/64 of the gas goes down a call, which may hold back a stipend.
    let likely = (peak + CALL_STIPEND).saturating_mul(64) / 63;
    if likely < high {
        if enough(likely) {
            high = likely;
        } else {
            low = likely;
        }
    }
    while low + 1 < high && (high - low).saturating_mul(1000) >= high.saturating_mul(TOLERANCE_PER_MILLE) {
        // Most need little more than the lower bound.
        let middle = (high + low).div_euclid(2).min(low.saturating_mul(2));
        if enough(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}

/// The most gas that the call may use: what it asks for or a block has, and its sender can pay.
fn highest(chain: &Inner, block: &Block, request: &CallRequest) -> Result<u64, RpcError> {
    let asked =
        request.gas.filter(|gas| *gas >= TRANSFER_GAS).unwrap_or(block.header.gas_limit).min(CALL_GAS);
    if request.price == 0 {
        return Ok(asked);
    }
    let balance = State::new(chain.store(), block.header.state_root).account_or_empty(&request.from)?.balance;
    let available = balance
        .checked_sub(request.value)
        .ok_or_else(|| RpcError::server("insufficient funds for transfer"))?;
    let payable = u64::try_from(available / U256::from(request.price)).unwrap_or(u64::MAX);
    Ok(asked.min(payable))
}

/// Runs the call with the list it gave the time before, until the list doesn't change.
pub(super) fn create_access_list(chain: &Inner, mut params: Params) -> Answer {
    let mut request: CallRequest = params.required()?;
    let at: At = params.optional()?.unwrap_or_default();
    no_overrides(params)?;
    let block = at.block(chain)?;
    let rules = chain.rules_of(&block);
    if !rules.has(SpecId::BERLIN) {
        return Err(RpcError::server("access lists are not supported by this chain's rules"));
    }
    let gas = request.gas.map_or(CALL_GAS, |gas| gas.min(CALL_GAS));
    let mut list = request.access_list.clone().unwrap_or_default();
    for _ in 0..MAX_ROUNDS {
        request.access_list = Some(list.clone());
        let ran = run(chain, &block, &request, gas)?;
        let touched = touched(&ran, &request, &rules, block.header.author);
        if touched == list {
            return Ok(listed(&list, &ran.result));
        }
        list = touched;
    }
    request.access_list = Some(list.clone());
    let ran = run(chain, &block, &request, gas)?;
    Ok(listed(&list, &ran.result))
}

fn listed(list: &AccessList, result: &ExecutionResult) -> serde_json::Value {
    let items = list.iter().map(|item| json!({ "address": item.address, "storageKeys": item.storage_keys }));
    let mut answer =
        json!({ "accessList": items.collect::<Vec<_>>(), "gasUsed": quantity(result.tx_gas_used()) });
    match result {
        ExecutionResult::Success { .. } => {}
        ExecutionResult::Revert { output, .. } => answer["error"] = json!(revert_message(output)),
        ExecutionResult::Halt { reason, .. } => answer["error"] = json!(halt_message(reason)),
    }
    answer
}

/// What the call touched and doesn't get for free: accounts other than its own, and storage anywhere.
fn touched(ran: &ResultAndState, request: &CallRequest, rules: &Rules, author: Address) -> AccessList {
    let precompiles =
        revm::precompile::Precompiles::new(revm::precompile::PrecompileSpecId::from_spec_id(rules.spec));
    let mut items: BTreeMap<Address, BTreeSet<B256>> = BTreeMap::new();
    for (address, account) in &ran.state {
        let slots: BTreeSet<B256> = account.storage.keys().map(|slot| B256::from(*slot)).collect();
        // The EVM loads the author's account to pay it, called or not.
        let free = *address == request.from
            || Some(*address) == request.to
            || *address == author
            || account.is_created()
            || precompiles.contains(address);
        if !free || (!slots.is_empty() && !account.is_created()) {
            items.insert(*address, slots);
        }
    }
    let item = |(address, slots): (Address, BTreeSet<B256>)| AccessListItem {
        address,
        storage_keys: slots.into_iter().collect(),
    };
    AccessList(items.into_iter().map(item).collect())
}
