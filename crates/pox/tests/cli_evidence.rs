//! `pox evidence` on recorded evidence of real machines, as a user runs it.
#![allow(clippy::unwrap_used)]

mod support;

use pox_core::evidence::{Claims, Evidence, EvidenceKind, Purpose};
use pox_core::{Address, B256, ReceiptId, TaskId};
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
    // It is judged at its own time, whatever the time is now: its certificates lived for hours.
    assert!(page.starts_with("GENUINE at 2025-12-25T13:15:37Z\n") && page.contains("\n  PCR0 "), "{page}");
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

#[test]
fn claims_that_no_hardware_signed_are_refused() {
    let quote = std::fs::read(recorded("dcap/dcap-qvl/tdx_quote")).unwrap();
    let evidence = Evidence { kind: EvidenceKind::Tdx, claims: claims(), quote, recipient: vec![1; 1216] };
    let scratch = Scratch::new();
    let file = scratch.write("evidence", evidence.to_bytes()).display().to_string();
    let collateral = format!("dcap-collateral={}", recorded("dcap/dcap-qvl/tdx_quote_collateral.json"));
    let arguments = ["evidence", "verify", &file, "--endorsements", &collateral, "--at", "2025-06-20"];
    let ran = scratch.run(&arguments);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.starts_with("REJECTED at 2025-06-20T00:00:00Z (report-data): "), "{ran:?}");
    assert!(ran.out.contains("NO: these claims are not signed"), "{ran:?}");
}

fn claims() -> Claims {
    Claims {
        purpose: Purpose::Key,
        task: TaskId::ZERO,
        enclave: Address::ZERO,
        recipient: B256::ZERO,
        block_number: 1,
        block_hash: B256::ZERO,
        previous: B256::ZERO,
        receipt: ReceiptId::ZERO,
        processor: Address::ZERO,
    }
}

#[test]
fn a_quote_that_was_cut_short_is_rejected_and_not_only_unread() {
    let quote = std::fs::read(recorded("dcap/dcap-qvl/tdx_quote")).unwrap();
    let scratch = Scratch::new();
    scratch.write("cut", &quote[..1000]);
    let ran = scratch.run(&["evidence", "verify", "cut"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("(malformed): the quote is malformed"), "{ran:?}");
}

#[test]
fn what_endorses_other_machines_is_left_aside_and_the_next_step_is_told() {
    let file = recorded("dcap/dcap-qvl/tdx_quote");
    let key = format!("snp-key={}", recorded("snp/milan-vcek.der"));
    let ran = Scratch::new().run(&["evidence", "verify", &file, "--endorsements", &key]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.out.starts_with("UNKNOWN: ") && ran.err.contains("next: `pox evidence fetch-collateral"),
        "{ran:?}"
    );
}

#[test]
fn files_that_can_t_be_any_evidence_are_refused_with_a_hint() {
    let scratch = Scratch::new();
    scratch.write("empty", "");
    scratch.write("huge", vec![0; 2 << 20]);
    let quote = recorded("dcap/dcap-qvl/tdx_quote");
    for arguments in [
        &["evidence", "show", "empty"][..],
        &["evidence", "show", "."],
        &["evidence", "show", "nowhere"],
        &["evidence", "show", "huge"],
        &["evidence", "verify", &quote, "--policy", "empty"],
        &["evidence", "verify", &quote, "--event-log", "empty"],
        &["evidence", "verify", &quote, "--event-log", "."],
        &["evidence", "verify", &quote, "--endorsements", "dcap-collateral=huge"],
        &["evidence", "verify", &quote, "--endorsements", "."],
        &["evidence", "verify", &quote, "--at", "yesterday"],
        &["evidence", "fetch-collateral", "empty", "--to", "out"],
        &["evidence", "fetch-collateral", &quote, "--to", "out", "--intel", "nonsense"],
        &["evidence", "fetch-collateral", &quote, "--to", "out", "--intel", "http://127.0.0.1:1"],
        &["guest", "build", "--kernel", ".", "--modules", ".", "--out", "guest"],
        &["guest", "build", "--kernel", "empty", "--modules", ".", "--out", "guest"],
        &["guest", "measure", "empty"],
        &["guest", "measure", "."],
        &["guest", "measure", "--kernel", "huge", "--initramfs", "huge", "--command-line", "huge"],
    ] {
        let said = scratch.fails(arguments);
        assert!(said.contains("hint: ") && !said.contains("panicked"), "{arguments:?}: {said}");
        assert!(!scratch.path("out").exists() && !scratch.path("guest").exists(), "{arguments:?}");
    }
}
