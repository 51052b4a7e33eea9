//! How many events a second go from logs in memory into an index: decoded, checked, derived and written.
//!
//! `cargo bench -p pox-index`; `POX_BENCH_EVENTS` asks for another number than 300,000, and `POX_BENCH_POSTGRES=1` measures a
//! PostgreSQL server of its own as well.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/common/chain.rs"]
mod chain;
#[path = "../tests/common/server.rs"]
mod server;

use chain::{Chain, START, domain};
use pox_index::{Index, Indexer, Target};
use std::time::Instant;

fn main() {
    // Cargo hands options of the usual harness to every bench, and runs none under `cargo test`.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let wanted = std::env::var("POX_BENCH_EVENTS").map_or(300_000, |text| text.parse().unwrap());
    let mut chain = Chain::new(1);
    chain.range = 1_000;
    let mut made = 0u64;
    while made < wanted {
        let from = chain.blocks.read().unwrap().len();
        chain.grow(1_000, 20);
        chain.forget_forks();
        made += chain.blocks.read().unwrap()[from..].iter().map(|block| block.logs.len() as u64).sum::<u64>();
    }
    let blocks = chain.blocks.read().unwrap().len();
    println!(
        "{made} events of {blocks} blocks, on {} processors",
        std::thread::available_parallelism().unwrap()
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    measure("sqlite", &chain, &Target::File(path.clone()));
    println!("         {:>10} bytes in the file", std::fs::metadata(path).unwrap().len());
    if std::env::var_os("POX_BENCH_POSTGRES").is_some() {
        let server = server::Server::start();
        measure("postgres", &chain, &server.database("bench").parse().unwrap());
    }
}

fn measure(name: &str, chain: &Chain, target: &Target) {
    let mut index = Index::follow(target, domain(), START).unwrap();
    let begun = Instant::now();
    Indexer::new(chain, &mut index).catch_up(&mut |_| ()).unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    let status = index.totals().unwrap();
    let rate = status.events as f64 / seconds;
    println!(
        "{name:<8} {rate:>10.0} events/s: {} events, {} tasks in {seconds:.2} s",
        status.events, status.tasks
    );
    assert_eq!(status.flagged, 0);
}
