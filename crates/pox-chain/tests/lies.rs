//! An endpoint that lies or lags about a real chain: nothing that it changes or keeps back is believed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

mod support;

use pox_chain::{ChainError, Contract, Cursor, Deployment, Follower, Progress, Rpc};
use pox_core::TaskId;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::server::{Reply, Server};
use support::{Lifecycle, Node};

/// A lying endpoint in front of the embedded chain: it changes answers on their way.
fn liar(node: &Node, lie: impl Fn(&str, &mut Value) + Send + Sync + 'static) -> (Server, Rpc) {
    let chain = node.chain().clone();
    let server = Server::start(move |method, params| {
        let question = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut answer: Value = serde_json::from_slice(&chain.rpc(question.to_string().as_bytes())).unwrap();
        lie(method, &mut answer["result"]);
        match answer.get("error") {
            Some(error) => {
                Reply::Body(200, json!({"jsonrpc": "2.0", "error": error}).to_string().into_bytes())
            }
            None => Reply::Result(answer["result"].take()),
        }
    });
    let mut profile = node.profile();
    profile.endpoints = vec![server.url.parse().unwrap()];
    let rpc = Rpc::connect_at(profile, support::QUICK).unwrap();
    (server, rpc)
}

/// A proven task on an honest chain, and how to see it through a liar.
fn proven(node: &Node) -> (TaskId, Deployment, u64) {
    let rpc = node.rpc();
    let contract = node.contract(&rpc);
    let life = Lifecycle::new(node, &contract, 1);
    life.offer_and_match(&contract);
    life.approve_and_prove(&contract);
    let place = Deployment { address: contract.domain().contract, block: 0 };
    (life.request.id(contract.domain()), place, rpc.head().unwrap().at.number)
}

#[test]
fn a_history_with_anything_kept_back_or_changed_is_a_contradiction() {
    let node = Node::embedded();
    let (task, place, _) = proven(&node);
    let flip = |value: &mut Value| {
        let text = value.as_str().unwrap().to_owned();
        let last = if text.ends_with('0') { '1' } else { '0' };
        *value = json!(format!("{}{last}", &text[..text.len() - 1]));
    };
    type Lie = Box<dyn Fn(&str, &mut Value) + Send + Sync>;
    let lies: Vec<(&str, Lie)> = vec![
        (
            "an event kept back",
            Box::new(|method, result| {
                if method == "eth_getLogs" {
                    result.as_array_mut().unwrap().remove(1);
                }
            }),
        ),
        (
            "every event kept back",
            Box::new(|method, result| {
                if method == "eth_getLogs" {
                    *result = json!([]);
                }
            }),
        ),
        (
            "an event changed",
            Box::new(move |method, result| {
                if method == "eth_getLogs" {
                    flip(&mut result[0]["data"]);
                }
            }),
        ),
        (
            "a block's time changed",
            Box::new(|method, result| {
                if method == "eth_getBlockByNumber" {
                    result["timestamp"] = json!("0x5");
                }
            }),
        ),
        (
            "an input changed",
            Box::new(move |method, result| {
                if method == "eth_getTransactionByHash" {
                    // The selector stays; the evidence's or secret's or signature's words don't.
                    let input = result["input"].as_str().unwrap().replace("77686174", "77686175");
                    result["input"] = json!(input);
                }
            }),
        ),
    ];
    for (name, lie) in lies {
        let (_server, rpc) = liar(&node, lie);
        let error = Contract::open(&rpc, place).unwrap().history(task).unwrap_err();
        assert!(matches!(error, ChainError::Contradiction(_)), "{name}: {error:?}");
    }
    let (_server, rpc) = liar(&node, |_, _| {});
    assert_eq!(Contract::open(&rpc, place).unwrap().history(task).unwrap().steps.len(), 4);
}

