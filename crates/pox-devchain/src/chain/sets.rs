//! Which authorities seal which block: the given sets, and those that the chain's own contract has announced.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, BloomInput, Log, b256};

use crate::{
    block::Block,
    config::ANNOUNCER_ADDRESS,
    header::Header,
    store::{Store, StoreError},
};

/// Keccak-256 of `InitiateChange(bytes32,address[])`, Aura's event that announces a set.
pub(crate) const ANNOUNCEMENT: B256 =
    b256!("0x55252fa6eee4741b4e24a74a70e9c11fd2c2281df8d6ea13126ff845f7825c89");

/// Most authorities of an announced set; a larger one is no announcement.
const MAX_AUTHORITIES: usize = 1024;

/// The sets, as far as a chain has come.
#[derive(Clone, Debug)]
pub(super) struct Sets {
    given: BTreeMap<u64, Vec<Address>>,
    announced: BTreeMap<u64, Vec<Address>>,
    /// A set whose announcement is not final yet, and who has built on that.
    pending: Option<(Vec<Address>, BTreeSet<Address>)>,
}

impl Sets {
    pub(super) const fn new(given: BTreeMap<u64, Vec<Address>>) -> Self {
        Self { given, announced: BTreeMap::new(), pending: None }
    }

    /// The sets after a chain's last block. Nothing of them is stored: headers tell which blocks to look into.
    pub(super) fn replay(
        given: BTreeMap<u64, Vec<Address>>,
        store: &dyn Store,
        head: u64,
    ) -> Result<Self, StoreError> {
        let mut sets = Self::new(given);
        for number in 1..=head {
            let header = store.header(number)?.ok_or(StoreError::Damaged("header"))?;
            let block = if can_announce(&header) { store.block(number)? } else { None };
            sets.observe(&header, block.as_deref());
        }
        Ok(sets)
    }

    /// The first block of the set that seals a block, and the set in the order of its steps.
    pub(super) fn at(&self, number: u64) -> (u64, &[Address]) {
        let newest =
            |sets: &'_ BTreeMap<u64, Vec<Address>>| sets.range(..=number).next_back().map(|(from, _)| *from);
        match (newest(&self.given), newest(&self.announced)) {
            (given, Some(from)) if given.is_none_or(|given| given < from) => (from, &self.announced[&from]),
            (Some(from), _) => (from, &self.given[&from]),
            (None, _) => (0, &[]),
        }
    }

    /// Takes note of the block after the last one.
    pub(super) fn observe(&mut self, header: &Header, block: Option<&Block>) {
        let (number, author) = (header.number, header.author);
        if self.pending.is_none() {
            let set = block.filter(|_| can_announce(header)).and_then(|block| announced(header, block));
            self.pending = set.map(|set| (set, BTreeSet::new()));
        }
        let of = self.at(number).1.len();
        let Some((set, mut builders)) = self.pending.take() else { return };
        builders.insert(author);
        if builders.len() * 2 > of {
            self.announced.insert(number.saturating_add(1), set);
        } else {
            self.pending = Some((set, builders));
        }
    }

    pub(super) fn given(&self) -> &BTreeMap<u64, Vec<Address>> {
        &self.given
    }
}

fn can_announce(header: &Header) -> bool {
    let names: [&[u8]; 3] =
        [ANNOUNCER_ADDRESS.as_slice(), ANNOUNCEMENT.as_slice(), header.parent_hash.as_slice()];
    names.into_iter().all(|name| header.logs_bloom.contains_input(BloomInput::Raw(name)))
}

/// Of several announcements in one block, the one that OpenEthereum takes: the first of the last receipt that has any.
fn announced(header: &Header, block: &Block) -> Option<Vec<Address>> {
    let is_announcement =
        |log: &&Log| log.address == ANNOUNCER_ADDRESS && log.topics() == [ANNOUNCEMENT, header.parent_hash];
    let receipts = block.receipts.iter().rev();
    let log = receipts.into_iter().find_map(|receipt| receipt.logs().iter().find(is_announcement))?;
    new_set(&log.data.data)
}

/// The ABI encoding of one list of accounts, none of them twice.
fn new_set(data: &[u8]) -> Option<Vec<Address>> {
    let (head, accounts) = data.split_at_checked(64)?;
    let count = accounts.len() / 32;
    let mut expected = [0; 64];
    expected[31] = 32;
    expected[56..].copy_from_slice(&(count as u64).to_be_bytes());
    if head != expected || accounts.len() % 32 != 0 || !(1..=MAX_AUTHORITIES).contains(&count) {
        return None;
    }
    let account = |word: &[u8]| {
        let (zeros, account) = word.split_at(12);
        let account = Address::from_slice(account);
        (zeros == [0; 12] && !account.is_zero()).then_some(account)
    };
    let set: Vec<Address> = accounts.chunks_exact(32).map(account).collect::<Option<_>>()?;
    (set.iter().collect::<BTreeSet<_>>().len() == set.len()).then_some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_is_the_event_s_name() {
        assert_eq!(ANNOUNCEMENT, alloy_primitives::keccak256("InitiateChange(bytes32,address[])"));
    }

    #[test]
    fn given_sets_go_before_announced_ones_of_the_same_block() {
        let set = |byte| vec![Address::repeat_byte(byte)];
        let mut sets = Sets::new(BTreeMap::from([(0, set(1)), (10, set(2))]));
        sets.announced = BTreeMap::from([(5, set(3)), (10, set(4)), (12, set(5))]);
        let at: Vec<_> = [0, 4, 5, 9, 10, 11, 12, 99].map(|number| sets.at(number).1[0][0]).to_vec();
        assert_eq!(at, [1, 1, 3, 3, 2, 2, 5, 5]);
    }
}
