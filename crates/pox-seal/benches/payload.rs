//! Sealing and opening in memory, beside a plain copy of the same bytes: the ratio counts, not the figure.
#![allow(clippy::unwrap_used, missing_docs)] // a benchmark that can't run has nothing to tell

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pox_seal::age::{Locked, Sealer};
use pox_seal::dataset::{
    DatasetCommitment, DirectorySink, DirectorySource, Limits, Modes, ObjectKeys, file_keys, open, seal,
};
use pox_seal::{Identity, IdentityKind, OsRandom, Recipient};
use std::fs;
use std::hint::black_box;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const LEN: usize = 256 << 20;

fn engine(c: &mut Criterion) {
    let (identity, recipients) = keys();
    let text: Vec<u8> = (0..LEN).map(|at| (at >> 3) as u8).collect();
    let mut sealed = Vec::with_capacity(LEN + LEN / 1000);
    let mut group = c.benchmark_group("memory");
    group.throughput(Throughput::Bytes(LEN as u64));
    group.bench_function("copy", |b| {
        let mut out = Vec::with_capacity(LEN);
        b.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(&text));
        });
    });
    group.bench_function("seal", |b| {
        b.iter(|| {
            sealed.clear();
            let mut sealer = Sealer::new(&recipients, &mut sealed).unwrap();
            sealer.write_all(black_box(&text)).unwrap();
            sealer.finish().unwrap();
        });
    });
    let key = Locked::read(&sealed[..]).unwrap().file_key(&[identity]).unwrap();
    group.bench_function("open", |b| {
        b.iter(|| {
            let mut opener = Locked::read(&sealed[..]).unwrap().open(&key).unwrap();
            io::copy(&mut opener, &mut io::sink()).unwrap()
        });
    });
    group.finish();
}

fn datasets(c: &mut Criterion) {
    let (identity, recipients) = keys();
    let scratch = TempDir::new().unwrap();
    let large = scratch.path().join("large");
    fs::write(&large, vec![7; LEN]).unwrap();
    let small = scratch.path().join("small");
    for folder in 0..100 {
        fs::create_dir_all(small.join(folder.to_string())).unwrap();
        for file in 0..20 {
            fs::write(small.join(format!("{folder}/{file}")), vec![7; 20_000]).unwrap();
        }
    }
    for (name, input, len) in [("large", &large, LEN), ("small", &small, 2_000 * 20_000)] {
        let mut group = c.benchmark_group("dataset");
        group.throughput(Throughput::Bytes(len as u64));
        let (out, copy, opened) =
            (scratch.path().join("sealed"), scratch.path().join("copy"), scratch.path().join("opened"));
        if name == "large" {
            group.bench_function(BenchmarkId::new("copy", name), |b| {
                b.iter(|| {
                    let _ = fs::remove_file(&copy);
                    let (mut from, mut to) =
                        (fs::File::open(input).unwrap(), fs::File::create(&copy).unwrap());
                    let mut buffer = vec![0; 4 << 20];
                    while let count @ 1.. = io::Read::read(&mut from, &mut buffer).unwrap() {
                        to.write_all(&buffer[..count]).unwrap();
                    }
                    to.sync_all().unwrap();
                });
            });
        }
        group.bench_function(BenchmarkId::new("seal", name), |b| {
            b.iter(|| {
                let _ = fs::remove_dir_all(&out);
                seal_to(input, &recipients, &out)
            });
        });
        let _ = fs::remove_dir_all(&out);
        let commitment = seal_to(input, &recipients, &out);
        let keys = file_keys(&mut DirectorySource::new(&out), std::slice::from_ref(&identity)).unwrap();
        group.bench_function(BenchmarkId::new("open", name), |b| {
            b.iter(|| {
                let _ = fs::remove_dir_all(&opened);
                open_to(&out, &commitment, &keys, &opened);
            });
        });
        let _ = fs::remove_dir_all(&opened);
        let _ = fs::remove_dir_all(&out);
        group.finish();
    }
}

fn keys() -> (Identity, [Recipient; 1]) {
    let identity = Identity::generate(IdentityKind::Hybrid, &mut OsRandom).unwrap();
    let recipient = identity.recipient().unwrap();
    (identity, [recipient])
}

fn seal_to(input: &Path, recipients: &[Recipient], out: &Path) -> DatasetCommitment {
    let mut sink = DirectorySink::create(out).unwrap();
    seal(&[input], recipients, &mut sink, &mut OsRandom, &mut |_| ()).unwrap().commitment
}

fn open_to(from: &Path, commitment: &DatasetCommitment, keys: &ObjectKeys, to: &Path) {
    let mut source = DirectorySource::new(from);
    open(&mut source, commitment, keys, to, Limits::NONE, Modes::AsSealed, &mut |_| ()).unwrap();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(5));
    targets = engine, datasets
}
criterion_main!(benches);
