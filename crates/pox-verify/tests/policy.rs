//! A policy has one form, and says no to what it does not know.

use alloy_primitives::{B256, keccak256};
use pox_core::evidence::EvidenceKind;
use pox_verify::anchors::Release;
use pox_verify::{
    Anchors, BadPolicy, MAX_MEASUREMENTS, Measurement, Policy, PolicyRefusal, SimulatedEvidence,
};

const DEFAULT: &str =
    r#"{"version":1,"kinds":["sgx","tdx","snp","nitro"],"measurements":[],"allow_simulated":false}"#;

#[test]
fn the_default_is_hardware_and_known_releases() {
    let policy = Policy::default();
    assert_eq!(policy.canonical_bytes(), DEFAULT.as_bytes());
    let known = Measurement(keccak256("known"));
    let anchors =
        Anchors { releases: vec![Release { name: "r".into(), measurement: known }], ..Anchors::default() };
    for kind in EvidenceKind::ALL {
        let expected = if kind.is_simulated() { Err(PolicyRefusal::Kind(kind)) } else { Ok(()) };
        assert_eq!(policy.accepts(kind, known, &anchors), expected);
    }
    let other = Measurement(B256::ZERO);
    let refusal = policy.accepts(EvidenceKind::Tdx, other, &anchors);
    assert_eq!(refusal, Err(PolicyRefusal::UnknownRelease(other)));
}

#[test]
fn only_the_canonical_form_parses() {
    assert_eq!(Policy::parse(DEFAULT.as_bytes()), Ok(Policy::default()));
    let m = |byte: u8| Measurement(B256::repeat_byte(byte)).to_string();
    let others = [
        format!("{DEFAULT}\n"),
        DEFAULT.replace(",", ", "),
        DEFAULT.replace(r#"["sgx","tdx""#, r#"["tdx","sgx""#),
        DEFAULT.replace(r#"["sgx","#, r#"["sgx","sgx","#),
        DEFAULT.replace(r#","measurements":[]"#, ""),
        DEFAULT.replace(r#""measurements":[]"#, &format!(r#""measurements":["{}","{}"]"#, m(2), m(1))),
        DEFAULT.replace(
            r#""measurements":[]"#,
            &format!(r#""measurements":["{}"]"#, m(0xab).to_uppercase().replace("0X", "0x")),
        ),
        DEFAULT.replace(r#""sgx""#, r#""\u0073gx""#),
    ];
    for other in others {
        assert_eq!(Policy::parse(other.as_bytes()), Err(BadPolicy::NotCanonical), "{other}");
    }
}

#[test]
fn what_is_not_known_is_refused() {
    let refused = [
        DEFAULT.replace("false}", r#"false,"minimum_tcb":3}"#),
        DEFAULT.replace(r#""sgx""#, r#""sgx2""#),
        DEFAULT.replace("false", "0"),
        DEFAULT.replace(r#""allow_simulated":false"#, r#""allow_simulated":false,"allow_simulated":true"#),
        DEFAULT.replace(r#""measurements":[]"#, r#""measurements":["00"]"#),
        DEFAULT.replace(r#""version":1,"#, ""),
        String::new(),
        "null".into(),
    ];
    for policy in refused {
        assert!(matches!(Policy::from_written(policy.as_bytes()), Err(BadPolicy::Json(_))), "{policy}");
    }
    let version = DEFAULT.replace(r#""version":1"#, r#""version":2"#);
    assert_eq!(Policy::from_written(version.as_bytes()), Err(BadPolicy::Version(2)));
    let none = Policy::from_written(br#"{"version":1,"kinds":[]}"#);
    assert_eq!(none, Err(BadPolicy::NoKinds));
    assert!(matches!(Policy::from_written(&[b' '; 40_000]), Err(BadPolicy::TooLarge(40_000))));
    let many = (0..=MAX_MEASUREMENTS as u64).map(|i| Measurement(keccak256(i.to_be_bytes())));
    let many = Policy::new([EvidenceKind::Tdx], many, SimulatedEvidence::Refused);
    assert_eq!(many, Err(BadPolicy::Measurements(MAX_MEASUREMENTS + 1)));
}

#[test]
fn what_a_person_writes_becomes_canonical() {
    let written = br#" { "allow_simulated": true, "kinds": ["tdx", "simulated", "tdx"], "version": 1 } "#;
    let policy = Policy::from_written(written).unwrap();
    let canonical = br#"{"version":1,"kinds":["simulated","tdx"],"measurements":[],"allow_simulated":true}"#;
    assert_eq!(policy.canonical_bytes(), canonical);
    assert_eq!(Policy::parse(canonical).unwrap().hash(), policy.hash());
    assert!(policy.kinds().contains(EvidenceKind::Simulated));
    let minimal = Policy::from_written(br#"{"version":1}"#).unwrap();
    assert_eq!(minimal, Policy::default());
}

#[test]
fn listed_measurements_are_exact() {
    let listed = Measurement(B256::repeat_byte(7));
    let policy = Policy::new([EvidenceKind::Tdx], [listed], SimulatedEvidence::Refused).unwrap();
    let mut near = listed;
    near.0[31] ^= 1;
    let anchors = Anchors {
        releases: vec![Release { name: "known, but not listed".into(), measurement: near }],
        ..Anchors::default()
    };
    assert_eq!(policy.accepts(EvidenceKind::Tdx, listed, &anchors), Ok(()));
    let refusal = policy.accepts(EvidenceKind::Tdx, near, &anchors);
    assert_eq!(refusal, Err(PolicyRefusal::Measurement(near)));
}
