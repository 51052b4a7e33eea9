//! JSON as nodes send it, read leniently: absent, null and differently spelled fields are normal.

use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256, hex};
use serde::de::{Deserializer, Error, Unexpected};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// An answer, whole.
#[derive(Deserialize)]
pub(crate) struct Envelope<'a> {
    #[serde(default)]
    pub(crate) id: Option<serde_json::Value>,
    #[serde(borrow, default)]
    pub(crate) result: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) error: Option<Failure>,
}

/// A node's refusal.
#[derive(Debug, Deserialize)]
pub(crate) struct Failure {
    #[serde(default)]
    pub(crate) code: i64,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) data: Option<serde_json::Value>,
}

/// An unsigned integer: hexadecimal with `0x`, decimal digits, or a JSON number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Quantity(pub(crate) U256);

/// Bytes in hexadecimal, with or without `0x`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loose(pub(crate) Bytes);

/// A block, without its transactions' content. What only the header's hash needs is optional here.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawBlock {
    pub(crate) hash: B256,
    pub(crate) parent_hash: B256,
    pub(crate) number: Quantity,
    pub(crate) timestamp: Quantity,
    pub(crate) sha3_uncles: Option<B256>,
    pub(crate) miner: Option<Address>,
    pub(crate) author: Option<Address>,
    pub(crate) state_root: Option<B256>,
    pub(crate) transactions_root: Option<B256>,
    pub(crate) receipts_root: Option<B256>,
    pub(crate) logs_bloom: Option<Box<Bloom>>,
    pub(crate) difficulty: Option<Quantity>,
    pub(crate) gas_limit: Option<Quantity>,
    pub(crate) gas_used: Option<Quantity>,
    pub(crate) extra_data: Option<Bytes>,
    pub(crate) mix_hash: Option<B256>,
    pub(crate) nonce: Option<B64>,
    pub(crate) seal_fields: Option<Vec<Loose>>,
    pub(crate) step: Option<Quantity>,
    pub(crate) signature: Option<Loose>,
    pub(crate) base_fee_per_gas: Option<Quantity>,
    pub(crate) withdrawals_root: Option<B256>,
    pub(crate) blob_gas_used: Option<Quantity>,
    pub(crate) excess_blob_gas: Option<Quantity>,
    pub(crate) parent_beacon_block_root: Option<B256>,
    pub(crate) requests_hash: Option<B256>,
    #[serde(default)]
    pub(crate) transactions: Option<Vec<B256>>,
}

/// A log of a mined transaction.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawLog {
    pub(crate) address: Address,
    pub(crate) topics: Vec<B256>,
    pub(crate) data: Bytes,
    pub(crate) block_number: Option<Quantity>,
    pub(crate) block_hash: Option<B256>,
    pub(crate) transaction_hash: Option<B256>,
    pub(crate) log_index: Option<Quantity>,
    pub(crate) removed: Option<bool>,
}

/// A receipt; without block while the transaction is pending.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawReceipt {
    pub(crate) transaction_hash: B256,
    pub(crate) block_hash: Option<B256>,
    pub(crate) block_number: Option<Quantity>,
    pub(crate) gas_used: Option<Quantity>,
    pub(crate) status: Option<Quantity>,
    /// Of the state before Byzantium.
    pub(crate) root: Option<Bytes>,
    pub(crate) cumulative_gas_used: Option<Quantity>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<Quantity>,
    pub(crate) contract_address: Option<Address>,
    #[serde(default)]
    pub(crate) logs: Option<Vec<RawLog>>,
}

/// A transaction.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawTransaction {
    pub(crate) hash: B256,
    pub(crate) to: Option<Address>,
    pub(crate) input: Option<Bytes>,
    pub(crate) data: Option<Bytes>,
    pub(crate) block_hash: Option<B256>,
}

