//! The enclave's side of one task (spec §9.3), as a chain of types: each step consumes the one before.
//!
//! So an enclave takes one secret and signs one receipt, whatever its host says: after either there is no value left that
//! could do it again. The account key moves in at launch and never out. Quotes, opening, fetching and running are the
//! caller's; nothing here is believed but the task id, the owner's signature, and what these bind.
//!
//! ```text
//! Launch -attested-> Ready -take-> Released -open-> Running -ended-> Unsigned -attested-> Signed
//!                                          \-----> Refused -ended--/
//! ```

use crate::CodecError;
use crate::domain::Domain;
use crate::endorsement::{Endorsement, fitting};
use crate::evidence::{Claims, Evidence, EvidenceKind, Purpose, sha256};
use crate::id::{ReceiptId, ResultsCommitment, TaskId};
use crate::members::{Closing, MemberReceipts, Members};
use crate::party::Party;
use crate::receipt::{Archive, Doing, Outcome, Receipt, RunReport, archived_batch};
use crate::record::Request;
use crate::runs::Runs;
use crate::secret::{BadRelease, BadTerms, InputAccess, InputSecret, Keyring, Secret, SignedSecret, Terms};
use crate::signature::{Signature, address_of};
use alloy_primitives::{Address, B256};
use k256::ecdsa::SigningKey;

/// What every state of a launch knows.
struct Launched {
    domain: Domain,
    request: Request,
    task: TaskId,
    processor: Address,
    /// Wipes itself when dropped.
    key: SigningKey,
    account: Address,
    recipient: Vec<u8>,
    block_number: u64,
    block_hash: B256,
}

/// An enclave that has its keys and no evidence yet.
pub struct Launch(Launched);

/// An enclave that waits for its secret.
pub struct Ready {
    launched: Launched,
    evidence: Vec<u8>,
}

/// An enclave that holds what every party released to it, still sealed.
pub struct Released {
    ready: Ready,
    sealed: Vec<Vec<u8>>,
}

/// What opening the secret came to.
pub enum Opened {
    /// It is about this task: run it.
    Accepted(Box<Accepted>),
    /// It can't be used, which is the owner's doing.
    Refused(Box<Refused>),
}

/// A secret that fits its task.
pub struct Accepted {
    /// The enclave, to be told how the run ended.
    pub running: Running,
    /// Places and keys, every party's inputs among them; the keys to buckets are in `keyring`, a batch's runs in `running`.
    pub secret: Secret,
    /// Each party's keys to the buckets in which its data is.
    pub keyring: Keyring,
    /// How to run.
    pub terms: Terms,
}

/// Opened secrets that fit the task.
struct Fitting {
    secret: Secret,
    keyring: Keyring,
    terms: Terms,
}

/// An enclave that runs its task: which of the two it is decides which receipt it can give.
pub enum Running {
    /// A task of one run.
    Single(RunningTask),
    /// A batch.
    Batch(RunningBatch),
}

/// An enclave that runs a task of one run.
pub struct RunningTask(Ready);

/// An enclave that runs a batch. It has no way to end but with what came of all members.
pub struct RunningBatch {
    ready: Ready,
    /// What is to be run.
    pub runs: Runs,
}

/// An enclave whose secret can't be used.
pub struct Refused {
    ready: Ready,
    fault: SecretFault,
}

/// How a run ended, as the sandbox and the stores tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The program ended by itself, and its results were delivered.
    Exited {
        /// Exit code, or 128 + signal.
        code: u32,
        /// What was delivered.
        results: ResultsCommitment,
    },
    /// The program was stopped at one of its limits; what it had written was delivered, or nothing (zero).
    Limited {
        /// Out of memory, time limit or disk limit.
        limit: Limit,
        /// What was delivered.
        results: ResultsCommitment,
    },
    /// Something before or after the program failed; there are no results.
    Failed(Failure),
}

/// A limit of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Memory.
    Memory,
    /// Wall-clock time.
    Time,
    /// Disk; also results that are too large or not sealable as they are.
    Disk,
}

/// What can fail besides the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The secret's places or keys contradict the request in a way that shows only in use.
    SecretInvalid,
    /// The image is the one committed to, and can't be run.
    ImageInvalid,
    /// An input is the one committed to, and does not open.
    InputInvalid,
    /// The image's bytes did not come, or are others.
    ImageUnavailable,
    /// An input's bytes did not come, or are others.
    InputUnavailable,
    /// The results could not be delivered.
    ResultsUndeliverable,
    /// The machine lacks a protection that the terms require.
    SandboxUnavailable,
    /// The runtime failed.
    RuntimeFailed,
}

