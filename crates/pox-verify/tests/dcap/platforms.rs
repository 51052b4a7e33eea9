//! Machines and quoting enclaves in every state that Intel tells apart.

use crate::scene::Scene;
use pox_devtee::dcap::{Certification, Level, TdForm};
use pox_verify::evidence::dcap::{BadQuote, DcapRejection, Part};
use pox_verify::evidence::launch::TcbStatus;
use std::collections::BTreeSet;

#[test]
fn an_outdated_platform_is_told_from_an_up_to_date_one() {
    for mut scene in Scene::all() {
        assert_eq!(scene.appraise().unwrap().tcb.status, TcbStatus::UpToDate);
        scene.vendor.platform.cpu_svn[0] -= 1;
        let tcb = scene.appraise().unwrap().tcb;
        assert_eq!(tcb.status, TcbStatus::OutOfDate);
        assert_eq!(tcb.advisories, BTreeSet::from(["INTEL-SA-00001".to_owned()]));
    }
}

#[test]
fn a_platform_below_every_level_is_refused() {
    let mut scene = Scene::sgx();
    scene.statements.levels.truncate(1);
    scene.vendor.platform.pce_svn -= 1;
    assert_eq!(scene.appraise(), Err(DcapRejection::NoTcbLevel(Part::PckChain)));
}

#[test]
fn each_status_of_intel_is_told() {
    let cases = [
        ("UpToDate", TcbStatus::UpToDate),
        ("SWHardeningNeeded", TcbStatus::SwHardeningNeeded),
        ("ConfigurationNeeded", TcbStatus::ConfigurationNeeded),
        ("ConfigurationAndSWHardeningNeeded", TcbStatus::ConfigurationAndSwHardeningNeeded),
        ("OutOfDate", TcbStatus::OutOfDate),
        ("OutOfDateConfigurationNeeded", TcbStatus::OutOfDateConfigurationNeeded),
    ];
    for mut scene in Scene::all() {
        for (status, expected) in cases {
            scene.statements.levels[0].status = status;
            assert_eq!(scene.appraise().unwrap().tcb.status, expected);
        }
    }
}

#[test]
fn a_revoked_level_is_refused_whatever_a_policy_says() {
    for mut scene in Scene::all() {
        scene.statements.levels[0].status = "Revoked";
        assert_eq!(scene.appraise(), Err(DcapRejection::TcbRevoked(Part::PckChain)));
    }
    let mut scene = Scene::tdx(TdForm::V4);
    scene.statements.modules[0].levels[0].1 = "Revoked";
    assert_eq!(scene.appraise(), Err(DcapRejection::TcbRevoked(Part::TdxModule)));
    let mut scene = Scene::sgx();
    scene.statements.quoting_enclave.levels[0].1 = "Revoked";
    assert_eq!(scene.appraise(), Err(DcapRejection::TcbRevoked(Part::QeReport)));
}

#[test]
fn a_status_that_intel_does_not_have_is_refused() {
    let mut scene = Scene::sgx();
    scene.statements.levels[0].status = "Excellent";
    assert_eq!(scene.appraise(), Err(DcapRejection::Malformed(Part::TcbInfo)));
    // A word of the verifier's own output, not of any table.
    scene.statements.levels[0].status = "TDRelaunchAdvised";
    assert!(matches!(scene.appraise(), Err(DcapRejection::Refused(_))));
}

#[test]
fn a_table_of_an_unknown_form_is_refused() {
    let mut scene = Scene::tdx(TdForm::V4);
    scene.statements.version = 4;
    assert_eq!(scene.appraise(), Err(DcapRejection::UnknownTable { version: 4, tcb_type: 0 }));
    scene.statements.version = 3;
    scene.statements.tcb_type = 1;
    assert_eq!(scene.appraise(), Err(DcapRejection::UnknownTable { version: 3, tcb_type: 1 }));
}

