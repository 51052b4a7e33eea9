//! What an attacker would send, each refused for its own reason.

use crate::scene::{AT, ISSUED, NEXT, REPORT_DATA, Scene, TABLES, attacker, endorsements, roots};
use pox_core::UnixTime;
use pox_core::receipt::Endorsement;
use pox_devtee::dcap::{Revoked, Signer, Statements, TdForm, Tee, Validity};
use pox_verify::evidence::dcap::{
    BadCollateral, BadLaunch, BadQuote, DcapRejection, ENDORSEMENT_KIND, MAX_COLLATERAL_BYTES, Part, appraise,
};

#[test]
fn each_form_of_quote_is_accepted_as_it_is() {
    for scene in Scene::all() {
        let launch = scene.appraise().unwrap();
        assert_eq!(launch.kind, scene.kind());
        assert_eq!(launch.report_data, REPORT_DATA);
    }
}

#[test]
fn a_debug_enclave_is_refused() {
    let mut scene = Scene::sgx();
    scene.enclave().flags |= 1 << 1;
    assert_eq!(scene.appraise(), Err(BadLaunch::Debug.into()));
}

#[test]
fn a_debug_td_is_refused() {
    for form in [TdForm::V4, TdForm::V5Td10, TdForm::V5Td15] {
        // Debugging, and every other bit by which a host looks into a TD.
        for bit in 0..8 {
            let mut scene = Scene::tdx(form);
            scene.td().attributes |= 1 << bit;
            assert_eq!(scene.appraise(), Err(BadLaunch::Debug.into()), "bit {bit}");
        }
    }
}

#[test]
fn a_td_with_a_service_td_is_refused() {
    let mut scene = Scene::tdx(TdForm::V5Td15);
    scene.td().mr_service_td[47] = 1;
    assert_eq!(scene.appraise(), Err(BadLaunch::ServiceTd.into()));

    let mut scene = Scene::tdx(TdForm::V4);
    scene.td().attributes |= 1 << 17;
    assert_eq!(scene.appraise(), Err(BadLaunch::ServiceTd.into()));
}

#[test]
fn a_td_that_can_be_migrated_is_refused() {
    let mut scene = Scene::tdx(TdForm::V5Td15);
    scene.td().attributes |= 1 << 29;
    assert_eq!(scene.appraise(), Err(BadLaunch::Migratable.into()));
}

#[test]
fn a_td_whose_pages_the_host_can_exchange_is_refused() {
    let mut scene = Scene::tdx(TdForm::V4);
    scene.td().attributes = 0;
    assert_eq!(scene.appraise(), Err(BadLaunch::SeptVeEnabled.into()));
}

#[test]
fn attributes_without_a_known_meaning_are_refused_and_harmless_ones_recorded() {
    let judged = [28, 29, 17];
    let harmless = [16, 27, 30, 31, 62, 63];
    for bit in (8..64).filter(|bit| !judged.contains(bit)) {
        let mut scene = Scene::tdx(TdForm::V4);
        scene.td().attributes |= 1 << bit;
        let verdict = scene.appraise();
        if harmless.contains(&bit) {
            let launch = verdict.unwrap();
            let register = launch.registers.iter().find(|register| register.name == "TDATTRIBUTES").unwrap();
            assert_eq!(register.value, scene.td().attributes.to_le_bytes());
        } else {
            assert_eq!(verdict, Err(BadLaunch::ReservedAttributes(1 << bit).into()), "bit {bit}");
        }
    }
    let mut scene = Scene::sgx();
    scene.enclave().flags |= 1 << 3;
    assert_eq!(scene.appraise(), Err(BadLaunch::ReservedAttributes(1 << 3).into()));
}

#[test]
fn collateral_of_another_platform_family_is_refused() {
    let mut scene = Scene::tdx(TdForm::V4);
    scene.statements.fmspc = [0, 0x80, 0x6f, 5, 0, 0];
    let (stated, actual) = ("00806f050000".into(), "00506f000000".into());
    assert_eq!(scene.appraise(), Err(DcapRejection::OtherPlatform { stated, actual }));
}

