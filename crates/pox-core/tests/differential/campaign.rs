//! How many sequences are run, on all cores, and what is written down about them.

use alloy_primitives::{hex, keccak256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{available_parallelism, scope};
use std::time::Instant;

/// What runs each time the tests do.
const SEQUENCES: u64 = 2_000;

/// How often each kind of answer occurred.
pub(crate) type Coverage = BTreeMap<String, u64>;

/// A run of many sequences, as the environment asks for it.
pub(crate) struct Campaign {
    sequences: u64,
    result: Option<String>,
    started: Instant,
    threads: usize,
}

impl Campaign {
    pub(crate) fn asked() -> Self {
        #[allow(clippy::disallowed_methods, reason = "a test may read what it is asked for")]
        let asked = |name: &str| std::env::var(name).ok();
        Self {
            sequences: asked("POX_DIFFERENTIAL_SEQUENCES").map_or(SEQUENCES, |text| text.parse().unwrap()),
            result: asked("POX_DIFFERENTIAL_RESULT"),
            #[allow(clippy::disallowed_methods, reason = "how long it took is part of the result")]
            started: Instant::now(),
            threads: available_parallelism().map_or(1, usize::from),
        }
    }

    /// Runs each seed once. They share nothing, so it does not matter which thread runs which.
    pub(crate) fn run(&self, sequence: impl Fn(u64, &mut Coverage) + Sync) -> Coverage {
        let next = AtomicU64::new(0);
        let work = || {
            let mut coverage = Coverage::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.sequences {
                    return coverage;
                }
                sequence(seed, &mut coverage);
            }
        };
        let mut coverage = Coverage::new();
        scope(|scope| {
            let workers: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                for (name, times) in worker.join().unwrap() {
                    *coverage.entry(name).or_default() += times;
                }
            }
        });
        coverage
    }

    /// Writes the result where it was asked for.
    pub(crate) fn report(&self, coverage: &Coverage, calls: u64, runtime: &[u8]) {
        let Some(path) = &self.result else { return };
        let seconds = self.started.elapsed().as_secs_f64();
        let all = self.sequences * calls;
        let refused = coverage.get(REFUSED).copied().unwrap_or_default();
        let mut text = String::from(
            "# The differential campaign\n\n`contracts/differential.sh` wrote this page. Each sequence of calls was run on the contract's \
             bytecode, in an EVM at\nthe Istanbul level, and on `Task::apply`: results, errors with their data, events, balances, views and \
             storage words were the same.\n\n",
        );
        let hash = hex::encode_prefixed(keccak256(runtime));
        writeln!(text, "* bytecode: keccak256 of the deployed code `{hash}`").unwrap();
        writeln!(
            text,
            "* sequences: {}, of {calls} calls each, from seeds 0 to {}",
            self.sequences,
            self.sequences - 1
        )
        .unwrap();
        writeln!(text, "* calls: {all}, of which {} were accepted and {refused} refused", all - refused)
            .unwrap();
        writeln!(text, "* time: {seconds:.0} s on {} shared cores", self.threads).unwrap();
        text.push_str("\n| event or error | times |\n|---|---:|\n");
        for (name, times) in coverage.iter().filter(|(name, _)| *name != REFUSED) {
            writeln!(text, "| {name} | {times} |").unwrap();
        }
        #[allow(clippy::disallowed_methods, reason = "a test may write what it is asked for")]
        std::fs::write(path, text).unwrap();
    }
}

/// What a refused call counts as, besides its error.
pub(crate) const REFUSED: &str = "calls refused";
