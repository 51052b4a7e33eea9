//! The owner's check before it releases a secret: the same steps that an auditor takes later.

use super::{Assessment, Context, EvidenceClaims, EvidenceRejection, Fault, VendorRejection, claims, verify};
use crate::anchors::Anchors;
use crate::policy::{Measurement, Policy, PolicyRefusal};
use crate::rejection::{ClaimMismatch, EvidenceInvalid, Malformed, PolicyMismatch, Rejection};
use crate::steps::policy::check_kind;
use crate::steps::quotes::made_between;
use crate::verified::Verified;
use alloy_primitives::{Address, B256};
use pox_core::endorsement::Endorsement;
use pox_core::evidence::{Evidence, EvidenceKind, Purpose};
use pox_core::history::At;
use pox_core::{Domain, Request, UnixTime};

/// What the evidence of a match has to be for.
#[derive(Debug, Clone, Copy)]
pub struct KeyExpectation<'a> {
    /// Chain and contract.
    pub domain: &'a Domain,
    /// The owner's own request.
    pub request: &'a Request,
    /// The policy that the request commits to.
    pub policy: &'a Policy,
    /// Policies of the party's own: the evidence has to pass these too.
    pub own_policies: &'a [&'a Policy],
    /// The processor that matched.
    pub processor: Address,
    /// The enclave that the match names.
    pub enclave: Address,
    /// Where the request stands in the chain.
    pub requested: At,
    /// Where the match stands in the chain.
    pub matched: At,
    /// What the vendors say of the platform now; those that the evidence has no use for are left aside.
    pub endorsements: &'a [Endorsement],
    /// The owner's time, at which the endorsements must be in force.
    pub now: UnixTime,
    /// What the owner trusts.
    pub anchors: &'a Anchors,
}

/// A key evidence that a policy accepts: a secret for this task may be sealed to its recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEvidence {
    /// The enclave's X-Wing public key, 1,216 bytes.
    pub recipient: Vec<u8>,
    /// Which TEE.
    pub kind: EvidenceKind,
    /// What it launched.
    pub measurement: Measurement,
    /// How much it shows now, and why.
    pub assessment: Assessment,
    /// The block that the evidence is not older than; whether the chain has it and how old it is, is for the caller.
    pub block_number: u64,
    /// That block's hash.
    pub block_hash: B256,
}

/// The codes of spec §9.4, with which an owner rejects a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum RejectReason {
    /// The evidence is malformed, or not genuine.
    Malformed = 1,
    /// It is made for another task, processor or enclave.
    NotThis = 2,
    /// The policy does not accept it, no policy could, or this version can't verify its kind.
    Policy = 3,
    /// The platform or its endorsements are out of date, or there are none.
    OutOfDate = 4,
    /// The owner's own reason.
    Own = 5,
}

