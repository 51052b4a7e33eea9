//! Proxies before a real node: one that spoils what passes, and one that is as strict as OpenEthereum.

use super::server::{Reply, Server};
use pox_core::{B256, keccak256};
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// What a proxy does to questions and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Delay,
    Stall,
    Reset,
    ServerError,
    TooManyRequests,
    RateLimitInside,
    ErrorInside,
    Html,
    CutJson,
    HugeBody,
    WrongId,
    LaggingReplica,
    DroppedBroadcast,
    AcceptedButError,
    AcceptedButSilent,
    Underpriced,
    StaleNonce,
    MissingMethods,
    Reorganised,
    ForgedOutcome,
    InventedReceipt,
    WithheldEvents,
    ForgedHeader,
    ForgedState,
}

impl Fault {
    /// Every fault, with what it does in words.
    pub const ALL: [(Self, &'static str); 24] = [
        (Self::Delay, "every answer comes late"),
        (Self::Stall, "every seventh question gets no answer"),
        (Self::Reset, "every fifth connection ends in the middle of the answer"),
        (Self::ServerError, "every third answer is HTTP 500"),
        (Self::TooManyRequests, "every fortieth answer is HTTP 429 with Retry-After"),
        (Self::RateLimitInside, "every third answer is a rate limit inside HTTP 200"),
        (Self::ErrorInside, "every third answer is an internal error inside HTTP 200"),
        (Self::Html, "every third answer is a page in HTML"),
        (Self::CutJson, "every third answer is half of its JSON"),
        (Self::HugeBody, "every fifth answer has 17 MiB"),
        (Self::WrongId, "every third answer is to another question"),
        (Self::LaggingReplica, "half of the questions go to a replica two blocks behind"),
        (Self::DroppedBroadcast, "the first two broadcasts are acknowledged and dropped"),
        (Self::AcceptedButError, "the first two broadcasts are taken and answered with an error"),
        (Self::AcceptedButSilent, "the first two broadcasts are taken and not answered"),
        (Self::Underpriced, "the first two broadcasts are declined as underpriced"),
        (Self::StaleNonce, "the first counts of transactions are from the chain's beginning"),
        (Self::MissingMethods, "no block receipts, fee history, blocks by hash, or tags"),
        (Self::Reorganised, "the block is reorganised away when its receipt was told"),
        (Self::ForgedOutcome, "receipts tell the opposite outcome"),
        (Self::InventedReceipt, "transactions are dropped, and receipts invented for them"),
        (Self::WithheldEvents, "receipts and logs come without the contract's events"),
        (Self::ForgedHeader, "headers tell another time"),
        (Self::ForgedState, "calls return other words"),
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = Self::ALL.iter().find(|(fault, _)| fault == self).map(|(_, words)| *words);
        f.write_str(words.unwrap_or("honest"))
    }
}

/// A proxy with a fault, which can be healed.
pub struct Proxy {
    pub server: Server,
    ill: Arc<AtomicBool>,
}

struct State {
    upstream: String,
    fault: Fault,
    ill: Arc<AtomicBool>,
    asked: AtomicUsize,
    hits: AtomicUsize,
    random: AtomicU64,
    snapshot: Value,
}

impl Proxy {
    pub fn start(upstream: &str, fault: Fault) -> Self {
        let ill = Arc::new(AtomicBool::new(true));
        let snapshot = match fault {
            Fault::Reorganised => forward(upstream, "evm_snapshot", &json!([]))["result"].clone(),
            _ => Value::Null,
        };
        let state = State {
            upstream: upstream.to_owned(),
            fault,
            ill: ill.clone(),
            asked: AtomicUsize::new(0),
            hits: AtomicUsize::new(0),
            random: AtomicU64::new(7),
            snapshot,
        };
        let server = Server::start(move |method, params| state.answer(method, params));
        Self { server, ill }
    }

