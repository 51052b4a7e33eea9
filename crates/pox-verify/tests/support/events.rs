//! Receipts: of a task's steps, and of changes of the authorities.

use super::chain::{HeaderDraft, list, parent_of_first, seal};
use super::{AUTHORITIES, address, authorities};
use alloy_primitives::{Address, B256, Bloom, BloomInput, Bytes, LogData, U256, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{HashBuilder, Nibbles};
use pox_core::history::{Payload, Step};
use pox_core::proof::{ChangeProof, ReceiptProof};
use pox_core::receipt::{Receipt, archive_hash};
use pox_core::{Amount, Domain, Event, Offer, Request, TaskId};
use pox_verify::chain::authorities::ANNOUNCEMENT;
use pox_verify::chain::pack;
use std::collections::BTreeMap;

/// Receipts of other transactions in each block, so that the tries have branches.
const NEIGHBOURS: u32 = 3;

/// A log, and where it stands.
#[derive(Clone)]
pub struct EventDraft {
    pub number: u64,
    pub index: u32,
    pub address: Address,
    pub log: LogData,
    /// Logs of the same receipt before it.
    pub before: Vec<(Address, LogData)>,
    /// Changes what shows it.
    pub proven: fn(&mut ReceiptProof),
}

/// A block's receipts by their places, each a list of logs.
#[derive(Default)]
pub struct Block(BTreeMap<u32, Vec<(Address, LogData)>>);

impl Block {
    pub fn root(&self) -> B256 {
        self.prove(0).0
    }

    pub fn bloom(&self) -> Bloom {
        let mut bloom = Bloom::ZERO;
        for (address, log) in self.0.values().flatten() {
            bloom.accrue(BloomInput::Raw(address.as_slice()));
            log.topics().iter().for_each(|topic| bloom.accrue(BloomInput::Raw(topic.as_slice())));
        }
        bloom
    }

    fn receipts(&self) -> BTreeMap<Nibbles, Vec<u8>> {
        let last = self.0.keys().max().copied().unwrap_or(0) + NEIGHBOURS;
        let key = |index: u32| Nibbles::unpack(alloy_rlp::encode(index));
        let none = Vec::new();
        (0..=last).map(|index| (key(index), receipt(index, self.0.get(&index).unwrap_or(&none)))).collect()
    }

    pub fn prove(&self, index: u32) -> (B256, Vec<Vec<u8>>) {
        let retainer = ProofRetainer::new(vec![Nibbles::unpack(alloy_rlp::encode(index))]);
        let mut builder = HashBuilder::default().with_proof_retainer(retainer);
        self.receipts().iter().for_each(|(key, receipt)| builder.add_leaf(*key, receipt));
        let root = builder.root();
        let nodes = builder.take_proof_nodes().into_nodes_sorted();
        (root, nodes.into_iter().map(|(_, node)| node.to_vec()).collect())
    }
}

/// Every second one is of type 2.
fn receipt(index: u32, logs: &[(Address, LogData)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (address, log) in logs {
        let mut topics = Vec::new();
        log.topics().iter().for_each(|topic| topic.encode(&mut topics));
        let mut fields = Vec::new();
        address.encode(&mut fields);
        fields.extend(list(&[&topics]));
        log.data.encode(&mut fields);
        all.extend(list(&[&fields]));
    }
    let mut body = Vec::new();
    true.encode(&mut body);
    (21_000 * u64::from(index + 1)).encode(&mut body);
    Bloom::ZERO.encode(&mut body);
    body.extend(list(&[&all]));
    let kind: &[u8] = if index % 2 == 1 { &[2] } else { &[] };
    [kind, &list(&[&body])].concat()
}

/// The events that the contract emits for the steps of a task.
#[allow(clippy::too_many_arguments, reason = "everything that events are made of")]
pub fn of_steps(
    domain: &Domain,
    request: &Request,
    offer: &Offer,
    enclave: Address,
    evidence: &[u8],
    secrets: &[B256],
    receipt: &Receipt,
    archive: &[u8],
    steps: &[Step],
) -> Vec<EventDraft> {
    let task: TaskId = request.id(domain);
    let event = |step: &Step| match step.code {
        1 => Event::Requested { task, request: Box::new(request.clone()) },
        2 => Event::Matched {
            task,
            offer: offer.id(domain),
            processor: offer.processor,
            enclave,
            evidence: keccak256(evidence),
            bond: Amount::from_wei(5000).unwrap(),
        },
        3 => Event::Rejected {
            task,
            processor: offer.processor,
            account: Address::from_slice(&step.payload[11..31]),
            enclave,
            reason: step.payload[31],
        },
        4 => Event::Approved { task, enclave, secret: secrets[0] },
        8 => {
            let parties = request.parties().zip(secrets).map(|((_, account), secret)| (account, *secret));
            let is_told = |(account, secret): &(Address, B256)| {
                let (account, secret) = (*account, *secret);
                Payload::Release { account, enclave, secret }.word() == step.payload
            };
            let (account, secret) = parties.into_iter().find(is_told).unwrap();
            Event::Released { task, account, enclave, secret, missing: 0 }
        }
        5 | 9 => Event::Proven {
            task,
            processor: offer.processor,
            receipt: Box::new(receipt.to_abi()),
            archive: archive_hash(archive),
        },
        _ => Event::Cancelled { task },
    };
    let draft = |(index, step): (u32, &Step)| EventDraft {
        number: step.at.number,
        index,
        address: domain.contract,
        log: event(step).to_log(),
        before: vec![(address("another contract"), LogData::new_unchecked(vec![], Bytes::from_static(b"x")))],
        proven: |_| {},
    };
    (1..).zip(steps).map(draft).collect()
}

pub fn blocks(events: &[EventDraft]) -> BTreeMap<u64, Block> {
    let mut blocks: BTreeMap<u64, Block> = BTreeMap::new();
    for event in events {
        let logs = blocks.entry(event.number).or_default().0.entry(event.index).or_default();
        logs.extend(event.before.clone());
        logs.push((event.address, event.log.clone()));
    }
    blocks
}

impl EventDraft {
    pub fn proof(&self, blocks: &BTreeMap<u64, Block>) -> ReceiptProof {
        let logs = &blocks[&self.number].0[&self.index];
        let log = logs.iter().position(|(_, log)| *log == self.log).unwrap() as u32;
        let (_, nodes) = blocks[&self.number].prove(self.index);
        let mut proof = ReceiptProof { index: self.index, log, nodes };
        (self.proven)(&mut proof);
        proof
    }
}

/// A change of the authorities, while it is made.
#[derive(Clone)]
pub struct ChangeDraft {
    /// The new set, by the authorities' numbers.
    pub set: Vec<usize>,
    /// The announcing block.
    pub number: u64,
    /// Headers after it.
    pub later: u64,
    pub announcer: Address,
    pub parent: B256,
    pub topic: B256,
    /// Logs of the same receipt after it.
    pub after: Vec<(Address, LogData)>,
    pub headers: fn(&mut Vec<HeaderDraft>),
    pub proven: fn(&mut ReceiptProof),
}

impl Default for ChangeDraft {
    fn default() -> Self {
        Self {
            set: vec![3, 1, 4, 2],
            number: 3,
            later: 1,
            announcer: address("announcer"),
            parent: parent_of_first(),
            topic: ANNOUNCEMENT,
            after: Vec::new(),
            headers: |_| {},
            proven: |_| {},
        }
    }
}

impl ChangeDraft {
    /// The event of the change.
    pub fn log(&self) -> LogData {
        let mut data = Vec::new();
        data.extend(U256::from(32).to_be_bytes::<32>());
        data.extend(U256::from(self.set.len()).to_be_bytes::<32>());
        for account in authorities(self.set.iter().copied()) {
            data.extend(account.into_word());
        }
        LogData::new_unchecked(vec![self.topic, self.parent], data.into())
    }

    pub fn block(&self) -> Block {
        let logs = [vec![(self.announcer, self.log())], self.after.clone()].concat();
        Block(BTreeMap::from([(1, logs)]))
    }

    pub fn build(&self) -> ChangeProof {
        let block = self.block();
        let mut headers: Vec<HeaderDraft> = (self.number..=self.number + self.later)
            .map(|n| HeaderDraft::at(n, keccak256("state")))
            .collect();
        headers[0].receipts_root = block.root();
        headers[0].bloom = block.bloom();
        headers.iter_mut().for_each(|header| header.set = (0..AUTHORITIES).collect());
        (self.headers)(&mut headers);
        let mut announcement = ReceiptProof { index: 1, log: 0, nodes: block.prove(1).1 };
        (self.proven)(&mut announcement);
        ChangeProof { run: pack(&seal(headers)).unwrap(), announcement }
    }
}
