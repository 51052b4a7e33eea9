//! Quotes of real machines, at the times when their collateral held.

use crate::scene::{endorsements, roots};
use pox_core::UnixTime;
use pox_core::evidence::EvidenceKind::{self, Sgx, Tdx};
use pox_verify::evidence::dcap::{
    BadLaunch, Collateral, DcapRejection, MAX_COLLATERAL_BYTES, Part, PckChain, appraise,
};
use pox_verify::evidence::launch::{Launch, PlatformTrait, TcbStatus};
use std::collections::BTreeSet;
use std::path::Path;

const JUNE_2023: UnixTime = UnixTime(1_687_219_200);
const JUNE_2025: UnixTime = UnixTime(1_750_377_600);
const JULY_2025: UnixTime = UnixTime(1_752_105_600);
const FEBRUARY_2026: UnixTime = UnixTime(1_771_545_600);

fn file(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dcap").join(path)).unwrap()
}

fn hex_file(path: &str) -> Vec<u8> {
    hex::decode(String::from_utf8(file(path)).unwrap().trim().trim_start_matches("0x")).unwrap()
}

fn collateral(path: &str) -> Vec<u8> {
    Collateral::from_json(&file(path), PckChain::Drop).unwrap().to_bytes()
}

fn judge(
    kind: EvidenceKind,
    quote: &[u8],
    collaterals: &[Vec<u8>],
    at: UnixTime,
) -> Result<Launch, DcapRejection> {
    appraise(kind, quote, &endorsements(collaterals), &roots(file("dcap-qvl/TrustedRootCA.der")), at)
}

fn register<'a>(launch: &'a Launch, name: &str) -> &'a [u8] {
    &launch.registers.iter().find(|register| register.name == name).unwrap().value
}

#[test]
fn a_production_enclave_is_genuine_with_its_advisories() {
    let quote = file("dcap-qvl/sgx_quote");
    let launch = judge(Sgx, &quote, &[collateral("dcap-qvl/sgx_quote_collateral.json")], JUNE_2025).unwrap();
    assert_eq!(launch.tcb.status, TcbStatus::ConfigurationAndSwHardeningNeeded);
    let expected = ["INTEL-SA-00289", "INTEL-SA-00615"].map(String::from);
    assert_eq!(launch.tcb.advisories, BTreeSet::from(expected));
    assert_eq!(launch.tcb.evaluation, Some(17));
    // A REPORT begins after the header: MRENCLAVE at 64, MRSIGNER at 128, report data at 320.
    assert_eq!(register(&launch, "MRENCLAVE"), &quote[48 + 64..48 + 96]);
    assert_eq!(register(&launch, "MRSIGNER"), &quote[48 + 128..48 + 160]);
    assert_eq!(launch.report_data, quote[48 + 320..48 + 384]);
    assert_eq!(launch.platform.unwrap().bytes.len(), 16);
    let endorsed = launch.endorsed.unwrap();
    // The later issue and the earlier next update of the two tables: 2025-06-19T10:56:11Z, 2025-07-19T10:01:18Z.
    assert_eq!((endorsed.from.0, endorsed.until.0), (1_750_330_571, 1_752_919_278));
}

#[test]
fn a_td_of_a_cloud_is_genuine_and_its_platform_flags_are_told() {
    let quote = file("dcap-qvl/tdx_quote");
    let launch = judge(Tdx, &quote, &[collateral("dcap-qvl/tdx_quote_collateral.json")], JUNE_2025).unwrap();
    assert_eq!(launch.tcb.status, TcbStatus::UpToDate);
    assert!(launch.tcb.advisories.is_empty());
    let flags = [PlatformTrait::Smt, PlatformTrait::DynamicPlatform, PlatformTrait::CachedKeys];
    assert_eq!(launch.traits, BTreeSet::from(flags));
    for (name, offset) in [("MRTD", 136), ("RTMR0", 328), ("RTMR1", 376), ("RTMR2", 424), ("RTMR3", 472)] {
        assert_eq!(register(&launch, name), &quote[48 + offset..48 + offset + 48], "{name}");
    }
    assert_eq!(launch.launch_data.unwrap(), &quote[48 + 184..48 + 232]);
    assert_eq!(launch.report_data, quote[48 + 520..48 + 584]);
}

