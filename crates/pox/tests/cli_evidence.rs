//! `pox evidence` on recorded evidence of real machines, as a user runs it.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use std::path::Path;
use support::Scratch;

fn recorded(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pox-verify/tests/data").join(name);
    assert!(file.is_file(), "{}", file.display());
    file.display().to_string()
}

/// What `pox evidence verify --json` says, and its exit code.
fn verify(name: &str, further: &[&str]) -> (Value, Option<i32>) {
    let file = recorded(name);
    let arguments = [&["evidence", "verify", &file, "--json"], further].concat();
    let output = Scratch::new().command(&arguments).output().unwrap();
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.code())
}

#[test]
fn a_real_tdx_quote_is_genuine_when_it_was() {
    let collateral = format!("dcap-collateral={}", recorded("dcap/dcap-qvl/tdx_quote_collateral.json"));
    let beside = ["--endorsements", &collateral, "--at"];
    let (then, code) = verify("dcap/dcap-qvl/tdx_quote", &[&beside[..], &["2025-06-20T00:00:00Z"]].concat());
    assert_eq!((&then["outcome"]["verdict"], code), (&Value::from("genuine"), Some(0)), "{then}");
    assert_eq!(then["outcome"]["launch"]["tcb"]["status"], "up-to-date");
    let (later, code) = verify("dcap/dcap-qvl/tdx_quote", &[&beside[..], &["2026-06-20T00:00:00Z"]].concat());
    assert_eq!((&later["outcome"]["reason"], code), (&Value::from("expired"), Some(1)), "{later}");
}

#[test]
fn without_endorsements_nothing_is_known() {
    let (said, code) = verify("dcap/dcap-qvl/tdx_quote", &[]);
    assert_eq!((&said["outcome"]["verdict"], code), (&Value::from("unknown"), Some(2)), "{said}");
    assert_eq!(said["registers"][0]["name"], "MRTD");
}

#[test]
fn real_debug_launches_are_refused() {
    let (said, code) = verify("dcap/automata-dcap/quote_sgx.bin", &[]);
    assert_eq!((&said["outcome"]["reason"], code), (&Value::from("debug"), Some(1)), "{said}");
    let (said, code) = verify("nitro/document-debug.cose", &[]);
    assert_eq!((&said["outcome"]["reason"], code), (&Value::from("debug"), Some(1)), "{said}");
}

#[test]
fn a_real_milan_report_is_genuine_and_the_default_policy_refuses_it() {
    let key = format!("snp-key={}", recorded("snp/milan-vcek.der"));
    let issuer = format!("snp-issuer={}", recorded("snp/milan-ask.der"));
    let beside = ["--endorsements", &key, "--endorsements", &issuer, "--at", "2024-01-01T00:00:00Z"];
    let (said, code) = verify("snp/milan-report.bin", &beside);
    assert_eq!((&said["outcome"]["verdict"], code), (&Value::from("genuine"), Some(0)), "{said}");
    let scratch = Scratch::new();
    scratch.write("policy.json", r#"{"version": 1}"#);
    let policy = scratch.path("policy.json").display().to_string();
    let (said, code) = verify("snp/milan-report.bin", &[&beside[..], &["--policy", &policy]].concat());
    assert_eq!(code, Some(1), "{said}");
    assert!(said["outcome"]["refused"].is_string(), "{said}");
}

#[test]
fn a_real_document_is_explained_to_people() {
    let file = recorded("nitro/document.cose");
    let output = Scratch::new().command(&["evidence", "show", &file]).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{page}");
    assert!(page.starts_with("GENUINE at ") && page.contains("\n  PCR0 "), "{page}");
    assert!(page.contains("module-id:0x"), "{page}");
}

#[test]
fn what_is_no_evidence_is_refused_with_a_hint() {
    let scratch = Scratch::new();
    scratch.write("nothing", "nothing at all");
    let said = scratch.fails(&["evidence", "show", "nothing"]);
    assert!(said.contains("no evidence that this program knows") && said.contains("hint: "), "{said}");
}

#[test]
fn a_recorded_event_log_explains_the_registers_that_hardware_signed() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pox-guest/tests/data/go-tdx-guest");
    let file = |name: &str| data.join(name).display().to_string();
    let (quote, log) = (file("cos-113-tdx-quote.dat"), file("ccel_data.dat"));
    let scratch = Scratch::new();
    let said = scratch.json(&["evidence", "show", &quote, "--event-log", &log]);
    assert_eq!(said["event_log"]["mismatch"], Value::Null, "{said}");
    let events = said["event_log"]["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["content"] == "Exit Boot Services Invocation"), "{said}");
    let page = scratch.run(&["evidence", "show", &quote, "--event-log", &log]).out;
    assert!(page.contains("It replays to the quote's registers") && page.contains("EV_EFI_ACTION"), "{page}");
}

#[test]
fn an_event_log_that_does_not_replay_is_believed_in_nothing() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pox-guest/tests/data/go-tdx-guest");
    let log = data.join("ccel_data.dat").display().to_string();
    let scratch = Scratch::new();
    let other = recorded("dcap/dcap-qvl/tdx_quote");
    let collateral = format!("dcap-collateral={}", recorded("dcap/dcap-qvl/tdx_quote_collateral.json"));
    let genuine =
        ["evidence", "verify", &other, "--endorsements", &collateral, "--at", "2025-06-20T00:00:00Z"];
    assert_eq!(scratch.run(&genuine).code, Some(0));
    let contradicted = scratch.run(&[&genuine[..], &["--event-log", &log]].concat());
    assert_eq!(contradicted.code, Some(1), "{contradicted:?}");
    assert!(contradicted.out.contains("BELIEVE NOTHING"), "{contradicted:?}");
    assert!(!contradicted.out.contains("EV_EFI_ACTION"), "{contradicted:?}");
    let document = recorded("nitro/document.cose");
    let said = scratch.fails(&["evidence", "show", &document, "--event-log", &log]);
    assert!(said.contains("is for TDX quotes"), "{said}");
}
