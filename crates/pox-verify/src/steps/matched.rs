//! Step 4: the last match joined this offer, enclave and evidence, and the offer could serve the request.

use super::lifecycle::Steps;
use super::parse::Records;
use crate::rejection::MatchMismatch;
use crate::verified::Verified;
use alloy_primitives::{Address, keccak256};
use pox_core::Processors;
use pox_core::history::Payload;

/// Whom the match named.
pub(crate) struct Match {
    pub(crate) processor: Address,
    pub(crate) enclave: Address,
}

/// Checks the match's payload and the offer's fit.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    steps: &Verified<Steps>,
) -> Result<Verified<Match>, MatchMismatch> {
    let (request, offer) = (&records.request, &records.offer);
    let matched = &records.proof.matched;
    let (processor, enclave) = (offer.processor, matched.enclave);
    let payload = Payload::Match {
        offer: offer.id(&records.domain),
        processor,
        enclave,
        evidence: keccak256(&matched.evidence),
    };
    if payload.word() != steps.matched.payload {
        return Err(MatchMismatch::Payload);
    }
    let path = match request.processors {
        Processors::Listed(_) => Some(&*matched.path),
        Processors::Any | Processors::Only(_) if matched.path.is_empty() => None,
        // What belongs to nothing has no place in a proof.
        Processors::Any | Processors::Only(_) => return Err(MatchMismatch::Path),
    };
    if !request.processors.allow(processor, path) {
        return Err(MatchMismatch::Processor { actual: processor });
    }
    let (until, time) = (offer.valid_until.0, steps.matched.at.time.0);
    if time > until {
        return Err(MatchMismatch::Ended { until, time });
    }
    if let Some(field) = offer.misfit(request) {
        return Err(MatchMismatch::Misfit { field });
    }
    if enclave.is_zero() {
        return Err(MatchMismatch::NoEnclave);
    }
    Ok(Verified::by_check(Match { processor, enclave }))
}
