//! SEV-SNP reports of a development vendor: what is accepted, and that each thing wrong with one has its own rejection.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "support/snp.rs"]
mod support;

use pox_core::UnixTime;
use pox_devtee::Seed;
use pox_devtee::snp::{HardwareId, Line, Signer, Tcb, Validity, VekCertificate, Vendor};
use pox_verify::evidence::launch::{Launch, PlatformTrait};
use pox_verify::evidence::snp::{BadReport, Chain, Link, PolicyTerm, ProductLine, SigningKey, SnpRejection};
use proptest::prelude::*;
use support::{ASK, CRL, Case, LINES, NOW, SEED, VEK, endorsement, vendor};

/// Where a part lies in a whole.
type In<Whole, Part> = fn(&mut Whole) -> &mut Part;

fn genoa_with(change: impl FnOnce(&mut Case)) -> Result<Launch, SnpRejection> {
    let mut case = Case::genoa();
    change(&mut case);
    case.build().appraise()
}

fn refuses(expected: SnpRejection, change: impl FnOnce(&mut Case)) {
    assert_eq!(genoa_with(change), Err(expected));
}

#[test]
fn every_line_version_and_key_is_accepted_as_what_it_is() {
    let traits = [PlatformTrait::Milan, PlatformTrait::Genoa, PlatformTrait::Turin];
    for (line, line_trait) in LINES.into_iter().zip(traits) {
        for version in 2..=5 {
            for signer in [Signer::Vcek, Signer::Vlek] {
                let launch = Case::genuine(line, signer, version).build().appraise().unwrap();
                let common = [line_trait, PlatformTrait::Smt, PlatformTrait::AliasChecked];
                let operator = [PlatformTrait::OperatorKey, PlatformTrait::MaskedChipId];
                let own = operator.into_iter().filter(|_| signer == Signer::Vlek);
                assert_eq!(launch.traits, common.into_iter().chain(own).collect());
                assert_eq!(launch.platform.is_some(), signer == Signer::Vcek);
                let fmc = if line == Line::Turin { "fmc 1, " } else { "" };
                assert_eq!(launch.tcb.level, format!("{fmc}bootloader 4, tee 1, snp 21, microcode 213"));
                let vectors = launch.registers.iter().filter(|register| register.name == "LAUNCH_MIT_VECTOR");
                assert_eq!(vectors.count(), usize::from(version == 5));
            }
        }
    }
}

#[test]
fn only_the_measurement_is_measured() {
    let launch = Case::genoa().build().appraise().unwrap();
    let measured: Vec<_> = launch.registers.iter().filter(|register| register.measured).collect();
    assert_eq!(measured.len(), 1);
    assert_eq!((measured[0].name, measured[0].value.as_slice()), ("MEASUREMENT", [0x3e; 48].as_slice()));
    let other = genoa_with(|case| case.report.measurement[47] ^= 1).unwrap();
    assert_ne!(other.measurement(), launch.measurement());
    let other = genoa_with(|case| case.report.host_data[31] ^= 1).unwrap();
    assert_eq!(other.measurement(), launch.measurement());
    assert_ne!(other.launch_data, launch.launch_data);
}

#[test]
fn a_guest_that_may_be_debugged_is_refused() {
    refuses(SnpRejection::Debug, |case| case.report.policy |= 1 << 19);
}

#[test]
fn a_guest_that_may_migrate_is_refused() {
    refuses(SnpRejection::Migration, |case| case.report.policy |= 1 << 18);
}

#[test]
fn a_report_of_vmpl_1_is_refused() {
    for vmpl in [1, 2, 3, u32::MAX] {
        refuses(SnpRejection::Vmpl(vmpl), |case| case.report.vmpl = vmpl);
    }
}

#[test]
fn the_vcek_of_another_chip_is_refused() {
    let other = Line::Genoa.chip(&SEED, "two");
    // The other chip signs what this one should have said.
    refuses(SnpRejection::ChipId, |case| case.vek.chip = other);
    // This chip signs, and the certificate is the other's.
    let mut evidence = Case::genoa().build();
    let vek = vendor(Line::Genoa).vek_certificate(&VekCertificate::vcek(other, Tcb::default()));
    evidence.endorsements[0] = endorsement(VEK, vek);
    assert_eq!(evidence.appraise(), Err(SnpRejection::ReportSignature));
}

