//! Step 10: a TEE vouches for both evidences, and it is the same program in the same kind of TEE.

use super::claims::Claimed;
use super::lifecycle::Steps;
use super::parse::Records;
use crate::anchors::Anchors;
use crate::evidence::{Context, EvidenceClaims, EvidenceRejection, Standing, verify};
use crate::grade::Grade;
use crate::policy::Measurement;
use crate::reason::Reason;
use crate::rejection::EvidenceInvalid;
use crate::verified::Verified;
use pox_core::UnixTime;
use pox_core::evidence::{Evidence, EvidenceKind, Purpose};

/// What both evidences come to.
pub(crate) struct Quotes {
    pub(crate) kind: EvidenceKind,
    /// `None` if this version can't verify the kind.
    pub(crate) measurement: Option<Measurement>,
    pub(crate) standing: Standing,
}

/// Verifies both evidences by their kind.
pub(crate) fn check(
    records: &Verified<Records<'_>>,
    steps: &Verified<Steps>,
    _claims: &Verified<Claimed>,
    anchors: &Anchors,
    now: UnixTime,
) -> Result<Verified<Quotes>, EvidenceInvalid> {
    let (key, result) = (&records.key, &records.archive.evidence);
    if key.kind != result.kind {
        return Err(EvidenceInvalid::Kinds { key: key.kind, result: result.kind });
    }
    // The archive, and with it whatever revokes a key, is fixed by the prove step; so that is the time for both.
    let ran = steps.proven.at.time;
    let context = Context { endorsements: &records.archive.endorsements, ran, now, anchors };
    let (Some(key), Some(result)) =
        (one(key, Purpose::Key, &context)?, one(result, Purpose::Result, &context)?)
    else {
        return Ok(Verified::by_check(unsupported(key.kind)));
    };
    if key.measurement != result.measurement {
        return Err(EvidenceInvalid::Measurements { key: key.measurement, result: result.measurement });
    }
    Ok(Verified::by_check(Quotes {
        kind: key.kind,
        measurement: Some(key.measurement),
        standing: worse(key.into_inner().standing, result.into_inner().standing),
    }))
}

/// One evidence, or `None` if this version can't verify its kind.
fn one(
    evidence: &Evidence,
    purpose: Purpose,
    context: &Context<'_>,
) -> Result<Option<Verified<EvidenceClaims>>, EvidenceInvalid> {
    match verify(evidence, context) {
        Ok(claims) => Ok(Some(claims)),
        Err(EvidenceRejection::UnsupportedKind(_)) => Ok(None),
        Err(error) => Err(EvidenceInvalid::Quote { purpose, error }),
    }
}

fn unsupported(kind: EvidenceKind) -> Quotes {
    let reasons = vec![Reason::UnsupportedKind(kind)];
    Quotes {
        kind,
        measurement: None,
        standing: Standing { when_it_ran: Grade::Asserted, today: None, reasons },
    }
}

/// Both have to hold, so the worse counts.
fn worse(key: Standing, result: Standing) -> Standing {
    let mut reasons = key.reasons;
    reasons.extend(result.reasons.into_iter().filter(|reason| !reasons.contains(reason)).collect::<Vec<_>>());
    Standing {
        when_it_ran: key.when_it_ran.min(result.when_it_ran),
        today: key.today.zip(result.today).map(|(key, result)| key.min(result)),
        reasons,
    }
}
