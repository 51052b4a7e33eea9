//! Whole proofs with hardware evidence: what holds, what each attack on one comes to, and how they stand today.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use pox_core::endorsement::{Endorsement, EndorsementKind};
use pox_core::evidence::{Claims, Evidence, EvidenceKind, Purpose};
use pox_core::receipt::Archive;
use pox_core::{Address, B256, UnixTime};
use pox_devtee::dcap::{Enclave, Quoting, Revoked, Td, Tee};
use pox_devtee::snp::{Report, Signer, Tcb};
use pox_verify::evidence::inspect::judge;
use pox_verify::evidence::launch::{PlatformId, Window};
use pox_verify::{Anchors, Fresh, Grade, Verdict, verify};
use std::collections::BTreeSet;
use support::hardware::{self, KINDS, THEN, TODAY, amd, chip, collateral, draft, trusting};
use support::{Draft, NOW, at, policy_bytes};

fn judged(draft: &Draft) -> Verdict {
    verify(&draft.build().to_bytes(), &trusting(), Grade::Simulated, NOW)
}

/// The rejection's code and its sentence.
fn rejected(draft: &Draft) -> (&'static str, String) {
    let verdict = judged(draft);
    let rejection = verdict.rejection.unwrap_or_else(|| panic!("accepted as {}", verdict.grade));
    (rejection.code(), rejection.to_string())
}

fn today(kind: EvidenceKind, fresh: Fresh, now: UnixTime) -> Verdict {
    let anchors = Anchors { fresh: Some(fresh), ..trusting() };
    verify(&draft(kind).build().to_bytes(), &anchors, Grade::Simulated, now)
}

#[test]
fn a_whole_proof_of_each_kind_holds_and_is_no_more_than_its_root() {
    for kind in KINDS {
        let verdict = judged(&draft(kind));
        assert_eq!(
            (verdict.grade, verdict.meets),
            (Grade::Simulated, true),
            "{kind}: {:?}",
            verdict.rejection
        );
        let facts = verdict.facts.unwrap();
        assert_eq!(facts.evidence.release.as_deref(), Some("test-release"), "{kind}");
        // By the vendors' own roots the same file shows nothing.
        let anchors = Anchors { releases: trusting().releases, ..support::anchors() };
        let verdict = verify(&draft(kind).build().to_bytes(), &anchors, Grade::Simulated, NOW);
        assert_eq!(verdict.rejection.unwrap().code(), "evidence-invalid", "{kind}");
    }
}

#[test]
fn a_quote_of_another_task_is_rejected() {
    for kind in KINDS {
        let mut other_task = draft(kind);
        other_task.key.claims = |claims| claims.task.0.0[0] ^= 1;
        assert_eq!(rejected(&other_task).0, "key-claims", "{kind}");
        // The right claims beside a quote that is over others'.
        for (purpose, place) in [(Purpose::Key, 0), (Purpose::Result, 1)] {
            let mut swapped = draft(kind);
            let evidence = if place == 0 { &mut swapped.key } else { &mut swapped.result };
            evidence.quoted = over_other_claims(kind);
            let (code, sentence) = rejected(&swapped);
            assert_eq!(code, "evidence-invalid", "{kind} {purpose:?}: {sentence}");
        }
    }
}

/// Quotes as the kind does, over the claims of another task, and puts the first claims back.
fn over_other_claims(kind: EvidenceKind) -> fn(&mut Evidence) {
    fn swap(evidence: &mut Evidence, quote: fn(&mut Evidence)) {
        let claims = evidence.claims.clone();
        evidence.claims.task.0.0[0] ^= 1;
        quote(evidence);
        evidence.claims = claims;
    }
    match kind {
        EvidenceKind::Sgx => |evidence| swap(evidence, hardware::sgx),
        EvidenceKind::Tdx => |evidence| swap(evidence, hardware::tdx),
        EvidenceKind::Snp => |evidence| swap(evidence, hardware::snp),
        _ => |evidence| swap(evidence, hardware::nitro),
    }
}

