//! Plays the owner, the enclave, the simulated vendor and the chain, and makes the proof that they leave behind.
//!
//! A [`Draft`] has a hook at each point where a record is made; what depends on that record is made from the changed one. So a
//! case breaks one thing, and everything downstream agrees with it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a fixture that can't be made fails its test")]

pub mod batches;
pub mod cases;
pub mod chain;
pub mod chain_cases;
pub mod events;
pub mod hardware;
pub mod parties;

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolValue;
use chain::{HeaderDraft, State};
use k256::ecdsa::SigningKey;
use pox_core::evidence::{Claims, Evidence, EvidenceKind, Purpose, RECIPIENT_BYTES, SimulatedQuote, sha256};
use pox_core::history::{At, Payload, Step};
use pox_core::leaves::{Leaf, Leaves};
use pox_core::proof::{ChainProof, HistoryProof, MatchPart, Proof, ProvePart, StateProof};
use pox_core::receipt::{Archive, Outcome, Receipt, RunReport, archive_hash, archived_batch};
use pox_core::record::Resources;
use pox_core::secret::Terms;
use pox_core::signature::{Signature, address_of};
use pox_core::{
    Amount, Domain, History, Kinds, Members, MetadataRoot, Offer, Processors, ReceiptId, Request,
    ResultsCommitment, TaskId, TermsRoot, UnixTime,
};
use pox_devtee::Seed;
use pox_devtee::dcap::{Quoting, Td, TdForm, Vendor};
use pox_verify::anchors::{Aura, Authorities, ChainAnchor, ChainStanding, PinnedSet, Release, StepRule};
use pox_verify::chain::pack;
use pox_verify::{Anchors, Measurement, Policy};
use std::num::NonZeroU64;

pub const CHAIN_ID: u64 = 7_368_568;
pub const START: u64 = 1_700_000_000;
pub const BLOCK_SECONDS: u64 = 5;
pub const NOW: UnixTime = UnixTime(START + 1_000_000);
pub const AUTHORITIES: usize = 3;

/// A key that everybody can make again.
pub fn key(seed: &str) -> SigningKey {
    SigningKey::from_slice(keccak256(seed).as_slice()).unwrap()
}

pub fn address(seed: &str) -> Address {
    address_of(key(seed).verifying_key())
}

pub fn simulated_root() -> SigningKey {
    let text = b"pox simulated vendor root: anyone can sign with this key, it protects nothing";
    SigningKey::from_slice(sha256(text).as_slice()).unwrap()
}

pub fn authority(index: usize) -> SigningKey {
    key(&format!("test authority {index}"))
}

pub fn authorities(indexes: impl IntoIterator<Item = usize>) -> Vec<Address> {
    indexes.into_iter().map(|index| address_of(authority(index).verifying_key())).collect()
}

pub fn at(number: u64) -> At {
    At { number, time: UnixTime(START + number * BLOCK_SECONDS) }
}

pub fn measurement() -> Measurement {
    Measurement(keccak256("test runtime"))
}

/// The anchors under which the plain draft is graded `simulated`.
pub fn anchors() -> Anchors {
    let set = PinnedSet {
        from: 0,
        until: None,
        validators: authorities(0..AUTHORITIES),
        announcer: Some(address("announcer")),
        as_of: "2023-11-14".into(),
        source: "test".into(),
    };
    let steps = StepRule { seconds: NonZeroU64::new(BLOCK_SECONDS).unwrap() };
    let chain = ChainAnchor {
        name: "test chain".into(),
        standing: ChainStanding::Embedded,
        authorities: Authorities::Aura(Aura { steps, two_thirds_from: None, sets: vec![set] }),
        contract_code: chain::code_hash(),
        deployments: [address("contract")].into(),
        names: [(authorities(0..1)[0], "First Test University".to_owned())].into(),
    };
    let mut anchors = Anchors::default();
    anchors.chains.insert(CHAIN_ID, chain);
    anchors.releases.push(Release { name: "test-release".into(), measurement: measurement() });
    anchors
}

/// One evidence, while it is made.
#[derive(Clone)]
pub struct EvidenceDraft {
    pub kind: EvidenceKind,
    pub measurement: B256,
    pub root: SigningKey,
    /// Changes the claims before they are quoted.
    pub claims: fn(&mut Claims),
    /// Changes the evidence after it was quoted.
    pub quoted: fn(&mut Evidence),
}

