//! The bytes of a block's transactions, rebuilt from JSON in any dialect, each checked against its hash.

use crate::error::{ChainError, contradiction};
use crate::rpc::{Block, RawBodies, RawBody, Rpc};
use alloy_primitives::{Address, Bytes, U256, keccak256};
use alloy_rlp::{Encodable, Header};
use serde_json::json;

/// Every transaction of a block as its transactions root has it; `None` if one is of a kind that is not known here.
pub(crate) fn of_block(rpc: &Rpc, block: &Block) -> Result<Option<Vec<Bytes>>, ChainError> {
    let found: Option<RawBodies> = rpc.ask("eth_getBlockByHash", json!([block.at.hash, true]))?;
    let found = found.ok_or_else(|| ChainError::Lagging(format!("block {}", block.at.number)))?;
    if found.hash != block.at.hash {
        return Err(rpc.malformed("eth_getBlockByHash", "another block"));
    }
    let mut bodies = Vec::with_capacity(found.transactions.len());
    for transaction in found.transactions {
        // Other kinds have other fields, so that what does not parse is one of them.
        let Ok(raw) = serde_json::from_value::<RawBody>(transaction) else { return Ok(None) };
        let Some(body) = encode(&raw) else { return Ok(None) };
        if keccak256(&body) != raw.hash {
            return Err(contradiction(format!("transaction {} does not hash to its hash", raw.hash)));
        }
        bodies.push(body.into());
    }
    Ok(Some(bodies))
}

/// A transaction of type 0, 1 or 2 as it is hashed.
fn encode(raw: &RawBody) -> Option<Vec<u8>> {
    let input = raw.input.as_ref().or(raw.data.as_ref())?;
    let kind = raw.kind.map_or(Some(0), |kind| kind.number())?;
    let mut fields = Vec::new();
    let number = |value: U256, fields: &mut Vec<u8>| value.encode(fields);
    if kind != 0 {
        number(raw.chain_id?.0, &mut fields);
    }
    number(raw.nonce.0, &mut fields);
    match kind {
        0 | 1 => number(raw.gas_price?.0, &mut fields),
        2 => {
            number(raw.max_priority_fee_per_gas?.0, &mut fields);
            number(raw.max_fee_per_gas?.0, &mut fields);
        }
        _ => return None,
    }
    number(raw.gas.0, &mut fields);
    match raw.to {
        Some(to) => to.encode(&mut fields),
        None => Bytes::new().encode(&mut fields),
    }
    number(raw.value.0, &mut fields);
    input.encode(&mut fields);
    if kind == 0 {
        number(raw.v?.0, &mut fields);
    } else {
        access_list(raw, &mut fields);
        number(raw.y_parity.or(raw.v)?.0, &mut fields);
    }
    number(raw.r.0, &mut fields);
    number(raw.s.0, &mut fields);
    let mut out = if kind == 0 { Vec::new() } else { vec![u8::try_from(kind).ok()?] };
    list(&fields, &mut out);
    Some(out)
}

fn access_list(raw: &RawBody, out: &mut Vec<u8>) {
    let mut entries = Vec::new();
    for entry in raw.access_list.iter().flatten() {
        let mut fields = Vec::new();
        <Address as Encodable>::encode(&entry.address, &mut fields);
        entry.storage_keys.encode(&mut fields);
        list(&fields, &mut entries);
    }
    list(&entries, out);
}

fn list(payload: &[u8], out: &mut Vec<u8>) {
    Header { list: true, payload_length: payload.len() }.encode(out);
    out.extend_from_slice(payload);
}