#[test]
fn a_quote_of_another_chain_or_another_contract_is_rejected() {
    for kind in KINDS {
        for change in [(|proof| proof.domain.chain_id += 1) as fn(&mut pox_core::proof::Proof), |proof| {
            proof.domain.contract = Address::repeat_byte(0xee)
        }] {
            let (code, sentence) = rejected(&Draft { finish: change, ..draft(kind) });
            // The task id binds both, so the proof falls apart before its evidence is looked at.
            assert_eq!(code, "request-mismatch", "{kind}: {sentence}");
        }
    }
}

#[test]
fn a_swapped_enclave_key_is_rejected() {
    for kind in KINDS {
        for (change, code) in [
            (
                (|claims: &mut Claims| claims.enclave = Address::repeat_byte(1)) as fn(&mut Claims),
                "key-claims",
            ),
            (|claims| claims.recipient = B256::repeat_byte(1), "key-claims"),
        ] {
            let mut swapped = draft(kind);
            swapped.key.claims = change;
            assert_eq!(rejected(&swapped).0, code, "{kind}");
        }
        let mut swapped = draft(kind);
        swapped.result.claims = |claims| claims.enclave = Address::repeat_byte(1);
        assert_eq!(rejected(&swapped).0, "result-claims", "{kind}");
        let mut signer = draft(kind);
        signer.receipt_signer = support::key("another enclave");
        assert_eq!(rejected(&signer).0, "receipt-signature", "{kind}");
    }
}

#[test]
fn a_quote_older_than_its_block_is_rejected() {
    // A claim names the block before which it can't have been made; a later one than the match is a lie.
    for kind in KINDS {
        let mut older = draft(kind);
        older.key.claims = |claims| claims.block_number = 12;
        assert_eq!(rejected(&older).0, "key-claims", "{kind}");
    }
    // A kind that states its time is held to it: the key between request and match, the result between approval and prove.
    let off: [fn(&mut Evidence); 4] = [
        |evidence| hardware::nitro_made(evidence, UnixTime(at(10).time.0 - 301)),
        |evidence| hardware::nitro_made(evidence, UnixTime(at(11).time.0 + 301)),
        |evidence| hardware::nitro_made(evidence, UnixTime(at(12).time.0 - 301)),
        |evidence| hardware::nitro_made(evidence, UnixTime(at(13).time.0 + 301)),
    ];
    for (index, quoted) in off.into_iter().enumerate() {
        let mut older = draft(EvidenceKind::Nitro);
        if index < 2 {
            older.key.quoted = quoted
        } else {
            older.result.quoted = quoted
        }
        let (code, sentence) = rejected(&older);
        assert_eq!(code, "evidence-invalid", "{index}");
        assert!(sentence.contains("made at"), "{index}: {sentence}");
    }
    let mut edge = draft(EvidenceKind::Nitro);
    edge.key.quoted = |evidence| hardware::nitro_made(evidence, UnixTime(at(10).time.0 - 300));
    edge.result.quoted = |evidence| hardware::nitro_made(evidence, UnixTime(at(13).time.0 + 300));
    assert!(judged(&edge).meets);
}

#[test]
fn a_wrong_launch_time_binding_is_rejected() {
    let mut wrong_td = draft(EvidenceKind::Tdx);
    wrong_td.key.quoted = |evidence| {
        let td = Td { mr_config_id: [1; 48], ..hardware::td(evidence) };
        evidence.quote = hardware::intel().tdx_quote(&td, &Quoting::default());
    };
    let mut wrong_guest = draft(EvidenceKind::Snp);
    wrong_guest.key.quoted = |evidence| {
        let report = Report { host_data: [1; 32], ..hardware::report(evidence) };
        evidence.quote = hardware::genoa().sign(&report, Signer::Vcek, &chip(), Tcb::default());
    };
    for wrong in [wrong_td, wrong_guest] {
        let (code, sentence) = rejected(&wrong);
        assert_eq!(code, "evidence-invalid");
        assert!(sentence.contains("wrong launch binding"), "{sentence}");
    }
}

