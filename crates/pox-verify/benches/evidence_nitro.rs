//! How long the judgement of a Nitro attestation document takes.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use criterion::{Criterion, criterion_group, criterion_main};
use pox_core::UnixTime;
use pox_verify::evidence::launch::Window;
use pox_verify::evidence::nitro::appraise;
use pox_verify::evidence::roots::{RootStanding, VendorRoots};
use std::hint::black_box;

const DOCUMENT: &[u8] = include_bytes!("../tests/data/nitro/document.cose");
const ROOT: &[u8] = include_bytes!("../tests/data/nitro/root.der");

fn nitro(criterion: &mut Criterion) {
    let roots = VendorRoots {
        intel: Vec::new(),
        amd: Vec::new(),
        aws: ROOT.to_vec(),
        standing: RootStanding::Vendor,
    };
    let window = Window { from: UnixTime(1_766_668_000), until: UnixTime(1_766_669_000) };
    criterion.bench_function("nitro document, 5 signatures over P-384", |bencher| {
        bencher.iter(|| appraise(black_box(DOCUMENT), &[], &roots, window).unwrap());
    });
}

criterion_group!(benches, nitro);
criterion_main!(benches);
