//! The owner's check before it releases a secret agrees with the auditor's, and names a code to reject with.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use alloy_primitives::{B256, keccak256};
use pox_core::endorsement::Endorsement;
use pox_core::evidence::EvidenceKind;
use pox_core::{Domain, Kinds, Request};
use pox_verify::evidence::{KeyEvidence, KeyEvidenceRejection, KeyExpectation, check_key_evidence};
use pox_verify::{Anchors, Grade, Policy, Verified};
use support::{Draft, NOW, address, anchors, at, key, policy_bytes};

type Outcome = Result<Verified<KeyEvidence>, KeyEvidenceRejection>;

fn check(draft: &Draft, change: impl FnOnce(&mut KeyExpectation<'_>, &mut Vec<u8>)) -> Outcome {
    check_under(draft, &anchors(), change)
}

fn check_under(
    draft: &Draft,
    anchors: &Anchors,
    change: impl FnOnce(&mut KeyExpectation<'_>, &mut Vec<u8>),
) -> Outcome {
    check_with(draft, anchors, &[], change)
}

fn check_with(
    draft: &Draft,
    anchors: &Anchors,
    own_policies: &[&Policy],
    change: impl FnOnce(&mut KeyExpectation<'_>, &mut Vec<u8>),
) -> Outcome {
    let proof = draft.build();
    let request: Request = proof.request_record().unwrap().try_into().unwrap();
    let policy = Policy::parse(&draft.policy).unwrap();
    let mut evidence = proof.matched.evidence;
    let mut expected = KeyExpectation {
        domain: &draft.domain,
        request: &request,
        policy: &policy,
        own_policies,
        processor: address("processor"),
        enclave: proof.matched.enclave,
        requested: at(10),
        matched: at(11),
        endorsements: &[],
        now: NOW,
        anchors,
    };
    change(&mut expected, &mut evidence);
    check_key_evidence(&evidence, &expected)
}

fn refused(outcome: Outcome) -> (Option<u8>, &'static str) {
    let refusal = outcome.unwrap_err();
    (refusal.reason.map(|reason| reason.code()), refusal.rejection.code())
}

#[test]
fn good_evidence_gives_the_recipient() {
    let evidence = check(&Draft::default(), |_, _| {}).unwrap();
    assert_eq!(evidence.recipient, [0x5a; 1216]);
    assert_eq!(evidence.kind, EvidenceKind::Simulated);
    assert_eq!(evidence.measurement, support::measurement());
    assert_eq!(evidence.assessment.grade, Grade::Simulated);
    assert_eq!((evidence.block_number, evidence.block_hash), (10, keccak256("block 10")));
}

#[test]
fn each_fault_has_its_code() {
    let plain = Draft::default();
    assert_eq!(refused(check(&plain, |_, evidence| evidence.push(0))), (Some(1), "malformed"));
    let enclave = check(&plain, |expected, _| expected.enclave = address("another enclave"));
    assert_eq!(refused(enclave), (Some(2), "key-claims"));
    let copied = check(&plain, |expected, _| expected.processor = address("another processor"));
    assert_eq!(refused(copied), (Some(2), "key-claims"));
    let other: &'static Domain = Box::leak(Box::new(Domain { chain_id: 1, ..plain.domain }));
    let outcome = check(&plain, |expected, _| expected.domain = other);
    assert_eq!(refused(outcome), (Some(2), "key-claims"), "made for another chain");
    assert_eq!(refused(check(&plain, |expected, _| expected.matched = at(9))), (Some(2), "key-claims"));

    let mut forged = Draft::default();
    forged.key.root = key("another root");
    assert_eq!(refused(check(&forged, |_, _| {})), (Some(1), "evidence-invalid"));

    let no_releases = Anchors { releases: vec![], ..anchors() };
    assert_eq!(refused(check_under(&plain, &no_releases, |_, _| {})), (Some(3), "policy-refuses"));
    let kinds = Draft { request: |r| r.kinds = Kinds(2), ..Draft::default() };
    assert_eq!(refused(check(&kinds, |_, _| {})), (Some(3), "policy-refuses"));
}

#[test]
fn endorsements_that_the_evidence_has_no_use_for_are_left_aside() {
    const COLLATERAL: &[Endorsement] = &[Endorsement { kind: 1, content: Vec::new() }];
    assert!(check(&Draft::default(), |expected, _| expected.endorsements = COLLATERAL).is_ok());
}

#[test]
fn hardware_that_nothing_endorses_gets_no_secret() {
    let mut draft = Draft { policy: policy_bytes(r#"{"version":1}"#), ..Draft::default() };
    draft.key.kind = EvidenceKind::Tdx;
    draft.key.quoted = support::quoted_by_tdx;
    assert_eq!(refused(check(&draft, |_, _| {})), (Some(4), "evidence-invalid"));
}

#[test]
fn evidence_has_to_pass_the_partys_own_policies_too() {
    let plain = Draft::default();
    let same = Policy::parse(&plain.policy).unwrap();
    assert!(check_with(&plain, &anchors(), &[&same], |_, _| {}).is_ok());
    let stricter = Policy::default();
    let refusal = check_with(&plain, &anchors(), &[&same, &stricter], |_, _| {}).unwrap_err();
    assert!(refusal.by_own && refusal.to_string().contains("own policy"), "{refusal}");
    assert_eq!(refused(Err(refusal)), (Some(3), "policy-refuses"));
    // A laxer one of its own gets nobody around the request's.
    let strict = Draft { policy: policy_bytes(r#"{"version":1}"#), ..Draft::default() };
    let refusal = check_with(&strict, &anchors(), &[&same], |_, _| {}).unwrap_err();
    assert!(!refusal.by_own);
    assert_eq!(refused(Err(refusal)), (Some(3), "policy-refuses"));
}

#[test]
fn another_policy_than_the_request_s_is_the_caller_s_fault() {
    let draft = Draft { request: |r| r.policy = B256::repeat_byte(1).0.into(), ..Draft::default() };
    assert_eq!(refused(check(&draft, |_, _| {})), (None, "policy-mismatch"));
}