#[test]
fn a_launch_for_no_task_is_rejected_where_the_policy_asks_for_one() {
    let unbound: fn(&mut Evidence) = |evidence| {
        let td = Td { mr_config_id: [0; 48], ..hardware::td(evidence) };
        evidence.quote = hardware::intel().tdx_quote(&td, &Quoting::default());
    };
    let mut plain = draft(EvidenceKind::Tdx);
    (plain.key.quoted, plain.result.quoted) = (unbound, unbound);
    assert!(judged(&plain).meets);
    let asked = r#"{"version":1,"kinds":["tdx"],"require_launch_binding":true,"allow_simulated":true}"#;
    assert_eq!(rejected(&Draft { policy: policy_bytes(asked), ..plain }).0, "policy-refuses");
}

#[test]
fn a_policy_has_to_accept_both_evidences() {
    let outdated: fn(&mut Evidence) = |evidence| {
        let mut td = hardware::td(evidence);
        td.tcb_svn[0] = 2;
        evidence.quote = hardware::intel().tdx_quote(&td, &Quoting::default());
    };
    for is_key in [true, false] {
        let mut half = draft(EvidenceKind::Tdx);
        if is_key {
            half.key.quoted = outdated
        } else {
            half.result.quoted = outdated
        }
        let (code, sentence) = rejected(&half);
        assert_eq!(code, "policy-refuses");
        assert!(sentence.contains("out-of-date"), "{sentence}");
    }
}

/// A quote over a program whose measurement differs in one byte.
fn changed_at<const BYTE: usize>(evidence: &mut Evidence) {
    match evidence.kind {
        EvidenceKind::Sgx => {
            let mut program = [hardware::MEASURED; 32];
            program[BYTE.min(31)] ^= 1;
            let enclave = Enclave::new(program, evidence.claims.report_data());
            evidence.quote = hardware::intel().sgx_quote(&enclave, &Quoting::default());
        }
        EvidenceKind::Tdx => {
            let mut td = hardware::td(evidence);
            td.rtmr[2][BYTE] ^= 1;
            evidence.quote = hardware::intel().tdx_quote(&td, &Quoting::default());
        }
        _ => {
            let mut report = hardware::report(evidence);
            report.measurement[BYTE] ^= 1;
            evidence.quote = hardware::genoa().sign(&report, Signer::Vcek, &chip(), Tcb::default());
        }
    }
}

fn refused_by_policy(quoted: fn(&mut Evidence)) {
    for kind in [EvidenceKind::Sgx, EvidenceKind::Tdx, EvidenceKind::Snp] {
        let mut other = draft(kind);
        (other.key.quoted, other.result.quoted) = (quoted, quoted);
        let (code, sentence) = rejected(&other);
        assert_eq!(code, "policy-refuses", "{kind}: {sentence}");
    }
}

#[test]
fn a_production_quote_of_another_program_is_rejected() {
    refused_by_policy(changed_at::<0>);
}

#[test]
fn a_measurement_that_is_right_by_prefix_only_is_rejected() {
    refused_by_policy(changed_at::<47>);
}

#[test]
fn simulated_evidence_presented_as_a_real_kind_is_rejected() {
    for kind in KINDS {
        let mut simulated = draft(kind);
        simulated.key.quoted = |_| {};
        let (code, sentence) = rejected(&simulated);
        assert_eq!(code, "evidence-invalid", "{kind}: {sentence}");
    }
}

#[test]
fn two_launches_or_two_machines_are_not_one() {
    let mut other = draft(EvidenceKind::Snp);
    other.result.quoted = |evidence| {
        let report = Report { report_id: [9; 32], ..hardware::report(evidence) };
        evidence.quote = hardware::genoa().sign(&report, Signer::Vcek, &chip(), Tcb::default());
    };
    assert_eq!(rejected(&other).0, "evidence-invalid");
}

