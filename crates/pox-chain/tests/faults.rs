//! What a poor or hostile endpoint can answer: a typed error for each, and never a panic.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

mod support;

use pox_chain::{ChainError, Pace, Profile, Rpc};
use pox_core::Address;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::server::{Reply, Server};

fn chain_id() -> Reply {
    Reply::Result(json!("0x2323"))
}

const IMPATIENT: Pace =
    Pace { rounds: 1, first_pause: Duration::from_millis(1), deadline: Duration::from_secs(2), seed: 1 };

fn connect(mut profile: Profile) -> Result<Rpc, ChainError> {
    profile.timeout_millis = 300;
    Rpc::connect(profile, IMPATIENT)
}

/// What the balance of an account comes to when the endpoint answers that question so.
fn balance(reply: impl Fn() -> Reply + Send + Sync + 'static) -> ChainError {
    let server = Server::start(move |method, _| if method == "eth_chainId" { chain_id() } else { reply() });
    let rpc = connect(server.profile()).unwrap();
    rpc.balance(Address::ZERO).unwrap_err()
}

fn body(text: &str) -> Reply {
    Reply::Body(200, text.as_bytes().to_vec())
}

#[test]
fn answers_that_are_no_json_rpc_are_malformed() {
    let texts = [
        "<html>maintenance</html>",
        "",
        "{",
        "[]",
        "null",
        "{\"jsonrpc\":\"2.0\",\"id\":999,\"result\":\"0x1\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":\"0x1\"}",
        "{\"jsonrpc\":\"2.0\",\"result\":null}",
        "{\"jsonrpc\":\"2.0\"}",
        "{\"jsonrpc\":\"2.0\",\"result\":\"0xzz\"}",
        "{\"jsonrpc\":\"2.0\",\"result\":-5}",
        "{\"jsonrpc\":\"2.0\",\"result\":{\"a\":1}}",
        "{\"jsonrpc\":\"2.0\",\"error\":\"no\"}",
        "\u{0}\u{1}\u{2}",
    ];
    for text in texts {
        let error = balance(move || body(text));
        assert!(matches!(error, ChainError::Malformed { .. }), "{text:?}: {error:?}");
    }
    let deep = "[".repeat(100_000);
    let nested = format!("{{\"jsonrpc\":\"2.0\",\"result\":{deep}");
    assert!(matches!(balance(move || body(&nested)), ChainError::Malformed { .. }));
    let number = format!("{{\"jsonrpc\":\"2.0\",\"result\":\"0x{}\"}}", "f".repeat(65));
    assert!(matches!(balance(move || body(&number)), ChainError::Malformed { .. }));
    let words = "x\n".repeat(100_000);
    let error = balance(move || body(&words)).to_string();
    assert!(error.len() < 1000 && !error.contains('\n'), "{error}");
}

#[test]
fn oversized_answers_are_malformed() {
    let error = balance(|| Reply::Body(200, vec![b' '; 17 * 1024 * 1024]));
    assert!(matches!(error, ChainError::Oversized { .. }), "{error:?}");
    assert!(!error.is_transient(), "it would be as large again");
}

#[test]
fn silence_and_cut_answers_and_busy_nodes_are_unreachable() {
    let replies: [fn() -> Reply; 5] = [
        || Reply::CutShort,
        || Reply::Silence,
        || {
            Reply::Body(
                503,
                b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"busy\"}}".to_vec(),
            )
        },
        || Reply::Body(502, b"<html>".to_vec()),
        || Reply::Body(302, Vec::new()),
    ];
    for (index, reply) in replies.into_iter().enumerate() {
        let error = balance(reply);
        assert!(matches!(error, ChainError::Unreachable { .. }), "{index}: {error:?}");
        assert!(error.is_transient());
    }
    let nobody = Profile::generic(8995, "http://127.0.0.1:1".parse().unwrap());
    assert!(matches!(connect(nobody), Err(ChainError::Unreachable { .. })));
}

#[test]
fn refusals_inside_a_success_are_refusals() {
    let error = balance(|| Reply::Error(-32601, "the method\ndoes not exist", Value::Null));
    match error {
        ChainError::Refused { method: "eth_getBalance", code: -32601, message } => {
            assert_eq!(message, "the method does not exist");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_chain_is_not_talked_to() {
    let server = Server::start(|_, _| Reply::Result(json!("0x1")));
    let error = connect(server.profile()).unwrap_err();
    assert!(matches!(error, ChainError::WrongChain { expected: 8995, actual: 1, .. }), "{error:?}");
}

#[test]
fn a_busy_endpoint_is_asked_again_and_a_dead_one_replaced() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let server = Server::start(move |method, _| match method {
        "eth_chainId" => chain_id(),
        _ if count.fetch_add(1, Ordering::Relaxed) < 2 => Reply::Body(429, Vec::new()),
        _ => Reply::Result(json!("0x7")),
    });
    let mut profile = server.profile();
    profile.endpoints.insert(0, "http://127.0.0.1:1".parse().unwrap());
    let patient = Pace { rounds: 4, ..IMPATIENT };
    let rpc = Rpc::connect(profile, patient).unwrap();
    assert_eq!(rpc.balance(Address::ZERO).unwrap().to::<u64>(), 7);
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[test]
fn blocks_and_receipts_and_logs_of_others_are_refused() {
    let server = Server::start(|method, _| match method {
        "eth_chainId" => chain_id(),
        "eth_getBlockByNumber" => Reply::Result(json!({
            "hash": pox_core::B256::ZERO, "parentHash": pox_core::B256::ZERO, "number": "0x9", "timestamp": "0x1",
        })),
        "eth_getTransactionReceipt" => Reply::Result(json!({
            "transactionHash": pox_core::B256::repeat_byte(9), "blockHash": null, "blockNumber": null,
        })),
        "eth_getLogs" => Reply::Result(json!([
            {"address": Address::repeat_byte(1), "topics": [], "data": "0x", "blockNumber": "0x1", "logIndex": "0x0",
             "blockHash": pox_core::B256::ZERO, "transactionHash": pox_core::B256::ZERO, "removed": true},
            {"address": Address::repeat_byte(1), "topics": [], "data": "0x", "blockNumber": "0x1", "logIndex": "0x0",
             "blockHash": pox_core::B256::ZERO, "transactionHash": pox_core::B256::ZERO},
        ])),
        _ => Reply::Result(Value::Null),
    });
    let rpc = connect(server.profile()).unwrap();
    assert!(matches!(rpc.block(5), Err(ChainError::Contradiction(_))));
    assert!(matches!(rpc.receipt(pox_core::B256::ZERO), Err(ChainError::Malformed { .. })));
    assert_eq!(rpc.logs(Address::repeat_byte(1), &[], 1, 1).unwrap().len(), 1, "a removed log is none");
    for (address, from) in [(Address::repeat_byte(2), 1), (Address::repeat_byte(1), 0)] {
        assert!(matches!(rpc.logs(address, &[], from, from), Err(ChainError::Malformed { .. })));
    }
}
