use super::super::launch::{Register, Tcb, WrongLaunchBinding, launch_data};
use super::super::verify as verify_any;
use super::*;
use crate::anchors::Anchors;
use alloy_primitives::{Address, B256};
use pox_core::evidence::{Claims, Purpose};
use pox_core::{ReceiptId, TaskId};
use std::collections::{BTreeMap, BTreeSet};

const RAN: UnixTime = UnixTime(1_700_000_000);
const NOW: UnixTime = UnixTime(1_800_000_000);
const THEN: Window = Window { from: UnixTime(RAN.0 - 10), until: UnixTime(RAN.0 + 10) };

fn evidence(kind: EvidenceKind) -> Evidence {
    let claims = Claims {
        purpose: Purpose::Key,
        task: TaskId(B256::repeat_byte(1)),
        enclave: Address::repeat_byte(2),
        recipient: B256::repeat_byte(3),
        block_number: 4,
        block_hash: B256::repeat_byte(5),
        previous: B256::ZERO,
        receipt: ReceiptId::ZERO,
        processor: Address::repeat_byte(6),
    };
    Evidence { kind, claims, quote: vec![7], recipient: Vec::new() }
}

/// What a vendor would say of that evidence, with nothing to complain of.
pub(crate) fn launch(kind: EvidenceKind) -> Launch {
    Launch {
        kind,
        registers: vec![
            Register { name: "MRTD", value: vec![1; 48], measured: true },
            Register { name: "RTMR0", value: vec![2; 48], measured: false },
        ],
        report_data: evidence(kind).claims.report_data(),
        tcb: Tcb {
            status: TcbStatus::UpToDate,
            advisories: BTreeSet::new(),
            level: "snp 20".into(),
            evaluation: None,
            parts: BTreeMap::new(),
        },
        platform: PlatformId::name_for(kind).map(|name| PlatformId { name, bytes: vec![9; 16] }),
        launch_data: None,
        traits: BTreeSet::new(),
        endorsed: Some(THEN),
    }
}

/// Weighs a launch with the vendor's verifier played by a closure, under anchors that the case changes.
fn weighed(
    kind: EvidenceKind,
    anchors: &Anchors,
    endorsements: &[Endorsement],
    appraise: Appraise<'_>,
) -> Result<EvidenceClaims, EvidenceRejection> {
    let context = Context { endorsements, ran: RAN, made: THEN, now: NOW, anchors };
    weigh(&evidence(kind), &context, appraise)
}

fn then(change: impl Fn(&mut Launch)) -> Result<EvidenceClaims, EvidenceRejection> {
    weighed(EvidenceKind::Tdx, &Anchors::default(), &[], &|evidence, _| {
        let mut launch = launch(evidence.kind);
        change(&mut launch);
        Ok(launch)
    })
}

fn name(outcome: Result<EvidenceClaims, EvidenceRejection>) -> &'static str {
    outcome.unwrap_err().name()
}

fn codes(assessment: &Assessment) -> Vec<&'static str> {
    assessment.reasons.iter().map(Reason::code).collect()
}

#[test]
fn what_hardware_vouches_for_is_hardware() {
    let claims = then(|_| {}).unwrap();
    assert_eq!(claims.standing.when_it_ran.grade, Grade::Hardware);
    assert_eq!(codes(&claims.standing.when_it_ran), ["tcb", "platform", "launch-unbound", "endorsed"]);
    assert_eq!(claims.standing.today, None);
    assert_eq!(claims.measurement, launch(EvidenceKind::Tdx).measurement());
}

#[test]
fn each_tcb_status_has_its_grade() {
    for status in TcbStatus::ALL {
        let outcome = then(|launch| launch.tcb.status = status);
        let expected = match status {
            TcbStatus::Revoked => {
                assert_eq!(name(outcome), "tcb-revoked");
                continue;
            }
            TcbStatus::OutOfDate | TcbStatus::OutOfDateConfigurationNeeded => {
                (Grade::HardwareTcbOutdated, "tcb-outdated")
            }
            _ => (Grade::Hardware, "tcb"),
        };
        let found = outcome.unwrap().standing.when_it_ran;
        assert_eq!((found.grade, found.reasons[0].code()), expected, "{status}");
    }
}

