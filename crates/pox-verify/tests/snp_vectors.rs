//! Recorded SEV-SNP evidence of real machines, and what another implementation makes of reports.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "support/snp.rs"]
mod support;

use pox_core::UnixTime;
use pox_devtee::snp::{Line, Signer};
use pox_verify::evidence::launch::{PlatformTrait, TcbStatus, measurement};
use pox_verify::evidence::snp::{Link, Report, SnpRejection};
use sev::certs::snp::{Chain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use support::{ASK, Case, Evidence, LINES, VEK, endorsement, recorded, recorded_roots, vendor};

/// 2024-01-01.
const AT: UnixTime = UnixTime(1_704_067_200);

fn recorded_evidence(report: &str, vek: &str, ask: &str) -> Evidence {
    Evidence {
        quote: recorded(report),
        endorsements: vec![endorsement(VEK, recorded(vek)), endorsement(ASK, recorded(ask))],
        roots: recorded_roots(),
        at: AT,
    }
}

fn milan() -> Evidence {
    recorded_evidence("milan-report.bin", "milan-vcek.der", "milan-ask.der")
}

#[test]
fn a_recorded_milan_report_is_genuine() {
    let launch = milan().appraise().unwrap();
    assert_eq!(launch.tcb.status, TcbStatus::UpToDate);
    assert_eq!(launch.tcb.level, "bootloader 3, tee 0, snp 8, microcode 115");
    assert_eq!(launch.tcb.parts["microcode"], 115);
    let traits = [PlatformTrait::Smt, PlatformTrait::Milan, PlatformTrait::RevocationUnchecked];
    assert_eq!(launch.traits, traits.into());
    let quote = recorded("milan-report.bin");
    assert_eq!(launch.report_data, quote[0x50..0x90]);
    assert_eq!(launch.launch_data.as_deref(), Some(&quote[0xc0..0xe0]));
    assert_eq!(launch.platform.as_ref().unwrap().bytes, quote[0x1a0..0x1e0]);
    assert_eq!(launch.measurement(), measurement(launch.kind, [("MEASUREMENT", &quote[0x90..0xc0])]));
    let window = launch.endorsed.unwrap();
    assert_eq!((window.from, window.until), (UnixTime(1_674_583_106), UnixTime(1_895_507_906)));
}

#[test]
fn recorded_endorsements_hold_within_their_time_only() {
    let mut evidence = milan();
    let window = evidence.appraise().unwrap().endorsed.unwrap();
    for at in [window.from, window.until] {
        evidence.at = at;
        assert!(evidence.appraise().is_ok());
    }
    evidence.at = UnixTime(window.from.0 - 1);
    let early = SnpRejection::NotYetValid { link: Link::Vek, from: window.from };
    assert_eq!(evidence.appraise(), Err(early));
    evidence.at = UnixTime(window.until.0 + 1);
    assert_eq!(evidence.appraise(), Err(SnpRejection::Expired { link: Link::Vek, until: window.until }));
}

#[test]
fn a_recorded_report_with_a_vcek_that_is_not_its_is_refused() {
    for vek in ["invalid-legacy-vcek.der", "invalid-new-vcek.der"] {
        let evidence = recorded_evidence("milan-report.bin", vek, "milan-ask.der");
        assert_eq!(evidence.appraise(), Err(SnpRejection::Signature(Link::Vek)), "{vek}");
    }
    let other = recorded_evidence("milan-report.bin", "debug-vcek.der", "milan-ask.der");
    assert_eq!(other.appraise(), Err(SnpRejection::ReportSignature));
}

#[test]
fn a_recorded_guest_that_may_be_debugged_is_refused() {
    let evidence = recorded_evidence("debug-report.bin", "debug-vcek.der", "milan-ask.der");
    assert_eq!(evidence.appraise(), Err(SnpRejection::Debug));
}

#[test]
fn each_recorded_root_vouches_for_its_own_intermediates_only() {
    for line in ["milan", "genoa", "turin"] {
        for intermediate in ["ask", "asvk"] {
            let ask = format!("{line}-{intermediate}.der");
            if ask == "milan-ask.der" {
                continue;
            }
            // The intermediate is genuine, so what is wrong is that it did not issue the VCEK.
            let mut evidence = recorded_evidence("milan-report.bin", "milan-vcek.der", &ask);
            assert_eq!(evidence.appraise(), Err(SnpRejection::Issuer(Link::Vek)), "{ask}");
            evidence.roots.amd.retain(|root| *root != recorded(&format!("{line}-ark.der")));
            assert_eq!(evidence.appraise(), Err(SnpRejection::Root), "{ask}");
        }
    }
}

#[test]
fn a_development_root_is_none_of_the_vendors() {
    let mut evidence = Case::genoa().build();
    evidence.roots = recorded_roots();
    assert_eq!(evidence.appraise(), Err(SnpRejection::Root));
    let mut evidence = milan();
    evidence.roots = support::roots(LINES.map(|line| vendor(line).ark()).to_vec());
    assert_eq!(evidence.appraise(), Err(SnpRejection::Root));
}

#[test]
fn another_implementation_verifies_the_same_chains() {
    let sev_verifies = |evidence: &Evidence, ark: &[u8]| {
        let [vek, ask, ..] = evidence.endorsements.as_slice() else { panic!("no chain") };
        let chain = Chain::from_der(ark, &ask.content, &vek.content).unwrap();
        let report = AttestationReport::from_bytes(evidence.quote.as_slice()).unwrap();
        (&chain, &report).verify().is_ok()
    };
    assert!(sev_verifies(&milan(), &recorded("milan-ark.der")));
    for line in LINES {
        for version in [3, 5] {
            let evidence = Case::genuine(line, Signer::Vcek, version).build();
            assert!(sev_verifies(&evidence, &vendor(line).ark()), "{line:?}, version {version}");
            assert!(evidence.appraise().is_ok());
        }
    }
}

#[test]
fn another_implementation_reads_the_same_fields() {
    let quotes = [recorded("milan-report.bin"), recorded("debug-report.bin")].into_iter();
    let made = [(Line::Milan, 2), (Line::Genoa, 3), (Line::Genoa, 4), (Line::Turin, 5)];
    let made = made.map(|(line, version)| Case::genuine(line, Signer::Vcek, version).build().quote);
    for quote in quotes.chain(made) {
        let (ours, theirs) =
            (Report::parse(&quote).unwrap(), AttestationReport::from_bytes(quote.as_slice()).unwrap());
        assert_eq!(ours.version as u32, theirs.version);
        assert_eq!(ours.policy.debug(), theirs.policy.debug_allowed());
        assert_eq!(ours.policy.migration(), theirs.policy.migrate_ma_allowed());
        assert_eq!(ours.policy.smt(), theirs.policy.smt_allowed());
        assert_eq!(ours.policy.abi(), (theirs.policy.abi_major() as u8, theirs.policy.abi_minor() as u8));
        assert_eq!(ours.platform.smt(), theirs.plat_info.smt_enabled());
        assert_eq!(ours.platform.ciphertext_hidden(), theirs.plat_info.ciphertext_hiding_enabled());
        assert_eq!(ours.platform.alias_checked(), theirs.plat_info.alias_check_complete());
        assert_eq!((ours.guest_svn, ours.vmpl), (theirs.guest_svn, theirs.vmpl));
        assert_eq!((ours.family_id, ours.image_id), (theirs.family_id, theirs.image_id));
        assert_eq!((ours.report_data, ours.measurement), (theirs.report_data, theirs.measurement));
        assert_eq!((ours.host_data, ours.report_id), (theirs.host_data, theirs.report_id));
        assert_eq!(ours.id_key_digest, theirs.id_key_digest);
        assert_eq!(ours.author_key_digest, theirs.author_key_digest);
        assert_eq!(ours.chip_id, theirs.chip_id);
        assert_eq!(ours.cpu, theirs.cpuid_fam_id.zip(theirs.cpuid_mod_id));
        assert_eq!(ours.launch_mit_vector, theirs.launch_mit_vector);
        assert_eq!(ours.current_mit_vector, theirs.current_mit_vector);
        assert_eq!((ours.current.minor, ours.current.build), (theirs.current.minor, theirs.current.build));
        assert_eq!(
            (ours.committed.minor, ours.committed.build),
            (theirs.committed.minor, theirs.committed.build)
        );
    }
}