#[test]
fn swapped_stale_or_revoking_endorsements_reject_the_whole() {
    let archived = |kind, archive| Draft { archive, ..draft(kind) };
    let cases = [
        archived(EvidenceKind::Tdx, |a| a.endorsements = collateral(Tee::Sgx, THEN, &[])),
        archived(EvidenceKind::Tdx, |a| a.endorsements = collateral(Tee::Tdx, (THEN.0 - 9, THEN.0), &[])),
        archived(EvidenceKind::Tdx, |a| a.endorsements = collateral(Tee::Tdx, THEN, &[Revoked::Platform])),
        archived(EvidenceKind::Snp, |a| a.endorsements = amd(THEN, vec![vec![1, 0, 1]])),
        archived(EvidenceKind::Snp, |a| a.endorsements = amd((THEN.0 - 9, THEN.0), vec![])),
    ];
    for (index, case) in cases.iter().enumerate() {
        let (code, sentence) = rejected(case);
        assert_eq!(code, "evidence-invalid", "{index}: {sentence}");
    }
}

#[test]
fn a_masked_chip_under_a_chip_allow_list_is_rejected() {
    let masked: fn(&mut Evidence) = |evidence| {
        let report = Report { chip_id: [0; 64], ..hardware::report(evidence) };
        evidence.quote = hardware::genoa().sign(&report, Signer::Vcek, &chip(), Tcb::default());
    };
    let listed = PlatformId { name: "chip-id", bytes: chip().to_vec() };
    let policy = policy_bytes(&format!(
        r#"{{"version":1,"kinds":["snp"],"platforms":["{listed}"],"allow_simulated":true}}"#
    ));
    let told = Draft { policy, ..draft(EvidenceKind::Snp) };
    assert!(judged(&told).meets);
    let mut hidden = told;
    (hidden.key.quoted, hidden.result.quoted) = (masked, masked);
    assert_eq!(rejected(&hidden).0, "policy-refuses");
}

#[test]
fn fresh_endorsements_say_how_it_stands_today() {
    let now = (TODAY.0 - 10, TODAY.0 + 86_400);
    for (kind, endorsements) in [
        (EvidenceKind::Sgx, collateral(Tee::Sgx, now, &[])),
        (EvidenceKind::Tdx, collateral(Tee::Tdx, now, &[])),
        (EvidenceKind::Snp, amd(now, Vec::new())),
    ] {
        let fresh = Fresh { endorsements, ..Fresh::default() };
        let verdict = today(kind, fresh, TODAY);
        let found = verdict.today.as_ref().map(|today| today.grade);
        // A development root is no better today than it was then.
        assert_eq!(
            (verdict.grade, found, verdict.meets),
            (Grade::Simulated, Some(Grade::Simulated), true),
            "{kind}"
        );
    }
}

#[test]
fn what_was_revoked_or_expired_since_is_asserted_today_and_what_it_was_then() {
    let now = (TODAY.0 - 10, TODAY.0 + 86_400);
    let cases = [
        (EvidenceKind::Tdx, collateral(Tee::Tdx, now, &[Revoked::Platform]), "revoked"),
        (EvidenceKind::Tdx, collateral(Tee::Tdx, THEN, &[]), "expired"),
        (EvidenceKind::Snp, amd(now, vec![vec![1, 0, 1]]), "revoked"),
        (EvidenceKind::Snp, amd(THEN, Vec::new()), "expired"),
    ];
    for (kind, endorsements, reason) in cases {
        let verdict = today(kind, Fresh { endorsements, ..Fresh::default() }, TODAY);
        assert_eq!(
            (verdict.grade, verdict.meets),
            (Grade::Simulated, false),
            "{kind}: it met what was asked, then"
        );
        let today = verdict.today.unwrap();
        assert_eq!((today.grade, today.reasons[0].code()), (Grade::Asserted, reason), "{kind}");
    }
}

#[test]
fn a_denied_machine_is_asserted_today_with_or_without_endorsements() {
    let mut fresh = Fresh::default();
    fresh.deny(&PlatformId { name: "chip-id", bytes: chip().to_vec() }.to_string()).unwrap();
    let verdict = today(EvidenceKind::Snp, fresh.clone(), TODAY);
    let found = verdict.today.unwrap();
    assert_eq!((verdict.grade, verdict.meets), (Grade::Simulated, false));
    assert_eq!((found.grade, found.reasons[0].code()), (Grade::Asserted, "platform-denied"));
    assert_eq!(today(EvidenceKind::Tdx, fresh, TODAY).today, None, "another vendor's machine");
}