#[test]
fn a_quote_padded_to_8000_bytes_is_genuine() {
    let quote = file("go-tdx-guest/cos-113-tdx-quote.dat");
    assert_eq!(quote.len(), 8000);
    let collateral = collateral("assembled/tdx_00806f050000_2025-07.json");
    let launch = judge(Tdx, &quote, &[collateral], JULY_2025).unwrap();
    assert_eq!(launch.tcb.status, TcbStatus::UpToDate);
    assert_eq!(launch.report_data, [0; 64]);
}

#[test]
fn a_recorded_debug_enclave_is_refused() {
    let collateral = collateral("dcap-qvl/sgx_quote_collateral.json");
    let verdict = judge(Sgx, &file("automata-dcap/quote_sgx.bin"), &[collateral], JUNE_2025);
    assert_eq!(verdict, Err(BadLaunch::Debug.into()));
}

#[test]
fn a_recorded_debug_td_is_refused() {
    let collateral = collateral("assembled/tdx_50806f000000_2023-06.json");
    let verdict = judge(Tdx, &file("coco-trustee/tdx_quote_4.dat"), &[collateral], JUNE_2023);
    assert_eq!(verdict, Err(BadLaunch::Debug.into()));
}

#[test]
fn recorded_platforms_below_every_level_are_refused() {
    let cases = [
        (file("dcap-qvl/tdx_quote_outdated"), "dcap-qvl/tdx_quote_outdated_collateral.json", FEBRUARY_2026),
        (hex_file("dcap-qvl/quote-from-tappd.hex"), "dcap-qvl/tdx_quote_collateral.json", JUNE_2025),
        (hex_file("dcap-qvl/tdx-quote.hex"), "dcap-qvl/tdx_quote_collateral.json", JUNE_2025),
    ];
    for (quote, tables, at) in cases {
        let verdict = judge(Tdx, &quote, &[collateral(tables)], at);
        assert!(
            matches!(verdict, Err(DcapRejection::NoTcbLevel(Part::PckChain | Part::TdxModule))),
            "{tables}: {verdict:?}"
        );
    }
}

#[test]
fn nothing_is_known_of_a_quote_without_collateral() {
    let report: serde_json::Value = serde_json::from_slice(&file("dstack/quote-report.json")).unwrap();
    let quote = hex::decode(report["quote"].as_str().unwrap()).unwrap();
    assert_eq!(judge(Tdx, &quote, &[], JULY_2025), Err(DcapRejection::MissingEndorsement));
}

#[test]
fn a_recorded_quote_holds_only_while_its_collateral_does() {
    let quote = file("dcap-qvl/sgx_quote");
    let collateral = collateral("dcap-qvl/sgx_quote_collateral.json");
    let at = |seconds| judge(Sgx, &quote, std::slice::from_ref(&collateral), UnixTime(seconds));
    let window = at(JUNE_2025.0).unwrap().endorsed.unwrap();
    assert!(at(window.from.0).is_ok());
    assert!(at(window.until.0).is_ok());
    assert_eq!(at(window.from.0 - 1), Err(DcapRejection::NotYet(Part::TcbInfo)));
    assert_eq!(at(window.until.0 + 1), Err(DcapRejection::Expired(Part::QeIdentity)));
}

#[test]
fn a_recorded_quote_leads_to_no_other_root() {
    let roots = roots(crate::scene::attacker().root());
    let collateral = endorsements(&[collateral("dcap-qvl/tdx_quote_collateral.json")]);
    let verdict = appraise(Tdx, &file("dcap-qvl/tdx_quote"), &collateral, &roots, JUNE_2025);
    assert_eq!(verdict, Err(DcapRejection::Signature(Part::RootCrl)));
}

#[test]
fn a_recorded_enclave_is_no_td_and_the_other_way_round() {
    for (kind, path) in [(Tdx, "dcap-qvl/sgx_quote"), (Sgx, "dcap-qvl/tdx_quote")] {
        assert!(matches!(judge(kind, &file(path), &[], JUNE_2025), Err(DcapRejection::Quote(_))), "{path}");
    }
}

#[test]
fn recorded_collaterals_are_small_and_read_back() {
    let folders = ["dcap-qvl", "assembled"];
    let mut read = 0;
    for folder in folders {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dcap").join(folder);
        for entry in std::fs::read_dir(path).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.ends_with(".json") {
                continue;
            }
            let bytes = collateral(&format!("{folder}/{name}"));
            assert!(bytes.len() < MAX_COLLATERAL_BYTES / 8, "{name}: {}", bytes.len());
            assert_eq!(Collateral::from_bytes(&bytes).unwrap().to_bytes(), bytes);
            read += 1;
        }
    }
    assert_eq!(read, 5);
}