#[test]
fn the_worst_component_and_all_advisories_count() {
    let mut scene = Scene::tdx(TdForm::V5Td15);
    scene.statements.levels[0].advisories = vec!["INTEL-SA-00002"];
    // Launched on a module that is out of date, replaced under it by a good one.
    scene.td().tcb_svn[0] = 2;
    let tcb = scene.appraise().unwrap().tcb;
    assert_eq!(tcb.status, TcbStatus::OutOfDate);
    assert_eq!(tcb.advisories, BTreeSet::from(["INTEL-SA-00002".to_owned()]));

    // Now on a platform component that only the oldest level has: its advisories count with the launch level's.
    scene.td().tcb_svn[0] = 5;
    scene.td().current_tcb_svn[2] = 0;
    let tcb = scene.appraise().unwrap().tcb;
    assert_eq!(tcb.status, TcbStatus::OutOfDate);
    let both = ["INTEL-SA-00001", "INTEL-SA-00002"].map(String::from);
    assert_eq!(tcb.advisories, BTreeSet::from(both));
}

#[test]
fn levels_are_judged_by_their_content_and_not_by_their_order() {
    let mut scene = Scene::tdx(TdForm::V4);
    scene.statements.levels.reverse();
    assert_eq!(scene.appraise().unwrap().tcb.status, TcbStatus::UpToDate);
}

#[test]
fn a_level_that_only_an_older_revoked_one_covers_is_refused() {
    let mut scene = Scene::sgx();
    let svn = scene.vendor.platform.cpu_svn;
    let older = Level { cpu_svn: svn.map(|svn| svn / 2), ..scene.statements.levels[0].clone() };
    scene.statements.levels[1] = Level { status: "Revoked", ..older };
    scene.vendor.platform.cpu_svn[0] -= 1;
    assert_eq!(scene.appraise(), Err(DcapRejection::TcbRevoked(Part::PckChain)));
}

#[test]
fn another_tdx_module_is_refused() {
    let mut scene = Scene::tdx(TdForm::V5Td15);
    scene.td().seam_signer[0] = 1;
    assert_eq!(scene.appraise(), Err(DcapRejection::TdxModule));

    let mut scene = Scene::tdx(TdForm::V4);
    scene.td().seam_attributes = 1;
    assert_eq!(scene.appraise(), Err(DcapRejection::TdxModule));

    let mut scene = Scene::tdx(TdForm::V4);
    scene.td().tcb_svn[1] = 3;
    assert_eq!(scene.appraise(), Err(DcapRejection::TdxModule));

    let mut scene = Scene::tdx(TdForm::V4);
    scene.td().tcb_svn[0] = 1;
    assert_eq!(scene.appraise(), Err(DcapRejection::NoTcbLevel(Part::TdxModule)));
}

#[test]
fn another_quoting_enclave_is_refused() {
    for scene in Scene::all() {
        let mut other = scene.clone();
        other.quoting.signer = Some([0x99; 32]);
        assert_eq!(other.appraise(), Err(DcapRejection::QuotingEnclave));

        let mut other = scene.clone();
        other.quoting.flags |= 1 << 1;
        assert_eq!(other.appraise(), Err(DcapRejection::QuotingEnclave));

        let mut other = scene.clone();
        other.statements.quoting_enclave.product += 1;
        assert_eq!(other.appraise(), Err(DcapRejection::QuotingEnclave));

        let mut other = scene.clone();
        other.quoting.vouches_for = Some([0; 32]);
        assert_eq!(other.appraise(), Err(DcapRejection::AttestationKey));

        let mut other = scene.clone();
        other.quoting.svn = 1;
        assert_eq!(other.appraise(), Err(DcapRejection::NoTcbLevel(Part::QeReport)));

        let mut other = scene.clone();
        other.statements.quoting_enclave.version = 9;
        assert_eq!(other.appraise(), Err(DcapRejection::OtherTee(Part::QeIdentity)));
    }
}