#[test]
fn a_list_that_only_says_what_is_revoked_needs_the_archived_certificates() {
    let list = amd((TODAY.0 - 10, TODAY.0 + 10), Vec::new()).pop().unwrap();
    assert_eq!(list.kind, EndorsementKind::SnpCrl.code());
    let fresh = Fresh { endorsements: vec![list], ..Fresh::default() };
    assert_eq!(today(EvidenceKind::Snp, fresh, TODAY).today.unwrap().grade, Grade::Simulated);
    let other = Endorsement::new(EndorsementKind::NitroCrl, vec![1]);
    let fresh = Fresh { endorsements: vec![other], ..Fresh::default() };
    assert_eq!(today(EvidenceKind::Snp, fresh, TODAY).today, None, "nothing of it is of this vendor");
}

/// What both evidences of a proof come to by themselves, after a change.
fn by_themselves(draft: &Draft, change: impl Fn(&mut Evidence)) -> [&'static str; 2] {
    let proof = draft.build();
    let archive = Archive::parse(&proof.proven.archive).unwrap();
    let key = Evidence::parse(&proof.matched.evidence).unwrap();
    let (roots, made) = (trusting().vendor_roots, Window { from: at(10).time, until: NOW });
    [key, archive.evidence].map(|mut evidence| {
        change(&mut evidence);
        let judged = judge(&evidence, &archive.endorsements, &roots, at(12).time, made);
        judged.map_or_else(|error| error.name(), |_| "holds")
    })
}

#[test]
fn an_evidence_by_itself_is_judged_with_its_claims() {
    for kind in KINDS {
        let changed = |change: fn(&mut Evidence)| by_themselves(&draft(kind), change);
        assert_eq!(changed(|_| {}), ["holds"; 2], "{kind}");
        assert_eq!(changed(|evidence| evidence.claims.block_number -= 1), ["report-data"; 2], "{kind}");
        assert_eq!(changed(|evidence| evidence.recipient = vec![1; 1216]), ["recipient"; 2], "{kind}");
        assert_eq!(changed(|evidence| evidence.recipient.clear()), ["recipient", "holds"], "{kind}");
    }
    let mut elsewhere = draft(EvidenceKind::Tdx);
    elsewhere.key.quoted = |evidence| {
        let td = Td { mr_config_id: [1; 48], ..hardware::td(evidence) };
        evidence.quote = hardware::intel().tdx_quote(&td, &Quoting::default());
    };
    assert_eq!(by_themselves(&elsewhere, |_| {}), ["launch-binding", "holds"]);
}

#[test]
fn hashed_claims_have_no_room_for_another_reading() {
    let plain = Evidence::parse(&Draft::default().build().matched.evidence).unwrap().claims;
    let changes: [fn(&mut Claims); 11] = [
        |claims| claims.purpose = Purpose::Result,
        |claims| claims.task.0.0[31] ^= 1,
        |claims| claims.enclave.0[19] ^= 1,
        |claims| claims.recipient.0[31] ^= 1,
        |claims| claims.block_number = 0x0a0a,
        |claims| claims.block_hash.0[0] ^= 1,
        |claims| claims.previous.0[0] ^= 1,
        |claims| claims.receipt.0.0[0] ^= 1,
        |claims| claims.processor.0[0] ^= 1,
        // The same words one place further, as a hash over bare concatenated fields would take them.
        |claims| std::mem::swap(&mut claims.recipient, &mut claims.block_hash),
        |claims| std::mem::swap(&mut claims.enclave, &mut claims.processor),
    ];
    let hashes: BTreeSet<[u8; 64]> = changes
        .into_iter()
        .chain([(|_: &mut Claims| {}) as fn(&mut Claims)])
        .map(|change| {
            let mut claims = plain.clone();
            change(&mut claims);
            claims.report_data()
        })
        .collect();
    assert_eq!(hashes.len(), changes.len() + 1);
}
