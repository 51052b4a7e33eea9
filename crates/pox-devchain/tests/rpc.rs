//! JSON-RPC: its form, its bounds, and what bad input gets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod support;

use std::time::Duration;

use alloy_primitives::{Address, B256};
use pox_devchain::{AccountKey, Chain, Clock, Config, EMBEDDED_CHAIN_ID, Hardfork, Server};
use serde_json::{Value, json};

use crate::support::{Draft, STORE_AND_LOG, deploys, error, number, result, words};

fn open(hardfork: Hardfork) -> Chain {
    Chain::open(Config { hardfork, clock: Clock::Manual(1000), ..Config::default() }).unwrap()
}

fn with_contract(hardfork: Hardfork) -> (Chain, Address) {
    let chain = open(hardfork);
    let faucet = AccountKey::faucet();
    chain.submit(&Draft::create(0, deploys(STORE_AND_LOG)).sign(&faucet)).unwrap();
    let contract = faucet.address().create(0);
    for nonce in 1..6 {
        chain.submit(&Draft::call(nonce, contract, words(nonce % 2, nonce)).sign(&faucet)).unwrap();
    }
    (chain, contract)
}

fn raw(chain: &Chain, request: &str) -> Value {
    serde_json::from_slice(&chain.rpc(request.as_bytes())).unwrap()
}

