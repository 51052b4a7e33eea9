//! Methods about blocks.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Answer,
    error::RpcError,
    params::{At, Params, find_hash},
    render::{self, Shown, quantity},
};
use crate::{block::Block, chain::Inner};

/// Reads the block that a method's first parameter names: a number or tag, or a hash where the method's name says so.
pub(super) fn named(
    chain: &Inner,
    method: &str,
    params: &mut Params,
) -> Result<Option<Arc<Block>>, RpcError> {
    if method.contains("ByHash") || method.contains("ByBlockHash") {
        find_hash(chain, &params.required()?)
    } else {
        params.required::<At>()?.find(chain)
    }
}

pub(super) fn block(chain: &Inner, method: &str, mut params: Params) -> Answer {
    let found = named(chain, method, &mut params)?;
    let shown = if params.required()? { Shown::Whole } else { Shown::Hashes };
    params.end()?;
    Ok(found.map_or(Value::Null, |block| render::block(&block, shown)))
}

pub(super) fn transaction_count(chain: &Inner, method: &str, mut params: Params) -> Answer {
    let found = named(chain, method, &mut params)?;
    params.end()?;
    Ok(found.map_or(Value::Null, |block| quantity(block.transactions.len())))
}

pub(super) fn uncle_count(chain: &Inner, method: &str, mut params: Params) -> Answer {
    let found = named(chain, method, &mut params)?;
    params.end()?;
    Ok(found.map_or(Value::Null, |block| quantity(block.uncles.len())))
}

pub(super) fn uncle(chain: &Inner, method: &str, mut params: Params) -> Answer {
    let found = named(chain, method, &mut params)?;
    let index: u64 = params.required()?;
    params.end()?;
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    let uncle = found.as_ref().and_then(|block| block.uncles.get(index));
    Ok(uncle.map_or(Value::Null, render::uncle))
}

pub(super) fn receipts(chain: &Inner, params: Params) -> Answer {
    let Some(block) = params.one::<At>()?.find(chain)? else { return Ok(Value::Null) };
    let rules = chain.rules_of(&block);
    Ok(json!(
        (0..block.receipts.len()).map(|index| render::receipt(&block, index, &rules)).collect::<Vec<_>>()
    ))
}
