//! What the enclave states about a run: outcome, receipt, run report, archive (spec §6, §8.5).

use crate::abi;
use crate::codec::{CodecError, from_canonical, to_canonical};
use crate::domain::Domain;
pub use crate::endorsement::Endorsement;
use crate::evidence::Evidence;
use crate::id::{
    Archive as ArchiveHash, ArchivedBatchId, ArchivedReceiptId, MembersRoot, ReceiptId, ReportHash,
    ResultsCommitment, TaskId,
};
use crate::signature::{BadSignature, Signature};
use alloy_primitives::Address;
use alloy_sol_types::SolValue;
use sha2::{Digest, Sha256};

/// Most bytes of an archive: an evidence, a run report, and the most bytes of endorsements.
pub const MAX_ARCHIVE_BYTES: usize = 256 * 1024;

/// What a run came to (spec §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Outcome {
    /// The task ended with exit code 0.
    Completed = 0,
    /// The task ended with another exit code, or by a signal.
    Failed = 1,
    /// The task ran out of memory.
    OutOfMemory = 2,
    /// The task reached its time limit.
    TimeLimit = 3,
    /// The task filled its disk, or its results are too large or can't be sealed as they are.
    DiskLimit = 4,
    /// The owner's secret does not open or parse, or contradicts the request.
    SecretInvalid = 16,
    /// The image has the right digest, but is not one that can be run.
    ImageInvalid = 17,
    /// An input has the right commitment, but does not open.
    InputInvalid = 18,
    /// The image's bytes could not be had as they were committed to.
    ImageUnavailable = 32,
    /// An input's bytes could not be had as they were committed to.
    InputUnavailable = 33,
    /// The results could not be delivered.
    ResultsUndeliverable = 34,
    /// The machine lacks a protection that the terms require.
    SandboxUnavailable = 48,
    /// The runtime failed.
    RuntimeFailed = 49,
}

/// Whose doing an outcome is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doing {
    /// The task's own.
    Task,
    /// The owner's.
    Owner,
    /// Nobody's that can be told.
    Nobody,
    /// The processor's.
    Processor,
}

/// What the contract does with price and bond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settlement {
    /// Who gets the price.
    pub price_to: Side,
    /// Who gets the bond.
    pub bond_to: Side,
}

/// One side of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The owner.
    Owner,
    /// The processor.
    Processor,
}

/// What ran and what came out (spec §3.3).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Receipt {
    /// The task.
    pub task: TaskId,
    /// The enclave that ran it and signs.
    pub enclave: Address,
    /// What it came to.
    pub outcome: Outcome,
    /// The task's exit code, or 128 + signal; zero where it did not run. Of a batch that failed, how many members did not complete.
    pub exit_code: u32,
    /// Commitment to the sealed results, or zero.
    pub results: ResultsCommitment,
    /// SHA-256 of the run report.
    pub report: ReportHash,
    /// Processor time used, microseconds.
    pub cpu_micros: u64,
    /// Wall-clock time used, microseconds.
    pub wall_micros: u64,
    /// Most memory used at once, bytes.
    pub memory_peak: u64,
}

/// Bytes are no receipt.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum BadReceiptBytes {
    /// Not the one ABI encoding of the record.
    #[error(transparent)]
    Encoding(#[from] abi::NotCanonical),
    /// The outcome is unknown.
    #[error(transparent)]
    Outcome(#[from] UnknownOutcome),
}

/// A receipt on the wire names an outcome that the spec does not have.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("outcome {0} is not one of spec §6.1")]
pub struct UnknownOutcome(pub u8);

/// How the task was confined and measured (spec §6.2); public, so it never holds anything of the owner's data.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct RunReport {
    /// Names of the protections that were in force.
    #[n(0)]
    pub protections: Vec<String>,
    /// Names of the protections that this machine could not give and the terms did without.
    #[n(1)]
    pub missing: Vec<String>,
    /// Where the usage figures come from: `cgroup-v1`, `cgroup-v2` or `rusage`.
    #[n(2)]
    pub accounting: String,
    /// Processor time in user mode, microseconds.
    #[n(3)]
    pub user_micros: u64,
    /// Processor time in the kernel, microseconds.
    #[n(4)]
    pub system_micros: u64,
    /// SHA-256 of the image's configuration, 32 bytes; empty where the image was not read.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub image_config: Vec<u8>,
    /// Files, folders and links that the image unpacked to.
    #[n(6)]
    pub image_entries: u64,
    /// Bytes of input that were opened.
    #[n(7)]
    pub input_bytes: u64,
    /// Bytes of result before sealing.
    #[n(8)]
    pub result_bytes: u64,
    /// Why a run that did not complete ended, in the words of the spec's outcome table and its typed errors.
    #[n(9)]
    pub reason: String,
}

