//! Step 10: a TEE vouches for both evidences, and it is one launch of the same program in the same kind of TEE.

use super::claims::Claimed;
use super::lifecycle::Steps;
use super::parse::Records;
use crate::anchors::Anchors;
use crate::evidence::launch::Window;
use crate::evidence::{
    Assessment, CLOCK_TOLERANCE_SECONDS, Context, EvidenceClaims, Hardware, Standing, verify,
};
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
    /// `None` if nothing vouches for one of them.
    pub(crate) measurement: Option<Measurement>,
    /// What hardware says in each; `None` for simulated kinds, too.
    pub(crate) hardware: Option<Both>,
    pub(crate) standing: Standing,
}

/// What hardware says in the key evidence, and in the result evidence.
pub(crate) struct Both {
    pub(crate) key: Hardware,
    pub(crate) result: Hardware,
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
    let between = |from, until| Context {
        endorsements: &records.archive.endorsements,
        ran,
        made: made_between(from, until),
        now,
        anchors,
    };
    let key_context = between(steps.requested.time, steps.matched.at.time);
    let result_context = between(steps.approved_at().time, ran);
    let quotes = match (one(key, Purpose::Key, &key_context)?, one(result, Purpose::Result, &result_context)?)
    {
        (Ok(key), Ok(result)) => pair(key.into_inner(), result.into_inner())?,
        (Err(reason), _) | (_, Err(reason)) => unknown(key.kind, reason),
    };
    Ok(Verified::by_check(quotes))
}

/// When an evidence can have been made, by the chain's times of the steps around it.
pub(crate) fn made_between(from: UnixTime, until: UnixTime) -> Window {
    Window {
        from: UnixTime(from.0.saturating_sub(CLOCK_TOLERANCE_SECONDS)),
        until: UnixTime(until.0.saturating_add(CLOCK_TOLERANCE_SECONDS)),
    }
}

/// One evidence, or why nothing is known of it.
fn one(
    evidence: &Evidence,
    purpose: Purpose,
    context: &Context<'_>,
) -> Result<Result<Verified<EvidenceClaims>, Reason>, EvidenceInvalid> {
    match verify(evidence, context) {
        Ok(claims) => Ok(Ok(claims)),
        Err(error) => match error.as_unknown() {
            Some(reason) => Ok(Err(reason)),
            None => Err(EvidenceInvalid::Quote { purpose, error }),
        },
    }
}

fn unknown(kind: EvidenceKind, reason: Reason) -> Quotes {
    let when_it_ran = Assessment { grade: Grade::Asserted, reasons: vec![reason] };
    Quotes { kind, measurement: None, hardware: None, standing: Standing { when_it_ran, today: None } }
}

/// Holds two evidences of one kind against each other: both must be of the same launch.
fn pair(key: EvidenceClaims, result: EvidenceClaims) -> Result<Quotes, EvidenceInvalid> {
    if key.measurement != result.measurement {
        return Err(EvidenceInvalid::Measurements { key: key.measurement, result: result.measurement });
    }
    let hardware = key.hardware.zip(result.hardware).map(|(key, result)| Both { key, result });
    if let Some(both) = &hardware {
        same_launch(both)?;
    }
    Ok(Quotes {
        kind: key.kind,
        measurement: Some(key.measurement),
        hardware,
        standing: Standing {
            when_it_ran: worse(key.standing.when_it_ran, result.standing.when_it_ran),
            today: key.standing.today.zip(result.standing.today).map(|(key, result)| worse(key, result)),
        },
    })
}

/// Checks that registers and machine did not change between the two: a launch is measured once, and stays where it is.
fn same_launch(both: &Both) -> Result<(), EvidenceInvalid> {
    let (key, result) = (&both.key.launch, &both.result.launch);
    if key.platform != result.platform {
        let [key, result] = [key, result].map(|launch| launch.platform.clone());
        return Err(EvidenceInvalid::Platforms { key, result });
    }
    let registers = key.registers.iter().zip(&result.registers);
    match registers.into_iter().find(|(key, result)| key != result) {
        Some((register, _)) => Err(EvidenceInvalid::Registers(register.name)),
        None if key.registers.len() != result.registers.len() => Err(EvidenceInvalid::Registers("number")),
        None if key.launch_data != result.launch_data => Err(EvidenceInvalid::Registers("launch data")),
        None => Ok(()),
    }
}

