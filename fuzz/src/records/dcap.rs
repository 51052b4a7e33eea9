//! Intel's evidence: a quote of either kind, and the collateral beside it.

use pox_core::UnixTime;
use pox_core::evidence::EvidenceKind;
use pox_core::receipt::Endorsement;
use pox_devtee::Seed;
use pox_devtee::dcap::{Certification, Enclave, Quoting, Statements, Td, TdForm, Tee, Validity, Vendor};
use pox_verify::evidence::dcap::{Collateral, ENDORSEMENT_KIND, PckChain, appraise};
use pox_verify::evidence::roots::{RootStanding, VendorRoots};

const ISSUED: u64 = 1_760_000_000;
const AT: UnixTime = UnixTime(ISSUED + 1);
/// What the only genuine enclaves and TDs had signed, of whatever seed.
const REPORT_DATA: [u8; 64] = [0xda; 64];

fn vendor() -> Vendor {
    Vendor::new(Seed([7; 32]))
}

/// The input is a quote and a collateral. No mutation can sign, so what holds is what was signed.
pub(crate) fn quote(mut input: &[u8]) {
    let quote = pox_fuzz::part(&mut input);
    let endorsements = [Endorsement { kind: ENDORSEMENT_KIND, content: pox_fuzz::part(&mut input).to_vec() }];
    let roots = VendorRoots {
        intel: vendor().root(),
        amd: Vec::new(),
        aws: Vec::new(),
        standing: RootStanding::Development,
    };
    for kind in [EvidenceKind::Sgx, EvidenceKind::Tdx] {
        if let Ok(launch) = appraise(kind, quote, &endorsements, &roots, AT) {
            assert_eq!(launch.report_data, REPORT_DATA);
            assert!(launch.endorsed.is_some_and(|window| window.contains(AT)));
        }
    }
}

/// The input is a collateral, or the object that other libraries exchange.
pub(crate) fn collateral(input: &[u8]) {
    if let Ok(collateral) = Collateral::from_bytes(input) {
        assert_eq!(collateral.to_bytes(), input);
    }
    if let Ok(collateral) = Collateral::from_json(input, PckChain::Drop) {
        assert_eq!(Collateral::from_bytes(&collateral.to_bytes()), Ok(collateral));
    }
}

pub(crate) fn quotes() -> Vec<Vec<u8>> {
    let vendor = vendor();
    let enclave = Enclave::new([0xec; 32], REPORT_DATA);
    let td = |form| Td::new(form, [0xd0; 48], [[0xa0; 48]; 4], REPORT_DATA);
    let [carried, named] = [Certification::Chain, Certification::EncryptedPpid]
        .map(|certification| Quoting { certification, ..Quoting::default() });
    [
        (vendor.sgx_quote(&enclave, &carried), Tee::Sgx),
        (vendor.sgx_quote(&enclave, &named), Tee::Sgx),
        (vendor.tdx_quote(&td(TdForm::V4), &carried), Tee::Tdx),
        (vendor.tdx_quote(&td(TdForm::V5Td10), &carried), Tee::Tdx),
        (vendor.tdx_quote(&td(TdForm::V5Td15), &named), Tee::Tdx),
    ]
    .map(|(quote, tee)| pox_fuzz::parts(&[&quote, &made(&vendor, tee).to_bytes()]))
    .to_vec()
}

pub(crate) fn collaterals() -> Vec<Vec<u8>> {
    let vendor = vendor();
    let mut seeds: Vec<Vec<u8>> = [Tee::Sgx, Tee::Tdx].map(|tee| made(&vendor, tee).to_bytes()).to_vec();
    seeds.push(pox_fuzz::files("crates/pox-verify/tests/data/dcap/assembled").remove(0));
    seeds
}

fn made(vendor: &Vendor, tee: Tee) -> pox_devtee::dcap::Collateral {
    let tables = Validity { from: ISSUED, until: ISSUED + 86_400 };
    let mut collateral = Statements::of(vendor, tee, tables).sign(vendor);
    collateral.pck_chain = vendor.pck_chain();
    collateral
}
