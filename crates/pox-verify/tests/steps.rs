//! Each step of spec §11 rejects what it is there for, by its own name; and the golden files hold the same.

mod support;

use pox_core::UnixTime;
use pox_core::endorsement::{Endorsement, EndorsementKind};
use pox_core::receipt::Archive;
use pox_verify::evidence::dcap::{Collateral, PckChain};
use pox_verify::{Anchors, Fresh, Grade, Verdict, verify};
use std::collections::BTreeSet;
use std::path::PathBuf;
use support::cases::{Case, Expected, all};
use support::{Draft, NOW, anchors};

fn verdict(case: &Case) -> Verdict {
    verify(&case.proof().to_bytes(), &case.anchors(), Grade::Simulated, NOW)
}

#[test]
fn every_case_gets_its_grade_or_its_rejection() {
    let mut wrong = Vec::new();
    for case in all() {
        let verdict = verdict(&case);
        let found = match &verdict.rejection {
            Some(rejection) => Expected::Rejection(rejection.code()),
            None => Expected::Grade(verdict.grade.name()),
        };
        let meets = case.expected == Expected::Grade("simulated");
        let is_consistent = verdict.facts.is_some() == verdict.rejection.is_none() && verdict.meets == meets;
        if found != case.expected || !is_consistent {
            wrong.push((
                case.name,
                case.expected,
                found,
                verdict.rejection.map(|rejection| rejection.to_string()),
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_rejection_of_the_spec_has_a_case() {
    let spec = include_str!("../../../spec/pox.md");
    let table = spec.split("\n## 11. Verification").nth(1).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
    let codes: BTreeSet<&str> =
        rows.flat_map(|row| row.rsplit('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect();
    assert!(codes.len() >= 18, "{codes:?}");
    let cases: BTreeSet<&str> = all()
        .iter()
        .filter_map(|case| match case.expected {
            Expected::Rejection(code) => Some(code),
            Expected::Grade(_) => None,
        })
        .collect();
    assert_eq!(cases, codes);
}

#[test]
fn every_fault_of_a_member_has_a_case() {
    let faults: BTreeSet<_> = all()
        .iter()
        .filter_map(|case| verdict(case).rejection)
        .filter(|rejection| rejection.code() == "member-mismatch")
        .map(|rejection| rejection.detail().unwrap())
        .collect();
    let all =
        ["not-a-batch", "not-closed", "no-runs", "count", "number", "path", "runs-hidden", "run", "run-path"];
    assert_eq!(faults, all.into());
}

/// Files that must change together with the format; `POX_BLESS=1` writes them anew.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test may read files; the judge may not")]
fn golden_files_hold() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let bless = std::env::var_os("POX_BLESS").is_some();
    let mut expected = BTreeSet::new();
    for case in all() {
        let (file, json) =
            (case.proof().to_bytes(), serde_json::to_string_pretty(&verdict(&case)).unwrap() + "\n");
        for (extension, content) in [("pox", file), ("json", json.into_bytes())] {
            let name = format!("{}.{extension}", case.name);
            let path = folder.join(&name);
            if bless {
                std::fs::write(&path, &content).unwrap();
            }
            assert!(std::fs::read(&path).unwrap() == content, "{name} is not what it was");
            assert!(expected.insert(name), "{} stands twice", case.name);
        }
    }
    let found: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, expected, "a golden file that no case is for, or the other way round");
}

#[test]
fn a_simulated_part_never_gets_above_simulated() {
    let verdict = verify(&Draft::default().build().to_bytes(), &anchors(), Grade::Hardware, NOW);
    assert_eq!(verdict.grade, Grade::Simulated);
    assert!(!verdict.meets && verdict.rejection.is_none());
}

#[test]
fn a_rejected_proof_meets_nothing() {
    let verdict = verify(b"", &anchors(), Grade::Inconsistent, NOW);
    assert_eq!((verdict.grade, verdict.meets), (Grade::Inconsistent, false));
}

#[test]
fn a_clock_behind_the_chain_is_said_and_no_rejection() {
    let verdict = verify(&Draft::default().build().to_bytes(), &anchors(), Grade::Simulated, UnixTime(5));
    assert!(verdict.meets);
    let chain = verdict.components.iter().find(|component| component.name == "chain").unwrap();
    assert!(chain.reasons.iter().any(|reason| reason.code() == "ahead-of-clock"), "{chain:?}");
}

/// Aura's nodes take no block that is more than four steps ahead of their clock; an embedded chain runs ahead by design.
#[test]
fn a_public_chain_does_not_run_ahead() {
    let file = Draft::default().build().to_bytes();
    let mut public = anchors();
    public.chains.get_mut(&support::CHAIN_ID).unwrap().standing = pox_verify::anchors::ChainStanding::Public;
    let newest = support::at(16).time.0;
    let grade = |anchors: &Anchors, now| verify(&file, anchors, Grade::Simulated, UnixTime(now)).grade;
    assert_eq!(grade(&public, newest - 20), Grade::Simulated);
    assert_eq!(grade(&public, newest - 21), Grade::Asserted);
    assert_eq!(grade(&anchors(), newest - 21), Grade::Simulated);
}

#[test]
fn the_verdict_names_the_authorities_and_what_they_rest_on() {
    let draft = Draft { change: Some(support::events::ChangeDraft::default()), ..Draft::default() };
    for (draft, from, authorities) in
        [(Draft::default(), "authorities-pinned", 3), (draft, "authorities-proven", 4)]
    {
        let verdict = verify(&draft.build().to_bytes(), &anchors(), Grade::Simulated, NOW);
        let chain = verdict.components.iter().find(|component| component.name == "chain").unwrap();
        assert!(chain.reasons.iter().any(|reason| reason.code() == from), "{chain:?}");
        let state = verdict.facts.unwrap().state;
        assert_eq!((state.built.as_ref().unwrap().len(), state.authorities), (3, Some(authorities)));
        let named = state.built.unwrap().iter().filter(|authority| authority.name.is_some()).count();
        assert_eq!(named, usize::from(from == "authorities-pinned"));
    }
}

/// Real TD quotes, one for each evidence, and the largest recorded collateral, in a proof of the usual parts.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test may read files; the judge may not")]
fn a_proof_with_tdx_evidence_and_collateral_has_at_most_40_kb() {
    fn recorded(name: &str) -> Vec<u8> {
        std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/dcap").join(name)).unwrap()
    }
    let collateral = |name: &str| Collateral::from_json(&recorded(name), PckChain::Drop).unwrap().to_bytes();
    let largest = [
        "dcap-qvl/tdx_quote_collateral.json",
        "dcap-qvl/tdx_quote_outdated_collateral.json",
        "assembled/tdx_00806f050000_2025-07.json",
    ];
    let largest = largest.map(collateral).into_iter().map(|bytes| bytes.len()).max().unwrap();
    let mut draft = Draft::default();
    draft.key.quoted = |evidence| evidence.quote = recorded("dcap-qvl/tdx_quote");
    draft.result.quoted = draft.key.quoted;
    let mut proof = draft.build();
    let mut archive = Archive::parse(&proof.proven.archive).unwrap();
    archive.endorsements = vec![Endorsement::new(EndorsementKind::DcapCollateral, vec![3; largest])];
    proof.proven.archive = archive.seal().0;
    let size = proof.to_bytes().len();
    eprintln!(
        "{size} bytes: twice {} of quote, {largest} of collateral",
        recorded("dcap-qvl/tdx_quote").len()
    );
    assert!(size <= 40_000, "{size} bytes");
}

#[test]
fn what_is_known_today_stands_beside_the_grade_and_counts_where_it_was_asked_for() {
    let file = Draft::default().build().to_bytes();
    let asked = Anchors { fresh: Some(Fresh::default()), ..anchors() };
    let verdict = verify(&file, &asked, Grade::Simulated, NOW);
    let today = verdict.today.as_ref().unwrap();
    assert_eq!((today.name, today.grade, verdict.meets), ("today", Grade::Simulated, true));
    assert!(verify(&file, &anchors(), Grade::Simulated, NOW).today.is_none());
}
