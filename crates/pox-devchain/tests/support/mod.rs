//! What the tests share: signed transactions, small contracts, and JSON-RPC calls.
#![allow(dead_code, reason = "each test uses a part")]

use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex};
use pox_devchain::{AccountKey, Chain, EMBEDDED_CHAIN_ID};
use serde_json::{Value, json};

/// Calls a method and gives the whole answer.
pub(crate) fn call(chain: &Chain, method: &str, params: &Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    serde_json::from_slice(&chain.rpc(request.to_string().as_bytes())).unwrap()
}

/// Calls a method that must succeed.
pub(crate) fn result(chain: &Chain, method: &str, params: &Value) -> Value {
    let mut answer = call(chain, method, params);
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].take()
}

/// Calls a method that must fail, and gives the code and message.
pub(crate) fn error(chain: &Chain, method: &str, params: &Value) -> (i64, String) {
    let answer = call(chain, method, params);
    let error = answer.get("error").unwrap_or_else(|| panic!("{method} succeeded: {answer}"));
    (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
}

pub(crate) fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

pub(crate) fn word(value: &Value) -> U256 {
    value.as_str().unwrap().parse().unwrap()
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// A legacy transaction before it is signed; the fields are what most tests leave alone.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) chain_id: Option<u64>,
    pub(crate) nonce: u64,
    pub(crate) gas_price: u128,
    pub(crate) gas: u64,
    pub(crate) to: Option<Address>,
    pub(crate) value: U256,
    pub(crate) input: Bytes,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            chain_id: Some(EMBEDDED_CHAIN_ID),
            nonce: 0,
            gas_price: 2_000_000_000,
            gas: 1_000_000,
            to: None,
            value: U256::ZERO,
            input: Bytes::new(),
        }
    }
}

impl Draft {
    pub(crate) fn transfer(nonce: u64, to: Address, value: u64) -> Self {
        Self { nonce, to: Some(to), value: U256::from(value), gas: 21_000, ..Self::default() }
    }

    pub(crate) fn create(nonce: u64, init_code: Bytes) -> Self {
        Self { nonce, input: init_code, ..Self::default() }
    }

    pub(crate) fn call(nonce: u64, to: Address, input: Bytes) -> Self {
        Self { nonce, to: Some(to), input, ..Self::default() }
    }

    fn kind(&self) -> TxKind {
        self.to.map_or(TxKind::Create, TxKind::Call)
    }

    /// The bytes of the signed transaction.
    pub(crate) fn sign(self, key: &AccountKey) -> Vec<u8> {
        let tx = TxLegacy {
            chain_id: self.chain_id,
            nonce: self.nonce,
            gas_price: self.gas_price,
            gas_limit: self.gas,
            to: self.kind(),
            value: self.value,
            input: self.input,
        };
        envelope(EthereumTxEnvelope::Legacy(signed(tx, key)))
    }

    /// The same as a transaction of type 1.
    pub(crate) fn sign_type_1(self, key: &AccountKey) -> Vec<u8> {
        let tx = TxEip2930 {
            chain_id: self.chain_id.unwrap(),
            nonce: self.nonce,
            gas_price: self.gas_price,
            gas_limit: self.gas,
            to: self.kind(),
            value: self.value,
            input: self.input,
            access_list: Default::default(),
        };
        envelope(EthereumTxEnvelope::Eip2930(signed(tx, key)))
    }

    /// The same as a transaction of type 2, with all of the price as tip.
    pub(crate) fn sign_type_2(self, key: &AccountKey) -> Vec<u8> {
        let tx = TxEip1559 {
            chain_id: self.chain_id.unwrap(),
            nonce: self.nonce,
            max_fee_per_gas: self.gas_price,
            max_priority_fee_per_gas: self.gas_price.min(1_000_000_000),
            gas_limit: self.gas,
            to: self.kind(),
            value: self.value,
            input: self.input,
            access_list: Default::default(),
        };
        envelope(EthereumTxEnvelope::Eip1559(signed(tx, key)))
    }
}

fn signed<T: SignableTransaction<Signature>>(tx: T, key: &AccountKey) -> alloy_consensus::Signed<T> {
    let signature = key.sign(&tx.signature_hash()).unwrap();
    tx.into_signed(Signature::from_raw_array(&signature).unwrap())
}

fn envelope(envelope: EthereumTxEnvelope<TxEip4844>) -> Vec<u8> {
    envelope.encoded_2718()
}

/// A key of its own for each number.
pub(crate) fn key(number: u8) -> AccountKey {
    AccountKey::from_bytes(&[number.max(1); 32]).unwrap()
}

/// Init code that deploys `runtime`.
pub(crate) fn deploys(runtime: &[u8]) -> Bytes {
    let length = u8::try_from(runtime.len()).unwrap();
    // PUSH1 length, DUP1, PUSH1 11, PUSH1 0, CODECOPY, PUSH1 0, RETURN
    let mut code = vec![0x60, length, 0x80, 0x60, 0x0b, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3];
    code.extend_from_slice(runtime);
    code.into()
}

/// Stores its input's second word in the slot that is its first, and logs the first as topic with the second as data.
pub(crate) const STORE_AND_LOG: &[u8] = &hex!("602035600035556020602060003760003560206000a100");

/// Reads the slot that its input's first word names.
pub(crate) const LOAD: &[u8] = &hex!("6000355460005260206000f3");

/// Reverts with its input.
pub(crate) const REVERT: &[u8] = &hex!("366000600037366000fd");

/// Destroys itself in favour of its caller.
pub(crate) const DESTROY: &[u8] = &hex!("33ff");

/// Two words as call data.
pub(crate) fn words(first: u64, second: u64) -> Bytes {
    [B256::from(U256::from(first)), B256::from(U256::from(second))].concat().into()
}
