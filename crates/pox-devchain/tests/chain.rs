//! The chain as its users see it: blocks, time, history, pool and proofs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod support;

use std::{collections::BTreeMap, thread, time::Duration};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount, proof::verify_proof};
use pox_devchain::{
    AccountKey, Chain, ChainError, Clock, Config, FAUCET_ADDRESS, FAUCET_BALANCE, GenesisAccount, Hardfork,
    Mining, OpenError, Returned, SubmitError,
};
use serde_json::json;

use crate::support::{
    DESTROY, Draft, LOAD, REVERT, STORE_AND_LOG, bytes, call, deploys, key, number, result, word, words,
};

const START: u64 = 1_700_000_000;

fn open(mining: Mining, hardfork: Hardfork) -> Chain {
    Chain::open(Config { mining, hardfork, clock: Clock::Manual(START), ..Config::default() }).unwrap()
}

fn balance(chain: &Chain, address: Address, at: &str) -> U256 {
    word(&result(chain, "eth_getBalance", &json!([address, at])))
}

#[test]
fn a_transaction_is_mined_when_submit_returns() {
    let chain = open(Mining::Instant, Hardfork::Istanbul);
    let to = Address::repeat_byte(7);
    let hash = chain.submit(&Draft::transfer(0, to, 5).sign(&AccountKey::faucet())).unwrap();
    assert_eq!(chain.head().number, 1);
    let receipt = result(&chain, "eth_getTransactionReceipt", &json!([hash]));
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(receipt["gasUsed"], "0x5208");
    assert_eq!(balance(&chain, to, "latest"), U256::from(5));
    assert_eq!(balance(&chain, to, "earliest"), U256::ZERO);
    let spent = U256::from(5) + U256::from(21_000) * U256::from(2_000_000_000u64);
    assert_eq!(balance(&chain, FAUCET_ADDRESS, "latest"), FAUCET_BALANCE - spent);
    assert_eq!(balance(&chain, AccountKey::dev_authority(0).address(), "0x1"), spent - U256::from(5));
}

#[test]
fn a_gap_waits_and_is_filled() {
    let chain = open(Mining::Instant, Hardfork::Istanbul);
    let faucet = AccountKey::faucet();
    let to = Address::repeat_byte(7);
    let later = chain.submit(&Draft::transfer(1, to, 1).sign(&faucet)).unwrap();
    assert_eq!(chain.head().number, 0);
    assert_eq!(result(&chain, "eth_getTransactionCount", &json!([FAUCET_ADDRESS, "pending"])), "0x0");
    assert!(result(&chain, "eth_getTransactionByHash", &json!([later]))["blockHash"].is_null());
    chain.submit(&Draft::transfer(0, to, 1).sign(&faucet)).unwrap();
    assert_eq!(chain.head().number, 1, "both fit into one block");
    assert_eq!(result(&chain, "eth_getTransactionCount", &json!([FAUCET_ADDRESS])), "0x2");
}

#[test]
fn refusals_have_the_texts_that_clients_look_for() {
    let chain = open(Mining::Manual, Hardfork::Istanbul);
    let faucet = AccountKey::faucet();
    let to = Address::repeat_byte(7);
    chain.submit(&Draft::transfer(0, to, 1).sign(&faucet)).unwrap();
    chain.mine().unwrap();
    let waiting = Draft::transfer(1, to, 1).sign(&faucet);
    chain.submit(&waiting).unwrap();
    let draft = |change: fn(&mut Draft)| {
        let mut draft = Draft::transfer(2, Address::repeat_byte(7), 1);
        change(&mut draft);
        draft
    };
    let cases = [
        (waiting, "already known"),
        (Draft::transfer(0, to, 1).sign(&faucet), "nonce too low"),
        (Draft::transfer(1, to, 2).sign(&faucet), "replacement transaction underpriced"),
        (Draft::transfer(0, to, 1).sign(&key(9)), "insufficient funds for gas * price + value"),
        (draft(|draft| draft.gas = 20_999).sign(&faucet), "intrinsic gas too low"),
        (draft(|draft| draft.gas = 10_000_001).sign(&faucet), "exceeds block gas limit"),
        (draft(|draft| draft.gas_price = 999_999).sign(&faucet), "underpriced"),
        (draft(|draft| draft.chain_id = Some(1)).sign(&faucet), "invalid chain id"),
        (draft(|_| ()).sign_type_1(&faucet), "transaction type not supported"),
        (draft(|_| ()).sign_type_2(&faucet), "transaction type not supported"),
        (draft(|draft| draft.input = vec![1; 130_000].into()).sign(&faucet), "intrinsic gas too low"),
        (draft(|draft| draft.input = vec![1; 140_000].into()).sign(&faucet), "oversized data"),
        (vec![0x05, 0xc0], "transaction type not supported"),
        (vec![], "typed transaction too short"),
    ];
    for (raw, text) in cases {
        let refused = chain.submit(&raw).unwrap_err().to_string();
        assert!(refused.contains(text), "{refused} instead of {text}");
    }
    let mut trailing = Draft::transfer(2, to, 1).sign(&faucet);
    trailing.push(0);
    assert!(matches!(chain.submit(&trailing), Err(SubmitError::Malformed(_))));
    // Deployments at the same address on every chain need transactions without a chain id.
    chain.submit(&draft(|draft| draft.chain_id = None).sign(&faucet)).unwrap();
}