#[test]
fn a_state_proof_that_does_not_hold_is_never_handed_out() {
    let node = Node::embedded();
    let (task, place, head) = proven(&node);
    type Lie = Box<dyn Fn(&str, &mut Value) + Send + Sync>;
    let in_proof = |change: fn(&mut Value)| -> Lie {
        Box::new(move |method, result| {
            if method == "eth_getProof" {
                change(result);
            }
        })
    };
    let in_block = |field: &'static str, value: Value| -> Lie {
        Box::new(move |method, result| {
            if method == "eth_getBlockByNumber" {
                result[field] = value.clone();
            }
        })
    };
    let lies = [
        in_proof(|proof| proof["storageProof"][0]["value"] = json!("0x1")),
        in_proof(|proof| proof["storageProof"][0]["proof"] = json!([])),
        in_proof(|proof| proof["accountProof"] = json!([])),
        in_proof(|proof| proof["accountProof"][0] = json!("0xc0")),
        in_proof(|proof| proof["nonce"] = json!("0x99")),
        in_proof(|proof| proof["storageHash"] = json!(pox_core::B256::ZERO)),
        in_block("stateRoot", json!(pox_core::B256::ZERO)),
        in_block("timestamp", json!("0x1")),
        in_block("extraData", json!("0x00")),
    ];
    for (index, lie) in lies.into_iter().enumerate() {
        let (_server, rpc) = liar(&node, lie);
        let error = Contract::open(&rpc, place).unwrap().prove_state(task, head).unwrap_err();
        assert!(matches!(error, ChainError::Contradiction(_)), "{index}: {error:?}");
    }
    let malformed = in_proof(|proof| proof["storageProof"] = json!([]));
    let (_server, rpc) = liar(&node, malformed);
    let error = Contract::open(&rpc, place).unwrap().prove_state(task, head).unwrap_err();
    assert!(matches!(error, ChainError::Malformed { .. }), "{error:?}");
}

#[test]
fn a_follower_misses_nothing_when_logs_lag_behind_blocks() {
    let node = Node::embedded();
    let (_, place, _) = proven(&node);
    let lagging = Arc::new(AtomicBool::new(true));
    let lags = lagging.clone();
    let (_server, rpc) = liar(&node, move |method, result| {
        if method == "eth_getLogs" && lags.load(Ordering::Relaxed) {
            *result = json!([]);
        }
    });
    let contract = Contract::open(&rpc, place).unwrap();
    let mut follower = Follower::new(&contract, Cursor::before(0));
    let before = follower.cursor().clone();
    let error = follower.poll().unwrap_err();
    assert!(matches!(error, ChainError::Lagging(_)), "{error:?}");
    assert_eq!(*follower.cursor(), before, "nothing has changed");
    lagging.store(false, Ordering::Relaxed);
    let batch = follower.poll().unwrap();
    assert_eq!((batch.events.len(), batch.progress), (7, Progress::CaughtUp));
}

#[test]
fn a_follower_refuses_what_the_contract_never_emits() {
    let node = Node::embedded();
    let (_, place, _) = proven(&node);
    let (_server, rpc) = liar(&node, |method, result| {
        if method == "eth_getLogs" && result[0].is_object() {
            result[0]["topics"][0] = json!(pox_core::B256::ZERO);
        }
    });
    let mut follower = Follower::new(&Contract::open(&rpc, place).unwrap(), Cursor::before(0));
    assert!(matches!(follower.poll(), Err(ChainError::Contradiction(_))));
}

#[test]
fn narrow_nodes_are_asked_for_narrow_ranges() {
    let node = Node::embedded();
    let (_, place, _) = proven(&node);
    for _ in 0..200 {
        node.chain().mine().unwrap();
    }
    let chain = node.chain().clone();
    let server = Server::start(move |method, params| {
        let number = |name: &str| {
            let text = params[0][name].as_str().unwrap().trim_start_matches("0x");
            u64::from_str_radix(text, 16).unwrap()
        };
        if method == "eth_getLogs" && number("toBlock") - number("fromBlock") >= 64 {
            return Reply::Error(-32005, "query returned more than 10000 results", Value::Null);
        }
        let question = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut answer: Value = serde_json::from_slice(&chain.rpc(question.to_string().as_bytes())).unwrap();
        Reply::Result(answer["result"].take())
    });
    let mut profile = node.profile();
    profile.endpoints = vec![server.url.parse().unwrap()];
    let rpc = Rpc::connect_at(profile, support::QUICK).unwrap();
    let mut follower = Follower::new(&Contract::open(&rpc, place).unwrap(), Cursor::before(0));
    let mut events = 0;
    loop {
        let batch = follower.poll().unwrap();
        events += batch.events.len();
        if batch.progress == Progress::CaughtUp {
            break;
        }
    }
    assert_eq!(events, 7);
}
