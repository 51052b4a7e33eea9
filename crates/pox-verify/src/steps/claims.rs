//! Steps 8 and 9: the two evidences claim this task, processor, enclave and receipt, one after the other.

use super::archive::Archived;
use super::lifecycle::Steps;
use super::matched::Match;
use super::parse::Records;
use super::receipt::Signed;
use crate::evidence::claims::{Bound, Chained, check_key, check_result};
use crate::rejection::Rejection;
use crate::verified::Verified;
use pox_core::TaskId;
use pox_core::evidence::sha256;

/// Both evidences claim what they must; whether anything vouches for them is step 10's.
pub(crate) struct Claimed;

/// Checks the claims of both.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    task: &Verified<TaskId>,
    steps: &Verified<Steps>,
    matched: &Verified<Match>,
    receipt: &Verified<Signed>,
    _archive: &Verified<Archived>,
) -> Result<Verified<Claimed>, Rejection> {
    let bound = Bound { task: **task, processor: matched.processor, enclave: matched.enclave };
    check_key(&records.key, &bound, steps.matched.at.number).map_err(Rejection::KeyClaims)?;
    let chained = Chained {
        recipient: records.key.claims.recipient,
        previous: sha256(&records.proof.matched.evidence),
        receipt: receipt.id,
    };
    let latest = steps.proven.at.number;
    check_result(&records.archive.evidence, &bound, latest, &chained).map_err(Rejection::ResultClaims)?;
    Ok(Verified::by_check(Claimed))
}
