//! The judge, and what it reads.

use crate::made;
use crate::support::{NOW, anchors};
use pox_core::keccak256;
use pox_core::proof::{ChainProof, MAGIC, Proof};
use pox_verify::chain::Header;
use pox_verify::{Grade, Policy, verify};
use sha2::{Digest, Sha256};

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
    if let (Some(old), Some(new)) = (proof.chain.account.first(), nodes.first()) {
        let (old, new) = (keccak256(old), keccak256(new));
        replace(&mut proof.chain.header, old.as_slice(), new.as_slice());
    }
    proof.chain = ChainProof { account: nodes, storage, ..proof.chain };
    judged(&proof.to_bytes());
}

pub(crate) fn trie_seeds() -> Vec<Vec<u8>> {
    let chain = made::proof().chain;
    let mut nodes = [chain.account.clone(), chain.storage].concat();
    for at in 1..nodes.len() {
        let hash = keccak256(&nodes[at]);
        replace(&mut nodes[at - 1], hash.as_slice(), &NEXT);
    }
    assert!(nodes.iter().rev().skip(1).all(|node| node.windows(32).any(|bytes| bytes == NEXT)));
    let nodes: Vec<&[u8]> = nodes.iter().map(Vec::as_slice).collect();
    vec![[&[chain.account.len() as u8][..], &pox_fuzz::parts(&nodes)].concat()]
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
