//! What a policy says of hardware, key by key, and which key it is that refuses.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use alloy_primitives::B256;
use pox_core::UnixTime;
use pox_core::evidence::EvidenceKind;
use pox_verify::anchors::Release;
use pox_verify::evidence::Hardware;
use pox_verify::evidence::launch::{
    Launch, LaunchBinding, PlatformId, PlatformTrait, Register, Tcb, TcbStatus, Window,
};
use pox_verify::evidence::roots::RootStanding;
use pox_verify::{Anchors, Measurement, Policy, PolicyRefusal};

/// A Genoa machine with nothing to complain of.
fn hardware() -> Hardware {
    Hardware {
        launch: Launch {
            kind: EvidenceKind::Snp,
            registers: vec![Register { name: "MEASUREMENT", value: vec![1; 48], measured: true }],
            report_data: [0; 64],
            tcb: Tcb {
                status: TcbStatus::UpToDate,
                advisories: ["AMD-SB-1".into()].into(),
                level: "bootloader 9, tee 0, snp 21, microcode 72".into(),
                evaluation: None,
                parts: [("bootloader", 9), ("tee", 0), ("snp", 21), ("microcode", 72)].into(),
            },
            platform: Some(chip(7)),
            launch_data: None,
            traits: [PlatformTrait::Genoa].into(),
            endorsed: Some(Window { from: UnixTime(1), until: UnixTime(2) }),
        },
        binding: LaunchBinding::Task,
        roots: RootStanding::Vendor,
    }
}

fn chip(byte: u8) -> PlatformId {
    PlatformId { name: "chip-id", bytes: vec![byte; 64] }
}