    /// Lets everything pass from now on.
    pub fn heal(&self) {
        self.ill.store(false, Ordering::SeqCst);
    }
}

impl State {
    fn answer(&self, method: &str, params: &Value) -> Reply {
        if !self.ill.load(Ordering::SeqCst) {
            return self.honest(method, params);
        }
        let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let every = |n: usize| asked.is_multiple_of(n);
        // How often this fault has had its occasion.
        let first = |most: usize| self.hits.fetch_add(1, Ordering::SeqCst) < most;
        let sends = method == "eth_sendRawTransaction";
        let honest = || self.honest(method, params);
        match self.fault {
            Fault::Delay => {
                sleep(Duration::from_millis(15));
                honest()
            }
            Fault::Stall if every(7) => Reply::Silence,
            Fault::Reset if every(5) => Reply::CutShort,
            Fault::ServerError if every(3) => Reply::Body(500, b"oops".to_vec()),
            Fault::TooManyRequests if every(40) => Reply::Body(429, b"slow down".to_vec()),
            Fault::RateLimitInside if every(3) => Reply::Error(-32005, "rate limit exceeded", Value::Null),
            Fault::ErrorInside if every(3) => Reply::Error(-32603, "Internal error", Value::Null),
            Fault::Html if every(3) => Reply::Body(200, b"<html>maintenance</html>".to_vec()),
            Fault::CutJson if every(3) => Reply::Body(200, b"{\"jsonrpc\":\"2.0\",\"id\":1,\"resu".to_vec()),
            Fault::HugeBody if every(5) => Reply::Body(200, vec![b' '; 17 * 1024 * 1024]),
            Fault::WrongId if every(3) => {
                Reply::Body(200, b"{\"jsonrpc\":\"2.0\",\"id\":999999,\"result\":\"0x1\"}".to_vec())
            }
            Fault::LaggingReplica if self.coin() => self.lagging(method, params),
            Fault::DroppedBroadcast if sends && first(2) => Reply::Result(json!(hash_of(params))),
            Fault::AcceptedButError if sends && first(2) => {
                honest();
                Reply::Error(-32603, "Internal error", Value::Null)
            }
            Fault::AcceptedButSilent if sends && first(2) => {
                honest();
                Reply::CutShort
            }
            Fault::Underpriced if sends && first(2) => {
                Reply::Error(-32000, "transaction underpriced", Value::Null)
            }
            Fault::StaleNonce if method == "eth_getTransactionCount" && first(3) => {
                Reply::Result(json!("0x0"))
            }
            Fault::MissingMethods => self.poor(method, params),
            Fault::Reorganised if method == "eth_getTransactionReceipt" => {
                let told = forward(&self.upstream, method, params);
                if !told["result"].is_null() && first(1) {
                    forward(&self.upstream, "evm_revert", &json!([self.snapshot]));
                    for _ in 0..2 {
                        forward(&self.upstream, "evm_mine", &json!([]));
                    }
                }
                reply(told)
            }
            Fault::InventedReceipt if sends => Reply::Result(json!(hash_of(params))),
            Fault::ForgedOutcome
            | Fault::InventedReceipt
            | Fault::WithheldEvents
            | Fault::ForgedHeader
            | Fault::ForgedState => self.forged(method, params),
            _ => honest(),
        }
    }

    fn honest(&self, method: &str, params: &Value) -> Reply {
        reply(forward(&self.upstream, method, params))
    }

    /// Not every second question: then one kind could always meet the same replica.
    fn coin(&self) -> bool {
        let state = self.random.load(Ordering::SeqCst);
        let next = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random.store(next, Ordering::SeqCst);
        next >> 63 == 1
    }

    fn poor(&self, method: &str, params: &Value) -> Reply {
        let names_block = params.as_array().is_some_and(|params| {
            params.iter().any(|param| param.get("blockHash").is_some() && param.get("fromBlock").is_none())
        });
        match method {
            "eth_getBlockReceipts" | "parity_getBlockReceipts" | "eth_feeHistory" | "eth_getProof" => {
                Reply::Error(-32601, "Method not found", Value::Null)
            }
            _ if names_block || params[0] == json!("finalized") || params[0] == json!("safe") => {
                Reply::Error(-32602, "Invalid params: invalid type: map", Value::Null)
            }
            _ => self.honest(method, params),
        }
    }