#[test]
fn a_turin_chip_is_told_by_all_of_its_id() {
    let mut case = Case::genuine(Line::Turin, Signer::Vcek, 5);
    case.report.chip_id[63] = 1;
    assert_eq!(case.build().appraise(), Err(SnpRejection::ChipId));
    case.report.chip_id[63] = 0;
    case.report.chip_id[7] ^= 1;
    assert_eq!(case.build().appraise(), Err(SnpRejection::ChipId));
}

#[test]
fn the_vcek_of_another_tcb_version_is_refused() {
    let parts: [(&str, In<Tcb, u8>); 5] = [
        ("fmc", |tcb| &mut tcb.fmc),
        ("bootloader", |tcb| &mut tcb.bootloader),
        ("tee", |tcb| &mut tcb.tee),
        ("snp", |tcb| &mut tcb.snp),
        ("microcode", |tcb| &mut tcb.microcode),
    ];
    for (name, part) in parts {
        let mut case = Case::genuine(Line::Turin, Signer::Vcek, 5);
        let reported = *part(&mut case.vek.stated_tcb);
        *part(&mut case.vek.stated_tcb) += 1;
        let expected = SnpRejection::Tcb { part: name, reported, certified: reported + 1 };
        assert_eq!(case.build().appraise(), Err(expected));
    }
}

#[test]
fn a_masked_chip_id_shows_no_platform() {
    let launch = genoa_with(|case| case.report.chip_id = [0; 64]).unwrap();
    assert_eq!(launch.platform, None);
    assert!(launch.traits.contains(&PlatformTrait::MaskedChipId));
}

#[test]
fn an_operators_key_shows_no_platform_even_with_a_chip_id() {
    let mut case = Case::genuine(Line::Genoa, Signer::Vlek, 3);
    case.report.chip_id = [7; 64];
    let launch = case.build().appraise().unwrap();
    assert_eq!(launch.platform, None);
    assert!(launch.traits.contains(&PlatformTrait::OperatorKey));
    assert!(!launch.traits.contains(&PlatformTrait::MaskedChipId));
}

#[test]
fn another_vendors_root_is_refused() {
    let other = Vendor::new(&Seed([1; 32]), Line::Genoa);
    let mut evidence = Case::genoa().build();
    evidence.roots.amd = vec![other.ark()];
    assert_eq!(evidence.appraise(), Err(SnpRejection::Root));
    evidence.roots.amd = vec![];
    assert_eq!(evidence.appraise(), Err(SnpRejection::Root));
    evidence.roots.amd = vec![other.ark(), vendor(Line::Genoa).ark()];
    assert!(evidence.appraise().is_ok());
}

#[test]
fn an_intermediate_that_the_root_did_not_sign_is_refused() {
    let mut evidence = Case::genoa().build();
    let forged = splice_signature(&evidence.endorsements[1].content, &vendor(Line::Turin).ark());
    evidence.endorsements[1] = endorsement(ASK, forged);
    assert_eq!(evidence.appraise(), Err(SnpRejection::Signature(Link::Ask)));
}

/// A certificate with the signature of another one.
fn splice_signature(certificate: &[u8], other: &[u8]) -> Vec<u8> {
    let (body, _) = certificate.split_at(certificate.len() - 512);
    [body, &other[other.len() - 512..]].concat()
}

#[test]
fn the_chain_of_another_line_is_refused() {
    // A Turin processor's report under Genoa's chain.
    let expected = SnpRejection::ProductLine { line: ProductLine::Genoa, family: 0x1a, model: 0x02 };
    refuses(expected, |case| case.report.cpu = Line::Turin.cpu());
    let unknown = SnpRejection::ProductLine { line: ProductLine::Genoa, family: 0x1a, model: 0x50 };
    refuses(unknown, |case| case.report.cpu = [0x1a, 0x50, 0]);
    // Genoa's report with Turin's intermediate.
    let mut evidence = Case::genoa().build();
    let turin = Case::genuine(Line::Turin, Signer::Vcek, 3).build();
    evidence.roots.amd.extend(turin.roots.amd.clone());
    evidence.endorsements[1] = turin.endorsements[1].clone();
    assert_eq!(evidence.appraise(), Err(SnpRejection::Issuer(Link::Vek)));
    // Genoa's report with all of Turin's chain.
    evidence.endorsements = turin.endorsements;
    let expected = SnpRejection::ProductLine { line: ProductLine::Turin, family: 0x19, model: 0x11 };
    assert_eq!(evidence.appraise(), Err(expected));
}

