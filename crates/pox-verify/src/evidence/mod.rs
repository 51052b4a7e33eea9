//! Evidence: what a TEE vouches for, and whether it does (spec §8).
//!
//! One verifier per kind turns an evidence into the same [`EvidenceClaims`]; everything after it is the same for all kinds.

pub(crate) mod claims;
pub mod dcap;
mod key;
pub mod launch;
pub mod nitro;
pub mod roots;
mod simulated;
pub mod snp;

pub use key::{KeyEvidence, KeyEvidenceRejection, KeyExpectation, RejectReason, check_key_evidence};

use crate::anchors::Anchors;
use crate::grade::Grade;
use crate::policy::Measurement;
use crate::reason::Reason;
use crate::verified::Verified;
use alloy_primitives::Address;
use pox_core::evidence::{Claims, Evidence, EvidenceKind};
use pox_core::receipt::Endorsement;
use pox_core::signature::BadSignature;
use pox_core::{CodecError, UnixTime};

/// What a verification of evidence depends on besides the evidence.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Certificates, collateral and revocation lists that were archived with it.
    pub endorsements: &'a [Endorsement],
    /// When it had to hold: the block time of the step that carries it, or of the prove step.
    pub ran: UnixTime,
    /// The auditor's time.
    pub now: UnixTime,
    /// Vendors' roots.
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
    /// How much it shows, at which time.
    pub standing: Standing,
}

/// How much an evidence shows, at two times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// By the endorsements archived with it, at the time it had to hold.
    pub when_it_ran: Grade,
    /// By what the auditor knows today; `None` without current collateral.
    pub today: Option<Grade>,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// A quote does not vouch for its claims.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceRejection {
    /// This version has no verifier for the kind: nothing is known of the evidence, good or bad.
    #[error("this version can't verify evidence of kind {0}")]
    UnsupportedKind(EvidenceKind),
    /// The quote is not of its vendor's format.
    #[error("the quote is malformed: {0}")]
    Quote(#[from] CodecError),
    /// The quote is over other claims.
    #[error("the quote's report data is not that of these claims")]
    ReportData,
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

/// Verifies one evidence by its kind: that a pinned root of this kind vouches for a program with this measurement and for
/// exactly these claims.
///
/// Says nothing about whether the claims are those that are needed, or whether the measurement is of any good program.
///
/// # Errors
/// The kind is not supported, or the quote does not hold.
pub fn verify(
    evidence: &Evidence,
    context: &Context<'_>,
) -> Result<Verified<EvidenceClaims>, EvidenceRejection> {
    let claims = match evidence.kind {
        EvidenceKind::Simulated | EvidenceKind::VmSim => simulated::verify(evidence, context)?,
        kind @ (EvidenceKind::Sgx | EvidenceKind::Tdx | EvidenceKind::Snp | EvidenceKind::Nitro) => {
            return Err(EvidenceRejection::UnsupportedKind(kind));
        }
    };
    Ok(Verified::by_check(claims))
}
