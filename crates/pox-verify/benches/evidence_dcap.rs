//! How long a verdict on Intel's evidence takes, beside dcap-qvl alone; and how large its endorsement is.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark, which reads vectors"
)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{QuoteCollateralV3, QuotePolicy};
use pox_core::UnixTime;
use pox_core::evidence::EvidenceKind;
use pox_core::receipt::Endorsement;
use pox_verify::evidence::dcap::{Collateral, ENDORSEMENT_KIND, PckChain, appraise};
use pox_verify::evidence::roots::{RootStanding, VendorRoots};
use std::path::Path;

/// 2025-06-20, when the recorded collateral held.
const AT: u64 = 1_750_377_600;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dcap/dcap-qvl").join(name)).unwrap()
}

fn recorded(criterion: &mut Criterion) {
    let intel = file("TrustedRootCA.der");
    let roots = VendorRoots {
        intel: intel.clone(),
        amd: Vec::new(),
        aws: Vec::new(),
        standing: RootStanding::Vendor,
    };
    let mut group = criterion.benchmark_group("dcap");
    for (kind, name) in [(EvidenceKind::Sgx, "sgx_quote"), (EvidenceKind::Tdx, "tdx_quote")] {
        let quote = file(name);
        let json = file(&format!("{name}_collateral.json"));
        let object: QuoteCollateralV3 = serde_json::from_slice(&json).unwrap();
        let content = Collateral::from_json(&json, PckChain::Drop).unwrap().to_bytes();
        let size = format!("{name}, {} + {} bytes", quote.len(), content.len());
        let endorsements = [Endorsement { kind: ENDORSEMENT_KIND, content }];

        let verifier = QuoteVerifier::new(intel.clone());
        let policy = QuotePolicy::claims_only(AT);
        group.bench_function(BenchmarkId::new("dcap-qvl alone", &size), |bencher| {
            bencher.iter(|| verifier.verify_with_policy(&quote, &object, AT, &policy).unwrap());
        });
        group.bench_function(BenchmarkId::new("pox-verify", &size), |bencher| {
            bencher.iter(|| appraise(kind, &quote, &endorsements, &roots, UnixTime(AT)).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, recorded);
criterion_main!(benches);
