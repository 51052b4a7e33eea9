//! The proof file: everything an auditor needs, in one bounded file (spec §10). Parsing it establishes nothing but its form.

use crate::abi;
use crate::codec::{CodecError, from_canonical, to_canonical};
use crate::domain::Domain;
use crate::evidence::MAX_EVIDENCE_BYTES;
use crate::history::Step;
use crate::leaves::Opening;
use crate::members::{MAX_MEMBER_BYTES, Members};
use crate::party::MAX_CO_OWNERS;
use crate::receipt::MAX_ARCHIVE_BYTES;
use crate::runs::Run;
use crate::tree::MAX_PATH;
use alloy_primitives::{Address, B256};
use sha2::{Digest, Sha256};

/// The file's first bytes.
pub const MAGIC: &[u8; 13] = b"pox-proof-v1\n";
/// Most bytes of a proof file: an archive, an evidence, a policy, openings, a state proof with headers.
pub const MAX_PROOF_BYTES: usize = 1024 * 1024;
/// Most steps of one task's history that a proof carries.
pub const MAX_STEPS: usize = 1024;
/// Most nodes of one Merkle-Patricia proof: the depth of a trie over 32-byte keys.
pub const MAX_TRIE_NODES: usize = 65;
/// Most runs of headers that prove a history: one for each block with a step, if no two are near each other.
pub const MAX_RUNS: usize = 64;
/// Most changes of the authorities that a proof shows.
pub const MAX_CHANGES: usize = 128;
/// Most headers of one run.
pub const MAX_RUN_HEADERS: usize = 512;
/// Most headers that a proof carries in all.
pub const MAX_HEADERS: usize = 2048;
/// Most bytes of one header.
pub const MAX_HEADER_BYTES: usize = 4 * 1024;
/// Most bytes of a policy.
pub const MAX_POLICY_BYTES: usize = 32 * 1024;

/// A file is no proof in form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadProof {
    /// It is larger than any proof.
    #[error("{0} bytes, at most {MAX_PROOF_BYTES} are allowed")]
    TooLarge(usize),
    /// It does not begin as a proof of this version does.
    #[error("not a PoX proof of version 1")]
    NotAProof,
    /// Its digest does not fit: it is damaged or cut short.
    #[error("damaged: the file's digest does not fit its content")]
    Damaged,
    /// Its content is malformed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// One of its parts is out of its bounds.
    #[error("part {0} is out of its bounds")]
    Bounds(&'static str),
    /// One of its records is not in canonical ABI encoding.
    #[error(transparent)]
    Record(#[from] abi::NotCanonical),
}

/// What shows that the steps happened, and that their blocks stand in the chain (spec §10.2).
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct ChainProof {
    /// What shows the steps under the headers.
    #[n(0)]
    pub history: HistoryProof,
    /// Runs of headers, each packed (spec §10.3), in ascending order of their blocks.
    #[cbor(n(1), with = "crate::bytes::strings")]
    pub runs: Vec<Vec<u8>>,
    /// The changes of the authorities since the pinned ones, in their order.
    #[n(2)]
    pub changes: Vec<ChangeProof>,
}

/// What shows that the steps happened.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum HistoryProof {
    /// The running commitment, in the state of the first header of the one run.
    #[n(0)]
    State(#[n(0)] StateProof),
    /// The event of each step, under the receipts root of its block.
    #[n(1)]
    Receipts(#[n(0)] Vec<ReceiptProof>),
}

/// A word of the contract's storage under a state root.
#[derive(Debug, Clone, PartialEq, Eq, Default, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct StateProof {
    /// Trie nodes from the state root to the contract's account, root first.
    #[cbor(n(0), with = "crate::bytes::strings")]
    pub account: Vec<Vec<u8>>,
    /// Trie nodes from the storage root to the history word, root first.
    #[cbor(n(1), with = "crate::bytes::strings")]
    pub storage: Vec<Vec<u8>>,
}

/// A log under the receipts root of a block.
#[derive(Debug, Clone, PartialEq, Eq, Default, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct ReceiptProof {
    /// The transaction's place in its block.
    #[n(0)]
    pub index: u32,
    /// The log's place in the transaction's receipt.
    #[n(1)]
    pub log: u32,
    /// Trie nodes from the receipts root to the receipt, root first.
    #[cbor(n(2), with = "crate::bytes::strings")]
    pub nodes: Vec<Vec<u8>>,
}

/// A change of the authorities: its announcement, and what made it final.
#[derive(Debug, Clone, PartialEq, Eq, Default, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct ChangeProof {
    /// The announcing block's header and those after it, up to the one that makes it final; packed (spec §10.3).
    #[cbor(n(0), with = "minicbor::bytes")]
    pub run: Vec<u8>,
    /// The announcement.
    #[n(1)]
    pub announcement: ReceiptProof,
}

/// What the match transaction joined and carried.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct MatchPart {
    /// The offer, ABI-encoded.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub offer: Vec<u8>,
    /// The enclave's account.
    #[cbor(n(1), with = "crate::bytes::address")]
    pub enclave: Address,
    /// The evidence as it stood in the call.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub evidence: Vec<u8>,
    /// From the processor's leaf to the root of the request's list, nearest node first; none if it has no list.
    #[cbor(n(3), with = "crate::bytes::words")]
    pub path: Vec<B256>,
}

/// One member of a batch, shown under the root that the closing call carried.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct MemberPart {
    /// The member's receipt.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub receipt: Vec<u8>,
    /// From its leaf to the root, nearest node first.
    #[cbor(n(1), with = "crate::bytes::words")]
    pub path: Vec<B256>,
    /// Its run, if the owner opens it.
    #[n(2)]
    pub run: Option<RunPart>,
}

