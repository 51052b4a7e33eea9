//! JSON-RPC 2.0, in the dialect of go-ethereum: what it answers where the specification leaves a choice.

mod blocks;
mod calls;
mod debug;
mod dev;
mod error;
mod estimate;
mod fees;
mod logs;
mod params;
mod render;
mod state;
mod transactions;

use alloy_primitives::{Bytes, keccak256};
use serde_json::{Value, json};

pub(crate) use self::logs::Filters;
use self::{
    error::{INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, RpcError},
    params::Params,
    render::quantity,
};
use crate::Chain;

/// Calls in a batch at most.
const MAX_BATCH: usize = 1000;

/// Bytes of the answers to a batch after which its other calls are refused, so that a small batch can't ask for
/// gigabytes.
const MAX_BATCH_ANSWER: usize = 25 * 1024 * 1024;

/// What a method gives.
type Answer = Result<Value, RpcError>;

/// Answers a request or a batch. A batch of notifications, and one notification, give no bytes.
pub(crate) fn answer(chain: &Chain, request: &[u8]) -> Vec<u8> {
    let text = match serde_json::from_slice(request) {
        Ok(Value::Array(calls)) => return answer_batch(chain, calls),
        Ok(call) => answer_one(chain, call),
        Err(error) => {
            Some(failure(&Value::Null, &RpcError::new(PARSE_ERROR, format!("parse error: {error}"))))
        }
    };
    text.unwrap_or_default().into_bytes()
}

fn answer_batch(chain: &Chain, calls: Vec<Value>) -> Vec<u8> {
    let refused =
        |message: &str| failure(&Value::Null, &RpcError::new(INVALID_REQUEST, message)).into_bytes();
    if calls.is_empty() {
        return refused("empty batch");
    }
    if calls.len() > MAX_BATCH {
        return refused("batch too large");
    }
    let mut out = String::new();
    for call in calls {
        let answer = if out.len() < MAX_BATCH_ANSWER {
            answer_one(chain, call)
        } else {
            let id = call.get("id").cloned().unwrap_or_default();
            Some(failure(&id, &RpcError::server("response too large")))
        };
        if let Some(answer) = answer {
            out.push(if out.is_empty() { '[' } else { ',' });
            out.push_str(&answer);
        }
    }
    if !out.is_empty() {
        out.push(']');
    }
    out.into_bytes()
}

/// `None` for a notification: a call without an id wants no answer.
fn answer_one(chain: &Chain, call: Value) -> Option<String> {
    let Value::Object(mut call) = call else {
        return Some(failure(&Value::Null, &RpcError::new(INVALID_REQUEST, "invalid request")));
    };
    let id = call.remove("id");
    let well_formed = call.get("jsonrpc").and_then(Value::as_str) == Some("2.0")
        && matches!(&id, None | Some(Value::Null | Value::String(_) | Value::Number(_)));
    let method = call.remove("method");
    let (true, Some(Value::String(method))) = (well_formed, method) else {
        return Some(failure(&Value::Null, &RpcError::new(INVALID_REQUEST, "invalid request")));
    };
    let outcome = Params::new(call.remove("params")).and_then(|params| dispatch(chain, &method, params));
    let id = id?;
    Some(match outcome {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string(),
        Err(error) => failure(&id, &error),
    })
}

fn failure(id: &Value, error: &RpcError) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "error": error.to_json() }).to_string()
}

fn dispatch(chain: &Chain, method: &str, params: Params) -> Answer {
    let inner = chain.inner();
    match method {
        "eth_chainId" => params.none().map(|()| quantity(chain.chain_id())),
        "net_version" => params.none().map(|()| json!(chain.chain_id().to_string())),
        "net_listening" => params.none().map(|()| json!(true)),
        "net_peerCount" => params.none().map(|()| quantity(0u64)),
        "eth_syncing" => params.none().map(|()| json!(false)),
        "eth_accounts" => params.none().map(|()| json!([])),
        "web3_clientVersion" => params.none().map(|()| json!(client_version())),
        "web3_sha3" => {
            let bytes: Bytes = params.one()?;
            Ok(json!(keccak256(bytes)))
        }
        "eth_blockNumber" => params.none().map(|()| quantity(inner.head().header.number)),
        "eth_coinbase" => params.none().map(|()| json!(inner.head().header.author)),

        "eth_getBlockByNumber" | "eth_getBlockByHash" => blocks::block(inner, method, params),
        "eth_getBlockTransactionCountByNumber" | "eth_getBlockTransactionCountByHash" => {
            blocks::transaction_count(inner, method, params)
        }
        "eth_getUncleCountByBlockNumber" | "eth_getUncleCountByBlockHash" => {
            blocks::uncle_count(inner, method, params)
        }
        "eth_getUncleByBlockNumberAndIndex" | "eth_getUncleByBlockHashAndIndex" => {
            blocks::uncle(inner, method, params)
        }
        "eth_getBlockReceipts" => blocks::receipts(inner, params),

        "eth_getTransactionByHash" => transactions::by_hash(inner, params),
        "eth_getTransactionByBlockNumberAndIndex" | "eth_getTransactionByBlockHashAndIndex" => {
            transactions::by_index(inner, method, params)
        }
        "eth_getRawTransactionByHash" | "debug_getRawTransaction" => transactions::raw(inner, params),
        "eth_getTransactionReceipt" => transactions::receipt(inner, params),
        "eth_sendRawTransaction" => transactions::send_raw(chain, params),

        "eth_getBalance" => state::balance(inner, params),
        "eth_getTransactionCount" => state::transaction_count(inner, params),
        "eth_getCode" => state::code(inner, params),
        "eth_getStorageAt" => state::storage(inner, params),
        "eth_getProof" => state::proof(inner, params),

        "eth_call" => calls::call(inner, params),
        "eth_estimateGas" => estimate::estimate_gas(inner, params),
        "eth_createAccessList" => estimate::create_access_list(inner, params),

        "eth_gasPrice" => fees::gas_price(inner, params),
        "eth_maxPriorityFeePerGas" => fees::priority_fee(inner, params),
        "eth_blobBaseFee" => fees::blob_base_fee(inner, params),
        "eth_feeHistory" => fees::history(inner, params),

        "eth_getLogs" => logs::logs(inner, params),
        "eth_newFilter" => logs::new_filter(inner, params),
        "eth_newBlockFilter" => logs::new_block_filter(inner, params),
        "eth_getFilterChanges" => logs::filter_changes(inner, params),
        "eth_getFilterLogs" => logs::filter_logs(inner, params),
        "eth_uninstallFilter" => logs::uninstall(inner, params),

        "debug_getRawHeader" => debug::raw_header(inner, params),
        "debug_getRawBlock" => debug::raw_block(inner, params),
        "debug_getRawReceipts" => debug::raw_receipts(inner, params),

        "evm_mine" => dev::mine(chain, params),
        "evm_increaseTime" => dev::increase_time(chain, params),
        "evm_setNextBlockTimestamp" => dev::set_next_time(chain, params),
        "evm_snapshot" => dev::snapshot(chain, params),
        "evm_revert" => dev::revert(chain, params),

        _ => Err(RpcError::new(
            METHOD_NOT_FOUND,
            format!("the method {} does not exist/is not available", shorten(method)),
        )),
    }
}

fn client_version() -> String {
    format!("pox-devchain/v{}", env!("CARGO_PKG_VERSION"))
}

/// What of a name that somebody else chose is repeated.
fn shorten(name: &str) -> String {
    name.chars().take(100).collect()
}