#[test]
fn collateral_of_another_pce_is_refused() {
    let mut scene = Scene::tdx(TdForm::V4);
    scene.statements.pce_id = [1, 0];
    assert_eq!(scene.appraise(), Err(DcapRejection::OtherPce));
}

#[test]
fn collateral_of_the_other_tee_is_refused() {
    for (mut scene, tee) in [(Scene::sgx(), Tee::Tdx), (Scene::tdx(TdForm::V4), Tee::Sgx)] {
        let own = scene.collateral();
        scene.statements = Statements::of(&scene.vendor, tee, TABLES);
        let other = scene.collateral();
        assert_eq!(scene.appraise(), Err(DcapRejection::OtherTee(Part::QeIdentity)));

        let mut mixed = own;
        (mixed.tcb_info, mixed.tcb_info_signature) = (other.tcb_info, other.tcb_info_signature);
        assert_eq!(scene.appraise_beside(&mixed), Err(DcapRejection::OtherTee(Part::TcbInfo)));
    }
}

#[test]
fn stale_collateral_is_refused() {
    for mut scene in Scene::all() {
        scene.at = UnixTime(NEXT + 1);
        let renewed = Validity { from: NEXT, until: NEXT + 86_400 };
        scene.statements.lists = renewed;
        assert_eq!(scene.appraise(), Err(DcapRejection::Expired(Part::TcbInfo)));
        (scene.statements.tables, scene.statements.lists) = (renewed, TABLES);
        assert_eq!(scene.appraise(), Err(DcapRejection::Expired(Part::RootCrl)));
        scene.statements.lists = renewed;
        assert!(scene.appraise().is_ok());

        // Only the platform's list is an old one, as it was before a revocation.
        let mut collateral = scene.collateral();
        scene.statements.lists = TABLES;
        collateral.pck_crl = scene.collateral().pck_crl;
        assert_eq!(scene.appraise_beside(&collateral), Err(DcapRejection::Expired(Part::PckCrl)));
    }
}

#[test]
fn one_part_of_collateral_from_another_time_is_refused() {
    for scene in Scene::all() {
        let mut other = scene.clone();
        for (tables, is_late) in [(LATER, true), (EARLIER, false)] {
            other.statements.tables = tables;
            let swapped = other.collateral();
            let verdict = |part| {
                if is_late { DcapRejection::NotYet(part) } else { DcapRejection::Expired(part) }
            };
            let mut mixed = scene.collateral();
            mixed.tcb_info = swapped.tcb_info;
            mixed.tcb_info_signature = swapped.tcb_info_signature;
            assert_eq!(scene.appraise_beside(&mixed), Err(verdict(Part::TcbInfo)));
            let mut mixed = scene.collateral();
            mixed.qe_identity = swapped.qe_identity;
            mixed.qe_identity_signature = swapped.qe_identity_signature;
            assert_eq!(scene.appraise_beside(&mixed), Err(verdict(Part::QeIdentity)));
        }
    }
}

#[test]
fn one_forged_part_among_genuine_ones_is_refused() {
    for scene in Scene::all() {
        let mut statements = scene.statements.clone();
        statements.levels.truncate(1);
        let forged = statements.sign(&attacker());
        let mut mixed = scene.collateral();
        mixed.tcb_info = forged.tcb_info;
        assert_eq!(scene.appraise_beside(&mixed), Err(DcapRejection::Signature(Part::TcbInfo)));
        let mut mixed = scene.collateral();
        mixed.qe_identity_signature = forged.qe_identity_signature;
        assert_eq!(scene.appraise_beside(&mixed), Err(DcapRejection::Signature(Part::QeIdentity)));
    }
}

#[test]
fn a_quoting_enclave_that_the_platform_did_not_sign_is_refused() {
    let scene = Scene::sgx();
    let mut quote = scene.quote();
    let signature = 48 + 384 + 4 + 128 + 384;
    quote[signature + 40] ^= 1;
    let verdict = scene.appraise_with(&quote, &[scene.collateral().to_bytes()]);
    assert_eq!(verdict, Err(DcapRejection::Signature(Part::QeReport)));
}

