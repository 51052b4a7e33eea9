//! Evidence: what a TEE vouches for, and whether it does (spec §8).
//!
//! One verifier per kind turns an evidence into the same [`EvidenceClaims`]; everything after it is the same for all kinds.

pub(crate) mod claims;
pub mod dcap;
mod fault;
mod hardware;
pub mod inspect;
mod key;
pub mod launch;
pub mod nitro;
pub mod roots;
mod simulated;
pub mod snp;
mod vendors;

pub use fault::{Fault, VendorRejection};
pub use hardware::Hardware;
pub(crate) use hardware::{denied_platform, has};
pub use key::{KeyEvidence, KeyEvidenceRejection, KeyExpectation, RejectReason, check_key_evidence};
pub(crate) use vendors::Known;

use crate::anchors::Anchors;
use crate::grade::Grade;
use crate::policy::Measurement;
use crate::reason::Reason;
use crate::verified::Verified;
use alloy_primitives::Address;
use launch::Window;
use pox_core::evidence::{Claims, Evidence, EvidenceKind};
use pox_core::receipt::Endorsement;
use pox_core::signature::BadSignature;
use pox_core::{CodecError, UnixTime};

/// How far a TEE's clock and the chain's may be apart: blocks come seconds apart, and both follow the same time.
pub const CLOCK_TOLERANCE_SECONDS: u64 = 300;

/// What a verification of evidence depends on besides the evidence.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Certificates, collateral and revocation lists that were archived with it, or that an owner has.
    pub endorsements: &'a [Endorsement],
    /// When it had to hold, and what it rests on had to be in force: the prove step's time, or the owner's.
    pub ran: UnixTime,
    /// When it can have been made, as the chain has it; only kinds that state a time of their own are held to it.
    pub made: Window,
    /// The auditor's time.
    pub now: UnixTime,
    /// Vendors' roots, and what is known today.
    pub anchors: &'a Anchors,
}

/// What every kind of evidence comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceClaims {
    /// Which TEE.
    pub kind: EvidenceKind,
    /// What it launched.
    pub measurement: Measurement,
    /// What it is bound to.
    pub claims: Claims,
    /// What hardware says of launch and machine; `None` for the simulated kinds.
    pub hardware: Option<Hardware>,
    /// How much it shows, at which time.
    pub standing: Standing,
}

/// How much an evidence shows, at two times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// By the endorsements archived with it, at the time it had to hold.
    pub when_it_ran: Assessment,
    /// By what the auditor knows today; `None` if nothing that the auditor has tells.
    pub today: Option<Assessment>,
}

/// How much an evidence shows at one time, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// How much.
    pub grade: Grade,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// A quote does not vouch for its claims.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceRejection {
    /// This version has no verifier for the kind: nothing is known of the evidence, good or bad.
    #[error("this version can't verify evidence of kind {0}")]
    UnsupportedKind(EvidenceKind),
    /// What the vendor says of the platform is not there: nothing is known of the evidence, good or bad.
    #[error("nothing vouches for the quote: {0}")]
    Unendorsed(String),
    /// The vendor's verifier refuses it.
    #[error(transparent)]
    Vendor(#[from] VendorRejection),
    /// The quote is not of its vendor's format.
    #[error("the quote is malformed: {0}")]
    Quote(#[from] CodecError),
    /// The quote is over other claims.
    #[error("the quote's report data is not that of these claims")]
    ReportData,
    /// The recipient beside the quote is not the one in its claims.
    #[error("the recipient beside the quote is not the one that its claims name")]
    Recipient,
    /// The launch was made for something else than this task.
    #[error("wrong launch binding: {0}")]
    LaunchBinding(#[from] launch::WrongLaunchBinding),
    /// The quote's signature is malformed.
    #[error("the quote's signature is malformed: {0}")]
    Signature(#[from] BadSignature),
    /// The quote does not lead to a pinned root.
    #[error("the quote is signed by {signer}, which is no pinned root of kind {kind}")]
    Root {
        /// Who signed.
        signer: Address,
        /// The kind that it is said to be of.
        kind: EvidenceKind,
    },
    /// An endorsement of a kind that this evidence has no use for.
    #[error("an endorsement of kind {0} has no meaning here")]
    Endorsement(u16),
}

impl EvidenceRejection {
    /// A stable name for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnsupportedKind(_) => "unsupported-kind",
            Self::Unendorsed(_) => "unendorsed",
            Self::Vendor(rejection) => rejection.fault.name(),
            Self::Quote(_) => "malformed",
            Self::ReportData => "report-data",
            Self::Recipient => "recipient",
            Self::LaunchBinding(_) => "launch-binding",
            Self::Signature(_) => "forged",
            Self::Root { .. } => "untrusted",
            Self::Endorsement(_) => "endorsement",
        }
    }

    /// Why nothing is known of an evidence, good or bad, where that is all; its grade is `asserted`, and it is not rejected.
    pub(crate) fn as_unknown(&self) -> Option<Reason> {
        match self {
            Self::UnsupportedKind(kind) => Some(Reason::UnsupportedKind(*kind)),
            Self::Unendorsed(missing) => Some(Reason::Unendorsed(missing.clone())),
            _ => None,
        }
    }
}

/// Verifies one evidence by its kind: that a pinned root of this kind vouches for a program with this measurement and for
/// exactly these claims.
///
/// Says nothing about whether the claims are those that are needed, whether the measurement is of any good program, or whether
/// the platform's security level will do.
///
/// # Errors
/// The kind is not supported, nothing endorses the quote, or the quote does not hold.
pub fn verify(
    evidence: &Evidence,
    context: &Context<'_>,
) -> Result<Verified<EvidenceClaims>, EvidenceRejection> {
    verify_beside(evidence, context, &Known::default())
}

/// The same, beside other evidences that may have the same endorsements.
pub(crate) fn verify_beside(
    evidence: &Evidence,
    context: &Context<'_>,
    known: &Known,
) -> Result<Verified<EvidenceClaims>, EvidenceRejection> {
    if let Some(foreign) = context.endorsements.iter().find(|one| !one.endorses(evidence.kind)) {
        return Err(EvidenceRejection::Endorsement(foreign.kind));
    }
    let claims = if evidence.kind.is_simulated() {
        simulated::verify(evidence, context)?
    } else {
        hardware::verify(evidence, context, known)?
    };
    Ok(Verified::by_check(claims))
}
