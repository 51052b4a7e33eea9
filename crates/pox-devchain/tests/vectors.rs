//! A chain that another client recorded, from Homestead to Osaka, and that client's answers about it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use pox_devchain::Chain;
use serde_json::Value;

use crate::support::result;

/// One recorded exchange.
struct Exchange {
    request: Value,
    response: Value,
    /// The recorded answer shows only the form: the specification leaves the content to the client.
    form_only: bool,
}

#[test]
fn every_block_runs_to_the_recorded_roots() {
    let chain = recorded();
    // Opening checks state root, receipts root, gas, bloom and requests of each block.
    let head = chain.head();
    assert_eq!(head.number, 54);
    let forkchoice: Value = serde_json::from_str(&read("headfcu.json")).unwrap();
    assert_eq!(forkchoice["params"][0]["headBlockHash"], head.hash.to_string());
}

#[test]
fn a_changed_block_is_refused() {
    let genesis = read("genesis.json");
    let blocks = fs::read(folder().join("chain.rlp")).unwrap();
    for at in (0..blocks.len()).step_by(4999) {
        let mut changed = blocks.clone();
        changed[at] ^= 1;
        assert!(Chain::open_recorded(&genesis, &changed).is_err(), "byte {at}");
    }
    assert!(Chain::open_recorded(&genesis, &blocks[..blocks.len() - 1]).is_err());
}

#[test]
fn every_recorded_exchange_is_answered_alike() {
    let chain = recorded();
    let mut files = 0;
    let mut failures = Vec::new();
    for method in
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        for file in fs::read_dir(method).unwrap().map(|entry| entry.unwrap().path()) {
            files += 1;
            for exchange in parse(&fs::read_to_string(&file).unwrap()) {
                let request = exchange.request.to_string();
                let answer: Value = serde_json::from_slice(&chain.rpc(request.as_bytes())).unwrap();
                let name = file.strip_prefix(folder()).unwrap().display().to_string();
                if let Err(difference) = compare(&answer, &exchange) {
                    failures.push(format!("{name}: {difference}"));
                }
            }
        }
    }
    assert!(files >= 46, "only {files} files were found");
    assert!(failures.is_empty(), "{} of {files} differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_bytes_that_are_served_are_those_that_were_recorded() {
    let chain = recorded();
    let blocks = fs::read(folder().join("chain.rlp")).unwrap();
    let mut rest = &blocks[..];
    for number in 1..=54 {
        let raw = result(&chain, "debug_getRawBlock", &serde_json::json!([format!("{number:#x}")]));
        let raw = hex::decode(raw.as_str().unwrap().trim_start_matches("0x")).unwrap();
        rest = rest.strip_prefix(&raw[..]).unwrap_or_else(|| panic!("block {number} differs"));
    }
    assert!(rest.is_empty());
}

fn compare(answer: &Value, exchange: &Exchange) -> Result<(), String> {
    let expected = &exchange.response;
    if exchange.form_only {
        let alike = same_form(answer, expected);
        return if alike {
            Ok(())
        } else {
            Err(format!("another form\n ours   {answer}\n theirs {expected}"))
        };
    }
    if answer == expected {
        return Ok(());
    }
    Err(format!("\n ours   {}\n theirs {}", cut(answer), cut(expected)))
}

/// Whether both have the same fields with values of the same types, and as many elements.
fn same_form(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && theirs.iter().all(|(name, value)| ours.get(name).is_some_and(|own| same_form(own, value)))
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(own, value)| same_form(own, value))
        }
        _ => std::mem::discriminant(ours) == std::mem::discriminant(theirs),
    }
}

fn cut(value: &Value) -> String {
    value.to_string().chars().take(1500).collect()
}

fn parse(text: &str) -> Vec<Exchange> {
    let form_only = text.lines().any(|line| line.starts_with("// speconly"));
    let mut exchanges = Vec::new();
    let mut request = None;
    for line in text.lines() {
        if let Some(json) = line.strip_prefix(">> ") {
            request = Some(serde_json::from_str(json).unwrap());
        } else if let Some(json) = line.strip_prefix("<< ") {
            let response = serde_json::from_str(json).unwrap();
            exchanges.push(Exchange { request: request.take().unwrap(), response, form_only });
        }
    }
    assert!(!exchanges.is_empty());
    exchanges
}

fn recorded() -> Chain {
    let blocks = fs::read(folder().join("chain.rlp")).unwrap();
    Chain::open_recorded(&read("genesis.json"), &blocks).unwrap()
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/execution-apis")
}
