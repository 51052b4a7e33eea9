//! The judge: from a proof file and trust anchors to a graded verdict with reasons.
//!
//! [`verify`] runs the steps of spec §11 in their order. Each step is a function of its own that takes what the step before it
//! established, as [`Verified`], so no step can run too early and none can be left out unseen. The first that fails names its
//! [`Rejection`]; no later one runs.
//!
//! This crate never reads a clock, a file, a socket, the environment or a random source: the time and everything that is
//! trusted are arguments, so the same file gets the same verdict everywhere. It never allocates by a length that the file
//! states, and no input makes it panic. It prints nothing; [`Verdict`] is for machines, and its sentences are for whoever
//! renders it.

pub mod anchors;
pub mod chain;
pub mod disclosure;
pub mod evidence;
mod facts;
mod grade;
mod judge;
mod policy;
mod reason;
mod rejection;
mod steps;
pub mod timestamp;
mod verdict;
mod verified;

pub use anchors::{Anchors, BadDenial, Fresh};
pub use facts::{
    AuthorityFacts, DataOwner, EvidenceFacts, Facts, HardwareFacts, MemberFacts, MembersFacts, Opened,
    OpenedLeaf, ReportFacts, RunFacts, StateFacts, Usage,
};
pub use grade::{Grade, UnknownGrade};
pub use judge::{judge, verify};
pub use policy::{
    BadPolicy, MAX_MEASUREMENTS, Measurement, Policy, PolicyRefusal, SimulatedEvidence, SnpMinimum,
    SnpMinimums,
};
pub use reason::Reason;
pub use rejection::{
    ApproveMismatch, ArchiveMismatch, AuthorityChange, ClaimMismatch, ContractCode, EventProof,
    EvidenceInvalid, HeaderSeal, HistoryMismatch, LifecycleBreach, Malformed, MatchMismatch, MemberMismatch,
    OpeningMismatch, PolicyMismatch, ReceiptMismatch, ReceiptSignature, Rejection, RequestMismatch,
    StateProof,
};
pub use verdict::{Component, NOT_CLAIMED, Verdict};
pub use verified::Verified;
