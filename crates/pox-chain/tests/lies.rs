//! An endpoint that lies or lags about a real chain: nothing that it changes or keeps back is believed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

mod support;

use pox_chain::{
    Account, ChainError, Checks, Contract, Cursor, Deployment, Draft, Fees, Follower, Outbox, Prepared,
    Progress, Rpc, Standing, Transactions,
};
use pox_core::{Address, Bytes, TaskId, U256};
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
    let rpc = Rpc::connect(profile, support::QUICK).unwrap();
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
fn a_follower_misses_nothing_when_events_are_kept_back() {
    let node = Node::embedded();
    let (_, place, _) = proven(&node);
    let lying = Arc::new(AtomicBool::new(true));
    let lies = lying.clone();
    let (_server, rpc) = liar(&node, move |method, result| {
        if method == "eth_getBlockReceipts" && lies.load(Ordering::Relaxed) {
            result[0]["logs"] = json!([]);
        }
    });
    let contract = Contract::open(&rpc, place).unwrap();
    let mut follower = Follower::new(&contract, Cursor::before(0));
    let before = follower.cursor().clone();
    let error = follower.poll().unwrap_err();
    assert!(matches!(error, ChainError::Contradiction(_)), "{error:?}");
    assert_eq!(*follower.cursor(), before, "nothing has changed");
    lying.store(false, Ordering::Relaxed);
    let batch = follower.poll().unwrap();
    assert_eq!((batch.events.len(), batch.progress), (7, Progress::CaughtUp));
}

#[test]
fn a_filter_that_hides_events_does_not_hash_to_the_block() {
    let node = Node::embedded();
    let (_, place, _) = proven(&node);
    let (_server, rpc) = liar(&node, |method, result| {
        if method == "eth_getBlockByNumber" && result.is_object() {
            result["logsBloom"] = json!(format!("0x{}", "00".repeat(256)));
        }
    });
    let error = Contract::open(&rpc, place)
        .and_then(|contract| Follower::new(&contract, Cursor::before(0)).poll())
        .unwrap_err();
    assert!(matches!(error, ChainError::Contradiction(_)), "{error:?}");
}

#[test]
fn a_follower_refuses_what_the_contract_never_emits() {
    let node = Node::embedded();
    let (_, place, _) = proven(&node);
    let (server, _) = liar(&node, |method, result| {
        if method == "eth_getLogs" && result[0].is_object() {
            result[0]["topics"][0] = json!(pox_core::B256::ZERO);
        }
    });
    // Where nothing is checked against hashes, logs are believed, but not what no contract of this version says.
    let mut profile = node.profile();
    profile.endpoints = vec![server.url.parse().unwrap()];
    profile.checks = Checks::DangerouslyNone;
    let rpc = Rpc::connect(profile, support::QUICK).unwrap();
    let mut follower = Follower::new(&Contract::open(&rpc, place).unwrap(), Cursor::before(0));
    assert!(matches!(follower.poll(), Err(ChainError::Contradiction(_))));
}

#[test]
fn a_receipt_counts_only_in_the_place_that_the_block_gives_it() {
    let config = pox_devchain::Config {
        hardfork: pox_devchain::Hardfork::London,
        mining: pox_devchain::Mining::Manual,
        ..pox_devchain::Config::default()
    };
    let node = Node::embedded_with(config);
    let funder = Account::from_bytes(&pox_devchain::AccountKey::faucet().dangerous_to_bytes()).unwrap();
    let plain = Outbox::new(&node.rpc(), funder);
    // One block with a transaction of each of the two types.
    let mut profile = node.profile();
    profile.transactions = Transactions::Dynamic;
    profile.fees = Fees::Tip { tip: 1_000_000_000 };
    let funder = Account::from_bytes(&pox_devchain::AccountKey::faucet().dangerous_to_bytes()).unwrap();
    let dynamic = Outbox::new(&Rpc::connect(profile.clone(), support::QUICK).unwrap(), funder);
    let gift = |byte| Draft { to: Some(Address::repeat_byte(byte)), value: U256::ONE, input: Bytes::new() };
    let first = plain.prepare(&gift(1)).unwrap();
    plain.broadcast(&first).unwrap();
    let second = dynamic.prepare(&gift(2)).unwrap();
    dynamic.broadcast(&second).unwrap();
    node.chain().mine().unwrap();
    assert_eq!(second.raw().first(), Some(&2));
    let is_mined = |outbox: &Outbox, prepared: &Prepared| {
        outbox.standing(prepared).map(|standing| matches!(standing, Standing::Mined { .. }))
    };
    assert!(is_mined(&plain, &first).unwrap() && is_mined(&dynamic, &second).unwrap());

    type Lie = Box<dyn Fn(&str, &mut Value) + Send + Sync>;
    let lies: [(&str, Lie); 3] = [
        (
            "the places swapped",
            Box::new(|method, result| {
                if method == "eth_getBlockByNumber" {
                    result["transactions"].as_array_mut().unwrap().reverse();
                }
            }),
        ),
        (
            "another transaction in its place",
            Box::new(|method, result| {
                if method == "eth_getBlockByHash" {
                    result["transactions"][0]["value"] = json!("0x2");
                }
            }),
        ),
        (
            "another amount of gas",
            Box::new(|method, result| {
                if method == "eth_getBlockReceipts" {
                    result[1]["cumulativeGasUsed"] = json!("0x1");
                }
            }),
        ),
    ];
    for (name, lie) in lies {
        let (_server, rpc) = liar(&node, lie);
        let outbox = Outbox::new(&rpc, Account::from_bytes(&[1; 32]).unwrap());
        let error = is_mined(&outbox, &first).unwrap_err();
        assert!(matches!(error, ChainError::Contradiction(_)), "{name}: {error:?}");
    }
}

