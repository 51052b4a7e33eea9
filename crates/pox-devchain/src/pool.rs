//! Transactions that wait for a block.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
};

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, U256};

use crate::{block::Transaction, error::SubmitError};

/// Transactions that wait at most, of everybody: bounds memory at some megabytes of ordinary transactions.
const MAX_WAITING: usize = 4096;

/// How far ahead of its account's nonce a transaction may wait.
const MAX_AHEAD: u64 = 1024;

/// What a replacement has to pay, in percent of what it replaces; go-ethereum's rule.
const REPLACEMENT_PERCENT: u128 = 110;

/// Transactions by sender and nonce, with gaps.
#[derive(Clone, Default)]
pub(crate) struct Pool {
    waiting: HashMap<Address, BTreeMap<u64, Waiting>>,
    hashes: HashMap<B256, (Address, u64)>,
    arrived: u64,
}

#[derive(Clone)]
struct Waiting {
    transaction: Transaction,
    arrived: u64,
}

impl Pool {
    /// Adds a transaction whose account has that nonce and balance; it may wait for others before it.
    pub(crate) fn add(
        &mut self,
        transaction: Transaction,
        next: u64,
        balance: U256,
    ) -> Result<(), SubmitError> {
        let (hash, sender, nonce) = (transaction.hash(), transaction.sender, transaction.envelope.nonce());
        if self.hashes.contains_key(&hash) {
            return Err(SubmitError::AlreadyKnown);
        }
        if nonce < next {
            return Err(SubmitError::NonceTooLow { next, nonce });
        }
        if nonce - next > MAX_AHEAD {
            return Err(SubmitError::NonceTooHigh { next, nonce });
        }
        let queue = self.waiting.get(&sender);
        let old = queue.and_then(|queue| queue.get(&nonce));
        match old {
            Some(old) if !outbids(&transaction, &old.transaction) => {
                return Err(SubmitError::ReplacementUnderpriced);
            }
            None if self.hashes.len() >= MAX_WAITING => return Err(SubmitError::PoolFull),
            _ => {}
        }
        let before = queue.into_iter().flat_map(|queue| queue.range(next..nonce));
        let want = before
            .fold(cost(&transaction), |sum, (_, earlier)| sum.saturating_add(cost(&earlier.transaction)));
        if want > balance {
            return Err(SubmitError::InsufficientFunds { address: sender, have: balance, want });
        }
        if let Some(old) = old {
            self.hashes.remove(&old.transaction.hash());
        }
        self.hashes.insert(hash, (sender, nonce));
        self.arrived += 1;
        let arrived = self.arrived;
        self.waiting.entry(sender).or_default().insert(nonce, Waiting { transaction, arrived });
        Ok(())
    }

    /// The transaction with that hash.
    pub(crate) fn find(&self, hash: &B256) -> Option<&Transaction> {
        let (sender, nonce) = self.hashes.get(hash)?;
        self.waiting.get(sender)?.get(nonce).map(|waiting| &waiting.transaction)
    }

    /// The nonce after the account's and those that wait without a gap.
    pub(crate) fn next_nonce(&self, sender: &Address, next: u64) -> u64 {
        let Some(queue) = self.waiting.get(sender) else { return next };
        queue.range(next..).zip(next..).take_while(|((nonce, _), expected)| *nonce == expected).count() as u64
            + next
    }

    /// The senders of all that wait.
    pub(crate) fn senders(&self) -> impl Iterator<Item = &Address> {
        self.waiting.keys()
    }

    /// All that could run one after the other if nothing failed, given each sender's next nonce: the best paid first,
    /// then the one that arrived first.
    pub(crate) fn ready(&self, nonces: &HashMap<Address, u64>, base_fee: u64) -> Vec<Transaction> {
        let candidate = |sender: &Address, nonce: u64| {
            let waiting = self.waiting.get(sender)?.get(&nonce)?;
            let tip = waiting.transaction.envelope.effective_tip_per_gas(base_fee)?;
            Some((tip, Reverse(waiting.arrived), *sender, nonce))
        };
        let mut heads: BinaryHeap<_> =
            nonces.iter().filter_map(|(sender, nonce)| candidate(sender, *nonce)).collect();
        let mut ready = Vec::new();
        while let Some((_, _, sender, nonce)) = heads.pop() {
            let found = self.waiting.get(&sender).and_then(|queue| queue.get(&nonce));
            ready.extend(found.map(|waiting| waiting.transaction.clone()));
            heads.extend(candidate(&sender, nonce + 1));
        }
        ready
    }

    /// Removes one transaction.
    pub(crate) fn remove(&mut self, hash: &B256) {
        let Some((sender, nonce)) = self.hashes.remove(hash) else { return };
        if let Some(queue) = self.waiting.get_mut(&sender) {
            queue.remove(&nonce);
            if queue.is_empty() {
                self.waiting.remove(&sender);
            }
        }
    }

    /// Removes what has become impossible since the account has that nonce.
    pub(crate) fn settle(&mut self, sender: &Address, next: u64) {
        let Some(queue) = self.waiting.get_mut(sender) else { return };
        let later = queue.split_off(&next);
        for waiting in std::mem::replace(queue, later).into_values() {
            self.hashes.remove(&waiting.transaction.hash());
        }
        if queue.is_empty() {
            self.waiting.remove(sender);
        }
    }
}