#[test]
fn what_the_hardware_says_of_itself_is_named() {
    let claims = then(|launch| {
        launch.tcb.advisories = ["INTEL-SA-00289".into()].into();
        launch.traits = [PlatformTrait::Smt].into();
        launch.platform = None;
        launch.launch_data = launch_data(launch.kind, TaskId(B256::repeat_byte(1)));
        launch.endorsed = None;
    });
    let found = claims.unwrap().standing.when_it_ran;
    assert_eq!(codes(&found), ["tcb", "advisories", "no-platform", "platform-traits", "launch-bound"]);
}

#[test]
fn a_quote_over_other_claims_is_refused() {
    assert_eq!(name(then(|launch| launch.report_data[63] ^= 1)), "report-data");
}

#[test]
fn a_quote_of_another_kind_is_refused() {
    assert_eq!(name(then(|launch| launch.kind = EvidenceKind::Sgx)), "wrong-part");
}

#[test]
fn endorsements_must_be_in_force_when_it_ran() {
    let at = |from, until| {
        then(move |launch| {
            launch.endorsed = Some(Window { from: UnixTime(RAN.0 + from), until: UnixTime(RAN.0 + until) });
        })
    };
    assert!(at(0, 0).is_ok());
    assert_eq!(name(at(1, 2)), "not-yet-valid");
    assert_eq!(
        then(|launch| launch.endorsed = Some(Window { from: UnixTime(0), until: UnixTime(RAN.0 - 1) }))
            .unwrap_err()
            .name(),
        "expired"
    );
}

#[test]
fn what_a_development_root_signs_is_simulated() {
    let mut anchors = Anchors::default();
    anchors.vendor_roots.intel = b"another root, said to be the vendor's".to_vec();
    let weighed = |kind| weighed(kind, &anchors, &[], &|evidence, _| Ok(launch(evidence.kind))).unwrap();
    let simulated = weighed(EvidenceKind::Tdx);
    assert_eq!(simulated.standing.when_it_ran.grade, Grade::Simulated);
    assert_eq!(codes(&simulated.standing.when_it_ran)[0], "development-root");
    assert_eq!(weighed(EvidenceKind::Snp).standing.when_it_ran.grade, Grade::Hardware, "another vendor");
}

#[test]
fn an_outdated_platform_under_a_development_root_stays_simulated() {
    let mut anchors = Anchors::default();
    anchors.vendor_roots.standing = RootStanding::Development;
    let claims = weighed(EvidenceKind::Tdx, &anchors, &[], &|evidence, _| {
        let mut launch = launch(evidence.kind);
        launch.tcb.status = TcbStatus::OutOfDate;
        Ok(launch)
    });
    assert_eq!(claims.unwrap().standing.when_it_ran.grade, Grade::Simulated);
}

#[test]
fn a_launch_for_another_task_is_refused() {
    for kind in [EvidenceKind::Sgx, EvidenceKind::Tdx, EvidenceKind::Snp, EvidenceKind::Nitro] {
        let with = |data: Vec<u8>| Launch { launch_data: Some(data), ..launch(kind) };
        let task = TaskId(B256::repeat_byte(1));
        let data = launch_data(kind, task).unwrap();
        assert_eq!(with(data.clone()).binding(task), Ok(LaunchBinding::Task), "{kind}");
        assert_eq!(
            with(data.clone()).binding(TaskId(B256::repeat_byte(2))),
            Err(WrongLaunchBinding),
            "{kind}"
        );
        assert_eq!(with(vec![0; data.len()]).binding(task), Ok(LaunchBinding::Unbound), "{kind}");
        assert_eq!(with(data[1..].to_vec()).binding(task), Err(WrongLaunchBinding), "a part of it");
        assert_eq!(launch(kind).binding(task), Ok(LaunchBinding::Unbound), "no field");
    }
    assert_eq!(name(then(|launch| launch.launch_data = Some(vec![1; 48]))), "launch-binding");
}

