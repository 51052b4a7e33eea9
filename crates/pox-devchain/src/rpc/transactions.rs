//! Methods about transactions.

use std::sync::Arc;

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes};
use serde_json::{Value, json};

use super::{Answer, blocks::named, error::RpcError, params::Params, render};
use crate::{Chain, block::Block, chain::Inner};

pub(super) fn by_hash(chain: &Inner, params: Params) -> Answer {
    let hash: B256 = params.one()?;
    if let Some((block, index)) = mined(chain, &hash)? {
        return Ok(render::mined_transaction(&block, index));
    }
    Ok(chain.with_pool(|pool| pool.find(&hash).map_or(Value::Null, render::pending_transaction)))
}

pub(super) fn by_index(chain: &Inner, method: &str, mut params: Params) -> Answer {
    let found = named(chain, method, &mut params)?;
    let index: u64 = params.required()?;
    params.end()?;
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    Ok(found.map_or(Value::Null, |block| render::mined_transaction(&block, index)))
}

pub(super) fn receipt(chain: &Inner, params: Params) -> Answer {
    let hash: B256 = params.one()?;
    let Some((block, index)) = mined(chain, &hash)? else { return Ok(Value::Null) };
    Ok(render::receipt(&block, index, &chain.rules_of(&block)))
}

pub(super) fn raw(chain: &Inner, params: Params) -> Answer {
    let hash: B256 = params.one()?;
    let envelope = match mined(chain, &hash)? {
        Some((block, index)) => block.transactions.get(index).map(|found| found.envelope.clone()),
        None => chain.with_pool(|pool| pool.find(&hash).map(|found| found.envelope.clone())),
    };
    let bytes = envelope.map_or_else(Bytes::new, |envelope| envelope.encoded_2718().into());
    Ok(json!(bytes))
}

pub(super) fn send_raw(chain: &Chain, params: Params) -> Answer {
    let raw: Bytes = params.one()?;
    Ok(json!(chain.submit(&raw)?))
}

fn mined(chain: &Inner, hash: &B256) -> Result<Option<(Arc<Block>, usize)>, RpcError> {
    let Some(location) = chain.store().location(hash)? else { return Ok(None) };
    // Between the two looks the block may have been reorganised away.
    let block = chain.store().block(location.block)?;
    let same = |block: &Arc<Block>| {
        block.transactions.get(location.index).is_some_and(|found| found.hash() == *hash)
    };
    Ok(block.filter(same).map(|block| (block, location.index)))
}