/// What a run used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time, microseconds.
    pub cpu_micros: u64,
    /// Wall-clock time, microseconds.
    pub wall_micros: u64,
    /// Most memory at once, bytes.
    pub memory_peak: u64,
}

/// An enclave that has its receipt, and needs the TEE to vouch for it.
pub struct Unsigned {
    launched: Launched,
    key_evidence: Vec<u8>,
    receipt: Receipt,
    report: Vec<u8>,
    members: Option<Members>,
}

/// The end: what the prove transaction carries, and the archive behind it. The account key is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The receipt.
    pub receipt: Receipt,
    /// The enclave's signature over receipt and archive.
    pub signature: Signature,
    /// The archive's canonical encoding.
    pub archive: Vec<u8>,
    /// The members, if it closes a batch.
    pub members: Option<Members>,
}

/// Why released secrets can't be used; their owners' fault, and the receipt's outcome 16 (spec §9.2).
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretFault {
    /// It is not sealed to this enclave, or damaged.
    #[error("the secret does not open")]
    Sealed,
    /// It is malformed.
    #[error("the secret does not parse")]
    Malformed(#[source] CodecError),
    /// It is for another task.
    #[error("the secret is for another task")]
    Task,
    /// Its terms are not those that the request commits to.
    #[error("the secret's terms are not the request's")]
    TermsRoot,
    /// Its terms are malformed.
    #[error("the secret's terms are malformed")]
    Terms(#[source] BadTerms),
    /// It has more or fewer inputs, or names for them, than the request.
    #[error("the secret's inputs are not the request's")]
    Inputs,
    /// Its runs are not those that the terms commit to.
    #[error("the secret's runs are not those of its terms")]
    Runs,
}

/// A release that the enclave does not take; it still waits for another.
pub struct NotTaken {
    /// The enclave, as it was.
    pub ready: Ready,
    /// Why.
    pub reason: BadRelease,
}

impl Launch {
    /// Binds a launch to its one task; `key` and `recipient` were made for it and are used for nothing else.
    ///
    /// `processor` is the account that will match with it; the block says that the evidence is not older. The enclave can check
    /// neither: its evidence names both.
    pub fn new(
        domain: Domain,
        request: Request,
        processor: Address,
        key: SigningKey,
        recipient: Vec<u8>,
        block_number: u64,
        block_hash: B256,
    ) -> Self {
        let (task, account) = (request.id(&domain), address_of(key.verifying_key()));
        Self(Launched { domain, request, task, processor, key, account, recipient, block_number, block_hash })
    }

    /// The claims of the key evidence.
    pub fn claims(&self) -> Claims {
        self.0.claims(Purpose::Key, B256::ZERO, ReceiptId::ZERO)
    }

    /// Takes the TEE's quote over these claims.
    pub fn attested(self, kind: EvidenceKind, quote: Vec<u8>) -> Ready {
        let claims = self.claims();
        let evidence = Evidence { kind, claims, quote, recipient: self.0.recipient.clone() }.to_bytes();
        Ready { launched: self.0, evidence }
    }
}

impl Ready {
    /// The enclave's account.
    pub fn account(&self) -> Address {
        self.launched.account
    }

    /// The task that this launch is for.
    pub fn task(&self) -> TaskId {
        self.launched.task
    }

    /// The key evidence, as it travels in `matchTask`.
    pub fn evidence(&self) -> &[u8] {
        &self.evidence
    }

    /// Takes what `approve` or each `release` carried, one secret for each party and the owner's first, if each was signed by
    /// its party for this task and this enclave (spec §9.1).
    ///
    /// # Errors
    /// One of them is no such release; the enclave comes back and waits for others.
    pub fn take(self, signed: &[Vec<u8>]) -> Result<Released, Box<NotTaken>> {
        match self.launched.released(signed) {
            Ok(sealed) => Ok(Released { ready: self, sealed }),
            Err(reason) => Err(Box::new(NotTaken { ready: self, reason })),
        }
    }
}

impl Released {
    /// The sealed secrets, each an age file for this enclave's recipient.
    pub fn sealed(&self) -> &[Vec<u8>] {
        &self.sealed
    }

    /// Judges the opened secrets, in the same order (spec §9.2); `None` says that one does not open.
    pub fn open<P: AsRef<[u8]>>(self, plaintexts: &[Option<P>]) -> Opened {
        match self.ready.launched.fitting(plaintexts) {
            Ok(Fitting { mut secret, keyring, terms }) => {
                let running = match secret.runs.take() {
                    Some(runs) => Running::Batch(RunningBatch { ready: self.ready, runs }),
                    None => Running::Single(RunningTask(self.ready)),
                };
                Opened::Accepted(Box::new(Accepted { running, secret, keyring, terms }))
            }
            Err(fault) => Opened::Refused(Box::new(Refused { ready: self.ready, fault })),
        }
    }
}

impl RunningTask {
    /// Says how the run ended; the receipt follows from it.
    pub fn ended(self, end: &End, usage: Usage, report: &RunReport) -> Unsigned {
        self.0.conclude(end.closing(), usage, report)
    }
}

impl RunningBatch {
    /// Says what came of every member of a batch, and where the list of that went; the closing receipt follows from it.
    pub fn closed(
        self,
        members: &MemberReceipts,
        list: Result<ResultsCommitment, Failure>,
        usage: Usage,
        report: &RunReport,
    ) -> Unsigned {
        let unsigned = self.ready.conclude(members.closing(list), usage, report);
        Unsigned { members: Some(members.members()), ..unsigned }
    }
}

impl Refused {
    /// What is wrong with the secret; safe to publish.
    pub fn fault(&self) -> &SecretFault {
        &self.fault
    }

    /// Ends without a run.
    pub fn ended(self, report: &RunReport) -> Unsigned {
        self.ready.conclude(End::Failed(Failure::SecretInvalid).closing(), Usage::default(), report)
    }
}

impl Unsigned {
    /// The claims of the result evidence.
    pub fn claims(&self) -> Claims {
        let receipt = self.receipt.id(&self.launched.domain);
        self.launched.claims(Purpose::Result, sha256(&self.key_evidence), receipt)
    }

    /// Takes the TEE's quote over these claims, signs, and drops the key.
    ///
    /// The endorsements are anybody's: those that an archive has no use or no room for are left out.
    pub fn attested(self, kind: EvidenceKind, quote: Vec<u8>, endorsements: Vec<Endorsement>) -> Signed {
        let evidence = Evidence { kind, claims: self.claims(), quote, recipient: Vec::new() };
        let endorsements = fitting(endorsements, kind);
        let (archive, hash) = Archive { evidence, report: self.report, endorsements }.seal();
        let domain = &self.launched.domain;
        let statement = match self.members {
            None => self.receipt.archived(domain, hash).0,
            Some(Members { root, count }) => {
                archived_batch(domain, self.receipt.id(domain), hash, root, count).0
            }
        };
        let signature = Signature::sign(&self.launched.key, statement);
        Signed { receipt: self.receipt, signature, archive, members: self.members }
    }
}

impl Launched {
    fn claims(&self, purpose: Purpose, previous: B256, receipt: ReceiptId) -> Claims {
        Claims {
            purpose,
            task: self.task,
            enclave: self.account,
            recipient: sha256(&self.recipient),
            block_number: self.block_number,
            block_hash: self.block_hash,
            previous,
            receipt,
            processor: self.processor,
        }
    }

    fn released(&self, signed: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, BadRelease> {
        if signed.len() != self.request.parties().count() {
            return Err(BadRelease::Count(signed.len()));
        }
        let sealed = |((party, account), bytes): ((Party, Address), &Vec<u8>)| {
            let signer = self.request.signer_of(party).unwrap_or(account);
            let secret = SignedSecret::parse(bytes)?;
            Ok(secret.released_by(signer, &self.domain, self.task, self.account)?.to_vec())
        };
        self.request.parties().zip(signed).map(sealed).collect()
    }

    fn fitting<P: AsRef<[u8]>>(&self, plaintexts: &[Option<P>]) -> Result<Fitting, SecretFault> {
        let mut plaintexts = plaintexts.iter().map(|opened| opened.as_ref().map(AsRef::as_ref));
        let first = plaintexts.next().flatten().ok_or(SecretFault::Sealed)?;
        let mut secret = Secret::parse(first).map_err(SecretFault::Malformed)?;
        let mut tasks = vec![secret.task];
        let mut shares = vec![(Party::OWNER, core::mem::take(&mut secret.inputs))];
        let mut keyring = Keyring::default();
        keyring.add(Party::OWNER, secret.buckets.take());
        for (party, _) in self.request.parties().skip(1) {
            let opened = plaintexts.next().flatten().ok_or(SecretFault::Sealed)?;
            let share = InputSecret::parse(opened).map_err(SecretFault::Malformed)?;
            tasks.push(share.task);
            shares.push((party, share.inputs));
            keyring.add(party, share.buckets);
        }
        if tasks.iter().any(|task| *task != self.task) {
            return Err(SecretFault::Task);
        }
        secret.inputs = self.merged(shares)?;
        if secret.terms_root() != self.request.terms {
            return Err(SecretFault::TermsRoot);
        }
        let terms = Terms::from_leaves(&secret.terms).map_err(SecretFault::Terms)?;
        let inputs = self.request.inputs.len();
        if terms.inputs.len() != inputs {
            return Err(SecretFault::Inputs);
        }
        if terms.runs != secret.runs.as_ref().and_then(Runs::committed) {
            return Err(SecretFault::Runs);
        }
        Ok(Fitting { secret, keyring, terms })
    }

    /// Every input's access, in the request's order, each from the party whose it is.
    fn merged(&self, shares: Vec<(Party, Vec<InputAccess>)>) -> Result<Vec<InputAccess>, SecretFault> {
        let mut shares: Vec<_> =
            shares.into_iter().map(|(party, inputs)| (party, inputs.into_iter())).collect();
        let mut merged = Vec::with_capacity(self.request.inputs.len());
        for input in 0..self.request.inputs.len() {
            let owner = self.request.owner_of(input);
            let share = shares.iter_mut().find(|(party, _)| *party == owner);
            merged.push(share.and_then(|(_, inputs)| inputs.next()).ok_or(SecretFault::Inputs)?);
        }
        let left_over = shares.iter_mut().any(|(_, inputs)| inputs.next().is_some());
        if left_over { Err(SecretFault::Inputs) } else { Ok(merged) }
    }
}

impl Ready {
    fn conclude(self, closing: Closing, usage: Usage, report: &RunReport) -> Unsigned {
        let (report, report_hash) = report.seal();
        let receipt = Receipt {
            task: self.launched.task,
            enclave: self.launched.account,
            outcome: closing.outcome,
            exit_code: closing.exit_code,
            results: closing.results,
            report: report_hash,
            cpu_micros: usage.cpu_micros,
            wall_micros: usage.wall_micros,
            memory_peak: usage.memory_peak,
        };
        Unsigned { launched: self.launched, key_evidence: self.evidence, receipt, report, members: None }
    }
}

impl End {
    fn closing(&self) -> Closing {
        Closing { outcome: self.outcome(), exit_code: self.exit_code(), results: self.results() }
    }

    /// The outcome of spec §6.1 that this end is.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Exited { code: 0, .. } => Outcome::Completed,
            Self::Exited { .. } => Outcome::Failed,
            Self::Limited { limit: Limit::Memory, .. } => Outcome::OutOfMemory,
            Self::Limited { limit: Limit::Time, .. } => Outcome::TimeLimit,
            Self::Limited { limit: Limit::Disk, .. } => Outcome::DiskLimit,
            Self::Failed(failure) => failure.outcome(),
        }
    }

    /// The exit code in the receipt.
    pub fn exit_code(&self) -> u32 {
        match self {
            Self::Exited { code, .. } => *code,
            Self::Limited { .. } | Self::Failed(_) => 0,
        }
    }

    /// What was delivered.
    pub fn results(&self) -> ResultsCommitment {
        match self {
            Self::Exited { results, .. } | Self::Limited { results, .. } => *results,
            Self::Failed(_) => ResultsCommitment::ZERO,
        }
    }
}

impl Failure {
    /// The outcome of spec §6.1 that this failure is; never the task's own doing.
    pub fn outcome(self) -> Outcome {
        let outcome = match self {
            Self::SecretInvalid => Outcome::SecretInvalid,
            Self::ImageInvalid => Outcome::ImageInvalid,
            Self::InputInvalid => Outcome::InputInvalid,
            Self::ImageUnavailable => Outcome::ImageUnavailable,
            Self::InputUnavailable => Outcome::InputUnavailable,
            Self::ResultsUndeliverable => Outcome::ResultsUndeliverable,
            Self::SandboxUnavailable => Outcome::SandboxUnavailable,
            Self::RuntimeFailed => Outcome::RuntimeFailed,
        };
        debug_assert_ne!(outcome.doing(), Doing::Task);
        outcome
    }
}