#[test]
fn a_key_of_the_other_kind_is_refused() {
    let expected = |selected, certified| Err(SnpRejection::SigningKey { selected, certified });
    let mut case = Case::genoa();
    case.report.key_flags = 1 << 2;
    assert_eq!(case.build().appraise(), expected(SigningKey::Vlek, SigningKey::Vcek));
    let mut case = Case::genuine(Line::Genoa, Signer::Vlek, 3);
    case.report.key_flags = 0;
    assert_eq!(case.build().appraise(), expected(SigningKey::Vcek, SigningKey::Vlek));
}

#[test]
fn an_intermediate_issues_only_its_own_kind_of_keys() {
    refuses(SnpRejection::Issuer(Link::Vek), |case| case.vek.issuer = Signer::Vlek);
    let mut case = Case::genuine(Line::Genoa, Signer::Vlek, 3);
    case.vek.issuer = Signer::Vcek;
    assert_eq!(case.build().appraise(), Err(SnpRejection::Issuer(Link::Vek)));
}

#[test]
fn a_key_that_signs_reports_certifies_nothing() {
    // A chip's certificate in the intermediate's place.
    let mut evidence = Case::genoa().build();
    evidence.endorsements[1] = endorsement(ASK, evidence.endorsements[0].content.clone());
    assert_eq!(evidence.appraise(), Err(SnpRejection::Root));
    let fault = |link, fault| SnpRejection::Malformed { link, fault };
    refuses(fault(Link::Ask, "it is not of an authority"), |case| case.ask.authority = false);
    refuses(fault(Link::Ark, "it is not of an authority"), |case| case.ark.authority = false);
    refuses(fault(Link::Vek, "it is of an authority"), |case| {
        let constraints = vec![0x30, 0x03, 0x01, 0x01, 0xff];
        case.vek.extensions.push(("2.5.29.19", true, constraints));
    });
}

#[test]
fn extensions_that_are_not_as_they_must_be_are_refused() {
    let fault = |fault| SnpRejection::Malformed { link: Link::Vek, fault };
    let pushed = |id, critical, content: &[u8]| {
        let extension = (id, critical, content.to_vec());
        move |case: &mut Case| case.vek.extensions.push(extension)
    };
    refuses(
        fault("it has a critical extension that is not understood"),
        pushed("1.3.6.1.4.1.3704.1.7", true, &[5, 0]),
    );
    refuses(fault("it has an extension twice"), pushed("1.3.6.1.4.1.3704.1.3.1", false, &[2, 1, 4]));
    refuses(fault("a VCEK has a hardware id, and a VLEK has none"), |case| {
        case.vek.hardware_id = HardwareId::Absent;
    });
    refuses(fault("its hardware id is not of its form"), |case| {
        case.vek.hardware_id = HardwareId::Absent;
        case.vek.extensions.push(("1.3.6.1.4.1.3704.1.4", false, vec![4, 8, 1, 2, 3, 4, 5, 6, 7, 8]));
    });
    assert!(genoa_with(pushed("2.5.29.35", false, &[0x30, 0])).is_ok());
    assert!(genoa_with(|case| case.vek.hardware_id = HardwareId::Bare).is_ok());
}

#[test]
fn another_version_of_certificate_or_list_is_refused_by_name() {
    let genuine = Case::genoa().build();
    // Only the number of the version is changed, before any signature is looked at.
    let (version_3, version_2) = (&[0xa0, 3, 2, 1, 2][..], &[0xa0, 3, 2, 1, 1][..]);
    let (list_2, list_1) = (&[2, 1, 1, 0x30][..], &[2, 1, 0, 0x30][..]);
    for (number, link, before, after, fault) in [
        (0, Link::Vek, version_3, version_2, "its version is not 3"),
        (1, Link::Ask, version_3, version_2, "its version is not 3"),
        (2, Link::Crl, list_2, list_1, "its version is not 2"),
    ] {
        let mut evidence = genuine.clone();
        let content = &mut evidence.endorsements[number].content;
        let at = content.windows(before.len()).position(|window| window == before).unwrap();
        content[at..at + after.len()].copy_from_slice(after);
        assert_eq!(evidence.appraise(), Err(SnpRejection::Malformed { link, fault }), "{link}");
    }
}

