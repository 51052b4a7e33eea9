//! A policy has one form, and says no to what it does not know.

use alloy_primitives::{B256, keccak256};
use pox_core::Kinds;
use pox_core::evidence::EvidenceKind;
use pox_core::proof::MAX_POLICY_BYTES;
use pox_verify::anchors::Release;
use pox_verify::{
    Anchors, BadPolicy, MAX_MEASUREMENTS, Measurement, Policy, PolicyRefusal, SimulatedEvidence,
};

const DEFAULT: &str = concat!(
    r#"{"version":1,"kinds":["sgx","tdx","snp","nitro"],"measurements":[],"releases":[],"#,
    r#""tcb":["up-to-date","sw-hardening-needed"],"allowed_advisories":null,"denied_advisories":[],"#,
    r#""minimum_tcb_evaluation":0,"minimum_snp_tcb":{},"platforms":[],"denied_platforms":[],"allow_milan":false,"#,
    r#""allow_unchecked_revocation":false,"require_launch_binding":false,"allow_simulated":false}"#
);

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
fn listing_a_simulated_kind_does_not_allow_it() {
    let known = Measurement(keccak256("known"));
    for kind in [EvidenceKind::Simulated, EvidenceKind::VmSim] {
        let listed = |simulated| Policy::new([kind], [known], simulated).unwrap();
        let refused = listed(SimulatedEvidence::Refused);
        assert_eq!(refused.kinds(), Kinds(0));
        let accepts = |policy: Policy| policy.accepts(kind, known, &Anchors::default());
        assert_eq!(accepts(refused), Err(PolicyRefusal::Simulated(kind)));
        assert_eq!(accepts(listed(SimulatedEvidence::DangerouslyAllowed)), Ok(()));
    }
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
        DEFAULT.replace(r#""up-to-date","sw-hardening-needed""#, r#""sw-hardening-needed","up-to-date""#),
        DEFAULT.replace(r#""minimum_snp_tcb":{}"#, r#""minimum_snp_tcb":{"turin":null}"#),
        DEFAULT.replace(r#""minimum_snp_tcb":{}"#, r#""minimum_snp_tcb":{"turin":{},"genoa":{}}"#),
        DEFAULT.replace(r#""platforms":[]"#, r#""platforms":["ppid:0x02","ppid:0x01"]"#),
        DEFAULT.replace(r#""denied_advisories":[]"#, r#""denied_advisories":["B","A"]"#),
        DEFAULT.replace(r#""releases":[]"#, r#""releases":["b","a"]"#),
    ];
    for other in others {
        assert_eq!(Policy::parse(other.as_bytes()), Err(BadPolicy::NotCanonical), "{other}");
    }
}

#[test]
fn what_is_not_known_is_refused() {
    let refused = [
        DEFAULT.replace("false}", r#"false,"minimum_tcb":3}"#),
        DEFAULT.replace("false}", r#"false,"allow_debug":true}"#),
        DEFAULT.replace(r#""up-to-date""#, r#""good-enough""#),
        DEFAULT.replace(r#""minimum_snp_tcb":{}"#, r#""minimum_snp_tcb":{"rome":{}}"#),
        DEFAULT.replace(r#""minimum_snp_tcb":{}"#, r#""minimum_snp_tcb":{"milan":{"psp":1}}"#),
        DEFAULT.replace(r#""minimum_snp_tcb":{}"#, r#""minimum_snp_tcb":{"milan":{"snp":256}}"#),
        DEFAULT.replace(r#""minimum_snp_tcb":{}"#, r#""minimum_snp_tcb":{"milan":{"snp":1,"snp":2}}"#),
        DEFAULT.replace(r#""platforms":[]"#, r#""platforms":["0x00"]"#),
        DEFAULT.replace(r#""denied_platforms":[]"#, r#""denied_platforms":["ppid:0xAB"]"#),
        DEFAULT.replace(r#""denied_advisories":[]"#, r#""denied_advisories":["intel-sa-00289"]"#),
        DEFAULT.replace("null", r#"[""]"#),
        DEFAULT.replace(r#""releases":[]"#, r#""releases":["a\nb"]"#),
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
    let none = Policy::from_written(br#"{"version":1,"tcb":[]}"#);
    assert_eq!(none, Err(BadPolicy::NoTcb));
    let revoked = Policy::from_written(br#"{"version":1,"tcb":["up-to-date","revoked"]}"#);
    assert_eq!(revoked, Err(BadPolicy::RevokedTcb));
    assert!(matches!(Policy::from_written(&[b' '; 40_000]), Err(BadPolicy::TooLarge(40_000))));
    let many = (0..=MAX_MEASUREMENTS as u64).map(|i| Measurement(keccak256(i.to_be_bytes())));
    let many = Policy::new([EvidenceKind::Tdx], many, SimulatedEvidence::Refused);
    assert_eq!(many, Err(BadPolicy::Measurements(MAX_MEASUREMENTS + 1)));
    for (key, most) in [("releases", 64), ("denied_advisories", 256), ("allowed_advisories", 256)] {
        let names = |count| (0..count).map(|n| format!("A-{n}")).collect::<Vec<_>>();
        let policy = |count| serde_json::json!({ "version": 1, key: names(count) }).to_string();
        assert!(Policy::from_written(policy(most).as_bytes()).is_ok(), "{key}");
        let many = Policy::from_written(policy(most + 1).as_bytes());
        assert_eq!(many, Err(BadPolicy::TooMany { key, count: most + 1, most }));
    }
    for key in ["platforms", "denied_platforms"] {
        let ids: Vec<String> = (0..65).map(|n| format!("ppid:0x{n:02x}")).collect();
        let many = serde_json::json!({ "version": 1, key: ids }).to_string();
        let many = Policy::from_written(many.as_bytes());
        assert_eq!(many, Err(BadPolicy::TooMany { key, count: 65, most: 64 }));
    }
}

#[test]
fn a_policy_that_no_proof_has_room_for_is_refused() {
    let chips = |first: u8| {
        (0..64).map(|n| format!("chip-id:0x{}", hex::encode([first + n; 64]))).collect::<Vec<_>>()
    };
    let measurements: Vec<String> =
        (0..212u64).map(|i| Measurement(keccak256(i.to_be_bytes())).to_string()).collect();
    let policy = serde_json::json!({
        "version": 1, "measurements": measurements, "platforms": chips(0), "denied_platforms": chips(100),
    });
    let written = policy.to_string();
    assert!(written.len() <= MAX_POLICY_BYTES, "{}", written.len());
    let canonical = Policy::from_written(written.as_bytes()).unwrap_err();
    assert!(matches!(canonical, BadPolicy::TooLarge(length) if length > MAX_POLICY_BYTES), "{canonical}");
}

#[test]
fn what_a_person_writes_becomes_canonical() {
    let written = br#" { "allow_simulated": true, "kinds": ["tdx", "simulated", "tdx"], "version": 1 } "#;
    let policy = Policy::from_written(written).unwrap();
    let canonical = DEFAULT
        .replace(r#""sgx","tdx","snp","nitro""#, r#""simulated","tdx""#)
        .replace(r#""allow_simulated":false"#, r#""allow_simulated":true"#);
    assert_eq!(policy.canonical_bytes(), canonical.as_bytes());
    assert_eq!(Policy::parse(canonical.as_bytes()).unwrap().hash(), policy.hash());
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