/// What auditors need besides the chain, kept at the result's location and inside the proof (spec §8.5).
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Archive {
    /// The evidence that vouches for the receipt.
    #[n(0)]
    pub evidence: Evidence,
    /// The run report, in its canonical encoding.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub report: Vec<u8>,
    /// Endorsements of both evidences.
    #[cbor(n(2), with = "crate::endorsement")]
    pub endorsements: Vec<Endorsement>,
}

impl Outcome {
    /// Every outcome, in the order of its code.
    pub const ALL: [Self; 13] = [
        Self::Completed,
        Self::Failed,
        Self::OutOfMemory,
        Self::TimeLimit,
        Self::DiskLimit,
        Self::SecretInvalid,
        Self::ImageInvalid,
        Self::InputInvalid,
        Self::ImageUnavailable,
        Self::InputUnavailable,
        Self::ResultsUndeliverable,
        Self::SandboxUnavailable,
        Self::RuntimeFailed,
    ];

    /// The code in receipts.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whose doing it is.
    pub fn doing(self) -> Doing {
        Doing::of(self.code()).expect("every outcome's code is below 64")
    }

    /// Who gets price and bond.
    pub fn settlement(self) -> Settlement {
        self.doing().settlement()
    }
}

impl Doing {
    /// Whose doing an outcome's code is, known to this version or not; `None` for a code that no version has.
    pub fn of(outcome: u8) -> Option<Self> {
        match outcome >> 4 {
            0 => Some(Self::Task),
            1 => Some(Self::Owner),
            2 => Some(Self::Nobody),
            3 => Some(Self::Processor),
            _ => None,
        }
    }

    /// Who gets price and bond.
    pub fn settlement(self) -> Settlement {
        let (price_to, bond_to) = match self {
            Self::Task | Self::Owner => (Side::Processor, Side::Processor),
            Self::Nobody => (Side::Owner, Side::Processor),
            Self::Processor => (Side::Owner, Side::Owner),
        };
        Settlement { price_to, bond_to }
    }
}

impl TryFrom<u8> for Outcome {
    type Error = UnknownOutcome;

    fn try_from(code: u8) -> Result<Self, UnknownOutcome> {
        Self::ALL.into_iter().find(|outcome| outcome.code() == code).ok_or(UnknownOutcome(code))
    }
}

impl core::fmt::Display for Outcome {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::OutOfMemory => "out of memory",
            Self::TimeLimit => "time limit reached",
            Self::DiskLimit => "disk limit reached",
            Self::SecretInvalid => "secret invalid",
            Self::ImageInvalid => "image invalid",
            Self::InputInvalid => "input invalid",
            Self::ImageUnavailable => "image unavailable",
            Self::InputUnavailable => "input unavailable",
            Self::ResultsUndeliverable => "results undeliverable",
            Self::SandboxUnavailable => "sandbox unavailable",
            Self::RuntimeFailed => "runtime failed",
        })
    }
}

impl Receipt {
    /// The receipt's digest in its domain.
    pub fn id(&self, domain: &Domain) -> ReceiptId {
        ReceiptId(domain.digest(&self.to_abi()))
    }