#[test]
fn an_endorsement_that_is_too_large_is_refused_unread() {
    for (number, link, most) in [(0, Link::Vek, 4096), (1, Link::Ask, 4096), (2, Link::Crl, 64 * 1024)] {
        let mut evidence = Case::genoa().build();
        evidence.endorsements[number].content.resize(most + 1, 0);
        let fault = "it is too large";
        assert_eq!(evidence.appraise(), Err(SnpRejection::Malformed { link, fault }), "{link}");
    }
}

#[test]
fn a_revoked_intermediate_is_refused() {
    refuses(SnpRejection::Revoked(Link::Ask), |case| case.crl.revoked = vec![vec![9], vec![1, 0, 2]]);
    refuses(SnpRejection::Revoked(Link::Ark), |case| case.crl.revoked = vec![vec![1, 0, 1]]);
    let mut case = Case::genuine(Line::Genoa, Signer::Vlek, 3);
    case.crl.revoked = vec![vec![1, 0, 2]];
    assert_eq!(case.build().appraise(), Err(SnpRejection::Revoked(Link::Ask)));
}

#[test]
fn a_revoked_operators_key_is_refused() {
    let mut case = Case::genuine(Line::Genoa, Signer::Vlek, 3);
    case.crl.revoked = vec![case.vek.serial.clone()];
    assert_eq!(case.build().appraise(), Err(SnpRejection::Revoked(Link::Vek)));
}

#[test]
fn the_serial_number_that_all_vceks_have_revokes_none() {
    assert!(genoa_with(|case| case.crl.revoked = vec![vec![0], vec![9]]).is_ok());
}

#[test]
fn one_list_of_several_is_enough_to_revoke() {
    let mut case = Case::genoa();
    let clean = case.build();
    case.crl.revoked = vec![vec![1, 0, 2]];
    let mut evidence = case.build();
    evidence.endorsements.insert(0, clean.endorsements[2].clone());
    assert_eq!(evidence.appraise(), Err(SnpRejection::Revoked(Link::Ask)));
}

#[test]
fn a_swapped_list_is_refused() {
    let mut evidence = Case::genoa().build();
    let of = |case: Case, seed| case.build_by(&Vendor::new(seed, case.line)).endorsements[2].content.clone();
    let swapped = [of(Case::genuine(Line::Turin, Signer::Vcek, 3), &SEED), of(Case::genoa(), &Seed([1; 32]))];
    for list in swapped {
        evidence.endorsements[2] = endorsement(CRL, list);
        assert_eq!(evidence.appraise(), Err(SnpRejection::Issuer(Link::Crl)));
    }
    let genuine = Case::genoa().build().endorsements[2].content.clone();
    let forged = splice_signature(&genuine, &evidence.endorsements[1].content);
    evidence.endorsements[2] = endorsement(CRL, forged);
    assert_eq!(evidence.appraise(), Err(SnpRejection::Signature(Link::Crl)));
}

#[test]
fn a_list_that_is_not_complete_is_refused() {
    let fault = "it has a critical extension that is not understood";
    refuses(SnpRejection::Malformed { link: Link::Crl, fault }, |case| case.crl.partial = true);
}

#[test]
fn nothing_stale_or_early_is_accepted() {
    let places: [(Link, In<Case, Validity>); 4] = [
        (Link::Ark, |case| &mut case.ark.validity),
        (Link::Ask, |case| &mut case.ask.validity),
        (Link::Vek, |case| &mut case.vek.validity),
        (Link::Crl, |case| &mut case.crl.validity),
    ];
    for (link, validity) in places {
        let until = UnixTime(NOW.0 - 1);
        refuses(SnpRejection::Expired { link, until }, |case| validity(case).until = until.0);
        let from = UnixTime(NOW.0 + 1);
        refuses(SnpRejection::NotYetValid { link, from }, |case| validity(case).from = from.0);
        let launch = genoa_with(|case| *validity(case) = Validity { from: NOW.0, until: NOW.0 }).unwrap();
        let window = launch.endorsed.unwrap();
        assert_eq!((window.from, window.until), (NOW, NOW));
    }
}