/// The most that a transaction can take from its sender, in wei.
fn cost(transaction: &Transaction) -> U256 {
    let envelope = &transaction.envelope;
    let gas = U256::from(envelope.gas_limit()).saturating_mul(U256::from(envelope.max_fee_per_gas()));
    let blob_gas = U256::from(envelope.blob_gas_used().unwrap_or(0));
    let blobs = blob_gas.saturating_mul(U256::from(envelope.max_fee_per_blob_gas().unwrap_or(0)));
    gas.saturating_add(blobs).saturating_add(envelope.value())
}

fn outbids(new: &Transaction, old: &Transaction) -> bool {
    let enough =
        |new: u128, old: u128| new >= old.saturating_mul(REPLACEMENT_PERCENT).div_ceil(100) && new > old;
    let tip = |transaction: &Transaction| transaction.envelope.priority_fee_or_price();
    enough(new.envelope.max_fee_per_gas(), old.envelope.max_fee_per_gas())
        && (enough(tip(new), tip(old)) || tip(old) == 0)
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxLegacy};
    use alloy_primitives::{Signature, TxKind};

    use super::*;

    fn transaction(sender: u8, nonce: u64, gas_price: u128) -> Transaction {
        let body = TxLegacy {
            chain_id: Some(1),
            nonce,
            gas_price,
            gas_limit: 21_000,
            to: TxKind::Call(Address::repeat_byte(sender)),
            value: U256::ZERO,
            input: alloy_primitives::Bytes::new(),
        };
        let envelope = EthereumTxEnvelope::Legacy(body.into_signed(Signature::test_signature()));
        Transaction { envelope, sender: Address::repeat_byte(sender) }
    }

    fn add(pool: &mut Pool, sender: u8, nonce: u64, gas_price: u128) -> Result<(), SubmitError> {
        pool.add(transaction(sender, nonce, gas_price), 0, U256::MAX)
    }

    fn order(pool: &Pool) -> Vec<(u8, u64)> {
        let nonces = pool.senders().map(|sender| (*sender, 0)).collect();
        pool.ready(&nonces, 0).iter().map(|ready| (ready.sender[0], ready.envelope.nonce())).collect()
    }

    #[test]
    fn better_pay_goes_first_and_nonces_stay_in_order() {
        let mut pool = Pool::default();
        for (sender, nonce, price) in [(1, 1, 9), (1, 0, 2), (2, 0, 5), (3, 0, 5), (3, 2, 99)] {
            add(&mut pool, sender, nonce, price).unwrap();
        }
        assert_eq!(order(&pool), [(2, 0), (3, 0), (1, 0), (1, 1)]);
        assert_eq!(pool.next_nonce(&Address::repeat_byte(3), 0), 1, "a gap ends the run");
        add(&mut pool, 3, 1, 1).unwrap();
        assert_eq!(pool.next_nonce(&Address::repeat_byte(3), 0), 3);
    }

    #[test]
    fn a_replacement_pays_a_tenth_more() {
        let mut pool = Pool::default();
        add(&mut pool, 1, 0, 100).unwrap();
        assert!(matches!(add(&mut pool, 1, 0, 100), Err(SubmitError::AlreadyKnown)));
        assert!(matches!(add(&mut pool, 1, 0, 109), Err(SubmitError::ReplacementUnderpriced)));
        let replaced = transaction(1, 0, 100).hash();
        add(&mut pool, 1, 0, 110).unwrap();
        assert!(pool.find(&replaced).is_none());
        assert_eq!(pool.hashes.len(), 1);
    }

    #[test]
    fn the_sum_of_what_waits_must_be_paid() {
        let mut pool = Pool::default();
        let balance = U256::from(21_000 * 3);
        pool.add(transaction(1, 0, 2), 0, balance).unwrap();
        let refused = pool.add(transaction(1, 1, 2), 0, balance);
        assert!(matches!(refused, Err(SubmitError::InsufficientFunds { .. })));
        pool.add(transaction(1, 1, 1), 0, balance).unwrap();
    }

    #[test]
    fn the_pool_is_bounded() {
        let mut pool = Pool::default();
        for n in 0..MAX_WAITING as u64 {
            add(&mut pool, (n / 1000) as u8, n % 1000, 1).unwrap();
        }
        assert!(matches!(add(&mut pool, 200, 0, 1), Err(SubmitError::PoolFull)));
        assert!(matches!(add(&mut pool, 0, 2000, 1), Err(SubmitError::NonceTooHigh { .. })));
    }

    #[test]
    fn settling_forgets_used_nonces() {
        let mut pool = Pool::default();
        for nonce in 0..4 {
            add(&mut pool, 1, nonce, 1).unwrap();
        }
        pool.settle(&Address::repeat_byte(1), 3);
        assert_eq!(pool.hashes.len(), 1);
        pool.settle(&Address::repeat_byte(1), 4);
        assert_eq!(pool.senders().count(), 0);
    }
}
