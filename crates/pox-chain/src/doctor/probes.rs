//! Questions whose answers tell what a node and its chain can do.

use super::LEVELS;
use crate::account::Account;
use crate::error::ChainError;
use crate::prepared::{Draft, Prepared, Price};
use crate::profile::Hardfork;
use crate::rpc::{BlockAt, NotTaken, Quantity, RawBlock, Rpc};
use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

/// What an account costs to look at for the first time from the Berlin level on.
const COLD_ACCOUNT: u64 = 2600;
/// Blocks below the newest at which state is asked for.
const DEPTHS: [u64; 4] = [1, 64, 1_000, 100_000];

/// A kind of transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Legacy,
    Dynamic,
}

/// The newest level of which the chain has everything that can be probed; `None` below Istanbul.
pub(super) fn level(one: &Rpc, head: u64) -> Result<Option<Hardfork>, ChainError> {
    let header = one.raw_block(head)?.ok_or_else(|| ChainError::Lagging(format!("block {head}")))?;
    let mut found = None;
    for level in LEVELS {
        match has(one, &header, level)? {
            Some(true) => found = Some(level),
            Some(false) => break,
            // Nothing that runs shows it; a later level does.
            None => {}
        }
    }
    Ok(found)
}

/// Whether the chain has what a level brought; `None` where only a later level can tell.
fn has(one: &Rpc, header: &RawBlock, level: Hardfork) -> Result<Option<bool>, ChainError> {
    Ok(match level {
        // CHAINID, SELFBALANCE
        Hardfork::Istanbul => Some(runs(one, &[0x46, 0x50])? && runs(one, &[0x47, 0x50])?),
        Hardfork::Berlin => Some(cost_of_an_account(one)? >= COLD_ACCOUNT),
        // BASEFEE
        Hardfork::London => Some(runs(one, &[0x48, 0x50])?),
        Hardfork::Paris => header.difficulty.is_some_and(|difficulty| difficulty.0.is_zero()).then_some(true),
        // PUSH0
        Hardfork::Shanghai => Some(runs(one, &[0x5f, 0x50])?),
        // MCOPY of nothing
        Hardfork::Cancun => Some(runs(one, &[0x60, 0, 0x60, 0, 0x60, 0, 0x5e])?),
        Hardfork::Prague => header.requests_hash.is_some().then_some(true),
        // CLZ of one
        Hardfork::Osaka => Some(runs(one, &[0x60, 1, 0x1e, 0x50])?),
    })
}

