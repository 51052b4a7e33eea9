//! How long a SEV-SNP evidence takes to judge, beside the `sev` crate alone, which checks three signatures and the report's.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

#[path = "../tests/support/snp.rs"]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use pox_core::UnixTime;
use pox_verify::evidence::snp::{Chain, Report};
use sev::certs::snp::{Chain as SevChain, Verifiable};
use sev::firmware::guest::AttestationReport;
use sev::parser::ByteParser;
use std::hint::black_box;
use support::{ASK, Case, Evidence, VEK, endorsement, recorded, recorded_roots};

fn snp(criterion: &mut Criterion) {
    let evidence = Evidence {
        quote: recorded("milan-report.bin"),
        endorsements: vec![
            endorsement(VEK, recorded("milan-vcek.der")),
            endorsement(ASK, recorded("milan-ask.der")),
        ],
        roots: recorded_roots(),
        at: UnixTime(1_704_067_200),
    };
    let listed = Case::genoa().build();
    let chain = Chain::verify(&evidence.endorsements, &evidence.roots, evidence.at).unwrap();
    let ark = recorded("milan-ark.der");
    let mut group = criterion.benchmark_group("snp");
    group.bench_function("report, parsed", |bencher| {
        bencher.iter(|| Report::parse(black_box(&evidence.quote)).unwrap());
    });
    group.bench_function("ours, without a list", |bencher| bencher.iter(|| evidence.appraise().unwrap()));
    group.bench_function("ours, with a list", |bencher| bencher.iter(|| listed.appraise().unwrap()));
    group.bench_function("ours, a second report of a chain", |bencher| {
        bencher.iter(|| chain.appraise(black_box(&evidence.quote)).unwrap());
    });
    group.bench_function("sev alone", |bencher| {
        bencher.iter(|| {
            let [vek, ask] = evidence.endorsements.as_slice() else { return };
            let chain = SevChain::from_der(&ark, &ask.content, &vek.content).unwrap();
            let report = AttestationReport::from_bytes(black_box(evidence.quote.as_slice())).unwrap();
            (&chain, &report).verify().unwrap();
        });
    });
    group.finish();
}

criterion_group!(benches, snp);
criterion_main!(benches);