/// What a policy with these keys says of that machine, after a change.
fn judged(keys: &str, change: impl Fn(&mut Hardware)) -> Result<(), PolicyRefusal> {
    let written = format!(r#"{{"version":1{keys}}}"#);
    let policy = Policy::from_written(written.as_bytes()).unwrap();
    assert_eq!(Policy::parse(&policy.canonical_bytes()), Ok(policy.clone()), "{keys}");
    let mut hardware = hardware();
    change(&mut hardware);
    policy.accepts_hardware(&hardware)
}

fn refused(keys: &str, change: impl Fn(&mut Hardware)) -> (&'static str, PolicyRefusal) {
    let refusal = judged(keys, change).unwrap_err();
    (refusal.key(), refusal)
}

#[test]
fn the_default_policy_takes_a_patched_machine() {
    assert_eq!(judged("", |_| {}), Ok(()));
    assert_eq!(judged("", |h| h.launch.tcb.status = TcbStatus::SwHardeningNeeded), Ok(()));
}

#[test]
fn an_outdated_tcb_below_the_policy_is_refused() {
    for status in TcbStatus::ALL {
        let outcome = judged("", |h| h.launch.tcb.status = status);
        let allowed = [TcbStatus::UpToDate, TcbStatus::SwHardeningNeeded].contains(&status);
        assert_eq!(outcome, if allowed { Ok(()) } else { Err(PolicyRefusal::Tcb(status)) });
        if status != TcbStatus::Revoked {
            let only = format!(r#","tcb":["{status}"]"#);
            assert_eq!(judged(&only, |h| h.launch.tcb.status = status), Ok(()));
        }
    }
    let (key, refusal) = refused(r#","tcb":["out-of-date"]"#, |_| {});
    assert_eq!((key, refusal.is_out_of_date()), ("tcb", true));
}

#[test]
fn a_flaw_is_allowed_or_denied_by_its_whole_name() {
    assert_eq!(judged(r#","allowed_advisories":["AMD-SB-1"]"#, |_| {}), Ok(()));
    assert_eq!(judged(r#","denied_advisories":["AMD-SB-10","AMD-SB"]"#, |_| {}), Ok(()));
    for keys in [r#","allowed_advisories":[]"#, r#","allowed_advisories":["AMD-SB-10"]"#] {
        let expected = ("allowed_advisories", PolicyRefusal::AdvisoryNotAllowed("AMD-SB-1".into()));
        assert_eq!(refused(keys, |_| {}), expected);
    }
    let denied = r#","allowed_advisories":["AMD-SB-1"],"denied_advisories":["AMD-SB-1"]"#;
    let expected = ("denied_advisories", PolicyRefusal::AdvisoryDenied("AMD-SB-1".into()));
    assert_eq!(refused(denied, |_| {}), expected, "denied goes first");
}

#[test]
fn an_older_tcb_table_than_asked_for_is_refused() {
    let keys = r#","minimum_tcb_evaluation":17"#;
    assert_eq!(judged(keys, |_| {}), Ok(()), "AMD has no such table");
    assert_eq!(judged(keys, |h| h.launch.tcb.evaluation = Some(17)), Ok(()));
    let expected = ("minimum_tcb_evaluation", PolicyRefusal::Evaluation { actual: 16, least: 17 });
    assert_eq!(refused(keys, |h| h.launch.tcb.evaluation = Some(16)), expected);
}

#[test]
fn older_firmware_than_the_product_line_s_minimum_is_refused() {
    let exact = r#","minimum_snp_tcb":{"genoa":{"bootloader":9,"tee":0,"snp":21,"microcode":72}}"#;
    assert_eq!(judged(exact, |_| {}), Ok(()));
    let older = |h: &mut Hardware| {
        h.launch.tcb.parts.insert("microcode", 71);
    };
    let expected = PolicyRefusal::SnpTcb { part: "microcode", actual: Some(71), least: 72 };
    assert_eq!(refused(exact, older), ("minimum_snp_tcb", expected));
    let another_line = r#","minimum_snp_tcb":{"turin":{"snp":255},"milan":{"snp":255}}"#;
    assert_eq!(judged(another_line, |_| {}), Ok(()));
    let not_counted = r#","minimum_snp_tcb":{"genoa":{"fmc":0}}"#;
    let expected = PolicyRefusal::SnpTcb { part: "fmc", actual: None, least: 0 };
    assert_eq!(refused(not_counted, |_| {}), ("minimum_snp_tcb", expected));
}

#[test]
fn a_masked_chip_id_is_refused_under_a_chip_allow_list() {
    let keys = format!(r#","platforms":["{}"]"#, chip(7));
    assert_eq!(judged(&keys, |_| {}), Ok(()));
    let expected = ("platforms", PolicyRefusal::PlatformHidden);
    assert_eq!(refused(&keys, |h| h.launch.platform = None), expected);
    let expected = ("platforms", PolicyRefusal::Platform(chip(8)));
    assert_eq!(refused(&keys, |h| h.launch.platform = Some(chip(8))), expected);
    let other_name = PlatformId { name: "ppid", ..chip(7) };
    let expected = ("platforms", PolicyRefusal::Platform(other_name.clone()));
    assert_eq!(refused(&keys, |h| h.launch.platform = Some(other_name.clone())), expected);
}

#[test]
fn a_denied_chip_is_refused_and_can_t_hide() {
    let keys = format!(r#","denied_platforms":["{}"]"#, chip(7));
    assert_eq!(refused(&keys, |_| {}), ("denied_platforms", PolicyRefusal::PlatformDenied(chip(7))));
    assert_eq!(judged(&keys, |h| h.launch.platform = Some(chip(8))), Ok(()));
    let expected = ("denied_platforms", PolicyRefusal::PlatformDeniedHidden);
    assert_eq!(refused(&keys, |h| h.launch.platform = None), expected);
    let intel = r#","denied_platforms":["ppid:0x01"]"#;
    assert_eq!(judged(intel, |h| h.launch.platform = None), Ok(()), "another vendor's");
}

#[test]
fn milan_is_refused_unless_the_owner_opts_in() {
    let milan = |h: &mut Hardware| h.launch.traits = [PlatformTrait::Milan].into();
    assert_eq!(refused("", milan), ("allow_milan", PolicyRefusal::Milan));
    assert_eq!(judged(r#","allow_milan":true"#, milan), Ok(()));
}

#[test]
fn withheld_revocation_lists_are_refused_unless_the_owner_opts_in() {
    let unchecked = |h: &mut Hardware| {
        h.launch.traits.insert(PlatformTrait::RevocationUnchecked);
    };
    assert_eq!(refused("", unchecked), ("allow_unchecked_revocation", PolicyRefusal::RevocationUnchecked));
    assert_eq!(judged(r#","allow_unchecked_revocation":true"#, unchecked), Ok(()));
}

#[test]
fn a_launch_for_no_task_is_refused_where_the_policy_asks_for_one() {
    let unbound = |h: &mut Hardware| h.binding = LaunchBinding::Unbound;
    assert_eq!(judged("", unbound), Ok(()));
    let keys = r#","require_launch_binding":true"#;
    assert_eq!(judged(keys, |_| {}), Ok(()));
    assert_eq!(refused(keys, unbound), ("require_launch_binding", PolicyRefusal::LaunchUnbound));
}

#[test]
fn development_roots_are_refused_as_simulated_kinds_are() {
    let development = |h: &mut Hardware| h.roots = RootStanding::Development;
    assert_eq!(refused("", development), ("allow_simulated", PolicyRefusal::Simulated(EvidenceKind::Snp)));
    assert_eq!(judged(r#","allow_simulated":true"#, development), Ok(()));
}

#[test]
fn a_measurement_is_of_a_listed_release_or_listed_itself() {
    let (known, other) = (Measurement(B256::repeat_byte(1)), Measurement(B256::repeat_byte(2)));
    let release = Release { name: "pox 1".into(), measurement: known };
    let anchors = Anchors { releases: vec![release], ..Anchors::default() };
    let accepts = |keys: &str, measurement| {
        let written = format!(r#"{{"version":1{keys}}}"#);
        let policy = Policy::from_written(written.as_bytes()).unwrap();
        policy.accepts(EvidenceKind::Snp, measurement, &anchors)
    };
    let (named, another) = (r#","releases":["pox 1"]"#, r#","releases":["pox 10"]"#);
    assert_eq!(accepts(named, known), Ok(()));
    assert_eq!(accepts(another, known), Err(PolicyRefusal::Release(known)), "by prefix only");
    assert_eq!(accepts(named, other), Err(PolicyRefusal::Release(other)));
    let both = format!(r#"{another},"measurements":["{other}"]"#);
    assert_eq!(accepts(&both, other), Ok(()));
    assert_eq!(accepts(&both, known), Err(PolicyRefusal::Release(known)));
    let listed = format!(r#","measurements":["{other}"]"#);
    assert_eq!(accepts(&listed, known), Err(PolicyRefusal::Measurement(known)));
}