#[test]
fn an_outdated_quoting_enclave_makes_the_platform_outdated() {
    for mut scene in Scene::all() {
        scene.quoting.svn = 7;
        assert_eq!(scene.appraise().unwrap().tcb.status, TcbStatus::OutOfDate);
    }
}

#[test]
fn a_quote_that_only_names_its_platform_needs_the_certificate_beside_it() {
    for mut scene in Scene::all() {
        scene.quoting.certification = Certification::EncryptedPpid;
        assert_eq!(scene.appraise(), Err(DcapRejection::MissingPckChain));
        let mut collateral = scene.collateral();
        collateral.pck_chain = scene.vendor.pck_chain();
        let launch = scene.appraise_beside(&collateral).unwrap();
        assert_eq!(launch.platform.unwrap().bytes, scene.vendor.platform.ppid);

        collateral.pck_chain = crate::scene::attacker().pck_chain();
        assert_eq!(scene.appraise_beside(&collateral), Err(DcapRejection::Untrusted(Part::PckChain)));
    }
}

#[test]
fn certification_data_of_another_type_is_refused() {
    let scene = Scene::sgx();
    let mut quote = scene.quote();
    let position = 48 + 384 + 4 + 128 + 384 + 64 + 2 + 32;
    assert_eq!(quote[position], 5);
    for code in [1, 4, 6, 7] {
        quote[position] = code;
        assert_eq!(scene.appraise_with(&quote, &[]), Err(BadQuote::Certification(code.into()).into()));
    }
    // From version 4 on that type stands inside another, of a fixed one.
    let scene = Scene::tdx(TdForm::V4);
    let mut quote = scene.quote();
    let position = 48 + 584 + 4 + 128;
    assert_eq!(quote[position], 6);
    for code in [1, 5, 7] {
        quote[position] = code;
        assert_eq!(scene.appraise_with(&quote, &[]), Err(BadQuote::Certification(code.into()).into()));
    }
}

#[test]
fn what_the_hardware_says_is_told() {
    let mut scene = Scene::tdx(TdForm::V5Td15);
    scene.td().mr_config_id = [0xc0; 48];
    scene.vendor.platform.smt = false;
    let launch = scene.appraise().unwrap();
    assert_eq!(launch.launch_data, Some(vec![0xc0; 48]));
    assert_eq!(launch.traits.len(), 2);
    assert_eq!(launch.tcb.evaluation, Some(17));
    assert_eq!(
        launch.tcb.level,
        "fmspc 00506f000000, cpu 07070202040100050000000000000000, pce 13, tdx 05010200000000000000000000000000, qe 8"
    );
    let measured = launch.registers.iter().filter(|register| register.measured);
    assert!(measured.map(|register| register.name).eq(["MRTD", "RTMR1", "RTMR2"]));

    let mut scene = Scene::sgx();
    scene.enclave().config_id = [0xc1; 64];
    assert_eq!(scene.appraise().unwrap().launch_data, None, "without KSS nobody set it");
    scene.enclave().flags |= 1 << 7;
    let launch = scene.appraise().unwrap();
    assert_eq!(launch.launch_data, Some(vec![0xc1; 64]));
    let measured = launch.registers.iter().filter(|register| register.measured);
    assert!(measured.map(|register| register.name).eq(["MRENCLAVE"]));
}

#[test]
fn only_measured_registers_make_the_measurement() {
    let base = Scene::tdx(TdForm::V4);
    let original = base.appraise().unwrap().measurement();
    for (register, measured) in [(0, false), (1, true), (2, true), (3, false)] {
        let mut scene = base.clone();
        scene.td().rtmr[register][0] ^= 1;
        assert_eq!(scene.appraise().unwrap().measurement() != original, measured, "RTMR{register}");
    }
    // The same guest in another form of quote is the same guest.
    assert_eq!(Scene::tdx(TdForm::V5Td15).appraise().unwrap().measurement(), original);
}
