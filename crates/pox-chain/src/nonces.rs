//! Which nonces of an account are free. A transaction takes one when it is signed, before any node knows of it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The nonces of one account, as this program knows them.
#[derive(Debug, Default)]
pub(crate) struct Nonces(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// All below were used by transactions that were seen in blocks, whatever a lagging replica says.
    floor: u64,
    /// Those of transactions that were signed and have not ended.
    held: BTreeSet<u64>,
}

impl Nonces {
    /// Takes the lowest free one that is not below what a node counts. `None` after 2^64 transactions.
    pub(crate) fn take(&self, counted: u64) -> Option<u64> {
        let mut state = self.state();
        let lowest = counted.max(state.floor);
        let free = (lowest..u64::MAX).find(|nonce| !state.held.contains(nonce))?;
        state.held.insert(free);
        Some(free)
    }

    /// Keeps one for a transaction that was signed before.
    pub(crate) fn hold(&self, nonce: u64) {
        self.state().held.insert(nonce);
    }

    /// Gives one back that no transaction will use.
    pub(crate) fn put_back(&self, nonce: u64) {
        self.state().held.remove(&nonce);
    }

    /// Notes that a transaction with it is in a block.
    pub(crate) fn use_up(&self, nonce: u64) {
        let mut state = self.state();
        state.held.remove(&nonce);
        state.floor = state.floor.max(nonce.saturating_add(1));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked left no half-made change: none of the above can panic between two of its writes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_taken_twice_and_gaps_are_filled() {
        let nonces = Nonces::default();
        nonces.hold(6);
        assert_eq!([nonces.take(5), nonces.take(5), nonces.take(5)], [Some(5), Some(7), Some(8)]);
        nonces.put_back(7);
        assert_eq!(nonces.take(5), Some(7));
        nonces.use_up(5);
        assert_eq!(nonces.take(0), Some(9), "a replica that lags by five");
        assert_eq!(nonces.take(u64::MAX), None);
    }
}