#[test]
fn firmware_is_in_the_order_that_it_keeps() {
    let lower = |mut tcb: [u8; 8]| {
        tcb[7] -= 1;
        tcb
    };
    refuses(SnpRejection::TcbOrder { lower: "reported", upper: "committed" }, |case| {
        case.report.committed_tcb = lower(case.report.committed_tcb);
    });
    refuses(SnpRejection::TcbOrder { lower: "committed", upper: "current" }, |case| {
        case.report.current_tcb = lower(case.report.current_tcb);
    });
    let refused = genoa_with(|case| case.report.current[0] -= 1);
    assert!(matches!(refused, Err(SnpRejection::FirmwareOrder { .. })), "{refused:?}");
    // Newer firmware that is not committed yet is no fault, and neither is a guest older than the firmware.
    assert!(genoa_with(|case| case.report.current_tcb[7] += 1).is_ok());
}

#[test]
fn a_guest_launched_under_older_firmware_has_that_firmwares_level() {
    let launch = genoa_with(|case| case.report.launch_tcb[6] = 20).unwrap();
    assert_eq!(launch.tcb.level, "bootloader 4, tee 1, snp 20, microcode 213");
    assert_eq!(launch.tcb.parts["snp"], 20);
    let launch = genoa_with(|case| case.report.launch_tcb[6] = 22).unwrap();
    assert_eq!(launch.tcb.parts["snp"], 21);
}

#[test]
fn a_platform_that_breaks_the_guests_policy_is_refused() {
    let broken = |term| SnpRejection::PolicyNotKept(term);
    refuses(broken(PolicyTerm::Smt), |case| case.report.policy &= !(1 << 16));
    refuses(broken(PolicyTerm::CiphertextHiding), |case| case.report.policy |= 1 << 24);
    refuses(broken(PolicyTerm::Abi), |case| case.report.policy |= 1 << 8 | 56);
    let kept = genoa_with(|case| {
        case.report.policy |= 1 << 24 | 1 << 8 | 55;
        case.report.policy &= !(1 << 16);
        case.report.platform = 1 << 4;
    });
    assert_eq!(kept.unwrap().traits, [PlatformTrait::Genoa, PlatformTrait::CiphertextHidden].into());
}

#[test]
fn what_is_reserved_or_unknown_in_a_report_is_refused() {
    let malformed = |error: BadReport| SnpRejection::Report(error);
    refuses(malformed(BadReport::SignatureAlgorithm(2)), |case| case.report.algorithm = 2);
    refuses(malformed(BadReport::SigningKey(7)), |case| case.report.key_flags = 7 << 2);
    refuses(malformed(BadReport::Reserved("key flags")), |case| case.report.key_flags = 1 << 5);
    refuses(malformed(BadReport::Reserved("POLICY")), |case| case.report.policy &= !(1 << 17));
    refuses(malformed(BadReport::Reserved("POLICY")), |case| case.report.policy |= 1 << 26);
    refuses(malformed(BadReport::Reserved("REPORTED_TCB")), |case| {
        case.report.patches.push((0x182, vec![1]));
    });
    for (offset, name) in [
        (0x4c, "after the key flags"),
        (0x18b, "after CPUID_STEP"),
        (0x1eb, "CURRENT"),
        (0x1ef, "COMMITTED"),
        (0x1f8, "MIT_VECTOR"),
        (0x29f, "before SIGNATURE"),
    ] {
        refuses(malformed(BadReport::Reserved(name)), |case| case.report.patches.push((offset, vec![1])));
    }
    for version in [0, 1, 6, u32::MAX] {
        refuses(malformed(BadReport::Version(version)), |case| {
            case.report.patches.push((0, version.to_le_bytes().to_vec()));
        });
    }
    let mut second = Case::genuine(Line::Milan, Signer::Vcek, 2);
    second.report.patches.push((0x188, vec![0x19]));
    assert_eq!(second.build().appraise(), Err(malformed(BadReport::Reserved("CPUID"))));
}

