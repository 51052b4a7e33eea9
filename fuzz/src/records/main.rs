//! The records of pox-core, the judge, and what is measured of a guest.
#![no_main]

mod dcap;
mod judge;
mod made;
mod measured;
mod nitro;
mod snp;
mod timestamps;
mod wire;

/// A guest's files to start from: those of the tests of its measurements.
#[path = "../../../crates/pox-guest/tests/measure/made.rs"]
#[allow(dead_code)] // the tests use more of it
mod guest;

/// Proofs to start from, right and wrong in every way that the judge tells apart: those of its own tests.
#[path = "../../../crates/pox-verify/tests/support/mod.rs"]
mod support;

use pox_fuzz::Target;

const TARGETS: &[Target] = &[
    Target { name: "proof", run: judge::proof, seeds: made::proofs },
    Target { name: "verdict", run: judge::verdict, seeds: made::proof_bodies },
    Target { name: "disclosure", run: judge::disclosure, seeds: judge::disclosures },
    Target { name: "header", run: judge::header, seeds: made::headers },
    Target { name: "trie", run: judge::trie, seeds: judge::trie_seeds },
    Target { name: "packed-run", run: judge::run, seeds: made::runs },
    Target { name: "receipt-log", run: judge::receipt_log, seeds: made::receipt_logs },
    Target { name: "authority-change", run: judge::change, seeds: judge::change_seeds },
    Target { name: "dcap-quote", run: dcap::quote, seeds: dcap::quotes },
    Target { name: "dcap-collateral", run: dcap::collateral, seeds: dcap::collaterals },
    Target { name: "policy", run: judge::policy, seeds: made::policies },
    Target { name: "key-evidence", run: wire::evidence, seeds: made::evidences },
    Target { name: "simulated-quote", run: wire::simulated_quote, seeds: made::quotes },
    Target { name: "nitro-document", run: nitro::document, seeds: nitro::documents },
    Target { name: "nitro-evidence", run: nitro::evidence, seeds: nitro::evidences },
    Target { name: "snp-evidence", run: snp::evidence, seeds: snp::evidences },
    Target { name: "snp-report", run: snp::report, seeds: snp::reports },
    Target { name: "tsa-answer", run: timestamps::answer, seeds: timestamps::answers },
    Target { name: "tsa-certificate", run: timestamps::certificate, seeds: timestamps::certificates },
    Target { name: "ots", run: timestamps::ots, seeds: timestamps::ots_files },
    Target { name: "ots-calendar", run: timestamps::calendar, seeds: timestamps::calendar_answers },
    Target { name: "archive", run: wire::archive, seeds: made::archives },
    Target { name: "run-report", run: wire::run_report, seeds: made::reports },
    Target { name: "secret", run: wire::secret, seeds: made::secrets },
    Target { name: "signed-secret", run: wire::signed_secret, seeds: made::signed_secrets },
    Target { name: "leaves", run: wire::leaves, seeds: made::leaves },
    Target { name: "opening", run: wire::opening, seeds: made::openings },
    Target { name: "terms", run: wire::terms, seeds: made::leaves },
    Target { name: "runs", run: wire::runs, seeds: made::batch_runs },
    Target { name: "member", run: wire::member, seeds: made::members },
    Target { name: "member-list", run: wire::member_list, seeds: made::member_lists },
    Target { name: "request", run: wire::request, seeds: made::requests },
    Target { name: "offer", run: wire::offer, seeds: made::offers },
    Target { name: "receipt", run: wire::receipt, seeds: made::receipts },
    Target { name: "call", run: wire::call, seeds: made::calls },
    Target { name: "event", run: wire::event, seeds: made::events },
    Target { name: "refusal", run: wire::refusal, seeds: made::refusals },
    Target { name: "signature", run: wire::signature, seeds: made::signatures },
    Target { name: "host-message", run: wire::host_message, seeds: made::host_messages },
    Target { name: "enclave-message", run: wire::enclave_message, seeds: made::enclave_messages },
    Target { name: "id", run: wire::id, seeds: made::ids },
    Target { name: "event-log", run: measured::event_log, seeds: measured::event_log_seeds },
    Target { name: "tdx-firmware", run: measured::tdx_firmware, seeds: measured::firmware_seeds },
    Target { name: "snp-firmware", run: measured::snp_firmware, seeds: measured::firmware_seeds },
    Target { name: "kernel", run: measured::kernel, seeds: measured::kernel_seeds },
    Target { name: "enclave-image", run: measured::enclave_image, seeds: measured::enclave_image_seeds },
    Target { name: "release", run: measured::release, seeds: measured::release_seeds },
];

libfuzzer_sys::fuzz_target!(init: pox_fuzz::start(TARGETS), |input: &[u8]| pox_fuzz::run(input));
