//! How long a verdict takes, and how large a proof is.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

#[path = "../tests/support/mod.rs"]
mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pox_verify::{Grade, verify};
use support::events::ChangeDraft;
use support::hardware::{KINDS, draft, trusting};
use support::{Draft, NOW, anchors};

fn simulated_proof(criterion: &mut Criterion) {
    let anchors = anchors();
    let mut group = criterion.benchmark_group("verify");
    let change = Some(ChangeDraft::default());
    let drafts = [
        ("state, 2 later headers", Draft::default()),
        ("state, 50 later headers", Draft { later: 50, ..Draft::default() }),
        ("state after a change of authorities", Draft { change, ..Draft::default() }),
        ("receipts, 2 later headers", Draft { receipts: Some(|_| {}), ..Draft::default() }),
        ("receipts, 50 later headers", Draft { receipts: Some(|_| {}), later: 50, ..Draft::default() }),
    ];
    for (name, draft) in drafts {
        let file = draft.build().to_bytes();
        group.throughput(Throughput::Bytes(file.len() as u64));
        group.bench_function(format!("simulated, {name}, {} bytes", file.len()), |bencher| {
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