/// The run of a member, shown under the root that the terms commit to.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct RunPart {
    /// The run and its salt.
    #[n(0)]
    pub run: Run,
    /// From its leaf to the root, nearest node first.
    #[cbor(n(1), with = "crate::bytes::words")]
    pub path: Vec<B256>,
}

/// What the prove transaction carried.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct ProvePart {
    /// The receipt, ABI-encoded.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub receipt: Vec<u8>,
    /// The enclave's signature.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub signature: Vec<u8>,
    /// The archive.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub archive: Vec<u8>,
    /// The members, if it closed a batch.
    #[n(3)]
    pub members: Option<Members>,
}

/// A proof's content, parsed but not judged (spec §10.1).
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Proof {
    /// Chain and contract.
    #[n(0)]
    pub domain: Domain,
    /// The request, ABI-encoded.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub request: Vec<u8>,
    /// Every step of the task's history, in order.
    #[n(2)]
    pub steps: Vec<Step>,
    /// The match that led to the receipt.
    #[n(3)]
    pub matched: MatchPart,
    /// keccak256 of the signed and sealed secret that `approve` carried, or of each party's that `release` did, the
    /// owner's first.
    #[cbor(n(4), with = "crate::bytes::words")]
    pub secrets: Vec<B256>,
    /// The receipt and what stands behind it.
    #[n(5)]
    pub proven: ProvePart,
    /// The owner's evidence policy, canonical JSON.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub policy: Vec<u8>,
    /// What shows all this on the chain.
    #[n(7)]
    pub chain: ChainProof,
    /// The terms, as far as the owner opens them.
    #[n(8)]
    pub terms: Option<Opening>,
    /// The catalogue metadata, as far as the owner opens it.
    #[n(9)]
    pub metadata: Option<Opening>,
    /// One member, if it is the proof of a batch that shows one.
    #[n(10)]
    pub member: Option<MemberPart>,
}

impl MemberPart {
    fn is_bounded(&self) -> bool {
        let run = |part: &RunPart| part.path.len() <= MAX_PATH && part.run.is_bounded();
        self.receipt.len() <= MAX_MEMBER_BYTES
            && self.path.len() <= MAX_PATH
            && self.run.as_ref().is_none_or(run)
    }
}

impl Proof {
    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let body = to_canonical(self);
        [MAGIC.as_slice(), &Sha256::digest(&body), &body].concat()
    }

    /// Parses a file; checks form and bounds, and nothing else.
    ///
    /// # Errors
    /// The file is no proof of this version, is damaged, or has a part out of its bounds.
    pub fn parse(file: &[u8]) -> Result<Self, BadProof> {
        if file.len() > MAX_PROOF_BYTES {
            return Err(BadProof::TooLarge(file.len()));
        }
        let rest = file.strip_prefix(MAGIC.as_slice()).ok_or(BadProof::NotAProof)?;
        let (digest, body) = rest.split_at_checked(32).ok_or(BadProof::Damaged)?;
        if digest != &Sha256::digest(body)[..] {
            return Err(BadProof::Damaged);
        }
        let proof: Self = from_canonical(body, MAX_PROOF_BYTES)?;
        proof.check()?;
        Ok(proof)
    }

    fn check(&self) -> Result<(), BadProof> {
        let chain = &self.chain;
        let deep = |nodes: &Vec<Vec<u8>>| nodes.len() <= MAX_TRIE_NODES;
        let history_fits = match &chain.history {
            HistoryProof::State(state) => deep(&state.account) && deep(&state.storage),
            HistoryProof::Receipts(receipts) => {
                receipts.len() <= MAX_STEPS && receipts.iter().all(|receipt| deep(&receipt.nodes))
            }
        };
        let changes_fit = chain.changes.len() <= MAX_CHANGES
            && chain.changes.iter().all(|change| deep(&change.announcement.nodes));
        let bounds = [
            ("steps", self.steps.len() <= MAX_STEPS),
            ("evidence", self.matched.evidence.len() <= MAX_EVIDENCE_BYTES),
            ("secrets", (1..=1 + MAX_CO_OWNERS).contains(&self.secrets.len())),
            ("path", self.matched.path.len() <= MAX_PATH),
            ("archive", self.proven.archive.len() <= MAX_ARCHIVE_BYTES),
            ("policy", self.policy.len() <= MAX_POLICY_BYTES),
            ("history proof", history_fits),
            ("runs of headers", chain.runs.len() <= MAX_RUNS),
            ("changes of the authorities", changes_fit),
            ("member", self.member.as_ref().is_none_or(MemberPart::is_bounded)),
        ];
        match bounds.into_iter().find(|(_, holds)| !holds) {
            Some((part, _)) => Err(BadProof::Bounds(part)),
            None => Ok(()),
        }
    }

    /// The request's record.
    ///
    /// # Errors
    /// Not in canonical ABI encoding.
    pub fn request_record(&self) -> Result<abi::Request, BadProof> {
        Ok(abi::parse(&self.request, "request")?)
    }

    /// The offer's record.
    ///
    /// # Errors
    /// Not in canonical ABI encoding.
    pub fn offer_record(&self) -> Result<abi::Offer, BadProof> {
        Ok(abi::parse(&self.matched.offer, "offer")?)
    }

    /// The receipt's record.
    ///
    /// # Errors
    /// Not in canonical ABI encoding.
    pub fn receipt_record(&self) -> Result<abi::Receipt, BadProof> {
        Ok(abi::parse(&self.proven.receipt, "receipt")?)
    }
}
