//! Blocks, transactions, receipts and logs as JSON.

use alloy_consensus::{Eip658Value, Transaction as _, TxReceipt as _, Typed2718 as _};
use alloy_primitives::{B64, B256, Log, U256, hex};
use alloy_rlp::Encodable;
use serde_json::{Map, Value, json};

use crate::{
    block::{Block, Envelope, Transaction},
    fork::Rules,
    header::{Header, Seal},
};

/// A number as the specification writes it.
pub(super) fn quantity(number: impl TryInto<U256>) -> Value {
    // All the types this is called with fit.
    json!(format!("{:#x}", number.try_into().unwrap_or_default()))
}

/// How transactions are shown in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Hashes,
    Whole,
}

pub(super) fn block(block: &Block, shown: Shown) -> Value {
    let mut json = header(&block.header, block.hash);
    json.insert("size".into(), quantity(block.encode_body().len()));
    let transactions = (0..block.transactions.len()).map(|index| match shown {
        Shown::Hashes => json!(block.transactions[index].hash()),
        Shown::Whole => mined_transaction(block, index),
    });
    json.insert("transactions".into(), transactions.collect());
    json.insert("uncles".into(), block.uncles.iter().map(|uncle| json!(uncle.hash())).collect());
    if let Some(withdrawals) = &block.withdrawals {
        let list = withdrawals.iter().map(|withdrawal| {
            json!({
                "index": quantity(withdrawal.index),
                "validatorIndex": quantity(withdrawal.validator_index),
                "address": withdrawal.address,
                "amount": quantity(withdrawal.amount),
            })
        });
        json.insert("withdrawals".into(), list.collect());
    }
    Value::Object(json)
}

/// An uncle, of which only the header is known.
pub(super) fn uncle(uncle: &Header) -> Value {
    let mut json = header(uncle, uncle.hash());
    json.insert("size".into(), quantity(uncle.length()));
    json.insert("uncles".into(), json!([]));
    Value::Object(json)
}

fn header(header: &Header, hash: B256) -> Map<String, Value> {
    let mut json = Map::new();
    let mut put = |name: &str, value: Value| json.insert(name.into(), value);
    put("hash", json!(hash));
    put("parentHash", json!(header.parent_hash));
    put("sha3Uncles", json!(header.uncles_hash));
    put("miner", json!(header.author));
    put("stateRoot", json!(header.state_root));
    put("transactionsRoot", json!(header.transactions_root));
    put("receiptsRoot", json!(header.receipts_root));
    put("logsBloom", json!(header.logs_bloom));
    put("difficulty", quantity(header.difficulty));
    put("number", quantity(header.number));
    put("gasLimit", quantity(header.gas_limit));
    put("gasUsed", quantity(header.gas_used));
    put("timestamp", quantity(header.timestamp));
    put("extraData", json!(header.extra));
    let (mix_hash, nonce) = match &header.seal {
        Seal::Ethash { mix_hash, nonce } => (*mix_hash, *nonce),
        Seal::Aura { step, signature } => {
            // As OpenEthereum shows them.
            put("author", json!(header.author));
            put("sealFields", json!(header.seal.fields()));
            put("step", json!(step.to_string()));
            put("signature", json!(hex::encode(signature)));
            // An Aura header has no such fields, but clients made for Ethereum need them to read a block.
            (B256::ZERO, B64::ZERO)
        }
    };
    put("mixHash", json!(mix_hash));
    put("nonce", json!(nonce));
    let later = &header.later;
    let numbers = [
        ("baseFeePerGas", later.base_fee),
        ("blobGasUsed", later.blob_gas_used),
        ("excessBlobGas", later.excess_blob_gas),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            put(name, quantity(number));
        }
    }
    let hashes = [
        ("withdrawalsRoot", later.withdrawals_root),
        ("parentBeaconBlockRoot", later.parent_beacon_root),
        ("requestsHash", later.requests_hash),
    ];
    for (name, hash) in hashes {
        if let Some(hash) = hash {
            put(name, json!(hash));
        }
    }
    json
}

/// The transaction at `index`, which is in the block.
pub(super) fn mined_transaction(block: &Block, index: usize) -> Value {
    let Some(found) = block.transactions.get(index) else { return Value::Null };
    let mut json = transaction(found);
    let mut put = |name: &str, value: Value| json.insert(name.into(), value);
    put("blockHash", json!(block.hash));
    put("blockNumber", quantity(block.header.number));
    put("blockTimestamp", quantity(block.header.timestamp));
    put("transactionIndex", quantity(index));
    put("gasPrice", quantity(found.envelope.effective_gas_price(block.header.later.base_fee)));
    Value::Object(json)
}

