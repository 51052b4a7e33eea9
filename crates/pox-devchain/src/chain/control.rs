//! Control over time and history, for tests.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use alloy_primitives::B256;

use super::{BlockId, Chain, Kind, Live, Rota, block_id, sets::Sets};
use crate::{block::Block, config::Clock, error::ChainError, pool::Pool, store::StoreError};

/// Times stay below this, so that sums of two don't overflow.
const MAX_TIME: u64 = 1 << 62;

/// Snapshots that are kept at most; the oldest goes first. Each holds a copy of the pool.
const MAX_SNAPSHOTS: usize = 64;

/// What becomes of the transactions in blocks that are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// They wait again, as after a reorganisation that their senders survive.
    ToPool,
    /// They are forgotten, as after one to a branch where they were never seen.
    Never,
}

/// Names a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId(pub u64);

pub(super) struct Snapshot {
    id: SnapshotId,
    head: BlockId,
    pool: Pool,
    time: Time,
}

/// The chain's time.
#[derive(Clone)]
pub(super) struct Time {
    clock: Clock,
    shift: u64,
    /// The next block has exactly this time.
    exact: Option<u64>,
    /// No block is made before this time.
    floor: u64,
}

impl Time {
    pub(super) const fn new(clock: Clock) -> Self {
        Self { clock, shift: 0, exact: None, floor: 0 }
    }

    /// The time of a block that is made now and can't be before `earliest`.
    pub(super) fn of_next(&self, earliest: u64) -> u64 {
        self.exact.unwrap_or_else(|| self.now().max(self.floor)).max(earliest)
    }

    /// A block has been made.
    pub(super) const fn block_made(&mut self) {
        self.exact = None;
        self.floor = 0;
    }

    fn now(&self) -> u64 {
        let base = match self.clock {
            Clock::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            Clock::Manual(time) => time,
        };
        base.saturating_add(self.shift).min(MAX_TIME)
    }
}

impl Chain {
    /// Moves the chain's clock forward, and gives by how many seconds it is ahead in all.
    ///
    /// # Errors
    /// [`ChainError::TimeRange`].
    pub fn increase_time(&self, seconds: u64) -> Result<u64, ChainError> {
        let mut live = self.inner.live();
        let shift = live.time.shift.checked_add(seconds).filter(|shift| *shift < MAX_TIME);
        live.time.shift = shift.ok_or(ChainError::TimeRange)?;
        Ok(live.time.shift)
    }

    /// Sets the time of the next block, in Unix seconds. If it is ahead of the clock, the clock moves there too.
    ///
    /// # Errors
    /// [`ChainError::TooEarly`] if no block can have that time, [`ChainError::TimeRange`].
    pub fn set_next_time(&self, time: u64) -> Result<(), ChainError> {
        let mut live = self.inner.live();
        let earliest = self.inner.earliest(&live.head);
        if time < earliest {
            return Err(ChainError::TooEarly { earliest });
        }
        if time >= MAX_TIME {
            return Err(ChainError::TimeRange);
        }
        let ahead = time.saturating_sub(live.time.now());
        live.time.shift += ahead;
        live.time.exact = Some(time);
        Ok(())
    }

    /// Drops the last `depth` blocks, as a node does that learns of a better branch, and gives the new head.
    ///
    /// The next block is later than those dropped, so that the branches differ. On a durable chain the blocks are gone
    /// for good.
    ///
    /// # Errors
    /// [`ChainError::TooDeep`] if genesis would go, [`ChainError::ReadOnly`]; nothing has changed.
    pub fn reorg(&self, depth: u64, transactions: Returned) -> Result<BlockId, ChainError> {
        if matches!(self.inner.kind, Kind::Recorded) {
            return Err(ChainError::ReadOnly);
        }
        let mut live = self.inner.live();
        let height = live.head.header.number;
        let number = height.checked_sub(depth).ok_or(ChainError::TooDeep { depth, height })?;
        let mut dropped = Vec::new();
        for number in number + 1..=height {
            dropped.push(self.inner.store.block(number)?.ok_or(StoreError::Damaged("block"))?);
        }
        let last = live.head.header.timestamp;
        self.go_back(&mut live, number)?;
        live.time.floor = last.saturating_add(1);
        if transactions == Returned::ToPool {
            self.return_to_pool(&mut live, &dropped);
        }
        Ok(block_id(&live.head))
    }

    /// Remembers the chain, the pool and the time.
    ///
    /// # Errors
    /// [`ChainError::Durable`], [`ChainError::ReadOnly`]: there would be no going back.
    pub fn snapshot(&self) -> Result<SnapshotId, ChainError> {
        self.require_revertible()?;
        let mut live = self.inner.live();
        let id = SnapshotId(live.snapshots.last().map_or(1, |last| last.id.0 + 1));
        let snapshot =
            Snapshot { id, head: block_id(&live.head), pool: live.pool.clone(), time: live.time.clone() };
        if live.snapshots.len() == MAX_SNAPSHOTS {
            live.snapshots.remove(0);
        }
        live.snapshots.push(snapshot);
        Ok(id)
    }

    /// Goes back to a snapshot, which is used up with all later ones. Gives whether there was one of that name whose
    /// block is still in the chain.
    ///
    /// # Errors
    /// [`ChainError::Durable`], [`ChainError::ReadOnly`], [`ChainError::Store`].
    pub fn revert(&self, id: SnapshotId) -> Result<bool, ChainError> {
        self.require_revertible()?;
        let mut live = self.inner.live();
        let Some(index) = live.snapshots.iter().position(|snapshot| snapshot.id == id) else {
            return Ok(false);
        };
        let Some(snapshot) = live.snapshots.drain(index..).next() else { return Ok(false) };
        if self.hash_at(snapshot.head.number)? != Some(snapshot.head.hash) {
            return Ok(false);
        }
        self.go_back(&mut live, snapshot.head.number)?;
        live.pool = snapshot.pool;
        live.time = snapshot.time;
        Ok(true)
    }

    fn require_revertible(&self) -> Result<(), ChainError> {
        match self.inner.kind {
            Kind::Own(Rota { durable: false, .. }) => Ok(()),
            Kind::Own(Rota { durable: true, .. }) => Err(ChainError::Durable),
            Kind::Recorded => Err(ChainError::ReadOnly),
        }
    }

    fn hash_at(&self, number: u64) -> Result<Option<B256>, StoreError> {
        Ok(self.inner.store.block(number)?.map(|block| block.hash))
    }

    fn go_back(&self, live: &mut Live, number: u64) -> Result<(), StoreError> {
        let head = self.inner.store.block(number)?.ok_or(StoreError::Damaged("block"))?;
        let sets = Sets::replay(live.sets.given().clone(), self.inner.store(), number)?;
        self.inner.store.truncate(number)?;
        live.head = head;
        live.sets = sets;
        Ok(())
    }

    fn return_to_pool(&self, live: &mut Live, dropped: &[Arc<Block>]) {
        for transaction in dropped.iter().flat_map(|block| &block.transactions) {
            // One that was replaced meanwhile, or can't be paid on this branch, is lost, as it is elsewhere.
            let _ = self.inner.admit(live, transaction.clone());
        }
    }
}
