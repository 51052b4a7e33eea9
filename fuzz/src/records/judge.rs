//! The judge, and what it reads.

use crate::made;
use crate::support::{NOW, anchors};
use pox_core::keccak256;
use pox_core::proof::{HistoryProof, MAGIC, Proof, StateProof};
use pox_verify::chain::{Header, receipt, unpack};
use pox_verify::disclosure::Disclosure;
use pox_verify::{Grade, Policy, verify};
use sha2::{Digest, Sha256};
use std::fs;

pub(crate) fn proof(input: &[u8]) {
    if let Ok(proof) = Proof::parse(input) {
        assert_eq!(proof.to_bytes(), input);
        judged(input);
    }
}

/// The input is a proof's body: no mutation could guess the digest in front of it.
pub(crate) fn verdict(input: &[u8]) {
    judged(&[MAGIC.as_slice(), &Sha256::digest(input), input].concat());
}

/// The anchors' chain is an embedded one, so nothing can be graded better than simulated.
fn judged(file: &[u8]) {
    let verdict = verify(file, &anchors(), Grade::Simulated, NOW);
    assert!(verdict.grade <= Grade::Simulated, "{:?}", verdict.grade);
    assert!(serde_json::to_vec(&verdict).is_ok());
}

/// A disclosure in its one form is shown or refused, and what is shown stays inside its dataset.
pub(crate) fn disclosure(input: &[u8]) {
    let Ok(disclosure) = Disclosure::parse(input) else { return };
    assert_eq!(disclosure.to_bytes(), input);
    if let Ok(shown) = disclosure.verify() {
        assert!(shown.files.iter().all(|file| !file.path.starts_with(b"/") && !file.path.is_empty()));
    }
}

/// The spec's vectors, forgeries too.
pub(crate) fn disclosures() -> Vec<Vec<u8>> {
    let files = fs::read_dir(pox_fuzz::repository("spec/vectors/disclosure")).expect("the spec has vectors");
    let bytes = files.map(|file| {
        let text = fs::read_to_string(file.expect("it can be read").path()).expect("it can be read");
        let case: serde_json::Value = serde_json::from_str(&text).expect("vectors are JSON");
        let digits = case["file"].as_str().and_then(|text| text.strip_prefix("0x")).expect("a file");
        let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits"));
        pairs.map(|pair| u8::from_str_radix(pair, 16).expect("digits")).collect()
    });
    bytes.collect()
}

pub(crate) fn header(input: &[u8]) {
    if let Ok(header) = Header::parse(input) {
        assert_eq!(header.hash, keccak256(input));
    }
}

/// The input is how many nodes lead to the account, and the nodes to the account and on to the history word. Where a node
/// names the next one by its hash, the input has [`NEXT`], and the hash is put there.
pub(crate) fn trie(mut input: &[u8]) {
    let to_account = usize::from(pox_fuzz::byte(&mut input));
    let mut nodes = Vec::new();
    while !input.is_empty() && nodes.len() < 130 {
        nodes.push(pox_fuzz::part(&mut input).to_vec());
    }
    for at in (1..nodes.len()).rev() {
        let hash = keccak256(&nodes[at]);
        replace(&mut nodes[at - 1], &NEXT, hash.as_slice());
    }
    let storage = nodes.split_off(to_account.min(nodes.len()));
    let mut proof = made::proof();
    if let (Some(old), Some(new)) = (made::state().account.first(), nodes.first()) {
        let (old, new) = (keccak256(old), keccak256(new));
        replace(&mut proof.chain.runs[0], old.as_slice(), new.as_slice());
    }
    proof.chain.history = HistoryProof::State(StateProof { account: nodes, storage });
    judged(&proof.to_bytes());
}

/// A packed run is refused, or is the one form of linked headers.
pub(crate) fn run(input: &[u8]) {
    if let Ok(headers) = unpack(input) {
        for pair in headers.windows(2) {
            assert_eq!((pair[1].parent, pair[1].number), (pair[0].hash, pair[0].number + 1));
            assert!(pair[1].time >= pair[0].time);
        }
    }
}

/// The input is the log's place, and a receipt.
pub(crate) fn receipt_log(mut input: &[u8]) {
    let place = u32::from(pox_fuzz::byte(&mut input));
    if let Ok(log) = receipt::log(input, place) {
        assert!(log.content.topics().len() <= 4);
    }
}

/// The input is a run and nodes of a receipt, put in the place of the first change of the authorities; where a node, or the first
/// header, names the next by its hash, the input has [`NEXT`].
pub(crate) fn change(mut input: &[u8]) {
    let mut run = pox_fuzz::part(&mut input).to_vec();
    let mut nodes = Vec::new();
    while !input.is_empty() && nodes.len() < 10 {
        nodes.push(pox_fuzz::part(&mut input).to_vec());
    }
    for at in (1..nodes.len()).rev() {
        let hash = keccak256(&nodes[at]);
        replace(&mut nodes[at - 1], &NEXT, hash.as_slice());
    }
    if let Some(root) = nodes.first().map(keccak256) {
        replace(&mut run, &NEXT, root.as_slice());
    }
    let mut proof = made::changed();
    proof.chain.changes[0].run = run;
    proof.chain.changes[0].announcement.nodes = nodes;
    judged(&proof.to_bytes());
}

pub(crate) fn change_seeds() -> Vec<Vec<u8>> {
    let change = made::changed().chain.changes.remove(0);
    let mut nodes = change.announcement.nodes;
    let mut run = change.run;
    replace(&mut run, keccak256(&nodes[0]).as_slice(), &NEXT);
    for at in 1..nodes.len() {
        let hash = keccak256(&nodes[at]);
        replace(&mut nodes[at - 1], hash.as_slice(), &NEXT);
    }
    let parts: Vec<&[u8]> = [run.as_slice()].into_iter().chain(nodes.iter().map(Vec::as_slice)).collect();
    vec![pox_fuzz::parts(&parts)]
}

pub(crate) fn trie_seeds() -> Vec<Vec<u8>> {
    let state = made::state();
    let mut nodes = [state.account.clone(), state.storage].concat();
    for at in 1..nodes.len() {
        let hash = keccak256(&nodes[at]);
        replace(&mut nodes[at - 1], hash.as_slice(), &NEXT);
    }
    assert!(nodes.iter().rev().skip(1).all(|node| node.windows(32).any(|bytes| bytes == NEXT)));
    let nodes: Vec<&[u8]> = nodes.iter().map(Vec::as_slice).collect();
    vec![[&[state.account.len() as u8][..], &pox_fuzz::parts(&nodes)].concat()]
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    if let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

const NEXT: [u8; 32] = *b"the hash of the node after this.";

pub(crate) fn policy(input: &[u8]) {
    if let Ok(policy) = Policy::from_written(input) {
        let canonical = policy.canonical_bytes();
        assert_eq!(Policy::parse(&canonical), Ok(policy));
    }
    if let Ok(policy) = Policy::parse(input) {
        assert_eq!(policy.canonical_bytes(), input);
    }
}
