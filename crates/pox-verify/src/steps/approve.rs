//! Step 5: every party released its secret to this enclave.

use super::lifecycle::Steps;
use super::matched::Match;
use super::parse::Records;
use crate::rejection::ApproveMismatch;
use crate::verified::Verified;
use alloy_primitives::Address;
use pox_core::Party;
use pox_core::history::{At, Payload};

/// The enclave that got the secrets.
pub(crate) struct Approved {
    pub(crate) enclave: Address,
    /// Whose data it is, and where each consent stands in the chain; the owner first.
    pub(crate) owners: Vec<(Party, Address, At)>,
}

/// Checks the payload of the owner's approval, or of every party's release.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    steps: &Verified<Steps>,
    matched: &Verified<Match>,
) -> Result<Verified<Approved>, ApproveMismatch> {
    let (request, secrets, enclave) = (&records.request, &records.proof.secrets, matched.enclave);
    let alone = request.releases().is_empty();
    if secrets.len() != request.parties().count() || secrets.len() != steps.released.len() {
        return Err(ApproveMismatch);
    }
    let mut owners = Vec::with_capacity(secrets.len());
    for ((party, account), secret) in request.parties().zip(secrets.iter().copied()) {
        let payload = match alone {
            true => Payload::Approve { enclave, secret },
            false => Payload::Release { account, enclave, secret },
        };
        // As many steps as parties, and no two parties have one payload: so each step is one party's.
        let step = steps.released.iter().find(|step| step.payload == payload.word());
        owners.push((party, account, step.ok_or(ApproveMismatch)?.at));
    }
    Ok(Verified::by_check(Approved { enclave, owners }))
}
