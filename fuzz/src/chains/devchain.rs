//! The embedded chain.

use alloy_consensus::{SignableTransaction, Signed, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Signature, TxKind, U256};
use pox_devchain::{AccountKey, Chain, Clock, Config, EMBEDDED_CHAIN_ID};
use pox_fuzz::repository;
use std::fs;

/// A chain of its own for each run, so that a crash depends on one input.
fn chain() -> Chain {
    let config = Config { clock: Clock::Manual(1_700_000_000), ..Config::default() };
    Chain::open(config).expect("a chain in memory opens")
}

/// The input is JSON-RPC questions, one a line.
pub(crate) fn rpc(input: &[u8]) {
    let chain = chain();
    for question in input.split(|byte| *byte == b'\n').take(8) {
        let answer = chain.rpc(question);
        let is_json = serde_json::from_slice::<serde_json::Value>(&answer).is_ok();
        // Nothing but notifications gets no answer.
        assert!(is_json || answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    }
}

/// One file for each method: questions stand behind `>>`.
pub(crate) fn rpc_seeds() -> Vec<Vec<u8>> {
    let vectors = repository("crates/pox-devchain/tests/vectors/execution-apis");
    let mut folders: Vec<_> = fs::read_dir(vectors)
        .expect("the vectors")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let mut seeds = vec![];
    for folder in folders {
        let mut files: Vec<_> =
            fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        for file in files {
            let text = fs::read_to_string(file).expect("a vector");
            let questions: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(">> ")).collect();
            let questions = questions.join("\n").into_bytes();
            if questions.len() < 4096 {
                seeds.push(questions);
            }
        }
    }
    let raw: String = transaction_seeds()[0].iter().map(|byte| format!("{byte:02x}")).collect();
    for (method, params) in [
        ("eth_sendRawTransaction", format!("[\"0x{raw}\"]")),
        ("evm_increaseTime", "[60]".into()),
        ("evm_mine", "[]".into()),
        ("evm_snapshot", "[]".into()),
        ("eth_newFilter", "[{\"fromBlock\":\"earliest\"}]".into()),
    ] {
        let question =
            format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\",\"params\":{params}}}");
        seeds.push(question.into_bytes());
    }
    seeds
}

pub(crate) fn transaction(input: &[u8]) {
    let chain = chain();
    let before = chain.head().number;
    if chain.submit(input).is_err() {
        assert_eq!(chain.head().number, before, "a refused transaction made a block");
    }
}

/// Transactions of the account that everybody has the key of: a payment and a contract.
pub(crate) fn transaction_seeds() -> Vec<Vec<u8>> {
    let sent = |to: TxKind, input: &'static [u8]| {
        let transaction = TxLegacy {
            chain_id: Some(EMBEDDED_CHAIN_ID),
            nonce: 0,
            gas_price: 1_000_000_000,
            gas_limit: 1_000_000,
            to,
            value: U256::from(1),
            input: input.into(),
        };
        let signature = AccountKey::faucet().sign(&transaction.signature_hash()).expect("it can be signed");
        let signature = Signature::from_raw(&signature).expect("a signature");
        let signed: Signed<TxLegacy> = transaction.into_signed(signature);
        TxEnvelope::from(signed).encoded_2718()
    };
    vec![
        sent(TxKind::Call(Address::repeat_byte(3)), b""),
        // Stores one, returns nothing.
        sent(TxKind::Create, &[0x60, 0x01, 0x60, 0x00, 0x55, 0x00]),
    ]
}

/// The input is a genesis file, a zero byte, and blocks.
pub(crate) fn import(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (genesis, blocks) = input.split_at(end);
    if let Ok(genesis) = std::str::from_utf8(genesis) {
        let _ = Chain::open_recorded(genesis, blocks.get(1..).unwrap_or_default());
    }
}

/// The recorded chain's genesis with its first blocks: two kilobytes are about four of them.
pub(crate) fn import_seeds() -> Vec<Vec<u8>> {
    let vectors = repository("crates/pox-devchain/tests/vectors/execution-apis");
    let genesis = fs::read(vectors.join("genesis.json")).expect("the vectors");
    let blocks = fs::read(vectors.join("chain.rlp")).expect("the vectors");
    vec![[&genesis[..], &[0], &blocks[..2048]].concat(), genesis]
}