/// A proof, while it is made; a hook runs when its record is ready and nothing yet depends on it.
#[derive(Clone)]
pub struct Draft {
    pub domain: Domain,
    pub policy: Vec<u8>,
    pub metadata: bool,
    pub terms: Terms,
    pub terms_leaves: fn(&mut Vec<Leaf>),
    pub request: fn(&mut Request),
    pub offer: fn(&mut Offer),
    pub enclave: SigningKey,
    pub receipt_signer: SigningKey,
    pub key: EvidenceDraft,
    pub result: EvidenceDraft,
    pub receipt: fn(&mut Receipt),
    pub report: fn(&mut RunReport),
    pub archive: fn(&mut Archive),
    pub archive_bytes: fn(&mut Vec<u8>),
    pub steps: fn(&mut Vec<Step>),
    pub state: fn(&mut State),
    pub headers: fn(&mut Vec<HeaderDraft>),
    pub later: u64,
    /// Receipts in the place of state, and what stands in them.
    pub receipts: Option<fn(&mut Vec<events::EventDraft>)>,
    /// A change of the authorities before the steps.
    pub change: Option<events::ChangeDraft>,
    /// Makes the receipt one that closes a batch.
    pub members: Option<Members>,
    /// The processor's path in the request's list.
    pub path: Vec<B256>,
    /// Changes the proof when all is made.
    pub finish: fn(&mut Proof),
}

/// Puts a TD's quote over the claims in the place of the simulated one; nothing endorses it.
pub fn quoted_by_tdx(evidence: &mut Evidence) {
    let td = Td::new(TdForm::V4, [1; 48], [[2; 48]; 4], evidence.claims.report_data());
    evidence.quote = Vendor::new(Seed([3; 32])).tdx_quote(&td, &Quoting::default());
}

impl Default for Draft {
    fn default() -> Self {
        let evidence = EvidenceDraft {
            kind: EvidenceKind::Simulated,
            measurement: measurement().0,
            root: simulated_root(),
            claims: |_| {},
            quoted: |_| {},
        };
        Self {
            domain: Domain { chain_id: CHAIN_ID, contract: address("contract") },
            policy: policy_bytes(r#"{"version":1,"kinds":["simulated"],"allow_simulated":true}"#),
            metadata: true,
            terms: Terms { args: vec!["run".into()], inputs: vec!["penguins".into()], ..Terms::default() },
            terms_leaves: |_| {},
            request: |_| {},
            offer: |_| {},
            enclave: key("enclave"),
            receipt_signer: key("enclave"),
            key: evidence.clone(),
            result: evidence,
            receipt: |_| {},
            report: |_| {},
            archive: |_| {},
            archive_bytes: |_| {},
            steps: |_| {},
            state: |_| {},
            headers: |_| {},
            later: AUTHORITIES as u64 - 1,
            receipts: None,
            change: None,
            members: None,
            path: Vec::new(),
            finish: |_| {},
        }
    }
}

impl Draft {
    /// The proof that all this leaves behind.
    pub fn build(&self) -> Proof {
        let terms = self.leaves();
        let metadata = metadata();
        let request = self.make_request(&terms, &metadata);
        let task = request.id(&self.domain);
        let enclave = address_of(self.enclave.verifying_key());
        let mut offer = offer();
        (self.offer)(&mut offer);
        let evidence = self.key_evidence(task, offer.processor, enclave).to_bytes();
        let secrets: Vec<B256> =
            request.parties().map(|(party, _)| keccak256([party.0, b's', b'e', b'c'])).collect();
        let (receipt, archive) = self.receipt_and_archive(task, offer.processor, enclave, &evidence);
        let (domain, hash) = (&self.domain, archive_hash(&archive));
        let proven = match self.members {
            None => Payload::Prove(receipt.archived(domain, hash)),
            Some(Members { root, count }) => {
                Payload::ProveMany(archived_batch(domain, receipt.id(domain), hash, root, count))
            }
        };
        let matched = Payload::Match {
            offer: offer.id(&self.domain),
            processor: offer.processor,
            enclave,
            evidence: keccak256(&evidence),
        };
        let mut steps = vec![Payload::Request(task).step(at(10)), matched.step(at(11))];
        // Co-owners first: the order is theirs to choose.
        let mut released: Vec<_> = request.parties().zip(secrets.iter().copied()).collect();
        released.reverse();
        steps.extend(released.into_iter().map(|((_, account), secret)| {
            let payload = match request.releases().is_empty() {
                true => Payload::Approve { enclave, secret },
                false => Payload::Release { account, enclave, secret },
            };
            payload.step(at(12))
        }));
        steps.push(proven.step(at(13)));
        (self.steps)(&mut steps);
        let signature = Signature::sign(&self.receipt_signer, proven.word()).to_bytes().to_vec();
        let events = self.receipts.map(|change| {
            let mut events = events::of_steps(
                &self.domain,
                &request,
                &offer,
                enclave,
                &evidence,
                &secrets,
                &receipt,
                &archive,
                &steps,
            );
            change(&mut events);
            events
        });
        let chain = match events {
            None => self.chain(task, History::over(&steps)),
            Some(events) => self.chain_by_receipts(&steps, &events),
        };
        let mut proof = Proof {
            domain: self.domain,
            request: request.to_abi().abi_encode(),
            steps,
            matched: MatchPart {
                offer: offer.to_abi().abi_encode(),
                enclave,
                evidence,
                path: self.path.clone(),
            },
            secrets,
            proven: ProvePart {
                receipt: receipt.to_abi().abi_encode(),
                signature,
                archive,
                members: self.members,
            },
            policy: self.policy.clone(),
            chain,
            terms: Some(terms.open(|name| name != "env" && name != "accept-missing")),
            metadata: self.metadata.then(|| metadata.open(|name| name == "title")),
            member: None,
        };
        (self.finish)(&mut proof);
        proof
    }