#[test]
fn a_replacement_takes_the_place() {
    let chain = open(Mining::Manual, Hardfork::Istanbul);
    let faucet = AccountKey::faucet();
    let to = Address::repeat_byte(7);
    let first = chain.submit(&Draft::transfer(0, to, 1).sign(&faucet)).unwrap();
    let better = Draft { gas_price: 2_200_000_000, ..Draft::transfer(0, to, 2) };
    let second = chain.submit(&better.sign(&faucet)).unwrap();
    chain.mine().unwrap();
    assert!(result(&chain, "eth_getTransactionByHash", &json!([first])).is_null());
    assert!(!result(&chain, "eth_getTransactionReceipt", &json!([second])).is_null());
}

#[test]
fn a_full_block_leaves_the_rest_for_the_next() {
    let chain = open(Mining::Manual, Hardfork::Istanbul);
    for number in 1..=4 {
        let fund = Draft::transfer(u64::from(number) - 1, key(number).address(), 1 << 62);
        chain.submit(&fund.sign(&AccountKey::faucet())).unwrap();
    }
    chain.mine().unwrap();
    for number in 1..=4 {
        let draft = Draft { gas: 4_000_000, gas_price: 1_000_000, ..Draft::transfer(0, Address::ZERO, 1) };
        chain.submit(&draft.sign(&key(number))).unwrap();
    }
    let counts = [(); 2].map(|()| {
        let block = chain.mine().unwrap();
        number(&result(
            &chain,
            "eth_getBlockTransactionCountByNumber",
            &json!([format!("{:#x}", block.number)]),
        ))
    });
    assert_eq!(counts.iter().sum::<u64>(), 4);
    assert!(counts[0] >= 2);
}