    fn lagging(&self, method: &str, params: &Value) -> Reply {
        let head =
            number(&forward(&self.upstream, "eth_blockNumber", &json!([]))["result"]).saturating_sub(2);
        let past = |value: &Value| value.as_str().is_some_and(|_| number(value) > head);
        let mut params = params.clone();
        for param in params.as_array_mut().into_iter().flatten() {
            if *param == json!("latest") || *param == json!("pending") {
                *param = json!(format!("{head:#x}"));
            }
        }
        if method == "eth_getBlockByNumber" && past(&params[0]) {
            return Reply::Result(Value::Null);
        }
        let told = forward(&self.upstream, method, &params);
        let of_later = |value: &Value| past(&value["blockNumber"]);
        match method {
            "eth_call" if params[1].get("blockHash").is_some() => {
                Reply::Error(-32000, "header for hash not found", Value::Null)
            }
            "eth_call" if past(&params[1]) => Reply::Error(-32000, "header not found", Value::Null),
            "eth_getTransactionReceipt" | "eth_getTransactionByHash" if of_later(&told["result"]) => {
                Reply::Result(Value::Null)
            }
            "eth_getBlockReceipts" if told["result"].get(0).is_some_and(of_later) => {
                Reply::Result(Value::Null)
            }
            "eth_getLogs" => {
                let logs = told["result"].as_array().cloned().unwrap_or_default();
                Reply::Result(logs.into_iter().filter(|log| !of_later(log)).collect())
            }
            _ => reply(told),
        }
    }

    fn forged(&self, method: &str, params: &Value) -> Reply {
        let mut told = forward(&self.upstream, method, params);
        let result = &mut told["result"];
        let receipts = ["eth_getBlockReceipts", "eth_getTransactionReceipt"].contains(&method);
        match self.fault {
            Fault::ForgedOutcome if receipts => each(result, |receipt| {
                let opposite = if receipt["status"] == json!("0x1") { "0x0" } else { "0x1" };
                receipt["status"] = json!(opposite);
            }),
            Fault::InventedReceipt if method == "eth_getTransactionReceipt" && result.is_null() => {
                let block = forward(&self.upstream, "eth_getBlockByNumber", &json!(["latest", false]));
                *result = json!({
                    "transactionHash": params[0], "blockHash": block["result"]["hash"], "blockNumber": block["result"]["number"],
                    "transactionIndex": "0x0", "status": "0x1", "gasUsed": "0x5208", "cumulativeGasUsed": "0x5208", "logs": [],
                });
            }
            Fault::WithheldEvents if receipts => each(result, |receipt| receipt["logs"] = json!([])),
            Fault::WithheldEvents if method == "eth_getLogs" => *result = json!([]),
            Fault::ForgedHeader if method == "eth_getBlockByNumber" && result.is_object() => {
                result["timestamp"] = json!("0x7fffffff");
            }
            Fault::ForgedState if method == "eth_call" => {
                if let Some(text) = result.as_str().filter(|text| text.len() > 66) {
                    // The first word of a task's view is its phase.
                    let (head, rest) = text.split_at(66);
                    *result = json!(format!(
                        "{}{}{rest}",
                        &head[..65],
                        if head.ends_with('1') { '2' } else { '1' }
                    ));
                }
            }
            _ => {}
        }
        reply(told)
    }
}

fn each(result: &mut Value, change: impl Fn(&mut Value)) {
    match result {
        Value::Array(items) => items.iter_mut().for_each(change),
        Value::Object(_) => change(result),
        _ => {}
    }
}

fn hash_of(params: &Value) -> B256 {
    let raw = params[0].as_str().unwrap_or_default();
    keccak256(alloy_primitives::hex::decode(raw).unwrap_or_default())
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap_or("0").trim_start_matches("0x"), 16).unwrap_or(0)
}