#[test]
fn a_quote_without_endorsements_is_unknown_and_not_wrong() {
    let missing = |_: &Evidence, _: &Basis<'_>| Err(EvidenceRejection::Unendorsed("no collateral".into()));
    let error = weighed(EvidenceKind::Tdx, &Anchors::default(), &[], &missing).unwrap_err();
    assert_eq!(error.as_unknown(), Some(Reason::Unendorsed("no collateral".into())));
    assert_eq!(EvidenceRejection::ReportData.as_unknown(), None);
}

#[test]
fn endorsements_of_another_vendor_are_refused() {
    let anchors = Anchors::default();
    for kind in EvidenceKind::ALL {
        for code in 0..8 {
            let endorsements = [Endorsement { kind: code, content: vec![] }];
            let context =
                Context { endorsements: &endorsements, ran: RAN, made: THEN, now: NOW, anchors: &anchors };
            let outcome = verify_any(&evidence(kind), &context).map(|_| ());
            let has_meaning = EndorsementKind::of(code).is_some_and(|endorsement| endorsement.endorses(kind));
            let is_refused = outcome == Err(EvidenceRejection::Endorsement(code));
            assert_eq!(is_refused, !has_meaning, "kind {code} for {kind}");
        }
    }
}

/// What the auditor knows today, and what the vendor says of the same quote then.
fn today(
    kind: EvidenceKind,
    fresh: Fresh,
    archived: &[Endorsement],
    now: Appraise<'_>,
) -> Option<Assessment> {
    let anchors = Anchors { fresh: Some(fresh), ..Anchors::default() };
    let claims = weighed(kind, &anchors, archived, &|evidence, basis| {
        if basis.at == RAN {
            return Ok(Launch { platform: launch(kind).platform, ..launch(kind) });
        }
        assert_eq!(basis.at, NOW);
        now(evidence, basis)
    });
    let standing = claims.unwrap().standing;
    assert_eq!(standing.when_it_ran.grade, Grade::Hardware, "today changes nothing of then");
    standing.today
}

fn renewed() -> Fresh {
    let collateral = Endorsement::new(EndorsementKind::DcapCollateral, b"of today".to_vec());
    Fresh { endorsements: vec![collateral], ..Fresh::default() }
}

fn still(
    change: impl Fn(&mut Launch),
) -> impl Fn(&Evidence, &Basis<'_>) -> Result<Launch, EvidenceRejection> {
    move |evidence, _| {
        let mut launch = Launch { endorsed: None, ..launch(evidence.kind) };
        change(&mut launch);
        Ok(launch)
    }
}

#[test]
fn a_platform_superseded_since_is_outdated_today() {
    let tdx = EvidenceKind::Tdx;
    assert_eq!(today(tdx, renewed(), &[], &still(|_| {})).unwrap().grade, Grade::Hardware);
    let outdated = today(tdx, renewed(), &[], &still(|l| l.tcb.status = TcbStatus::OutOfDate)).unwrap();
    assert_eq!(outdated.grade, Grade::HardwareTcbOutdated);
    assert!(codes(&outdated).contains(&"tcb-outdated"));
}

#[test]
fn what_fails_today_is_asserted_and_says_why() {
    for fault in [Fault::Revoked, Fault::Expired, Fault::TcbUnknown] {
        let refused = |_: &Evidence, _: &Basis<'_>| Err(reject(fault, "no longer".into()));
        let assessment = today(EvidenceKind::Tdx, renewed(), &[], &refused).unwrap();
        assert_eq!((assessment.grade, codes(&assessment)), (Grade::Asserted, vec![fault.name()]));
    }
    let stale = still(|launch| launch.endorsed = Some(THEN));
    let assessment = today(EvidenceKind::Tdx, renewed(), &[], &stale).unwrap();
    assert_eq!((assessment.grade, codes(&assessment)), (Grade::Asserted, vec!["expired"]));
}