/// A transaction that waits.
pub(super) fn pending_transaction(found: &Transaction) -> Value {
    let mut json = transaction(found);
    for name in ["blockHash", "blockNumber", "transactionIndex"] {
        json.insert(name.into(), Value::Null);
    }
    json.insert("gasPrice".into(), quantity(found.envelope.max_fee_per_gas()));
    Value::Object(json)
}

fn transaction(transaction: &Transaction) -> Map<String, Value> {
    let envelope = &transaction.envelope;
    let mut json = Map::new();
    let mut put = |name: &str, value: Value| json.insert(name.into(), value);
    put("hash", json!(transaction.hash()));
    put("type", quantity(envelope.ty()));
    put("from", json!(transaction.sender));
    put("to", json!(envelope.to()));
    put("nonce", quantity(envelope.nonce()));
    put("gas", quantity(envelope.gas_limit()));
    put("value", quantity(envelope.value()));
    put("input", json!(envelope.input()));
    if let Some(chain_id) = envelope.chain_id() {
        put("chainId", quantity(chain_id));
    }
    if envelope.is_dynamic_fee() {
        put("maxFeePerGas", quantity(envelope.max_fee_per_gas()));
        put("maxPriorityFeePerGas", quantity(envelope.max_priority_fee_per_gas().unwrap_or_default()));
    }
    if let Some(list) = envelope.access_list() {
        let entries =
            list.iter().map(|item| json!({ "address": item.address, "storageKeys": item.storage_keys }));
        put("accessList", entries.collect());
    }
    if let Some(hashes) = envelope.blob_versioned_hashes() {
        put("blobVersionedHashes", json!(hashes));
        put("maxFeePerBlobGas", quantity(envelope.max_fee_per_blob_gas().unwrap_or_default()));
    }
    if let Some(list) = envelope.authorization_list() {
        let entries = list.iter().map(|authorization| {
            json!({
                "chainId": quantity(authorization.chain_id),
                "address": authorization.address,
                "nonce": quantity(authorization.nonce),
                "yParity": quantity(authorization.y_parity()),
                "r": quantity(authorization.r()),
                "s": quantity(authorization.s()),
            })
        });
        put("authorizationList", entries.collect());
    }
    let signature = envelope.signature();
    let parity = u64::from(signature.v());
    let v = match envelope {
        // EIP-155 hides the chain id in it.
        Envelope::Legacy(_) => envelope
            .chain_id()
            .map_or(27 + u128::from(parity), |id| 35 + 2 * u128::from(id) + u128::from(parity)),
        _ => {
            put("yParity", quantity(parity));
            u128::from(parity)
        }
    };
    put("v", quantity(v));
    put("r", quantity(signature.r()));
    put("s", quantity(signature.s()));
    json
}

/// The receipt of the transaction at `index`, which is in the block.
pub(super) fn receipt(block: &Block, index: usize, rules: &Rules) -> Value {
    let (Some(transaction), Some(receipt)) = (block.transactions.get(index), block.receipts.get(index))
    else {
        return Value::Null;
    };
    let envelope = &transaction.envelope;
    let first_log = block.logs_before(index);
    let logs = receipt.logs().iter().zip(first_log..).map(|(found, number)| log(block, index, number, found));
    let mut json = json!({
        "transactionHash": transaction.hash(),
        "transactionIndex": quantity(index),
        "blockHash": block.hash,
        "blockNumber": quantity(block.header.number),
        "from": transaction.sender,
        "to": envelope.to(),
        "contractAddress": transaction.created(),
        "cumulativeGasUsed": quantity(receipt.cumulative_gas_used()),
        "gasUsed": quantity(block.gas_used(index)),
        "effectiveGasPrice": quantity(envelope.effective_gas_price(block.header.later.base_fee)),
        "logs": logs.collect::<Vec<_>>(),
        "logsBloom": receipt.logs_bloom(),
        "type": quantity(envelope.ty()),
    });
    match receipt.status_or_post_state() {
        Eip658Value::Eip658(success) => json["status"] = quantity(u64::from(success)),
        Eip658Value::PostState(root) => json["root"] = json!(root),
    }
    if let (Some(gas), Some(blobs)) = (envelope.blob_gas_used(), rules.blobs) {
        json["blobGasUsed"] = quantity(gas);
        json["blobGasPrice"] = quantity(blobs.calc_blob_fee(block.header.later.excess_blob_gas.unwrap_or(0)));
    }
    json
}

/// A log of the transaction at `index`; `number` counts the logs of the block.
pub(super) fn log(block: &Block, index: usize, number: usize, log: &Log) -> Value {
    json!({
        "address": log.address,
        "topics": log.data.topics(),
        "data": log.data.data,
        "blockNumber": quantity(block.header.number),
        "blockHash": block.hash,
        "blockTimestamp": quantity(block.header.timestamp),
        "transactionHash": block.transactions.get(index).map(Transaction::hash),
        "transactionIndex": quantity(index),
        "logIndex": quantity(number),
        "removed": false,
    })
}
