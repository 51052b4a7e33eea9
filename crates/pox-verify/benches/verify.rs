//! How long a verdict takes, and how large a proof is.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

#[path = "../tests/support/mod.rs"]
mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pox_verify::{Grade, verify};
use support::hardware::{KINDS, draft, trusting};
use support::{Draft, NOW, anchors};

fn simulated_proof(criterion: &mut Criterion) {
    let anchors = anchors();
    let mut group = criterion.benchmark_group("verify");
    for later in [2, 50] {
        let file = Draft { later, ..Draft::default() }.build().to_bytes();
        group.throughput(Throughput::Bytes(file.len() as u64));
        group.bench_function(format!("simulated, {later} later headers, {} bytes", file.len()), |bencher| {
            bencher.iter(|| {
                let verdict = verify(&file, &anchors, Grade::Simulated, NOW);
                assert!(verdict.meets);
            });
        });
    }
    group.finish();
}

/// Both evidences, their endorsements, and all the rest.
fn hardware_proofs(criterion: &mut Criterion) {
    let anchors = trusting();
    let mut group = criterion.benchmark_group("verify");
    for kind in KINDS {
        let file = draft(kind).build().to_bytes();
        group.throughput(Throughput::Bytes(file.len() as u64));
        group.bench_function(format!("{kind}, {} bytes", file.len()), |bencher| {
            bencher.iter(|| {
                let verdict = verify(&file, &anchors, Grade::Simulated, NOW);
                assert!(verdict.meets);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, simulated_proof, hardware_proofs);
criterion_main!(benches);
