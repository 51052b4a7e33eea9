//! Which step of spec §11 failed, and what was found there.

mod chain;

pub use chain::{AuthorityChange, ContractCode, EventProof, HeaderSeal, HistoryMismatch, StateProof};

use crate::chain::packed::BadRun;
use crate::evidence::EvidenceRejection;
use crate::evidence::launch::PlatformId;
use crate::policy::{BadPolicy, Measurement, PolicyRefusal};
use alloy_primitives::{Address, B256};
use pox_core::evidence::{EvidenceKind, Purpose};
use pox_core::leaves::BadLeaves;
use pox_core::proof::BadProof;
use pox_core::receipt::UnknownOutcome;
use pox_core::secret::BadTerms;
use pox_core::signature::BadSignature;
use pox_core::{BadRecord, CodecError, PolicyHash, ReportHash, TaskId};
use serde::ser::SerializeStruct;

/// The first step that failed, and the facts.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Step 1.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Step 2.
    #[error(transparent)]
    RequestMismatch(#[from] RequestMismatch),
    /// Step 3.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleBreach),
    /// Step 4.
    #[error(transparent)]
    MatchMismatch(#[from] MatchMismatch),
    /// Step 5.
    #[error(transparent)]
    ApproveMismatch(#[from] ApproveMismatch),
    /// Step 6: what the receipt says, and what was proven.
    #[error(transparent)]
    ReceiptMismatch(#[from] ReceiptMismatch),
    /// Step 6: who signed it.
    #[error(transparent)]
    ReceiptSignature(#[from] ReceiptSignature),
    /// Step 7.
    #[error(transparent)]
    ArchiveMismatch(#[from] ArchiveMismatch),
    /// Step 8.
    #[error("key evidence: {0}")]
    KeyClaims(ClaimMismatch),
    /// Step 9.
    #[error("result evidence: {0}")]
    ResultClaims(ClaimMismatch),
    /// Step 10.
    #[error(transparent)]
    EvidenceInvalid(#[from] EvidenceInvalid),
    /// Step 11: the policy is not the one that was committed to.
    #[error(transparent)]
    PolicyMismatch(#[from] PolicyMismatch),
    /// Step 11: the policy does not accept the evidence.
    #[error(transparent)]
    PolicyRefuses(#[from] PolicyRefusal),
    /// Step 12: the steps are not the contract's.
    #[error(transparent)]
    HistoryMismatch(#[from] HistoryMismatch),
    /// Step 12: the state is not the block's.
    #[error(transparent)]
    StateProof(#[from] StateProof),
    /// Step 12: the account is not the contract.
    #[error(transparent)]
    ContractCode(#[from] ContractCode),
    /// Step 12, by receipts.
    #[error(transparent)]
    EventProof(#[from] EventProof),
    /// Step 13.
    #[error(transparent)]
    HeaderSeal(#[from] HeaderSeal),
    /// Step 13, of the sets that seal.
    #[error(transparent)]
    AuthorityChange(#[from] AuthorityChange),
    /// Step 14.
    #[error(transparent)]
    OpeningMismatch(#[from] OpeningMismatch),
    /// Step 15.
    #[error(transparent)]
    MemberMismatch(#[from] MemberMismatch),
}

/// Step 1: the file, or a record in it, is not what the spec says it must be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The file's form.
    #[error("the file is malformed: {0}")]
    File(#[from] BadProof),
    /// A record's bounds.
    #[error("the {record} is out of its bounds: {error}")]
    Record {
        /// Which record.
        record: &'static str,
        /// Which field.
        error: BadRecord,
    },
    /// The receipt's outcome.
    #[error("the receipt is malformed: {0}")]
    Outcome(#[from] UnknownOutcome),
    /// A part in CBOR.
    #[error("the {part} is malformed: {error}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What is wrong.
        error: CodecError,
    },
    /// The policy.
    #[error(transparent)]
    Policy(#[from] BadPolicy),
    /// A run of headers, or the headers of a change of the authorities.
    #[error("{part} {position} of headers is malformed: {error}")]
    Run {
        /// `run` or `change`.
        part: &'static str,
        /// Counted from 0.
        position: usize,
        /// What is wrong.
        error: BadRun,
    },
}

/// Step 2: the history is not that of this request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestMismatch {
    /// No first step, or another one than a request.
    #[error("the history does not begin with a request")]
    NotFirst,
    /// The first step is the request of another task.
    #[error("the request on this chain and contract is task {actual}, and the history that of {stated}")]
    AnotherTask {
        /// The id of the request beside it.
        actual: TaskId,
        /// The id in the history.
        stated: B256,
    },
}

/// Step 3: no contract would have let these steps happen. Positions count from 0.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LifecycleBreach {
    /// A step can't follow the one before it.
    #[error("step {position} has code {code}, which can't stand there")]
    Order {
        /// Where.
        position: usize,
        /// The step's code.
        code: u8,
    },
    /// A step stands in an older block than the one before it, or at another time in the same block.
    #[error("step {position} does not follow the one before it in block and time")]
    Backwards {
        /// Where.
        position: usize,
    },
    /// A step came after its deadline.
    #[error("step {position} was made at {time}, and its deadline was {deadline}")]
    Late {
        /// Where.
        position: usize,
        /// The step's time, Unix seconds.
        time: u64,
        /// The last second allowed.
        deadline: u64,
    },
    /// The request's `matchBy` is further away than the contract allows.
    #[error("the request's deadline is more than a year after it")]
    DeadlineTooFar,
    /// A rejection's reason is not a code.
    #[error("step {position} is a rejection without a reason's code")]
    Reason {
        /// Where.
        position: usize,
    },
    /// The history ends before a receipt.
    #[error("the history ends without a proven receipt")]
    Unfinished,
}

/// Step 4: the match is not that of this offer, enclave and evidence.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatchMismatch {
    /// The history's word is another.
    #[error("the match in the history is not of this offer, enclave and evidence")]
    Payload,
    /// The request is for others.
    #[error("{actual} matched the task, and is not among the processors that the request is for")]
    Processor {
        /// Whose offer it is.
        actual: Address,
    },
    /// There is a path in a list, and the request has none.
    #[error("the proof has a path in a list of processors, and the request names no list")]
    Path,
    /// The offer can't serve the request.
    #[error("the offer does not fit the request's field {field}")]
    Misfit {
        /// The request's field, by its number in spec §3.1.
        field: u8,
    },
    /// The offer had ended.
    #[error("the offer was valid until {until}, and matched at {time}")]
    Ended {
        /// Its last second.
        until: u64,
        /// The match's time.
        time: u64,
    },
    /// The enclave's account is zero.
    #[error("the match names no enclave")]
    NoEnclave,
}

/// Step 5: the approval is not for this enclave, or not with this secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the approval in the history is not for this enclave and secret")]
pub struct ApproveMismatch;

/// Step 6: the receipt is not what was proven for this task.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptMismatch {
    /// It is another task's.
    #[error("the receipt is for task {stated}, not for {actual}")]
    Task {
        /// The receipt's.
        stated: TaskId,
        /// The proof's.
        actual: TaskId,
    },
    /// It is another enclave's.
    #[error("the receipt is of enclave {stated}, and {matched} was matched")]
    Enclave {
        /// The receipt's.
        stated: Address,
        /// The match's.
        matched: Address,
    },
    /// The history's word is another.
    #[error("the receipt that the history proves is not this one with this archive")]
    Payload,
}

/// Step 6: the enclave did not sign the receipt.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptSignature {
    /// No signature in the one allowed form.
    #[error("the receipt's signature is malformed: {0}")]
    Malformed(#[from] BadSignature),
    /// Somebody else signed.
    #[error("the receipt is signed by {signer}, not by the enclave {enclave}")]
    Signer {
        /// Who signed.
        signer: Address,
        /// Who should have.
        enclave: Address,
    },
}

/// Step 7: the archive holds another run report than the receipt commits to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the archived run report has the hash {actual}, and the receipt states {stated}")]
pub struct ArchiveMismatch {
    /// Of the report in the archive.
    pub actual: ReportHash,
    /// In the receipt.
    pub stated: ReportHash,
}

/// Steps 8 and 9: an evidence claims something else than this proof needs.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimMismatch {
    /// Made for the other purpose.
    #[error("it is made for the purpose {0:?}")]
    Purpose(Purpose),
    /// Made for another task, chain or contract.
    #[error("it is made for task {stated}, not for {actual}")]
    Task {
        /// The claim.
        stated: TaskId,
        /// The proof's.
        actual: TaskId,
    },
    /// Made for another processor.
    #[error("it is made for processor {stated}, not for {matched}")]
    Processor {
        /// The claim.
        stated: Address,
        /// The match's.
        matched: Address,
    },
    /// Made for another enclave.
    #[error("it is made for enclave {stated}, not for {matched}")]
    Enclave {
        /// The claim.
        stated: Address,
        /// The match's.
        matched: Address,
    },
    /// The recipient's length is not what this purpose needs.
    #[error("it carries {0} bytes of recipient")]
    RecipientLength(usize),
    /// The recipient is not the claimed one.
    #[error("its recipient is another than it claims")]
    Recipient,
    /// Its block is later than the step that carries it.
    #[error("it claims block {claimed}, and stands in block {latest}")]
    Block {
        /// The claim.
        claimed: u64,
        /// The step's block.
        latest: u64,
    },
    /// Chained to another evidence, or to one where there is none.
    #[error("it follows another evidence than it must")]
    Previous,
    /// Made for another receipt, or for one where there is none.
    #[error("it is made for another receipt than it must")]
    Receipt,
}

/// Step 10: a quote does not vouch for its claims, or the two don't go together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceInvalid {
    /// One of the two does not verify.
    #[error("{} evidence: {error}", match purpose { Purpose::Key => "key", Purpose::Result => "result" })]
    Quote {
        /// Which.
        purpose: Purpose,
        /// Why.
        error: EvidenceRejection,
    },
    /// They are of two kinds.
    #[error("the key evidence is {key}, and the result evidence {result}")]
    Kinds {
        /// The key evidence's.
        key: EvidenceKind,
        /// The result evidence's.
        result: EvidenceKind,
    },
    /// They measure two programs.
    #[error("the key evidence measures {key}, and the result evidence {result}")]
    Measurements {
        /// The key evidence's.
        key: Measurement,
        /// The result evidence's.
        result: Measurement,
    },
    /// They are of two machines, or one hides its own.
    #[error("the key evidence is of {}, and the result evidence of {}", platform(key), platform(result))]
    Platforms {
        /// The key evidence's.
        key: Option<PlatformId>,
        /// The result evidence's.
        result: Option<PlatformId>,
    },
    /// They are of two launches: a register has two values.
    #[error("key evidence and result evidence are of two launches: they differ in {0}")]
    Registers(&'static str),
}

fn platform(id: &Option<PlatformId>) -> String {
    id.as_ref().map_or_else(|| "a platform that it hides".into(), |id| format!("platform {id}"))
}

impl EvidenceInvalid {
    /// What exactly is wrong, by a stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Quote { error, .. } => error.name(),
            Self::Kinds { .. } => "two-kinds",
            Self::Measurements { .. } => "two-programs",
            Self::Platforms { .. } => "two-platforms",
            Self::Registers(_) => "two-launches",
        }
    }
}

/// Step 11: the policy is not the one that the request commits to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy has the hash {actual}, and the request commits to {committed}")]
pub struct PolicyMismatch {
    /// Of the policy in the proof.
    pub actual: PolicyHash,
    /// In the request.
    pub committed: PolicyHash,
}

/// Step 14: an opening is not of what the request commits to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpeningMismatch {
    /// It is no opening of any list.
    #[error("the opening of the {which} is none: {error}")]
    Leaves {
        /// `terms` or `metadata`.
        which: &'static str,
        /// Why.
        error: BadLeaves,
    },
    /// Its root is another.
    #[error("the opening of the {which} has the root {actual}, and the request commits to {committed}")]
    Root {
        /// `terms` or `metadata`.
        which: &'static str,
        /// The opening's.
        actual: B256,
        /// The request's.
        committed: B256,
    },
    /// A leaf of the terms is not what §7.2 says.
    #[error("the terms: {0}")]
    Terms(BadTerms),
    /// The terms are four leaves, and a fifth of a batch's runs; these are not.
    #[error("the terms have {0} leaves, not four, or five with runs")]
    Count(usize),
}

/// Step 15: terms and receipt don't speak of the same batch, or the member that is shown is none of it. Members count from 1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberMismatch {
    /// There is a member, and the receipt closes no batch.
    #[error("the proof shows a member, and the receipt closes no batch")]
    NotABatch,
    /// The terms have runs, and the receipt closes no batch.
    #[error("the terms ask for a batch of runs, and the receipt closes none")]
    NotClosed,
    /// The receipt closes a batch, and the terms have no runs.
    #[error("the receipt closes a batch, and the terms ask for none")]
    NoRuns,
    /// Not as many members as runs.
    #[error("the terms ask for {runs} runs, and the receipt closes a batch of {members}")]
    Count {
        /// In the terms.
        runs: u16,
        /// In the receipt.
        members: u16,
    },
    /// The batch has no such member.
    #[error("member {number} is none of a batch of {count}")]
    Number {
        /// What the member says.
        number: u16,
        /// How many there are.
        count: u16,
    },
    /// Its path leads elsewhere.
    #[error("the receipt of member {0} does not lead to the root that the enclave signed")]
    Path(u16),
    /// Its run is opened, and the terms' leaf that commits to it is not.
    #[error("a run is opened, and the terms' leaf that commits to it stays hidden")]
    RunsHidden,
    /// The run that is opened is another's.
    #[error("the run that is opened is not that of member {0}")]
    Run(u16),
    /// The run's path leads elsewhere.
    #[error("the run of member {0} does not lead to the root that the terms commit to")]
    RunPath(u16),
}

impl MemberMismatch {
    /// What exactly is wrong, by a stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotABatch => "not-a-batch",
            Self::NotClosed => "not-closed",
            Self::NoRuns => "no-runs",
            Self::Count { .. } => "count",
            Self::Number { .. } => "number",
            Self::Path(_) => "path",
            Self::RunsHidden => "runs-hidden",
            Self::Run(_) => "run",
            Self::RunPath(_) => "run-path",
        }
    }
}

impl Rejection {
    /// The name in spec §11.
    pub fn code(&self) -> &'static str {
        self.place().1
    }

    /// The step's number in spec §11.
    pub fn step(&self) -> u8 {
        self.place().0
    }

    /// What exactly failed in the step, by a stable name: the fault of an evidence or a member, the policy's key that refuses it.
    pub fn detail(&self) -> Option<&'static str> {
        match self {
            Self::EvidenceInvalid(error) => Some(error.name()),
            Self::PolicyRefuses(refusal) => Some(refusal.key()),
            Self::MemberMismatch(error) => Some(error.name()),
            _ => None,
        }
    }

    fn place(&self) -> (u8, &'static str) {
        match self {
            Self::Malformed(_) => (1, "malformed"),
            Self::RequestMismatch(_) => (2, "request-mismatch"),
            Self::Lifecycle(_) => (3, "lifecycle"),
            Self::MatchMismatch(_) => (4, "match-mismatch"),
            Self::ApproveMismatch(_) => (5, "approve-mismatch"),
            Self::ReceiptMismatch(_) => (6, "receipt-mismatch"),
            Self::ReceiptSignature(_) => (6, "receipt-signature"),
            Self::ArchiveMismatch(_) => (7, "archive-mismatch"),
            Self::KeyClaims(_) => (8, "key-claims"),
            Self::ResultClaims(_) => (9, "result-claims"),
            Self::EvidenceInvalid(_) => (10, "evidence-invalid"),
            Self::PolicyMismatch(_) => (11, "policy-mismatch"),
            Self::PolicyRefuses(_) => (11, "policy-refuses"),
            Self::HistoryMismatch(_) => (12, "history-mismatch"),
            Self::StateProof(_) => (12, "state-proof"),
            Self::ContractCode(_) => (12, "contract-code"),
            Self::EventProof(_) => (12, "receipt-proof"),
            Self::HeaderSeal(_) => (13, "header-seal"),
            Self::AuthorityChange(_) => (13, "authority-change"),
            Self::OpeningMismatch(_) => (14, "opening-mismatch"),
            Self::MemberMismatch(_) => (15, "member-mismatch"),
        }
    }
}

impl From<BadProof> for Rejection {
    fn from(error: BadProof) -> Self {
        Self::Malformed(error.into())
    }
}

impl serde::Serialize for Rejection {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rejection = serializer.serialize_struct("Rejection", 4)?;
        rejection.serialize_field("step", &self.step())?;
        rejection.serialize_field("code", self.code())?;
        rejection.serialize_field("detail", &self.detail())?;
        rejection.serialize_field("message", &self.to_string())?;
        rejection.end()
    }
}