/// Whether code runs to its end, as that which creates a contract of nothing.
fn runs(one: &Rpc, code: &[u8]) -> Result<bool, ChainError> {
    // Ends with STOP, so that an unknown operation is the only thing that can fail.
    match execute(one, [code, &[0x00]].concat()) {
        Ok(_) => Ok(true),
        Err(ChainError::Refused { .. } | ChainError::Reverted(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What BALANCE of an account costs that nothing has touched.
fn cost_of_an_account(one: &Rpc) -> Result<u64, ChainError> {
    // GAS, PUSH4 0xdeadbeef, BALANCE, POP, GAS, SWAP1, SUB, PUSH1 0, MSTORE, PUSH1 32, PUSH1 0, RETURN
    let code = [
        0x5a, 0x63, 0xde, 0xad, 0xbe, 0xef, 0x31, 0x50, 0x5a, 0x90, 0x03, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60,
        0x00, 0xf3,
    ];
    let answer = execute(one, code.to_vec())?;
    Ok(U256::try_from_be_slice(&answer).and_then(|cost| u64::try_from(cost).ok()).unwrap_or_default())
}

fn execute(one: &Rpc, code: Vec<u8>) -> Result<Bytes, ChainError> {
    one.require("eth_call", json!([{ "data": Bytes::from(code) }, "latest"]))
}

/// Whether the node takes transactions of a kind: it declines one that can't be paid for by a reason that comes after its
/// type was understood. `None` if its words don't tell.
pub(super) fn takes(one: &Rpc, kind: Kind) -> Result<Option<bool>, ChainError> {
    // The key is public, and no chain has so many coins: whatever the node thinks of it, it can't take effect.
    let account = Account::from_bytes(&[0x11; 32]).map_err(|_| ChainError::BadPrepared("no key"))?;
    let draft = Draft { to: Some(Address::ZERO), value: U256::MAX >> 8, input: Bytes::new() };
    let price = one.gas_price()?.saturating_mul(2).max(1_000_000_000);
    let price = match kind {
        Kind::Legacy => Price::Legacy { gas_price: price },
        Kind::Dynamic => Price::Dynamic { max_fee: price, tip: 1 },
    };
    let nonce = one.nonce(account.address())?;
    let prepared = Prepared::sign(&account, one.profile().chain_id, nonce, 21_000, price, draft)?;
    match one.send_raw(prepared.raw(), prepared.hash()) {
        Ok(Some(NotTaken::InsufficientFunds)) => Ok(Some(true)),
        Ok(None | Some(_)) => Ok(None),
        Err(ChainError::Refused { message, .. }) => {
            let words = message.to_ascii_lowercase();
            let of_funds = ["funds", "balance", "overflow", "cost"].iter().any(|part| words.contains(part));
            Ok(if of_funds { Some(true) } else { Some(false) })
        }
        Err(ChainError::Reverted(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Methods and forms that are used where they are there: what, whether it is, and what happens without.
pub(super) fn forms(one: &Rpc, head: BlockAt) -> [(&'static str, Result<bool, ChainError>, &'static str); 4] {
    let number = format!("{:#x}", head.number);
    let by_hash = json!({ "blockHash": head.hash, "requireCanonical": true });
    let call = json!({ "to": Address::ZERO, "data": "0x" });
    let slots = [B256::ZERO];
    [
        (
            "EIP-1898",
            answers(one, "eth_call", json!([call, by_hash])),
            "state is read by number, and the block's hash looked at again",
        ),
        (
            "eth_getBlockReceipts",
            answers(one, "eth_getBlockReceipts", json!([number])),
            "receipts are asked for one by one",
        ),
        (
            "eth_getProof",
            answers(one, "eth_getProof", json!([Address::ZERO, slots, number])),
            "proofs of state come from another endpoint, or a proof file goes without",
        ),
        (
            "eth_getBlockByHash",
            answers(one, "eth_getBlockByHash", json!([head.hash, true])),
            "a transaction's place in a block with others is not checked",
        ),
    ]
}

fn answers(one: &Rpc, method: &'static str, params: Value) -> Result<bool, ChainError> {
    match one.ask::<Value>(method, params) {
        Ok(answer) => Ok(answer.is_some()),
        Err(ChainError::Refused { .. } | ChainError::Reverted(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The widest range of blocks that one question for logs may span, up to the one that is wanted.
pub(super) fn log_range(one: &Rpc, head: u64, wanted: u64) -> Result<u64, ChainError> {
    let nobody = Address::repeat_byte(0x5a);
    let mut range = wanted;
    while range > 0 {
        // The chain can be shorter than the range: nodes bound what is asked for, not what there is.
        let from = (head + 1).saturating_sub(range);
        match one.logs(nobody, &[], from, head) {
            Ok(_) => return Ok(range),
            Err(
                ChainError::Refused { .. } | ChainError::Oversized { .. } | ChainError::Unreachable { .. },
            ) => {
                range /= 2;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(0)
}

/// For how many of the last blocks the node has their state, as far as was probed; `None` for all.
pub(super) fn depth(one: &Rpc, head: u64) -> Result<Option<u64>, ChainError> {
    let mut deepest = 0;
    for depth in DEPTHS.into_iter().filter(|depth| *depth < head).chain([head]) {
        let number = format!("{:#x}", head - depth);
        let answer: Result<Quantity, _> = one.require("eth_getBalance", json!([Address::ZERO, number]));
        match answer {
            Ok(_) => deepest = depth,
            Err(ChainError::Refused { .. } | ChainError::Malformed { .. }) => return Ok(Some(deepest)),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