impl RejectReason {
    /// The code that `reject` carries.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// Why an owner must not release a secret to a match.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{rejection}", if *.by_own { "by this account's own policy: " } else { "" })]
pub struct KeyEvidenceRejection {
    /// The code to reject with; `None` if the fault is the caller's: the policy is not the request's.
    pub reason: Option<RejectReason>,
    /// What is wrong, as the auditor's steps name it.
    pub rejection: Rejection,
    /// Whether the request's policy accepts it, and one of the party's own does not.
    pub by_own: bool,
}

/// Checks the evidence of a match as the owner must before it approves: form, claims, quote and policy.
///
/// # Errors
/// The first step that fails.
pub fn check_key_evidence(
    evidence: &[u8],
    expected: &KeyExpectation<'_>,
) -> Result<Verified<KeyEvidence>, KeyEvidenceRejection> {
    let (request, policy) = (expected.request, expected.policy);
    if policy.hash() != request.policy {
        let mismatch = PolicyMismatch { actual: policy.hash(), committed: request.policy };
        return Err(KeyEvidenceRejection { reason: None, rejection: mismatch.into(), by_own: false });
    }
    let evidence =
        Evidence::parse(evidence).map_err(|error| Malformed::Part { part: "key evidence", error })?;
    let bound = claims::Bound {
        task: request.id(expected.domain),
        processor: expected.processor,
        enclave: expected.enclave,
    };
    claims::check_key(&evidence, &bound, expected.matched.number)?;
    check_kind(evidence.kind, request, policy)?;
    let endorsements: Vec<Endorsement> =
        expected.endorsements.iter().filter(|one| one.endorses(evidence.kind)).cloned().collect();
    let context = Context {
        endorsements: &endorsements,
        ran: expected.now,
        made: made_between(expected.requested.time, expected.matched.time),
        now: expected.now,
        anchors: expected.anchors,
    };
    let verified: EvidenceClaims = verify(&evidence, &context)?.into_inner();
    let accepted = |policy: &Policy| {
        policy.accepts(verified.kind, verified.measurement, expected.anchors)?;
        verified.hardware.as_ref().map_or(Ok(()), |hardware| policy.accepts_hardware(hardware))
    };
    accepted(policy)?;
    for own in expected.own_policies {
        accepted(own).map_err(|error| KeyEvidenceRejection { by_own: true, ..error.into() })?;
    }
    Ok(Verified::by_check(KeyEvidence {
        recipient: evidence.recipient,
        kind: verified.kind,
        measurement: verified.measurement,
        assessment: verified.standing.when_it_ran,
        block_number: verified.claims.block_number,
        block_hash: verified.claims.block_hash,
    }))
}

impl From<Malformed> for KeyEvidenceRejection {
    fn from(error: Malformed) -> Self {
        Self { reason: Some(RejectReason::Malformed), rejection: error.into(), by_own: false }
    }
}

impl From<ClaimMismatch> for KeyEvidenceRejection {
    fn from(error: ClaimMismatch) -> Self {
        Self { reason: Some(RejectReason::NotThis), rejection: Rejection::KeyClaims(error), by_own: false }
    }
}

impl From<EvidenceRejection> for KeyEvidenceRejection {
    fn from(error: EvidenceRejection) -> Self {
        let reason = match &error {
            EvidenceRejection::UnsupportedKind(_) => RejectReason::Policy,
            EvidenceRejection::Unendorsed(_) => RejectReason::OutOfDate,
            EvidenceRejection::LaunchBinding(_) => RejectReason::NotThis,
            EvidenceRejection::Vendor(VendorRejection { fault, .. }) if fault.is_out_of_date() => {
                RejectReason::OutOfDate
            }
            EvidenceRejection::Vendor(VendorRejection { fault, .. }) if fault.is_unprotected() => {
                RejectReason::Policy
            }
            EvidenceRejection::Vendor(VendorRejection { fault: Fault::WrongTime, .. }) => {
                RejectReason::NotThis
            }
            _ => RejectReason::Malformed,
        };
        let rejection = EvidenceInvalid::Quote { purpose: Purpose::Key, error }.into();
        Self { reason: Some(reason), rejection, by_own: false }
    }
}

impl From<PolicyRefusal> for KeyEvidenceRejection {
    fn from(error: PolicyRefusal) -> Self {
        let reason = if error.is_out_of_date() { RejectReason::OutOfDate } else { RejectReason::Policy };
        Self { reason: Some(reason), rejection: error.into(), by_own: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::launch::{TcbStatus, WrongLaunchBinding};

    fn code(rejection: impl Into<KeyEvidenceRejection>) -> u8 {
        rejection.into().reason.unwrap().code()
    }

    #[test]
    fn each_fault_of_a_quote_has_its_code() {
        for fault in Fault::ALL {
            let rejection = VendorRejection { fault, message: String::new() };
            let expected = match fault {
                Fault::Malformed
                | Fault::Untrusted
                | Fault::Forged
                | Fault::WrongPlatform
                | Fault::WrongPart => 1,
                Fault::WrongTime => 2,
                Fault::Debug | Fault::Migration | Fault::ServiceTd | Fault::Vmpl | Fault::Attributes => 3,
                Fault::NotYetValid
                | Fault::Expired
                | Fault::Revoked
                | Fault::TcbRevoked
                | Fault::TcbUnknown => 4,
            };
            assert_eq!(code(EvidenceRejection::Vendor(rejection)), expected, "{fault}");
        }
        assert_eq!(code(EvidenceRejection::ReportData), 1);
        assert_eq!(code(EvidenceRejection::LaunchBinding(WrongLaunchBinding)), 2);
        assert_eq!(code(EvidenceRejection::UnsupportedKind(EvidenceKind::Tdx)), 3);
        assert_eq!(code(EvidenceRejection::Unendorsed(String::new())), 4);
    }

    #[test]
    fn a_policy_that_asks_for_newer_firmware_says_out_of_date() {
        assert_eq!(code(PolicyRefusal::Tcb(TcbStatus::OutOfDate)), 4);
        assert_eq!(code(PolicyRefusal::Evaluation { actual: 1, least: 2 }), 4);
        assert_eq!(code(PolicyRefusal::Milan), 3);
        assert_eq!(code(PolicyRefusal::Kind(EvidenceKind::Tdx)), 3);
    }
}