    fn leaves(&self) -> Leaves {
        let salts = [1, 2, 3, 4, 5].map(B256::repeat_byte);
        let leaves = self.terms.leaves(salts).unwrap();
        let mut leaves: Vec<Leaf> = leaves
            .iter()
            .zip(salts)
            .map(|((name, value), salt)| Leaf { salt, name: name.to_owned(), value: value.to_vec() })
            .collect();
        (self.terms_leaves)(&mut leaves);
        Leaves::new(leaves).unwrap()
    }

    fn make_request(&self, terms: &Leaves, metadata: &Leaves) -> Request {
        let mut request = Request {
            owner: address("owner"),
            processors: Processors::Any,
            price: Amount::from_wei(1_000_000).unwrap(),
            image: keccak256("image").0.into(),
            inputs: vec![keccak256("input").0.into()],
            terms: TermsRoot(terms.root()),
            metadata: if self.metadata { MetadataRoot(metadata.root()) } else { MetadataRoot::ZERO },
            policy: sha256(&self.policy).0.into(),
            kinds: Kinds(0x3f),
            resources: RESOURCES,
            match_by: UnixTime(at(100).time.0),
            approve_within: 600,
            prove_within: 3600,
            salt: keccak256("request salt").0.into(),
            delegate: None,
            co_owners: Vec::new(),
        };
        (self.request)(&mut request);
        request
    }

    fn key_evidence(&self, task: TaskId, processor: Address, enclave: Address) -> Evidence {
        let recipient = vec![0x5a; RECIPIENT_BYTES];
        let claims = Claims {
            purpose: Purpose::Key,
            task,
            enclave,
            recipient: sha256(&recipient),
            block_number: 10,
            block_hash: keccak256("block 10"),
            previous: B256::ZERO,
            receipt: ReceiptId::ZERO,
            processor,
        };
        self.key.quote(claims, recipient)
    }

    fn receipt_and_archive(
        &self,
        task: TaskId,
        processor: Address,
        enclave: Address,
        key_evidence: &[u8],
    ) -> (Receipt, Vec<u8>) {
        let mut report = report();
        (self.report)(&mut report);
        let (report, hash) = report.seal();
        let mut receipt = Receipt {
            task,
            enclave,
            outcome: Outcome::Completed,
            exit_code: 0,
            results: ResultsCommitment(keccak256("results")),
            report: hash,
            cpu_micros: 1_500_000,
            wall_micros: 2_000_000,
            memory_peak: 64 << 20,
        };
        (self.receipt)(&mut receipt);
        let key = Evidence::parse(key_evidence);
        let claims = Claims {
            purpose: Purpose::Result,
            task,
            enclave,
            recipient: key.map(|key| key.claims.recipient).unwrap_or_default(),
            block_number: 10,
            block_hash: keccak256("block 10"),
            previous: sha256(key_evidence),
            receipt: receipt.id(&self.domain),
            processor,
        };
        let evidence = self.result.quote(claims, Vec::new());
        let mut archive = Archive { evidence, report, endorsements: Vec::new() };
        (self.archive)(&mut archive);
        let (mut archive, _) = archive.seal();
        (self.archive_bytes)(&mut archive);
        (receipt, archive)
    }

