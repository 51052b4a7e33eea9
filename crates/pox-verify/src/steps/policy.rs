//! Step 11: the owner accepted such evidence.

use super::parse::Records;
use super::quotes::Quotes;
use crate::anchors::Anchors;
use crate::policy::{Policy, PolicyRefusal};
use crate::rejection::{PolicyMismatch, Rejection};
use crate::verified::Verified;
use pox_core::Request;
use pox_core::evidence::EvidenceKind;

/// The policy is the request's, and accepts what step 10 found.
pub(crate) struct Accepted;

/// Checks the policy's hash, and that it accepts kind, measurement and what hardware says in both evidences.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    quotes: &Verified<Quotes>,
    anchors: &Anchors,
) -> Result<Verified<Accepted>, Rejection> {
    let (request, policy) = (&records.request, &records.policy);
    let actual = policy.hash();
    if actual != request.policy {
        return Err(PolicyMismatch { actual, committed: request.policy }.into());
    }
    check_kind(quotes.kind, request, policy)?;
    if let Some(measurement) = quotes.measurement {
        policy.accepts(quotes.kind, measurement, anchors)?;
    }
    if let Some(both) = &quotes.hardware {
        policy.accepts_hardware(&both.key)?;
        policy.accepts_hardware(&both.result)?;
    }
    Ok(Verified::by_check(Accepted))
}

/// Checks that request and policy both accept a kind.
pub(crate) fn check_kind(
    kind: EvidenceKind,
    request: &Request,
    policy: &Policy,
) -> Result<(), PolicyRefusal> {
    if !request.kinds.contains(kind) {
        return Err(PolicyRefusal::NotRequested(kind));
    }
    policy.accepts_kind(kind)
}