#[test]
fn today_is_unknown_without_anything_fresh() {
    let never = |_: &Evidence, _: &Basis<'_>| panic!("nothing to judge by");
    assert_eq!(today(EvidenceKind::Tdx, Fresh::default(), &[], &never), None);
    assert_eq!(today(EvidenceKind::Snp, renewed(), &[], &never), None, "another vendor's");
    let document = today(EvidenceKind::Nitro, Fresh::default(), &[], &still(|_| {})).unwrap();
    assert_eq!(document.grade, Grade::Hardware);
}

#[test]
fn today_takes_certificates_from_the_archive_and_lists_from_today() {
    let of = |kind, content: &str| Endorsement::new(kind, content.into());
    let archived = [
        of(EndorsementKind::SnpKey, "key"),
        of(EndorsementKind::SnpIssuer, "old issuer"),
        of(EndorsementKind::SnpCrl, "old list"),
    ];
    let fresh = vec![
        of(EndorsementKind::SnpCrl, "list"),
        of(EndorsementKind::SnpIssuer, "issuer"),
        of(EndorsementKind::DcapCollateral, "another vendor's"),
    ];
    let judged = |evidence: &Evidence, basis: &Basis<'_>| {
        let contents: Vec<&[u8]> = basis.endorsements.iter().map(|one| one.content.as_slice()).collect();
        assert_eq!(contents, [b"list".as_slice(), b"issuer", b"key"]);
        still(|_| {})(evidence, basis)
    };
    let fresh = Fresh { endorsements: fresh, ..Fresh::default() };
    assert_eq!(today(EvidenceKind::Snp, fresh, &archived, &judged).unwrap().grade, Grade::Hardware);
}

#[test]
fn a_denied_platform_is_not_believed_today() {
    let tdx = EvidenceKind::Tdx;
    let denied = |text: &str| Fresh { denied_platforms: [text.parse().unwrap()].into(), ..renewed() };
    let its_own = launch(tdx).platform.unwrap().to_string();
    let assessment = today(tdx, denied(&its_own), &[], &still(|_| {})).unwrap();
    assert_eq!((assessment.grade, codes(&assessment)[0]), (Grade::Asserted, "platform-denied"));
    for other in ["ppid:0x01", "chip-id:0x09090909090909090909090909090909"] {
        assert_eq!(today(tdx, denied(other), &[], &still(|_| {})).unwrap().grade, Grade::Hardware, "{other}");
    }
    let alone = Fresh { endorsements: vec![], ..denied(&its_own) };
    assert_eq!(today(tdx, alone, &[], &still(|_| {})).unwrap().grade, Grade::Asserted, "without collateral");
}

#[test]
fn a_platform_that_hides_is_denied_with_its_vendor_s() {
    let hidden = Launch { platform: None, ..launch(EvidenceKind::Snp) };
    let chip: PlatformId = "chip-id:0x01".parse().unwrap();
    let ppid: PlatformId = "ppid:0x01".parse().unwrap();
    assert_eq!(denied_platform(&hidden, [&chip]), Some(None));
    assert_eq!(denied_platform(&hidden, [&ppid]), None);
    assert_eq!(denied_platform(&hidden, []), None);
}

#[test]
fn a_denied_flaw_is_not_put_up_with_today() {
    let anchors = Anchors {
        fresh: Some(Fresh { denied_advisories: ["INTEL-SA-1".into()].into(), ..renewed() }),
        ..Anchors::default()
    };
    let flawed = |evidence: &Evidence, _: &Basis<'_>| {
        let mut launch = Launch { endorsed: None, ..launch(evidence.kind) };
        launch.tcb.advisories = ["INTEL-SA-1".into(), "INTEL-SA-2".into()].into();
        Ok(launch)
    };
    let today = weighed(EvidenceKind::Tdx, &anchors, &[], &flawed).unwrap().standing.today.unwrap();
    assert_eq!((today.grade, codes(&today)[0]), (Grade::Asserted, "advisory-denied"));
}