    fn chain(&self, task: TaskId, history: History) -> ChainProof {
        let mut state = State::new(self.domain.contract, task, history);
        (self.state)(&mut state);
        let (root, account, storage) = state.prove();
        let headers = (14..=14 + self.later).map(|number| HeaderDraft::at(number, root)).collect();
        let runs = vec![self.run(headers)];
        let history = HistoryProof::State(StateProof { account, storage });
        ChainProof { history, runs, changes: self.changes() }
    }

    /// One run for the blocks of all steps that are near each other.
    fn chain_by_receipts(&self, steps: &[Step], events: &[events::EventDraft]) -> ChainProof {
        let blocks = events::blocks(events);
        let mut numbers: Vec<Vec<u64>> = Vec::new();
        for step in steps {
            let needed = step.at.number..=step.at.number + self.later;
            match numbers.last_mut() {
                Some(run) if run.last().is_some_and(|last| last + 1 >= *needed.start()) => {
                    let next = run.last().unwrap() + 1;
                    run.extend(next..=*needed.end());
                }
                _ => numbers.push(needed.collect()),
            }
        }
        let run = |numbers: Vec<u64>| {
            let draft = |number: u64| {
                let mut header = HeaderDraft::at(number, keccak256("state"));
                if let Some(block) = blocks.get(&number) {
                    header.receipts_root = block.root();
                    header.bloom = block.bloom();
                }
                header
            };
            self.run(numbers.into_iter().map(draft).collect())
        };
        ChainProof {
            history: HistoryProof::Receipts(events.iter().map(|event| event.proof(&blocks)).collect()),
            runs: numbers.into_iter().map(run).collect(),
            changes: self.changes(),
        }
    }

    fn run(&self, mut headers: Vec<HeaderDraft>) -> Vec<u8> {
        if let Some(change) = &self.change {
            headers.iter_mut().for_each(|header| header.set = change.set.clone());
        }
        (self.headers)(&mut headers);
        pack(&chain::seal(headers)).unwrap()
    }

    fn changes(&self) -> Vec<pox_core::proof::ChangeProof> {
        self.change.iter().map(events::ChangeDraft::build).collect()
    }
}

impl EvidenceDraft {
    fn quote(&self, mut claims: Claims, recipient: Vec<u8>) -> Evidence {
        (self.claims)(&mut claims);
        let report_data = claims.report_data();
        let digest = SimulatedQuote::digest(self.measurement, &report_data);
        let quote = SimulatedQuote {
            measurement: self.measurement,
            report_data: report_data.to_vec(),
            signature: Signature::sign(&self.root, digest).to_bytes().to_vec(),
        };
        let mut evidence = Evidence { kind: self.kind, claims, quote: quote.to_bytes(), recipient };
        (self.quoted)(&mut evidence);
        evidence
    }
}

pub const RESOURCES: Resources =
    Resources { cpu_millis: 1000, memory_mib: 512, disk_mib: 1024, time_limit: 600 };

fn offer() -> Offer {
    Offer {
        processor: address("processor"),
        kinds: Kinds(0x3f),
        resources: RESOURCES,
        price_per_second: Amount::from_wei(1000).unwrap(),
        bond: Amount::from_wei(5000).unwrap(),
        valid_until: UnixTime(at(1000).time.0),
        salt: keccak256("offer salt").0.into(),
    }
}

fn report() -> RunReport {
    RunReport {
        protections: vec!["no-network".into(), "user-namespace".into()],
        missing: vec!["cgroup".into()],
        accounting: "rusage".into(),
        user_micros: 1_200_000,
        system_micros: 300_000,
        image_config: vec![7; 32],
        image_entries: 321,
        input_bytes: 4096,
        result_bytes: 512,
        reason: String::new(),
    }
}

fn metadata() -> Leaves {
    let leaf = |(salt, name, value): (u8, &str, &str)| Leaf {
        salt: B256::repeat_byte(salt),
        name: name.into(),
        value: value.into(),
    };
    let leaves = [(8, "author", "somebody"), (9, "title", "A small real analysis")];
    Leaves::new(leaves.into_iter().map(leaf).collect()).unwrap()
}

/// The canonical form of what a person writes.
pub fn policy_bytes(written: &str) -> Vec<u8> {
    Policy::from_written(written.as_bytes()).unwrap().canonical_bytes()
}