#[test]
fn endorsements_are_each_there_once_and_mean_something() {
    let evidence = Case::genoa().build();
    for (kind, link) in [(VEK, Link::Vek), (ASK, Link::Ask)] {
        let mut missing = evidence.clone();
        missing.endorsements.retain(|endorsement| endorsement.kind != kind);
        assert_eq!(missing.appraise(), Err(SnpRejection::Missing(link)));
        let mut twice = evidence.clone();
        twice.endorsements.extend(evidence.endorsements.iter().find(|one| one.kind == kind).cloned());
        assert_eq!(twice.appraise(), Err(SnpRejection::Repeated(link)));
    }
    let mut lists = evidence.clone();
    lists.endorsements.extend(vec![evidence.endorsements[2].clone(); 4]);
    assert_eq!(lists.appraise(), Err(SnpRejection::Repeated(Link::Crl)));
    for kind in [0, 1, 5, u16::MAX] {
        let mut other = evidence.clone();
        other.endorsements.push(endorsement(kind, vec![]));
        assert_eq!(other.appraise(), Err(SnpRejection::Endorsement(kind)));
    }
}

#[test]
fn without_a_list_the_launch_says_so() {
    let mut evidence = Case::genoa().build();
    evidence.endorsements.retain(|endorsement| endorsement.kind != CRL);
    assert!(evidence.appraise().unwrap().traits.contains(&PlatformTrait::RevocationUnchecked));
}

#[test]
fn one_chain_judges_many_reports() {
    let mut case = Case::genoa();
    let evidence = case.build();
    let chain = Chain::verify(&evidence.endorsements, &evidence.roots, evidence.at).unwrap();
    assert_eq!(chain.appraise(&evidence.quote), evidence.appraise());
    case.report.report_data = [9; 64];
    assert_eq!(chain.appraise(&case.build().quote).unwrap().report_data, [9; 64]);
}

fn tcb() -> impl Strategy<Value = Tcb> {
    (1..=u8::MAX, 1..=u8::MAX, 1..=u8::MAX, 1..=u8::MAX, 1..=u8::MAX)
        .prop_map(|(fmc, bootloader, tee, snp, microcode)| Tcb { fmc, bootloader, tee, snp, microcode })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_genuine_platform_signs_is_what_the_launch_has(
        line in prop::sample::select(&LINES[..]),
        signer in prop::sample::select(&[Signer::Vcek, Signer::Vlek][..]),
        version in 2_u32..=5,
        tcb in tcb(),
        label in "[a-z]{1,8}",
        filling in any::<[u8; 8]>(),
    ) {
        let mut case = Case::genuine(line, signer, version);
        let seed = Seed([filling[0]; 32]);
        let chip = if signer == Signer::Vcek { line.chip(&seed, &label) } else { [0; 64] };
        (case.vek.chip, case.vek.tcb, case.vek.stated_tcb) = (chip, tcb, tcb);
        let bytes = tcb.bytes(line);
        let report = &mut case.report;
        (report.chip_id, report.guest_svn) = (chip, u32::from(filling[6]));
        (report.reported_tcb, report.committed_tcb, report.current_tcb, report.launch_tcb) = (bytes, bytes, bytes, bytes);
        (report.report_data, report.measurement) = ([filling[1]; 64], [filling[2]; 48]);
        (report.host_data, report.report_id) = ([filling[3]; 32], [filling[4]; 32]);
        let launch = case.build().appraise().unwrap();
        prop_assert_eq!(launch.report_data, [filling[1]; 64]);
        prop_assert_eq!(launch.launch_data, Some(vec![filling[3]; 32]));
        prop_assert_eq!(launch.platform.map(|id| id.bytes), (signer == Signer::Vcek).then(|| chip.to_vec()));
        prop_assert_eq!(launch.tcb.parts["microcode"], u32::from(tcb.microcode));
        prop_assert_eq!(&launch.registers[0].value, &vec![filling[2]; 48]);
    }

    #[test]
    fn a_key_of_any_other_tcb_version_is_refused(reported in tcb(), certified in tcb()) {
        prop_assume!(reported != certified);
        let mut case = Case::genuine(Line::Turin, Signer::Vcek, 5);
        (case.vek.tcb, case.vek.stated_tcb) = (reported, certified);
        let bytes = reported.bytes(Line::Turin);
        let report = &mut case.report;
        (report.reported_tcb, report.committed_tcb, report.current_tcb) = (bytes, bytes, bytes);
        let refused = case.build().appraise();
        prop_assert!(matches!(refused, Err(SnpRejection::Tcb { .. })), "{:?}", refused);
    }
}