/// Tables that begin after the time at which quotes are judged, and tables that end before it.
const LATER: Validity = Validity { from: AT.0 + 1, until: NEXT };
const EARLIER: Validity = Validity { from: ISSUED, until: AT.0 - 1 };

#[test]
fn collateral_from_after_the_run_is_refused() {
    let mut scene = Scene::tdx(TdForm::V5Td15);
    scene.at = UnixTime(ISSUED - 1);
    assert_eq!(scene.appraise(), Err(DcapRejection::NotYet(Part::TcbInfo)));
    // Only the lists are later, which nobody but the common window looks at.
    scene.at = AT;
    scene.statements.lists = Validity { from: AT.0 + 1, until: NEXT };
    assert!(
        matches!(scene.appraise(), Err(DcapRejection::OutsideWindow { at: AT, endorsed }) if endorsed.from.0 == AT.0 + 1)
    );
}

#[test]
fn collateral_of_an_attackers_service_is_refused() {
    for scene in Scene::all() {
        let mut statements = scene.statements.clone();
        statements.levels.truncate(1);
        let forged = statements.sign(&attacker());
        assert_eq!(scene.appraise_beside(&forged), Err(DcapRejection::Signature(Part::RootCrl)));

        // With the genuine lists, and then with the genuine signer's certificate as well.
        let mut forged = forged;
        forged.root_crl = scene.collateral().root_crl;
        forged.pck_crl = scene.collateral().pck_crl;
        assert_eq!(scene.appraise_beside(&forged), Err(DcapRejection::Untrusted(Part::TcbSigner)));
        forged.tcb_signer = scene.vendor.table_signer();
        assert_eq!(scene.appraise_beside(&forged), Err(DcapRejection::Signature(Part::TcbInfo)));
        let own = scene.collateral();
        (forged.tcb_info, forged.tcb_info_signature) = (own.tcb_info, own.tcb_info_signature);
        assert_eq!(scene.appraise_beside(&forged), Err(DcapRejection::Signature(Part::QeIdentity)));
        forged.qe_signer = Some(attacker().table_signer());
        assert_eq!(scene.appraise_beside(&forged), Err(DcapRejection::Untrusted(Part::QeSigner)));
    }
}

#[test]
fn a_table_signed_by_a_platform_is_refused() {
    let scene = Scene::sgx();
    let mut forged = scene.collateral();
    // A platform's key leads to the root too, but through a CA that signs no tables.
    forged.tcb_signer = scene.vendor.pck_chain().remove(0);
    forged.tcb_info_signature = scene.vendor.sign(Signer::Platform, forged.tcb_info.as_bytes());
    assert_eq!(scene.appraise_beside(&forged), Err(DcapRejection::Untrusted(Part::TcbSigner)));
}

#[test]
fn an_attackers_platform_is_refused() {
    for scene in Scene::all() {
        let mut forged = scene.clone();
        forged.vendor = attacker();
        let verdict = scene.appraise_with(&forged.quote(), &[scene.collateral().to_bytes()]);
        assert_eq!(verdict, Err(DcapRejection::Untrusted(Part::PckChain)));
    }
}

#[test]
fn no_other_root_is_trusted() {
    let scene = Scene::tdx(TdForm::V4);
    let endorsements = endorsements(&[scene.collateral().to_bytes()]);
    let judge = |root| appraise(scene.kind(), &scene.quote(), &endorsements, &roots(root), AT);
    assert_eq!(judge(attacker().root()), Err(DcapRejection::Signature(Part::RootCrl)));
    assert_eq!(judge(vec![0x30, 0]), Err(DcapRejection::Malformed(Part::Root)));
    assert_eq!(judge(Vec::new()), Err(DcapRejection::Malformed(Part::Root)));
}

