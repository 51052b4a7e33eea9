//! Methods about the state at a block.

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde_json::{Value, json};

use super::{
    Answer,
    error::RpcError,
    params::{At, FromParam, Params},
    render::quantity,
};
use crate::{chain::Inner, state::State};

/// Storage words that one proof covers at most.
const MAX_PROOF_KEYS: usize = 1024;

pub(super) fn balance(chain: &Inner, mut params: Params) -> Answer {
    let address: Address = params.required()?;
    let at = last_at(params)?;
    let block = at.block(chain)?;
    Ok(quantity(state(chain, block.header.state_root).account_or_empty(&address)?.balance))
}

pub(super) fn transaction_count(chain: &Inner, mut params: Params) -> Answer {
    let address: Address = params.required()?;
    let at = last_at(params)?;
    let block = at.block(chain)?;
    let next = state(chain, block.header.state_root).account_or_empty(&address)?.nonce;
    if at == At::Pending {
        return Ok(quantity(chain.with_pool(|pool| pool.next_nonce(&address, next))));
    }
    Ok(quantity(next))
}

pub(super) fn code(chain: &Inner, mut params: Params) -> Answer {
    let address: Address = params.required()?;
    let block = last_at(params)?.block(chain)?;
    Ok(json!(state(chain, block.header.state_root).code(&address)?))
}

pub(super) fn storage(chain: &Inner, mut params: Params) -> Answer {
    let address: Address = params.required()?;
    let key: Key = storage_key(params.required()?)?;
    let block = last_at(params)?.block(chain)?;
    let word = state(chain, block.header.state_root).storage(&address, key.slot)?;
    Ok(json!(B256::from(word)))
}

pub(super) fn proof(chain: &Inner, mut params: Params) -> Answer {
    let address: Address = params.required()?;
    let texts: Vec<KeyText> = params.required()?;
    if texts.len() > MAX_PROOF_KEYS {
        return Err(RpcError::params(format!("too many keys (max {MAX_PROOF_KEYS})")));
    }
    let keys = texts.into_iter().map(storage_key).collect::<Result<Vec<_>, _>>()?;
    let block = last_at(params)?.block(chain)?;
    let state = state(chain, block.header.state_root);
    let account = state.account_or_empty(&address)?;
    let mut words = Vec::with_capacity(keys.len());
    for key in keys {
        words.push(json!({
            "key": key.shown(),
            "value": quantity(state.storage(&address, key.slot)?),
            "proof": state.storage_proof(account.storage_root, key.slot)?,
        }));
    }
    Ok(json!({
        "address": address,
        "accountProof": state.account_proof(&address)?,
        "balance": quantity(account.balance),
        "codeHash": account.code_hash,
        "nonce": quantity(account.nonce),
        "storageHash": account.storage_root,
        "storageProof": words,
    }))
}

fn state(chain: &Inner, root: B256) -> State<'_> {
    State::new(chain.store(), root)
}

/// The block that the last parameter names: the latest unless it is there.
fn last_at(mut params: Params) -> Result<At, RpcError> {
    let at = params.optional()?.unwrap_or_default();
    params.end()?;
    Ok(at)
}

/// A storage key as it was sent. Clients write it as 32 bytes or as a number.
struct KeyText(String);

struct Key {
    slot: U256,
    whole: bool,
}

impl FromParam for KeyText {
    fn from_param(value: &Value) -> Result<Self, String> {
        value.as_str().map(|text| Self(text.into())).ok_or_else(|| "a storage key is a string".into())
    }
}

impl Key {
    /// As it was sent: 32 bytes, or a number.
    fn shown(&self) -> Value {
        if self.whole { json!(B256::from(self.slot)) } else { quantity(self.slot) }
    }
}

fn storage_key(KeyText(text): KeyText) -> Result<Key, RpcError> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(&text);
    if digits.len() > 64 {
        return Err(RpcError::params(format!("storage key too long (want at most 32 bytes): {text:?}")));
    }
    let even = if digits.len() % 2 == 0 { digits.to_owned() } else { format!("0{digits}") };
    let bytes =
        hex::decode(&even).map_err(|_| RpcError::params(format!("invalid hex in storage key: {text:?}")))?;
    Ok(Key { slot: U256::from_be_slice(&Bytes::from(bytes)), whole: digits.len() == 64 })
}