/// Asks the node itself, and gives its whole answer.
pub fn forward(upstream: &str, method: &str, params: &Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    let answer = config
        .build()
        .new_agent()
        .post(upstream)
        .header("content-type", "application/json")
        .send(body.to_string())
        .and_then(|mut answer| answer.body_mut().with_config().limit(64 << 20).read_to_string());
    let text = answer.unwrap_or_else(|error| json!({"error": {"message": error.to_string()}}).to_string());
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

fn reply(mut answer: Value) -> Reply {
    match answer.get_mut("error").map(Value::take).filter(|error| !error.is_null()) {
        Some(error) => Reply::Failure(error),
        None => Reply::Result(answer["result"].take()),
    }
}

/// What OpenEthereum 2.5 to 3.3 refuse, before a node that would take it. Each refusal is counted by its words.
pub fn strict(upstream: &str) -> Server {
    let upstream = upstream.to_owned();
    Server::start(move |method, params| match refusal(method, params, &upstream) {
        Some((code, words)) => Reply::Error(code, words, Value::Null),
        None => {
            let mut told = forward(&upstream, method, params);
            // Fields that it does not tell.
            each(&mut told["result"], |item| {
                if let Some(fields) = item.as_object_mut() {
                    for name in ["effectiveGasPrice", "baseFeePerGas", "type", "blockTimestamp"] {
                        fields.remove(name);
                    }
                }
            });
            reply(told)
        }
    })
}

/// How much of the past a node keeps the state of that prunes.
const KEPT_STATES: u64 = 64;

fn refusal(method: &str, params: &Value, upstream: &str) -> Option<(i64, &'static str)> {
    const MISSING: (i64, &str) = (-32601, "Method not found");
    // Methods with the most parameters that each takes, and the place of a block among them.
    let known: &[(&str, usize, Option<usize>)] = &[
        ("eth_chainId", 0, None),
        ("eth_blockNumber", 0, None),
        ("eth_gasPrice", 0, None),
        ("web3_clientVersion", 0, None),
        ("net_version", 0, None),
        ("eth_syncing", 0, None),
        ("eth_getBlockByNumber", 2, Some(0)),
        ("eth_getBlockByHash", 2, None),
        ("eth_getBalance", 2, Some(1)),
        ("eth_getCode", 2, Some(1)),
        ("eth_getTransactionCount", 2, Some(1)),
        ("eth_getStorageAt", 3, Some(2)),
        ("eth_getProof", 3, Some(2)),
        ("eth_call", 2, Some(1)),
        ("eth_estimateGas", 2, Some(1)),
        ("eth_sendRawTransaction", 1, None),
        ("eth_getTransactionByHash", 1, None),
        ("eth_getTransactionReceipt", 1, None),
        ("eth_getLogs", 1, None),
    ];
    let Some((_, most, block)) = known.iter().find(|(name, ..)| *name == method) else {
        return Some(MISSING);
    };
    let given = params.as_array()?;
    if given.len() > *most {
        return Some((-32602, "Invalid params: too many"));
    }
    if let Some(at) = block.and_then(|place| given.get(place)) {
        let is_number = at.as_str().is_some_and(|text| {
            ["latest", "earliest", "pending"].contains(&text)
                || text.strip_prefix("0x").is_some_and(|digits| u64::from_str_radix(digits, 16).is_ok())
        });
        if !is_number {
            return Some((
                -32602,
                "Invalid params: expected a block number or 'latest', 'earliest' or 'pending'.",
            ));
        }
        let head = number(&forward(upstream, "eth_blockNumber", &json!([]))["result"]);
        let asks_state = !method.starts_with("eth_getBlock");
        if asks_state && at.as_str()?.starts_with("0x") && number(at) + KEPT_STATES < head {
            return Some((
                -32000,
                "This request is not supported because your node is running with state pruning. Run with --pruning=archive.",
            ));
        }
    }
    let only = |value: &Value, known: &[&str]| {
        value.as_object().is_some_and(|fields| fields.keys().all(|name| known.contains(&name.as_str())))
    };
    match method {
        "eth_call" | "eth_estimateGas"
            if !only(&given[0], &["from", "to", "gasPrice", "gas", "value", "data", "nonce"]) =>
        {
            Some((-32602, "Invalid params: unknown field."))
        }
        "eth_getLogs"
            if !only(&given[0], &["fromBlock", "toBlock", "blockHash", "address", "topics", "limit"]) =>
        {
            Some((-32602, "Invalid params: unknown field."))
        }
        // A legacy transaction is an RLP list of more than 55 bytes.
        "eth_sendRawTransaction"
            if !given[0].as_str()?.starts_with("0xf8")
                && !given[0].as_str()?.starts_with("0xf9")
                && !given[0].as_str()?.starts_with("0xfa") =>
        {
            Some((-32602, "Invalid RLP: RlpExpectedToBeList"))
        }
        "eth_getProof"
            if !given[1].as_array()?.iter().all(|key| key.as_str().is_some_and(|key| key.len() == 66)) =>
        {
            Some((-32602, "Invalid params: invalid length"))
        }
        _ => None,
    }
}