/// A transaction with everything that it was signed over.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawBody {
    pub(crate) hash: B256,
    #[serde(rename = "type")]
    pub(crate) kind: Option<Quantity>,
    pub(crate) chain_id: Option<Quantity>,
    pub(crate) nonce: Quantity,
    pub(crate) gas: Quantity,
    pub(crate) gas_price: Option<Quantity>,
    pub(crate) max_fee_per_gas: Option<Quantity>,
    pub(crate) max_priority_fee_per_gas: Option<Quantity>,
    pub(crate) to: Option<Address>,
    pub(crate) value: Quantity,
    pub(crate) input: Option<Bytes>,
    pub(crate) data: Option<Bytes>,
    pub(crate) access_list: Option<Vec<RawAccess>>,
    pub(crate) y_parity: Option<Quantity>,
    pub(crate) v: Option<Quantity>,
    pub(crate) r: Quantity,
    pub(crate) s: Quantity,
}

/// An entry of an access list.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawAccess {
    pub(crate) address: Address,
    pub(crate) storage_keys: Vec<B256>,
}

/// A block with its transactions.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RawBodies {
    pub(crate) hash: B256,
    pub(crate) transactions: Vec<serde_json::Value>,
}

/// What `eth_feeHistory` gives of the tips.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RawFees {
    #[serde(default)]
    pub(crate) reward: Option<Vec<Vec<Quantity>>>,
}

/// What `eth_getProof` gives; its fields beside the proofs are not believed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawProof {
    pub(crate) account_proof: Vec<Bytes>,
    pub(crate) storage_proof: Vec<RawStorageProof>,
    pub(crate) balance: Quantity,
    pub(crate) code_hash: B256,
    pub(crate) nonce: Quantity,
    pub(crate) storage_hash: B256,
}

/// One slot's part of it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RawStorageProof {
    pub(crate) value: Quantity,
    pub(crate) proof: Vec<Bytes>,
}

/// A call as every node takes it: no `input`, no `chainId`, no `type`; old nodes refuse what they don't know.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallParams<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<Address>,
    #[serde(skip_serializing_if = "U256::is_zero")]
    pub(crate) value: U256,
    pub(crate) data: &'a Bytes,
}

impl RawBlock {
    /// Whether it has Aura's seal.
    pub(crate) fn is_aura(&self) -> bool {
        self.step.is_some() && self.signature.is_some()
            || self
                .seal_fields
                .as_ref()
                .is_some_and(|fields| fields.get(1).is_some_and(|field| field.0.len() == 67))
    }
}

impl Quantity {
    /// As a 64-bit number, if it is one.
    pub(crate) fn number(self) -> Option<u64> {
        u64::try_from(self.0).ok()
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Spelling<'a> {
            Number(u64),
            #[serde(borrow)]
            Text(Cow<'a, str>),
        }
        match Spelling::deserialize(deserializer)? {
            Spelling::Number(number) => Ok(Self(U256::from(number))),
            Spelling::Text(text) => {
                let parsed = match text.strip_prefix("0x") {
                    Some("") => Ok(U256::ZERO),
                    Some(digits) => U256::from_str_radix(digits, 16),
                    None if text.is_empty() => Err(alloy_primitives::ruint::ParseError::InvalidDigit(' ')),
                    None => U256::from_str_radix(&text, 10),
                };
                parsed.map(Self).map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &"an integer"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        hex::decode(text.as_ref())
            .map(|bytes| Self(bytes.into()))
            .map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &"hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_in_every_spelling() {
        let read = |text: &str| serde_json::from_str::<Quantity>(text).ok().and_then(Quantity::number);
        for (text, number) in [("\"0x0\"", 0), ("\"0x\"", 0), ("\"0x00ff\"", 255), ("\"17\"", 17), ("17", 17)]
        {
            assert_eq!(read(text), Some(number), "{text}");
        }
        for text in ["\"\"", "\"0xg\"", "-1", "1.5", "null", "[]", "\"0x10000000000000000\""] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_block_of_every_dialect_parses() {
        let common = r#""hash":"0x0101010101010101010101010101010101010101010101010101010101010101",
            "parentHash":"0x0202020202020202020202020202020202020202020202020202020202020202","number":"0x10","timestamp":"0x20""#;
        for rest in [
            "",
            r#","sealFields":["0x8401020304","0xb84100"],"step":"16909060","signature":"00ff""#,
            r#","step":16909060,"signature":"0x00ff","totalDifficulty":"0x1","uncles":[]"#,
            r#","mixHash":null,"nonce":"0x0000000000000000","transactions":[]"#,
        ] {
            serde_json::from_str::<RawBlock>(&format!("{{{common}{rest}}}")).unwrap();
        }
    }
}