#[test]
fn requests_that_are_none_get_the_right_code() {
    let chain = open(Hardfork::Istanbul);
    let cases = [
        ("{", -32700),
        ("", -32700),
        ("1", -32600),
        ("{}", -32600),
        ("[]", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_nothing"}"#, -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[1]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x1"]}"#, -32602),
    ];
    for (request, code) in cases {
        assert_eq!(raw(&chain, request)["error"]["code"], code, "{request}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(raw(&chain, &deep)["error"]["code"], -32700);
}

#[test]
fn batches_answer_each_call_and_notifications_none() {
    let chain = open(Hardfork::Istanbul);
    let answers = raw(
        &chain,
        r#"[{"jsonrpc":"2.0","id":"a","method":"eth_chainId"},{"jsonrpc":"2.0","method":"evm_mine"},1,
            {"jsonrpc":"2.0","id":2,"method":"eth_blockNumber","params":[]}]"#,
    );
    assert_eq!(
        answers[0],
        json!({ "jsonrpc": "2.0", "id": "a", "result": format!("{EMBEDDED_CHAIN_ID:#x}") })
    );
    assert_eq!(answers[1]["error"]["code"], -32600);
    assert_eq!(answers[2]["result"], "0x1", "the notification was carried out");
    assert!(chain.rpc(br#"{"jsonrpc":"2.0","method":"eth_chainId"}"#).is_empty());
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" });
    assert_eq!(raw(&chain, &json!(vec![call.clone(); 1000]).to_string()).as_array().unwrap().len(), 1000);
    assert_eq!(raw(&chain, &json!(vec![call; 1001]).to_string())["error"]["message"], "batch too large");
}

#[test]
fn no_input_makes_it_panic() {
    let (chain, contract) = with_contract(Hardfork::Osaka);
    let methods = [
        "eth_getBlockByNumber",
        "eth_getBlockByHash",
        "eth_getUncleByBlockNumberAndIndex",
        "eth_getBlockReceipts",
        "eth_getTransactionByHash",
        "eth_getTransactionByBlockNumberAndIndex",
        "eth_getTransactionReceipt",
        "eth_sendRawTransaction",
        "eth_getBalance",
        "eth_getTransactionCount",
        "eth_getCode",
        "eth_getStorageAt",
        "eth_getProof",
        "eth_call",
        "eth_estimateGas",
        "eth_createAccessList",
        "eth_feeHistory",
        "eth_getLogs",
        "eth_newFilter",
        "eth_getFilterChanges",
        "debug_getRawBlock",
        "evm_increaseTime",
        "evm_revert",
        "web3_sha3",
    ];
    let values = [
        json!(null),
        json!(0),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("0x"),
        json!("0xffffffffffffffff"),
        json!("é"),
        json!("latest"),
        json!([]),
        json!([[[]]]),
        json!({}),
        json!(contract),
        json!(B256::ZERO),
        json!(true),
        json!({ "to": contract, "gas": "0xffffffffffffffff", "gasPrice": "0xffffffffffffffffffffffffffffffff" }),
        json!({ "to": contract, "value": format!("0x{}", "f".repeat(64)) }),
        json!({ "fromBlock": "0xffffffffffffffff", "toBlock": "0xffffffffffffffff" }),
        json!({ "fromBlock": "0x0", "topics": [null, [], [null], [B256::ZERO]] }),
    ];
    for method in methods {
        for first in &values {
            for second in &values {
                for params in [json!([first]), json!([first, second]), json!([first, second, "latest"])] {
                    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
                    let answer = raw(&chain, &request.to_string());
                    assert_ne!(answer["error"]["code"], -32603, "{request}: {answer}");
                }
            }
        }
    }
}

#[test]
fn logs_are_found_by_place_address_and_topic() {
    let (chain, contract) = with_contract(Hardfork::Istanbul);
    let topic = |n: u64| B256::from(alloy_primitives::U256::from(n));
    let count = |query: Value| result(&chain, "eth_getLogs", &json!([query])).as_array().unwrap().len();
    assert_eq!(count(json!({ "fromBlock": "earliest" })), 5);
    assert_eq!(count(json!({})), 1, "the latest block alone");
    assert_eq!(count(json!({ "fromBlock": "0x0", "topics": [topic(1)] })), 3);
    assert_eq!(count(json!({ "fromBlock": "0x0", "topics": [[topic(0), topic(1)]] })), 5);
    assert_eq!(count(json!({ "fromBlock": "0x0", "topics": [null] })), 5);
    assert_eq!(
        count(json!({ "fromBlock": "0x0", "topics": [topic(1), null] })),
        0,
        "there is no second topic"
    );
    assert_eq!(count(json!({ "fromBlock": "0x0", "address": [contract, Address::ZERO] })), 5);
    assert_eq!(count(json!({ "fromBlock": "0x0", "address": Address::ZERO })), 0);
    assert_eq!(count(json!({ "fromBlock": "0x2", "toBlock": "0x3" })), 2);
    assert_eq!(count(json!({ "fromBlock": "0x2", "toBlock": "0x9999" })), 5);
    assert_eq!(count(json!({ "blockHash": chain.head().hash })), 1);
    let code = |query: Value| error(&chain, "eth_getLogs", &json!([query])).0;
    assert_eq!(code(json!({ "fromBlock": "0x3", "toBlock": "0x2" })), -32602);
    assert_eq!(code(json!({ "blockHash": B256::repeat_byte(1) })), -32000);
    assert_eq!(code(json!({ "blockHash": chain.head().hash, "fromBlock": "0x1" })), -32602);
    assert_eq!(code(json!({ "topics": [null, null, null, null, null] })), -32602);
    assert_eq!(code(json!({ "address": vec![contract; 1001] })), -32602);
}

#[test]
fn filters_give_what_is_new() {
    let (chain, contract) = with_contract(Hardfork::Istanbul);
    let logs = result(&chain, "eth_newFilter", &json!([{ "fromBlock": "0x0", "address": contract }]));
    let blocks = result(&chain, "eth_newBlockFilter", &json!([]));
    let changes = |id: &Value| result(&chain, "eth_getFilterChanges", &json!([id])).as_array().unwrap().len();
    assert_eq!([changes(&logs), changes(&blocks)], [0, 0]);
    chain.submit(&Draft::call(6, contract, words(1, 1)).sign(&AccountKey::faucet())).unwrap();
    assert_eq!([changes(&logs), changes(&blocks)], [1, 1]);
    assert_eq!([changes(&logs), changes(&blocks)], [0, 0]);
    assert_eq!(result(&chain, "eth_getFilterLogs", &json!([logs])).as_array().unwrap().len(), 6);
    assert_eq!(result(&chain, "eth_uninstallFilter", &json!([logs])), true);
    assert_eq!(error(&chain, "eth_getFilterChanges", &json!([logs])).1, "filter not found");
    for _ in 0..300 {
        result(&chain, "eth_newBlockFilter", &json!([]));
    }
    assert_eq!(
        error(&chain, "eth_getFilterChanges", &json!([blocks])).1,
        "filter not found",
        "the oldest went"
    );
}

#[test]
fn an_access_list_makes_a_call_find_its_slots_warm() {
    let (chain, contract) = with_contract(Hardfork::Berlin);
    let request = json!({ "from": AccountKey::faucet().address(), "to": contract, "data": words(1, 9) });
    let answer = result(&chain, "eth_createAccessList", &json!([request]));
    let slot = B256::from(alloy_primitives::U256::from(1));
    assert_eq!(answer["accessList"], json!([{ "address": contract, "storageKeys": [slot] }]));
    assert!(number(&answer["gasUsed"]) > 21_000 && answer.get("error").is_none());
    let istanbul = open(Hardfork::Istanbul);
    error(&istanbul, "eth_createAccessList", &json!([request]));
}

#[test]
fn fee_methods_fit_the_rules() {
    for (hardfork, has_base_fee) in [(Hardfork::Istanbul, false), (Hardfork::London, true)] {
        let (chain, _) = with_contract(hardfork);
        let history = result(&chain, "eth_feeHistory", &json!(["0x3", "latest", [25, 75]]));
        assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 4);
        assert_eq!(history["reward"].as_array().unwrap().len(), 3);
        assert_eq!(number(&history["baseFeePerGas"][0]) > 0, has_base_fee);
        let price = number(&result(&chain, "eth_gasPrice", &json!([])));
        assert!(if has_base_fee { price > 1_000_000 } else { price == 1_000_000 });
        for bad in
            [json!(["0x3", "latest", [75, 25]]), json!(["0x3", "latest", [101]]), json!(["0x3", "0x99", []])]
        {
            error(&chain, "eth_feeHistory", &bad);
        }
    }
}

#[test]
fn the_server_answers_refuses_and_stops() {
    let chain = open(Hardfork::Istanbul);
    let server = Server::start(&chain, ([127, 0, 0, 1], 0).into()).unwrap();
    assert!(server.address().ip().is_loopback());
    assert!(Server::start(&chain, server.address()).is_err(), "the address is taken");
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let post = |body: &[u8]| agent.post(server.url()).content_type("application/json").send(body);
    let mut answer = post(br#"{"jsonrpc":"2.0","id":1,"method":"net_version"}"#).unwrap();
    let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    assert_eq!(answer["result"], EMBEDDED_CHAIN_ID.to_string());
    let from_page = |kind: &str, host: &str| {
        let call = agent.post(server.url()).header("content-type", kind).header("host", host);
        call.send(br#"{"jsonrpc":"2.0","id":1,"method":"evm_mine"}"#).unwrap().status()
    };
    assert_eq!(from_page("text/plain", "localhost"), 415);
    assert_eq!(from_page("application/json", "example.org"), 403);
    assert_eq!(chain.head().number, 0, "no page in a browser makes blocks");
    // A refusal may come before all is sent, which the client sees as a broken connection.
    let large = post(&vec![b' '; 6 * 1024 * 1024]);
    assert!(large.map_or(true, |answer| answer.status() == 413));
    assert_eq!(agent.get(server.url()).call().unwrap().status(), 405);
    let url = server.url();
    server.stop();
    assert!(agent.get(url).call().is_err());
}
