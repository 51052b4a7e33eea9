//! Blocks in the bytes that are hashed.

use std::sync::Arc;

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::Bytes;
use serde_json::json;

use super::{
    Answer,
    error::RpcError,
    params::{At, Params},
};
use crate::{block::Block, chain::Inner};

pub(super) fn raw_header(chain: &Inner, params: Params) -> Answer {
    let block = found(chain, params)?;
    Ok(json!(Bytes::from(alloy_rlp::encode(&block.header))))
}

pub(super) fn raw_block(chain: &Inner, params: Params) -> Answer {
    let block = found(chain, params)?;
    Ok(json!(Bytes::from(block.encode_body())))
}

pub(super) fn raw_receipts(chain: &Inner, params: Params) -> Answer {
    let block = found(chain, params)?;
    let receipts = block.receipts.iter().map(|receipt| json!(Bytes::from(receipt.encoded_2718())));
    Ok(receipts.collect())
}

fn found(chain: &Inner, params: Params) -> Result<Arc<Block>, RpcError> {
    params.one::<At>()?.find(chain)?.ok_or_else(|| RpcError::server("block not found"))
}
