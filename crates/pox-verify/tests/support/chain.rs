//! A chain that seals as Aura does, over real Merkle-Patricia tries.

use super::{BLOCK_SECONDS, START, authority};
use alloy_primitives::{Address, B256, Bloom, U256, keccak256};
use alloy_rlp::{Encodable, Header as RlpHeader};
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{HashBuilder, Nibbles, TrieAccount};
use k256::ecdsa::SigningKey;
use pox_core::signature::{Signature, address_of};
use pox_core::{History, TaskId};
use std::collections::BTreeMap;

/// Enough neighbours that the tries have branches on two levels.
const NEIGHBOURS: u64 = 40;

pub fn code_hash() -> B256 {
    keccak256("the contract's code")
}

/// The state of the chain at one block.
pub struct State {
    pub contract: Address,
    pub account: Option<TrieAccount>,
    /// Key and word of the contract's storage.
    pub storage: BTreeMap<B256, U256>,
    pub slot: B256,
    /// Changes the nodes of account and storage proof.
    pub nodes: fn(&mut Vec<Vec<u8>>, &mut Vec<Vec<u8>>),
}

impl State {
    pub fn new(contract: Address, task: TaskId, history: History) -> Self {
        let base = keccak256([task.as_bytes().as_slice(), &[0; 32]].concat());
        let slot = B256::from(U256::from_be_bytes(base.0).wrapping_add(U256::from(3)));
        let neighbours = (0..NEIGHBOURS).map(|i| (keccak256(i.to_be_bytes()), U256::from(i + 1)));
        let storage = neighbours.chain([(slot, U256::from_be_bytes(history.0.0))]).collect();
        let account = TrieAccount {
            nonce: 1,
            balance: U256::from(77),
            code_hash: code_hash(),
            ..TrieAccount::default()
        };
        Self { contract, account: Some(account), storage, slot, nodes: |_, _| {} }
    }

    /// State root, account proof, storage proof.
    pub fn prove(&self) -> (B256, Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let words = self.storage.iter().map(|(slot, word)| (keccak256(slot), alloy_rlp::encode(word)));
        let (storage_root, mut storage) = prove(words.collect(), keccak256(self.slot));
        let neighbour = |i: u64| {
            let account = TrieAccount { nonce: i, balance: U256::from(i), ..TrieAccount::default() };
            (keccak256(Address::from_word(keccak256(i.to_le_bytes()))), alloy_rlp::encode(account))
        };
        let mut accounts: BTreeMap<B256, Vec<u8>> = (0..NEIGHBOURS).map(neighbour).collect();
        let key = keccak256(self.contract);
        if let Some(account) = self.account {
            accounts.insert(key, alloy_rlp::encode(TrieAccount { storage_root, ..account }));
        }
        let (root, mut account) = prove(accounts, key);
        (self.nodes)(&mut account, &mut storage);
        (root, account, storage)
    }
}

/// Root of a trie, and the proof of a key.
pub fn prove(leaves: BTreeMap<B256, Vec<u8>>, key: B256) -> (B256, Vec<Vec<u8>>) {
    let retainer = ProofRetainer::new(vec![Nibbles::unpack(key)]);
    let mut builder = HashBuilder::default().with_proof_retainer(retainer);
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), &value);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes().into_nodes_sorted();
    (root, nodes.into_iter().map(|(_, node)| node.to_vec()).collect())
}

/// A header before it is sealed.
#[derive(Clone)]
pub struct HeaderDraft {
    pub parent: Option<B256>,
    pub author: Option<Address>,
    pub sealer: Option<SigningKey>,
    pub state_root: B256,
    pub number: u64,
    pub time: u64,
    pub step: Option<u64>,
    pub difficulty: Option<U256>,
    pub base_fee: Option<u64>,
    pub ethash: bool,
    pub receipts_root: B256,
    pub bloom: Bloom,
    /// Who seals, by the authorities' numbers, in the order of their steps.
    pub set: Vec<usize>,
}

impl HeaderDraft {
    pub fn at(number: u64, state_root: B256) -> Self {
        Self {
            parent: None,
            author: None,
            sealer: None,
            state_root,
            number,
            time: START + number * BLOCK_SECONDS,
            step: None,
            difficulty: None,
            base_fee: None,
            ethash: false,
            receipts_root: keccak256("receipts"),
            bloom: Bloom::ZERO,
            set: (0..super::AUTHORITIES).collect(),
        }
    }
}

/// What the first header of a run names as its parent.
pub fn parent_of_first() -> B256 {
    keccak256("the block before")
}

/// Links, seals and encodes headers.
pub fn seal(drafts: Vec<HeaderDraft>) -> Vec<Vec<u8>> {
    let mut before: Option<(B256, u64)> = None;
    let mut headers = Vec::new();
    for draft in drafts {
        let step = draft.step.unwrap_or(draft.time / BLOCK_SECONDS);
        let (parent, parent_step) = before.unwrap_or((parent_of_first(), step.wrapping_sub(1)));
        let header = encode(&draft, draft.parent.unwrap_or(parent), parent_step, step);
        before = Some((keccak256(&header), step));
        headers.push(header);
    }
    headers
}

fn encode(draft: &HeaderDraft, parent: B256, parent_step: u64, step: u64) -> Vec<u8> {
    let turn = authority(draft.set[(step % draft.set.len() as u64) as usize]);
    let sealer = draft.sealer.clone().unwrap_or_else(|| turn.clone());
    let author = draft.author.unwrap_or_else(|| address_of(turn.verifying_key()));
    let usual = U256::from(u128::MAX) + U256::from(parent_step) - U256::from(step);
    let mut common = Vec::new();
    let fields: [&dyn Encodable; 13] = [
        &parent,
        &keccak256("no uncles"),
        &author,
        &draft.state_root,
        &keccak256("transactions"),
        &draft.receipts_root,
        &draft.bloom,
        &draft.difficulty.unwrap_or(usual),
        &draft.number,
        &8_000_000u64,
        &21_000u64,
        &draft.time,
        &alloy_primitives::Bytes::from_static(b"test"),
    ];
    fields.iter().for_each(|field| field.encode(&mut common));
    let mut later = Vec::new();
    if let Some(base_fee) = draft.base_fee {
        base_fee.encode(&mut later);
    }
    let bare = keccak256(list(&[&common, &later]));
    let mut seal = Vec::new();
    if draft.ethash {
        B256::repeat_byte(3).encode(&mut seal);
        alloy_primitives::B64::ZERO.encode(&mut seal);
    } else {
        let mut signature = Signature::sign(&sealer, bare).to_bytes();
        signature[64] -= 27;
        step.encode(&mut seal);
        signature.encode(&mut seal);
    }
    list(&[&common, &seal, &later])
}

pub fn list(parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let mut out = Vec::new();
    RlpHeader { list: true, payload_length: payload.len() }.encode(&mut out);
    out.extend(payload);
    out
}