#[test]
fn a_revoked_platform_is_refused() {
    for scene in Scene::all() {
        let cases = [
            (Revoked::Platform, Part::PckChain),
            (Revoked::PlatformCa, Part::PckChain),
            (Revoked::Tables, Part::TcbSigner),
            (Revoked::Root, Part::Root),
        ];
        for (revoked, part) in cases {
            let mut scene = scene.clone();
            scene.statements.revoked.push(revoked);
            assert_eq!(scene.appraise(), Err(DcapRejection::Revoked(part)), "{revoked:?}");
        }
    }
}

#[test]
fn a_forged_or_missing_revocation_list_is_refused() {
    let mut scene = Scene::tdx(TdForm::V4);
    let clean = scene.collateral();
    scene.statements.revoked.push(Revoked::Platform);
    let honest = scene.collateral();
    let forged = scene.statements.sign(&attacker());

    let mut swapped = honest.clone();
    swapped.pck_crl = forged.pck_crl;
    assert_eq!(scene.appraise_beside(&swapped), Err(DcapRejection::Signature(Part::PckCrl)));

    let mut swapped = honest.clone();
    swapped.pck_crl = clean.root_crl.clone();
    assert_eq!(scene.appraise_beside(&swapped), Err(DcapRejection::Untrusted(Part::PckCrl)));

    let mut missing = honest.clone();
    missing.pck_crl = Vec::new();
    assert_eq!(scene.appraise_beside(&missing), Err(DcapRejection::Malformed(Part::PckCrl)));

    let mut missing = honest;
    missing.root_crl = Vec::new();
    assert_eq!(scene.appraise_beside(&missing), Err(DcapRejection::Malformed(Part::RootCrl)));
}

#[test]
fn an_expired_platform_certificate_is_refused() {
    let mut scene = Scene::sgx();
    scene.vendor.platform_certificate.until = AT.0 - 1;
    assert_eq!(scene.appraise(), Err(DcapRejection::Expired(Part::PckChain)));
    scene.vendor.platform_certificate = Validity { from: AT.0 + 1, until: NEXT };
    assert_eq!(scene.appraise(), Err(DcapRejection::NotYet(Part::PckChain)));
}

#[test]
fn the_window_is_what_all_parts_have_in_common() {
    let mut scene = Scene::sgx();
    scene.vendor.platform_certificate.until = AT.0 + 5;
    scene.statements.lists.from = AT.0 - 5;
    let window = scene.appraise().unwrap().endorsed.unwrap();
    assert_eq!((window.from.0, window.until.0), (AT.0 - 5, AT.0 + 5));
}

#[test]
fn the_report_data_of_other_claims_shows() {
    for (at, scene) in Scene::all().into_iter().enumerate() {
        let mut other = scene.clone();
        match at {
            0 => other.enclave().report_data = [0xdb; 64],
            _ => other.td().report_data = [0xdb; 64],
        }
        assert_eq!(other.appraise().unwrap().report_data, [0xdb; 64]);
        // Written over the signed ones, they break the signature.
        let quote = scene.quote();
        let position = quote.windows(64).position(|window| window == REPORT_DATA).unwrap();
        let mut forged = quote;
        forged[position..position + 64].copy_from_slice(&[0xdb; 64]);
        let verdict = scene.appraise_with(&forged, &[scene.collateral().to_bytes()]);
        assert_eq!(verdict, Err(DcapRejection::Signature(Part::Quote)));
    }
}

#[test]
fn an_oversized_quote_is_refused() {
    let mut scene = Scene::tdx(TdForm::V4);
    scene.quoting.padded_to = 16 * 1024;
    assert!(scene.appraise().is_ok());
    scene.quoting.padded_to += 1;
    assert_eq!(scene.appraise(), Err(BadQuote::TooLarge(16 * 1024 + 1).into()));
}

#[test]
fn a_truncated_quote_is_refused_wherever_it_ends() {
    for scene in Scene::all() {
        let quote = scene.quote();
        for length in 0..quote.len() {
            let verdict = scene.appraise_with(&quote[..length], &[]);
            assert!(
                matches!(verdict, Err(DcapRejection::Quote(BadQuote::CutShort(_)))),
                "{length}: {verdict:?}"
            );
        }
    }
}

