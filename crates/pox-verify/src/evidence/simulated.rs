//! The simulated kinds: the form of a real verification, over a root that anyone can sign with (spec §8.4.1).

use super::{Assessment, Context, EvidenceClaims, EvidenceRejection, Standing};
use crate::grade::Grade;
use crate::policy::Measurement;
use crate::reason::Reason;
use pox_core::evidence::{Evidence, SimulatedQuote};
use pox_core::signature::Signature;

/// Verifies a simulated quote; never gives more than [`Grade::Simulated`].
pub(super) fn verify(
    evidence: &Evidence,
    context: &Context<'_>,
) -> Result<EvidenceClaims, EvidenceRejection> {
    let quote = SimulatedQuote::parse(&evidence.quote)?;
    let report_data = evidence.claims.report_data();
    if quote.report_data != report_data {
        return Err(EvidenceRejection::ReportData);
    }
    let digest = SimulatedQuote::digest(quote.measurement, &report_data);
    let signer = Signature::parse(&quote.signature)?.signer(digest)?;
    if signer != context.anchors.simulated_root {
        return Err(EvidenceRejection::Root { signer, kind: evidence.kind });
    }
    let assessment =
        Assessment { grade: Grade::Simulated, reasons: vec![Reason::SimulatedKind(evidence.kind)] };
    Ok(EvidenceClaims {
        kind: evidence.kind,
        measurement: Measurement(quote.measurement),
        claims: evidence.claims.clone(),
        hardware: None,
        standing: Standing {
            today: context.anchors.fresh.is_some().then(|| assessment.clone()),
            when_it_ran: assessment,
        },
    })
}