#[test]
fn no_proof_is_made_of_receipts_that_the_block_does_not_have() {
    let node = Node::embedded();
    let (task, place, _) = proven(&node);
    let history = Contract::open(&node.rpc(), place).unwrap().history(task).unwrap();
    let log = history.steps[0].place;
    let honest = node.rpc().prove_log(log.block, log.transaction, log.index).unwrap();
    let (server, alone) = liar(&node, |method, result| {
        if method == "eth_getBlockReceipts" && result[0]["logs"][0].is_object() {
            result[0]["logs"][0]["data"] = json!("0x");
        }
    });
    let error = alone.prove_log(log.block, log.transaction, log.index).unwrap_err();
    assert!(matches!(error, ChainError::Contradiction(_)), "{error:?}");
    // Whichever endpoint is asked first, one that has the block's receipts makes the proof.
    let beside = several(&node, &[&server], 1, 1);
    for _ in 0..4 {
        assert_eq!(beside.prove_log(log.block, log.transaction, log.index).unwrap(), honest);
    }
}

/// Endpoints of one chain, of which some lie.
fn several(node: &Node, liars: &[&Server], honest: usize, agree: u8) -> Rpc {
    let mut profile = node.profile();
    let liars = liars.iter().map(|server| server.url.as_str());
    let urls = liars.chain(std::iter::repeat_n(node.url.as_str(), honest));
    profile.endpoints = urls.map(|url| url.parse().unwrap()).collect();
    profile.agree = agree;
    Rpc::offline(profile, support::QUICK)
}

#[test]
fn a_lying_minority_is_outvoted_and_named() {
    let node = Node::embedded();
    let (task, place, _) = proven(&node);
    let (server, _) = liar(&node, |method, result| {
        if method == "eth_call" {
            *result = json!(format!("0x{}", "00".repeat(32 * 8)));
        }
    });
    let rpc = several(&node, &[&server], 2, 2);
    let contract = Contract::open(&rpc, place).unwrap();
    let view = contract.task(task).unwrap().unwrap();
    assert_eq!(view.phase, pox_core::Phase::Proven);
    let named = rpc.dissents();
    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!(named[0].endpoint, server.url);
    assert!(named[0].to_string().contains("contradicts the other endpoints about a call at block"));
}

#[test]
fn endpoints_without_a_majority_are_not_believed() {
    let node = Node::embedded();
    let (task, place, _) = proven(&node);
    let (server, _) = liar(&node, |method, result| {
        if method == "eth_call" {
            *result = json!(format!("0x{}", "00".repeat(32 * 8)));
        }
    });
    let rpc = several(&node, &[&server], 1, 1);
    let error = Contract::open(&rpc, place).unwrap().task(task).unwrap_err();
    assert!(matches!(error, ChainError::Disagreement { .. }) && error.is_transient(), "{error:?}");
    assert!(error.to_string().contains(&server.url), "{error}");
}

#[test]
fn fewer_endpoints_than_have_to_agree_are_not_enough() {
    let node = Node::embedded();
    let (_, place, _) = proven(&node);
    let dead = Server::start(|_, _| Reply::Body(502, Vec::new()));
    let enough = several(&node, &[&dead], 2, 2);
    Contract::open(&enough, place).unwrap();
    let rpc = several(&node, &[&dead], 1, 2);
    let error = Contract::open(&rpc, place).unwrap_err();
    let fits = matches!(&error, ChainError::TooFewAgree { agreed: 1, wanted: 2, .. });
    assert!(fits && error.is_transient(), "{error:?}");
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
    let rpc = Rpc::connect(profile, support::QUICK).unwrap();
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