#[test]
fn a_lying_length_is_refused() {
    let scene = Scene::tdx(TdForm::V5Td15);
    let quote = scene.quote();
    let body = 48 + 6 + 648;
    let outer = body + 4 + 128 + 2;
    let authentication = outer + 4 + 384 + 64;
    let inner = authentication + 2 + 32 + 2;
    for (position, width) in [(48 + 2, 4), (body, 4), (outer, 4), (authentication, 2), (inner, 4)] {
        for lie in [&[0xff; 4][..width], &[0x00; 4][..width]] {
            let mut forged = quote.clone();
            forged[position..position + width].copy_from_slice(lie);
            let verdict = scene.appraise_with(&forged, &[]);
            let is_form =
                matches!(verdict, Err(DcapRejection::Quote(BadQuote::CutShort(_) | BadQuote::Length { .. })));
            assert!(is_form, "{position}: {verdict:?}");
        }
    }
}

#[test]
fn a_header_of_no_known_quote_is_refused() {
    let scene = Scene::tdx(TdForm::V4);
    let changed = |position: usize, value: u8| {
        let mut quote = scene.quote();
        quote[position] = value;
        scene.appraise_with(&quote, &[])
    };
    for (position, value) in [(0, 2), (0, 3), (0, 6), (4, 0), (4, 0x82)] {
        assert!(matches!(changed(position, value), Err(DcapRejection::Quote(BadQuote::Version { .. }))));
    }
    assert_eq!(changed(2, 3), Err(BadQuote::KeyType(3).into()));
    assert_eq!(changed(12, 0), Err(BadQuote::Vendor.into()));
}

#[test]
fn oversized_and_malformed_collateral_is_refused() {
    let scene = Scene::tdx(TdForm::V4);
    let quote = scene.quote();
    let bytes = scene.collateral().to_bytes();
    let refused = |content: Vec<u8>| {
        matches!(
            scene.appraise_with(&quote, &[content]),
            Err(DcapRejection::Collateral(BadCollateral::Codec(_)))
        )
    };
    assert!(refused(vec![0; MAX_COLLATERAL_BYTES + 1]));
    assert!(refused([&bytes[..], &[0]].concat()));
    assert!((0..bytes.len()).step_by(7).all(|length| refused(bytes[..length].to_vec())));

    let mut repeated = scene.collateral();
    repeated.qe_signer = Some(repeated.tcb_signer.clone());
    let verdict = scene.appraise_beside(&repeated);
    assert_eq!(verdict, Err(BadCollateral::RepeatedSigner.into()));

    let mut long = scene.collateral();
    long.pck_chain = vec![scene.vendor.root(); 4];
    assert_eq!(scene.appraise_beside(&long), Err(BadCollateral::PckChain(4).into()));
}

#[test]
fn a_quote_without_collateral_is_neither_good_nor_bad() {
    for scene in Scene::all() {
        assert_eq!(scene.appraise_with(&scene.quote(), &[]), Err(DcapRejection::MissingEndorsement));
    }
}

#[test]
fn only_collateral_stands_beside_a_quote_and_the_one_that_holds_is_used() {
    let scene = Scene::sgx();
    let quote = scene.quote();
    let good = scene.collateral().to_bytes();
    let mut stale = scene.clone();
    stale.statements.tables = Validity { from: ISSUED - 86_400, until: ISSUED };
    let stale = stale.collateral().to_bytes();

    assert!(scene.appraise_with(&quote, &[stale.clone(), good.clone()]).is_ok());
    let expired = Err(DcapRejection::Expired(Part::TcbInfo));
    assert_eq!(scene.appraise_with(&quote, &[stale.clone(), stale.clone()]), expired);
    let many = [good.clone(), good.clone(), stale];
    assert_eq!(scene.appraise_with(&quote, &many), Err(DcapRejection::TooManyEndorsements(3)));

    let foreign = Endorsement { kind: ENDORSEMENT_KIND + 1, content: good };
    let verdict = appraise(scene.kind(), &quote, &[foreign], &roots(scene.vendor.root()), AT);
    assert_eq!(verdict, Err(DcapRejection::ForeignEndorsement(ENDORSEMENT_KIND + 1)));
}
