//! Step 5: the owner released a secret to this enclave.

use super::lifecycle::Steps;
use super::matched::Match;
use super::parse::Records;
use crate::rejection::ApproveMismatch;
use crate::verified::Verified;
use alloy_primitives::Address;
use pox_core::history::Payload;

/// The enclave that got a secret.
pub(crate) struct Approved {
    pub(crate) enclave: Address,
}

/// Checks the approval's payload.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    steps: &Verified<Steps>,
    matched: &Verified<Match>,
) -> Result<Verified<Approved>, ApproveMismatch> {
    let enclave = matched.enclave;
    let payload = Payload::Approve { enclave, secret: records.proof.secret };
    if payload.word() == steps.approved.payload {
        Ok(Verified::by_check(Approved { enclave }))
    } else {
        Err(ApproveMismatch)
    }
}
