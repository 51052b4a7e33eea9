//! Whole proofs with evidence of every hardware kind, each signed by a development vendor in the place of the real one.
#![allow(clippy::panic, reason = "a fixture that can't be made fails its test")]

use super::{Draft, EvidenceDraft, START, anchors, at, policy_bytes};
use pox_core::UnixTime;
use pox_core::endorsement::{Endorsement, EndorsementKind};
use pox_core::evidence::{Evidence, EvidenceKind};
use pox_core::receipt::Archive;
use pox_devtee::Seed;
use pox_devtee::dcap::{self, Collateral, Enclave, Quoting, Statements, Td, TdForm, Tee};
use pox_devtee::nitro;
use pox_devtee::snp::{self, Line, Report, RevocationList, Signer, Tcb, VekCertificate};
use pox_verify::Anchors;
use pox_verify::anchors::Release;
use pox_verify::evidence::launch::{launch_data, measurement};
use pox_verify::evidence::roots::{RootStanding, VendorRoots};
use std::sync::OnceLock;

pub const SEED: Seed = Seed([0x9d; 32]);
/// When the run's collateral and lists are in force.
pub const THEN: (u64, u64) = (START - 86_400, START + 30 * 86_400);
/// A year later.
pub const TODAY: UnixTime = UnixTime(START + 365 * 86_400);
/// Every byte of every measured register.
pub const MEASURED: u8 = 0x3e;
const REGISTER: [u8; 48] = [MEASURED; 48];
const DECADE: u64 = 10 * 365 * 86_400;

pub const KINDS: [EvidenceKind; 4] =
    [EvidenceKind::Sgx, EvidenceKind::Tdx, EvidenceKind::Snp, EvidenceKind::Nitro];

/// A proof of a kind with nothing wrong with it.
pub fn draft(kind: EvidenceKind) -> Draft {
    let quoted = match kind {
        EvidenceKind::Sgx => sgx,
        EvidenceKind::Tdx => tdx,
        EvidenceKind::Snp => snp,
        EvidenceKind::Nitro => nitro,
        EvidenceKind::Simulated | EvidenceKind::VmSim => panic!("{kind} is no hardware"),
    };
    let plain = Draft::default();
    let evidence = EvidenceDraft { kind, quoted, ..plain.key.clone() };
    let archive = match kind {
        EvidenceKind::Sgx => |archive: &mut Archive| archive.endorsements = collateral(Tee::Sgx, THEN, &[]),
        EvidenceKind::Tdx => |archive: &mut Archive| archive.endorsements = collateral(Tee::Tdx, THEN, &[]),
        EvidenceKind::Snp => |archive: &mut Archive| archive.endorsements = amd(THEN, Vec::new()),
        _ => |_: &mut Archive| {},
    };
    let policy =
        policy_bytes(&format!(r#"{{"version":1,"kinds":["{}"],"allow_simulated":true}}"#, kind.name()));
    Draft { policy, key: evidence.clone(), result: evidence, archive, ..plain }
}

/// Anchors that trust the development vendors, and know what they launch.
pub fn trusting() -> Anchors {
    let mut anchors = anchors();
    anchors.vendor_roots = VendorRoots {
        intel: intel().root(),
        amd: vec![genoa().ark()],
        aws: nitro::Vendor::new(SEED).root(),
        standing: RootStanding::Development,
    };
    anchors.releases = KINDS
        .map(|kind| {
            let names: &[&str] = match kind {
                EvidenceKind::Sgx => &["MRENCLAVE"],
                EvidenceKind::Tdx => &["MRTD", "RTMR1", "RTMR2"],
                EvidenceKind::Snp => &["MEASUREMENT"],
                _ => &["PCR0", "PCR1", "PCR2"],
            };
            let width = if kind == EvidenceKind::Sgx { 32 } else { 48 };
            let registers = names.iter().map(|name| (*name, &REGISTER[..width]));
            Release { name: "test-release".into(), measurement: measurement(kind, registers) }
        })
        .into();
    anchors
}

pub fn intel() -> &'static dcap::Vendor {
    static VENDOR: OnceLock<dcap::Vendor> = OnceLock::new();
    VENDOR.get_or_init(|| dcap::Vendor::new(SEED))
}

pub fn genoa() -> &'static snp::Vendor {
    static VENDOR: OnceLock<snp::Vendor> = OnceLock::new();
    VENDOR.get_or_init(|| snp::Vendor::new(&SEED, Line::Genoa))
}