#[test]
fn blocks_come_at_intervals_without_being_asked_for() {
    let mining = Mining::Interval(Duration::from_millis(20));
    let chain = Chain::open(Config { mining, ..Config::default() }).unwrap();
    let hash = chain.submit(&Draft::transfer(0, Address::ZERO, 1).sign(&AccountKey::faucet())).unwrap();
    for _ in 0..500 {
        if chain.head().number >= 3 {
            assert!(!result(&chain, "eth_getTransactionReceipt", &json!([hash])).is_null());
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("no blocks came");
}

#[test]
fn time_is_under_control() {
    let chain = open(Mining::Manual, Hardfork::Istanbul);
    assert_eq!(chain.mine().unwrap().timestamp, START);
    assert_eq!(chain.mine().unwrap().timestamp, START + 1, "each block needs a step of its own");
    assert_eq!(chain.increase_time(1000).unwrap(), 1000);
    assert_eq!(chain.mine().unwrap().timestamp, START + 1000);
    chain.set_next_time(START + 5000).unwrap();
    assert_eq!(chain.mine().unwrap().timestamp, START + 5000);
    assert!(
        matches!(chain.set_next_time(START), Err(ChainError::TooEarly { earliest }) if earliest == START + 5001)
    );
    assert!(matches!(chain.set_next_time(u64::MAX), Err(ChainError::TimeRange)));
    assert!(matches!(chain.increase_time(u64::MAX), Err(ChainError::TimeRange)));
    assert_eq!(chain.mine().unwrap().timestamp, START + 5001);
    result(&chain, "evm_mine", &json!([START + 9000]));
    assert_eq!(chain.head().timestamp, START + 9000);
}

#[test]
fn a_reorganisation_builds_another_branch() {
    for returned in [Returned::ToPool, Returned::Never] {
        let chain = open(Mining::Manual, Hardfork::Istanbul);
        let to = Address::repeat_byte(7);
        let mut hashes = Vec::new();
        let mut blocks = Vec::new();
        for nonce in 0..3 {
            hashes.push(chain.submit(&Draft::transfer(nonce, to, 1).sign(&AccountKey::faucet())).unwrap());
            blocks.push(chain.mine().unwrap());
        }
        let head = chain.reorg(2, returned).unwrap();
        assert_eq!(head, blocks[0]);
        assert_eq!(balance(&chain, to, "latest"), U256::from(1));
        assert!(result(&chain, "eth_getBlockByHash", &json!([blocks[2].hash, false])).is_null());
        assert!(result(&chain, "eth_getTransactionReceipt", &json!([hashes[2]])).is_null());
        let next = chain.mine().unwrap();
        assert!(next.number == 2 && next.hash != blocks[1].hash && next.timestamp > blocks[2].timestamp);
        let expected = if returned == Returned::ToPool { 3 } else { 1 };
        assert_eq!(balance(&chain, to, "latest"), U256::from(expected));
        assert!(matches!(chain.reorg(3, returned), Err(ChainError::TooDeep { depth: 3, height: 2 })));
        assert_eq!(chain.head(), next, "a refused reorganisation changes nothing");
    }
}

#[test]
fn snapshots_go_back_and_are_used_up() {
    let chain = open(Mining::Instant, Hardfork::Istanbul);
    let to = Address::repeat_byte(7);
    let id = result(&chain, "evm_snapshot", &json!([]));
    chain.submit(&Draft::transfer(0, to, 1).sign(&AccountKey::faucet())).unwrap();
    assert_eq!(result(&chain, "evm_revert", &json!([id])), true);
    assert_eq!((chain.head().number, balance(&chain, to, "latest")), (0, U256::ZERO));
    assert_eq!(result(&chain, "evm_revert", &json!([id])), false);
    chain.submit(&Draft::transfer(0, to, 2).sign(&AccountKey::faucet())).unwrap();
    assert_eq!(balance(&chain, to, "latest"), U256::from(2));
}

#[test]
fn contracts_run_log_revert_and_end() {
    let chain = open(Mining::Instant, Hardfork::Istanbul);
    let faucet = AccountKey::faucet();
    let mut nonce = 0;
    let mut send = |draft: fn(u64, Address, Bytes) -> Draft, to: Address, input: Bytes| {
        let hash = chain.submit(&draft(nonce, to, input).sign(&faucet)).unwrap();
        nonce += 1;
        result(&chain, "eth_getTransactionReceipt", &json!([hash]))
    };
    let create = |nonce, _, code| Draft::create(nonce, code);
    let mut deploy = |code: &[u8]| -> Address {
        let receipt = send(create, Address::ZERO, deploys(code));
        receipt["contractAddress"].as_str().unwrap().parse().unwrap()
    };
    let [store, load, revert, destroy] = [STORE_AND_LOG, LOAD, REVERT, DESTROY].map(&mut deploy);
    let receipt = send(Draft::call, store, words(3, 4));
    assert_eq!(receipt["logs"][0]["topics"][0], B256::from(U256::from(3)).to_string());
    let at = result(&chain, "eth_getStorageAt", &json!([store, "0x3", "latest"]));
    assert_eq!(at, B256::from(U256::from(4)).to_string());
    let found = result(&chain, "eth_getLogs", &json!([{ "fromBlock": "0x0", "address": store }]));
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(send(Draft::call, revert, Bytes::new())["status"], "0x0");
    assert_eq!(result(&chain, "eth_getCode", &json!([destroy])), "0x33ff");
    send(Draft::call, destroy, Bytes::new());
    assert_eq!(result(&chain, "eth_getCode", &json!([destroy])), "0x");
    assert_eq!(result(&chain, "eth_getCode", &json!([destroy, "0x4"])), "0x33ff");
    let answer = call(&chain, "eth_call", &json!([{ "to": revert, "data": "0x1234" }]));
    assert_eq!((&answer["error"]["code"], &answer["error"]["data"]), (&json!(3), &json!("0x1234")));
    let gas = number(&result(&chain, "eth_estimateGas", &json!([{ "to": store, "data": words(9, 9) }])));
    let used = number(&send(Draft::call, store, words(9, 9))["gasUsed"]);
    assert!(gas >= used && gas < used + used / 10, "estimated {gas}, used {used}");
    assert_eq!(word(&result(&chain, "eth_call", &json!([{ "to": load }]))), U256::ZERO);
}

#[test]
fn proofs_hold_at_every_block() {
    let chain = open(Mining::Instant, Hardfork::Istanbul);
    let faucet = AccountKey::faucet();
    chain.submit(&Draft::create(0, deploys(STORE_AND_LOG)).sign(&faucet)).unwrap();
    let store = FAUCET_ADDRESS.create(0);
    for nonce in 1..20 {
        chain.submit(&Draft::call(nonce, store, words(nonce % 7, nonce)).sign(&faucet)).unwrap();
    }
    for height in 0..=chain.head().number {
        let at = format!("{height:#x}");
        let root: B256 = result(&chain, "eth_getBlockByNumber", &json!([at, false]))["stateRoot"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let keys: Vec<B256> = (0..8u64).map(|slot| B256::from(U256::from(slot))).collect();
        for address in [store, FAUCET_ADDRESS, Address::repeat_byte(0xee)] {
            let proof = result(&chain, "eth_getProof", &json!([address, keys, at]));
            let nodes = |value: &serde_json::Value| -> Vec<Bytes> {
                value.as_array().unwrap().iter().map(|node| bytes(node).into()).collect()
            };
            let storage_root: B256 = proof["storageHash"].as_str().unwrap().parse().unwrap();
            let account = TrieAccount::new(
                number(&proof["nonce"]),
                word(&proof["balance"]),
                storage_root,
                proof["codeHash"].as_str().unwrap().parse().unwrap(),
            );
            let value = (account != TrieAccount::default()).then(|| alloy_rlp::encode(account));
            verify_proof(root, Nibbles::unpack(keccak256(address)), value, &nodes(&proof["accountProof"]))
                .unwrap();
            for (key, slot) in keys.iter().zip(proof["storageProof"].as_array().unwrap()) {
                let word = word(&slot["value"]);
                let value = (!word.is_zero()).then(|| alloy_rlp::encode(word));
                let nodes = nodes(&slot["proof"]);
                assert_eq!(nodes.is_empty(), storage_root == EMPTY_ROOT_HASH);
                verify_proof(storage_root, Nibbles::unpack(keccak256(key)), value, &nodes).unwrap();
            }
        }
    }
}

#[test]
fn every_hardfork_mines_what_it_knows() {
    let faucet = AccountKey::faucet();
    for hardfork in [
        Hardfork::Istanbul,
        Hardfork::Berlin,
        Hardfork::London,
        Hardfork::Paris,
        Hardfork::Shanghai,
        Hardfork::Cancun,
        Hardfork::Prague,
        Hardfork::Osaka,
    ] {
        let chain = open(Mining::Instant, hardfork);
        let to = Address::repeat_byte(7);
        chain.submit(&Draft::transfer(0, to, 1).sign(&faucet)).unwrap();
        let typed = [
            (Hardfork::Berlin, Draft::transfer(1, to, 1).sign_type_1(&faucet)),
            (Hardfork::London, Draft::transfer(2, to, 1).sign_type_2(&faucet)),
        ];
        for (since, raw) in typed {
            let outcome = chain.submit(&raw);
            assert_eq!(outcome.is_ok(), hardfork >= since, "{hardfork:?}: {outcome:?}");
        }
        let head = result(&chain, "eth_getBlockByNumber", &json!(["latest", true]));
        assert_eq!(head.get("sealFields").is_some(), hardfork < Hardfork::Paris);
        assert_eq!(head.get("baseFeePerGas").is_some(), hardfork >= Hardfork::London);
        assert_eq!(head.get("requestsHash").is_some(), hardfork >= Hardfork::Prague);
        let header = bytes(&result(&chain, "debug_getRawHeader", &json!(["latest"])));
        assert_eq!(keccak256(header).to_string(), head["hash"].as_str().unwrap());
    }
}

#[test]
fn contradictory_configurations_are_refused() {
    let config = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        Chain::open(config)
    };
    let bad = [
        config(|config| config.step = Duration::ZERO),
        config(|config| config.step = Duration::from_millis(1500)),
        config(|config| config.mining = Mining::Interval(Duration::ZERO)),
    ];
    for outcome in bad {
        assert!(matches!(outcome, Err(OpenError::Config(_))));
    }
    let rich = GenesisAccount { balance: U256::from(1), ..GenesisAccount::default() };
    let genesis = BTreeMap::from([(key(1).address(), rich)]);
    let chain = Chain::open(Config { genesis, ..Config::default() }).unwrap();
    assert_eq!(balance(&chain, FAUCET_ADDRESS, "latest"), U256::ZERO);
}