/// Both have to hold, so the worse counts.
fn worse(key: Assessment, result: Assessment) -> Assessment {
    let mut reasons = key.reasons;
    let more: Vec<Reason> = result.reasons.into_iter().filter(|reason| !reasons.contains(reason)).collect();
    reasons.extend(more);
    Assessment { grade: key.grade.min(result.grade), reasons }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::launch::{Launch, LaunchBinding, PlatformId, Register, Tcb, TcbStatus};
    use crate::evidence::roots::RootStanding;
    use alloy_primitives::{Address, B256};
    use pox_core::evidence::Claims;
    use pox_core::{ReceiptId, TaskId};
    use std::collections::{BTreeMap, BTreeSet};

    fn register(name: &'static str, value: u8, measured: bool) -> Register {
        Register { name, value: vec![value; 48], measured }
    }

    fn claims(change: impl Fn(&mut Launch)) -> EvidenceClaims {
        let mut launch = Launch {
            kind: EvidenceKind::Snp,
            registers: vec![register("MEASUREMENT", 1, true), register("REPORT_ID", 2, false)],
            report_data: [0; 64],
            tcb: Tcb {
                status: TcbStatus::UpToDate,
                advisories: BTreeSet::new(),
                level: String::new(),
                evaluation: None,
                parts: BTreeMap::new(),
            },
            platform: Some(PlatformId { name: "chip-id", bytes: vec![1; 64] }),
            launch_data: Some(vec![0; 32]),
            traits: BTreeSet::new(),
            endorsed: None,
        };
        change(&mut launch);
        EvidenceClaims {
            kind: launch.kind,
            measurement: launch.measurement(),
            claims: Claims {
                purpose: Purpose::Key,
                task: TaskId::ZERO,
                enclave: Address::ZERO,
                recipient: B256::ZERO,
                block_number: 0,
                block_hash: B256::ZERO,
                previous: B256::ZERO,
                receipt: ReceiptId::ZERO,
                processor: Address::ZERO,
            },
            hardware: Some(Hardware { launch, binding: LaunchBinding::Unbound, roots: RootStanding::Vendor }),
            standing: Standing {
                when_it_ran: Assessment { grade: Grade::Hardware, reasons: vec![Reason::NoPlatform] },
                today: None,
            },
        }
    }

    fn refused(change: impl Fn(&mut Launch)) -> &'static str {
        pair(claims(|_| {}), claims(change)).err().map_or("accepted", |error| error.name())
    }

    #[test]
    fn both_evidences_are_of_one_launch_on_one_machine() {
        assert_eq!(refused(|_| {}), "accepted");
        assert_eq!(refused(|launch| launch.registers[0].value[47] ^= 1), "two-programs");
        assert_eq!(refused(|launch| launch.registers[1].value[47] ^= 1), "two-launches");
        assert_eq!(refused(|launch| launch.registers.push(register("MORE", 0, false))), "two-launches");
        assert_eq!(refused(|launch| launch.launch_data = None), "two-launches");
        assert_eq!(refused(|launch| launch.platform = None), "two-platforms");
        let other = PlatformId { name: "chip-id", bytes: vec![2; 64] };
        assert_eq!(refused(|launch| launch.platform = Some(other.clone())), "two-platforms");
    }

    #[test]
    fn the_worse_of_both_counts() {
        let mut result = claims(|_| {});
        result.standing.when_it_ran =
            Assessment { grade: Grade::Asserted, reasons: vec![Reason::NoPlatform, Reason::LaunchBound] };
        let today = Assessment { grade: Grade::Simulated, reasons: vec![] };
        result.standing.today = Some(today.clone());
        let standing = pair(claims(|_| {}), result.clone()).unwrap().standing;
        assert_eq!(standing.when_it_ran.grade, Grade::Asserted);
        assert_eq!(standing.when_it_ran.reasons, [Reason::NoPlatform, Reason::LaunchBound]);
        assert_eq!(standing.today, None, "known of one of them only");
        let mut key = claims(|_| {});
        key.standing.today = Some(Assessment { grade: Grade::Hardware, reasons: vec![] });
        assert_eq!(pair(key, result).unwrap().standing.today, Some(today));
    }

    #[test]
    fn a_document_is_made_between_the_steps_around_it() {
        let window = made_between(UnixTime(1000), UnixTime(2000));
        assert_eq!((window.from, window.until), (UnixTime(700), UnixTime(2300)));
        assert_eq!(made_between(UnixTime(7), UnixTime(u64::MAX)).from, UnixTime(0));
    }
}