/// Intel's collateral in force between these times.
pub fn collateral(tee: Tee, (from, until): (u64, u64), revoked: &[dcap::Revoked]) -> Vec<Endorsement> {
    let validity = dcap::Validity { from, until };
    let statements =
        Statements { lists: validity, revoked: revoked.to_vec(), ..Statements::of(intel(), tee, validity) };
    let collateral: Collateral = statements.sign(intel());
    vec![Endorsement::new(EndorsementKind::DcapCollateral, collateral.to_bytes())]
}

/// AMD's certificates, and a list in force between these times.
pub fn amd((from, until): (u64, u64), revoked: Vec<Vec<u8>>) -> Vec<Endorsement> {
    let decade = snp::Validity { from: START - DECADE, until: START + DECADE };
    let vcek = VekCertificate { validity: decade, ..VekCertificate::vcek(chip(), Tcb::default()) };
    let list =
        RevocationList { validity: snp::Validity { from, until }, revoked, ..RevocationList::default() };
    let of = |kind, content| Endorsement::new(kind, content);
    // A genuine intermediate is as old as its root, 2020; so that it is valid at the run, too.
    let ask = snp::CaCertificate::default();
    vec![
        of(EndorsementKind::SnpKey, genoa().vek_certificate(&vcek)),
        of(EndorsementKind::SnpIssuer, genoa().intermediate_certificate(Signer::Vcek, &ask)),
        of(EndorsementKind::SnpCrl, genoa().revocation_list(&list)),
    ]
}

pub fn chip() -> [u8; 64] {
    Line::Genoa.chip(&SEED, "the machine")
}

/// The launch-time field for the evidence's task.
fn bound<const N: usize>(evidence: &Evidence) -> [u8; N] {
    launch_data(evidence.kind, evidence.claims.task).unwrap().try_into().unwrap()
}

pub fn td(evidence: &Evidence) -> Td {
    let report_data = evidence.claims.report_data();
    let td = Td::new(TdForm::V4, REGISTER, [REGISTER; 4], report_data);
    Td { mr_config_id: bound(evidence), ..td }
}

pub fn tdx(evidence: &mut Evidence) {
    evidence.quote = intel().tdx_quote(&td(evidence), &Quoting::default());
}

pub fn sgx(evidence: &mut Evidence) {
    let enclave = Enclave::new([REGISTER[0]; 32], evidence.claims.report_data());
    evidence.quote = intel().sgx_quote(&enclave, &Quoting::default());
}

pub fn report(evidence: &Evidence) -> Report {
    Report {
        measurement: REGISTER,
        host_data: bound(evidence),
        report_data: evidence.claims.report_data(),
        ..Report::genuine(Line::Genoa, Signer::Vcek, 3, chip(), Tcb::default())
    }
}

pub fn snp(evidence: &mut Evidence) {
    evidence.quote = genoa().sign(&report(evidence), Signer::Vcek, &chip(), Tcb::default());
}

pub fn nitro(evidence: &mut Evidence) {
    nitro_made(evidence, at(12).time);
}

/// A document that states this time.
pub fn nitro_made(evidence: &mut Evidence, made: UnixTime) {
    let vendor = nitro::Vendor::new(SEED);
    let chain = vendor.chain(made.0 - 60);
    let pcrs = (0..3).map(|index| (index, REGISTER)).chain([(16, bound(evidence))]);
    let data = evidence.claims.report_data();
    let document = chain.document(&vendor.module_id(), made.0 * 1000, pcrs, Some(&data));
    evidence.quote = chain.sign(&document);
}
