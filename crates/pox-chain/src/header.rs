//! A block's header as the bytes that its hash is over, rebuilt from JSON in any dialect.
//!
//! Fields stand as in every client: the thirteen common ones, the seal's, then what forks from London on appended. The seal is
//! Aura's step and signature, or Ethash's mix hash and nonce, which stand there after the merge too. Nothing is believed: the
//! bytes are returned only if they hash to the block's hash.

use crate::error::{ChainError, contradiction};
use crate::rpc::RawBlock;
use alloy_primitives::{B256, U256, keccak256};
use alloy_rlp::{Encodable, Header as RlpHeader};
use pox_core::proof::MAX_HEADER_BYTES;

/// Most fields of a seal: Aura's step, signature and list of empty steps.
const MAX_SEAL_FIELDS: usize = 3;

/// The header's bytes, whose keccak256 is the block's hash.
pub(crate) fn encode(block: &RawBlock) -> Result<Vec<u8>, ChainError> {
    let common = common(block).ok_or_else(|| unfit(block, "a field of the header is missing"))?;
    let later = later(block);
    for seal in seals(block) {
        let payload = [common.as_slice(), &seal, &later].concat();
        let mut header = Vec::with_capacity(payload.len() + 4);
        RlpHeader { list: true, payload_length: payload.len() }.encode(&mut header);
        header.extend_from_slice(&payload);
        if keccak256(&header) == block.hash {
            return if header.len() <= MAX_HEADER_BYTES {
                Ok(header)
            } else {
                Err(unfit(block, "the header is larger than any proof's"))
            };
        }
    }
    Err(unfit(block, "its fields don't hash to its hash"))
}

fn unfit(block: &RawBlock, reason: &str) -> ChainError {
    contradiction(format!("block {}: {reason}", block.hash))
}

fn common(block: &RawBlock) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(640);
    block.parent_hash.encode(&mut out);
    block.sha3_uncles?.encode(&mut out);
    block.author.or(block.miner)?.encode(&mut out);
    block.state_root?.encode(&mut out);
    block.transactions_root?.encode(&mut out);
    block.receipts_root?.encode(&mut out);
    block.logs_bloom.as_ref()?.encode(&mut out);
    block.difficulty?.0.encode(&mut out);
    block.number.0.encode(&mut out);
    block.gas_limit?.0.encode(&mut out);
    block.gas_used?.0.encode(&mut out);
    block.timestamp.0.encode(&mut out);
    block.extra_data.as_ref()?.encode(&mut out);
    Some(out)
}

/// Every seal that the JSON can mean: nodes tell one seal in several ways, and some tell more than it has.
fn seals(block: &RawBlock) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    if let Some(fields) = block.seal_fields.as_ref().filter(|fields| fields.len() <= MAX_SEAL_FIELDS) {
        // These are RLP items already.
        found.push(fields.iter().flat_map(|field| field.0.to_vec()).collect());
    }
    if let (Some(step), Some(signature)) = (&block.step, &block.signature) {
        let mut seal = Vec::new();
        step.0.encode(&mut seal);
        signature.0.encode(&mut seal);
        found.push(seal);
    }
    if let (Some(mix_hash), Some(nonce)) = (&block.mix_hash, &block.nonce) {
        let mut seal = Vec::new();
        mix_hash.encode(&mut seal);
        nonce.encode(&mut seal);
        found.push(seal);
    }
    found
}

fn later(block: &RawBlock) -> Vec<u8> {
    let mut out = Vec::new();
    let number = |value: Option<U256>, out: &mut Vec<u8>| {
        if let Some(value) = value {
            value.encode(out);
        }
    };
    let root = |value: Option<B256>, out: &mut Vec<u8>| {
        if let Some(value) = value {
            value.encode(out);
        }
    };
    number(block.base_fee_per_gas.map(|fee| fee.0), &mut out);
    root(block.withdrawals_root, &mut out);
    number(block.blob_gas_used.map(|gas| gas.0), &mut out);
    number(block.excess_blob_gas.map(|gas| gas.0), &mut out);
    root(block.parent_beacon_block_root, &mut out);
    root(block.requests_hash, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const MERGE: &str = include_str!("../tests/blocks/merge.json");
    const CANCUN: &str = include_str!("../tests/blocks/cancun.json");
    const PRAGUE: &str = include_str!("../tests/blocks/prague.json");
    const AURA: &str = include_str!("../tests/blocks/aura.json");

    fn encoded(block: &Value) -> Result<Vec<u8>, ChainError> {
        encode(&serde_json::from_value(block.clone()).unwrap())
    }

    #[test]
    fn recorded_blocks_of_every_kind_hash_to_their_hashes() {
        for text in [MERGE, CANCUN, PRAGUE, AURA] {
            let block: Value = serde_json::from_str(text).unwrap();
            let header = encoded(&block).unwrap();
            assert_eq!(json!(keccak256(header)), block["hash"]);
        }
    }

    #[test]
    fn an_aura_seal_is_read_in_every_dialect() {
        let openethereum: Value = serde_json::from_str(AURA).unwrap();
        let header = encoded(&openethereum).unwrap();
        let signature = openethereum["sealFields"][1].as_str().unwrap()["0xb841".len()..].to_owned();
        let step = 0x2037_7df0;
        let dialects = [
            json!({"step": step.to_string(), "signature": signature}),
            json!({"step": step, "signature": format!("0x{signature}")}),
            json!({"step": format!("{step:#x}"), "signature": signature, "author": openethereum["miner"]}),
            // A node that fills in Ethash's fields all the same.
            json!({"step": step, "signature": signature, "mixHash": B256::ZERO, "nonce": "0x0000000000000000"}),
        ];
        for dialect in dialects {
            let mut block = openethereum.clone();
            let fields = block.as_object_mut().unwrap();
            fields.remove("sealFields");
            fields.extend(dialect.as_object().unwrap().clone());
            assert_eq!(encoded(&block).unwrap(), header, "{dialect}");
        }
    }

    #[test]
    fn a_changed_or_missing_field_is_a_contradiction() {
        let block: Value = serde_json::from_str(PRAGUE).unwrap();
        for field in
            ["stateRoot", "timestamp", "baseFeePerGas", "requestsHash", "extraData", "mixHash", "gasUsed"]
        {
            let mut other = block.clone();
            other.as_object_mut().unwrap().remove(field);
            let parsed = serde_json::from_value::<RawBlock>(other);
            let refused =
                parsed.map_or(true, |raw| matches!(encode(&raw), Err(ChainError::Contradiction(_))));
            assert!(refused, "{field}");
        }
        let mut other = block;
        other["gasUsed"] = json!("0x1");
        assert!(matches!(encoded(&other), Err(ChainError::Contradiction(_))));
    }
}