    /// What the enclave signs: this receipt together with the archive of its evidence.
    pub fn archived(&self, domain: &Domain, archive: ArchiveHash) -> ArchivedReceiptId {
        archived(domain, self.id(domain), archive)
    }

    /// The account that signed this receipt and archive.
    ///
    /// # Errors
    /// The signature recovers to no key.
    pub fn signer(
        &self,
        domain: &Domain,
        archive: ArchiveHash,
        signature: &Signature,
    ) -> Result<Address, BadSignature> {
        signature.signer(self.archived(domain, archive).0)
    }

    /// Parses the ABI encoding.
    ///
    /// # Errors
    /// Another encoding, or an unknown outcome.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadReceiptBytes> {
        Ok(abi::parse::<abi::Receipt>(bytes, "receipt")?.try_into()?)
    }

    /// The ABI encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_abi().abi_encode()
    }

    /// The receipt as it travels in calls.
    pub fn to_abi(&self) -> abi::Receipt {
        abi::Receipt {
            task: self.task.0,
            enclave: self.enclave,
            outcome: self.outcome.code(),
            exitCode: self.exit_code,
            results: self.results.0,
            report: self.report.0,
            cpuMicros: self.cpu_micros,
            wallMicros: self.wall_micros,
            memoryPeak: self.memory_peak,
        }
    }
}

/// `EIP712(ArchivedBatch)` of a closing receipt's digest, an archive, and the batch's members.
pub fn archived_batch(
    domain: &Domain,
    receipt: ReceiptId,
    archive: ArchiveHash,
    members: MembersRoot,
    count: u16,
) -> ArchivedBatchId {
    let (receipt, archive, members) = (receipt.0, archive.0, members.0);
    ArchivedBatchId(domain.digest(&abi::ArchivedBatch { receipt, archive, members, count }))
}

/// `EIP712(ArchivedReceipt)` of a receipt's digest and an archive.
pub fn archived(domain: &Domain, receipt: ReceiptId, archive: ArchiveHash) -> ArchivedReceiptId {
    ArchivedReceiptId(domain.digest(&abi::ArchivedReceipt { receipt: receipt.0, archive: archive.0 }))
}

impl TryFrom<abi::Receipt> for Receipt {
    type Error = UnknownOutcome;

    fn try_from(wire: abi::Receipt) -> Result<Self, UnknownOutcome> {
        Ok(Self {
            task: TaskId(wire.task),
            enclave: wire.enclave,
            outcome: wire.outcome.try_into()?,
            exit_code: wire.exitCode,
            results: ResultsCommitment(wire.results),
            report: ReportHash(wire.report),
            cpu_micros: wire.cpuMicros,
            wall_micros: wire.wallMicros,
            memory_peak: wire.memoryPeak,
        })
    }
}

impl RunReport {
    /// Most bytes of a run report.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// The canonical encoding and its hash.
    pub fn seal(&self) -> (Vec<u8>, ReportHash) {
        let bytes = to_canonical(self);
        let hash = report_hash(&bytes);
        (bytes, hash)
    }

    /// Parses the canonical encoding.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        from_canonical(bytes, Self::MAX_BYTES)
    }
}

/// SHA-256 of a run report's bytes.
pub fn report_hash(bytes: &[u8]) -> ReportHash {
    ReportHash::from(<[u8; 32]>::from(Sha256::digest(bytes)))
}

impl Archive {
    /// The canonical encoding and its hash, which the prove transaction carries.
    pub fn seal(&self) -> (Vec<u8>, ArchiveHash) {
        let bytes = to_canonical(self);
        let hash = archive_hash(&bytes);
        (bytes, hash)
    }

    /// Parses the canonical encoding.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        from_canonical(bytes, MAX_ARCHIVE_BYTES)
    }
}

/// SHA-256 of an archive's bytes.
pub fn archive_hash(bytes: &[u8]) -> ArchiveHash {
    ArchiveHash::from(<[u8; 32]>::from(Sha256::digest(bytes)))
}
