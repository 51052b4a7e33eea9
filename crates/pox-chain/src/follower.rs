//! Follows the contract's events, takes them back when the chain is reorganised, and misses none when replicas lag.
//!
//! Blocks far below the head are read in wide ranges, which endpoints have to agree on where there are several. Those near it
//! are read one by one: each has to name the one before as its parent and to hash to its hash, its filter says whether it can
//! have events, and the events are taken from receipts that hash to its receipts root, so that none can be kept back or made up.

use crate::contract::Contract;
use crate::error::{ChainError, unknown_block};
use crate::profile::Checks;
use crate::rpc::{Block, BlockAt, Log};
use crate::scan::Width;
use alloy_primitives::B256;
use pox_core::{Event, TaskId, UnixTime};
use std::collections::VecDeque;

/// Blocks below the head that are read one by one: more than chains without a finality rule have ever taken back, but for
/// attacks.
const NEAR: u64 = 128;
/// Most blocks near the head that one poll reads.
const MAX_NEAR_AT_ONCE: u64 = 64;
/// Most blocks that a cursor remembers; a reorganisation below them can't be taken back.
const MAX_REMEMBERED: usize = 512;

/// Follows one contract from a cursor on.
#[derive(Debug)]
pub struct Follower {
    contract: Contract,
    cursor: Cursor,
    width: Width,
}

/// How far a follower has come. Keep it together with what was made of the events, and nothing is lost or seen twice.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The first block not read yet.
    next: u64,
    /// Where reading began, while every block since is remembered.
    start: Option<u64>,
    /// The last blocks that were read, oldest first.
    recent: VecDeque<Seen>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    at: BlockAt,
    events: Vec<(Place, Option<TaskId>)>,
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The block.
    pub block: BlockAt,
    /// The block's time.
    pub time: UnixTime,
    /// The transaction.
    pub transaction: B256,
    /// The log's place in the block.
    pub index: u64,
}

/// What a follower saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// An event that is in the chain now; how final it is, its block says.
    Event {
        /// Where.
        place: Place,
        /// What.
        event: Event,
    },
    /// An event that was told before is no longer in the chain.
    Reverted {
        /// Where it was.
        place: Place,
        /// The task that it was about.
        task: Option<TaskId>,
    },
}

/// What one poll brought, in the order of the chain.
#[derive(Debug, Clone)]
pub struct Batch {
    /// What was seen; events taken back come first, newest first.
    pub events: Vec<Followed>,
    /// The endpoint's newest block.
    pub head: BlockAt,
    /// Whether there is more.
    pub progress: Progress,
}

/// How a follower stands to the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Everything up to the endpoint's newest block was read.
    CaughtUp,
    /// There are more blocks; poll again at once.
    Behind,
    /// The endpoint is behind what was read before; nothing is taken back for that.
    EndpointLags,
}

impl Cursor {
    /// A cursor before a block: its events are the first that are seen.
    pub fn before(block: u64) -> Self {
        Self { next: block, start: Some(block), recent: VecDeque::new() }
    }

    /// The first block not read yet.
    pub fn next(&self) -> u64 {
        self.next
    }

    fn remember(&mut self, seen: Seen) {
        self.next = seen.at.number + 1;
        self.recent.push_back(seen);
        while self.recent.len() > MAX_REMEMBERED {
            self.recent.pop_front();
            self.start = None;
        }
    }

    /// Drops what can't be taken back any more.
    fn settle(&mut self, at: BlockAt) {
        self.recent.clear();
        self.recent.push_back(Seen { at, events: Vec::new() });
        self.next = at.number + 1;
        self.start = None;
    }
}

impl Follower {
    /// Follows a contract from a cursor on.
    pub fn new(contract: &Contract, cursor: Cursor) -> Self {
        let width = Width::new(contract.rpc().profile().log_range);
        Self { contract: contract.clone(), cursor, width }
    }

    /// How far it has come; after the events of the last poll.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Looks once. On an error nothing has changed, and the same events come with a later poll.
    ///
    /// # Errors
    /// The chain can't be asked, was reorganised meanwhile or deeper than is remembered, or shows what the contract never emits.
    pub fn poll(&mut self) -> Result<Batch, ChainError> {
        let head = self.contract.rpc().head()?;
        let mut cursor = self.cursor.clone();
        let mut events = Vec::new();
        let progress = if self.take_back(&mut cursor, &head, &mut events)? {
            self.read(&mut cursor, &head, &mut events)?
        } else {
            Progress::EndpointLags
        };
        self.cursor = cursor;
        Ok(Batch { events, head: head.at, progress })
    }

    /// Goes back to the last block that is still in the chain. `false`: the endpoint is behind, and shows nothing against it.
    fn take_back(
        &self,
        cursor: &mut Cursor,
        head: &Block,
        events: &mut Vec<Followed>,
    ) -> Result<bool, ChainError> {
        let Some(tip) = cursor.recent.back().map(|seen| seen.at) else { return Ok(true) };
        if head.at.number < tip.number {
            let same_height = cursor.recent.iter().find(|seen| seen.at.number == head.at.number);
            if same_height.is_none_or(|seen| seen.at.hash == head.at.hash) {
                return Ok(false);
            }
        } else {
            match self.contract.rpc().block(tip.number)? {
                Some(block) if block.at == tip => return Ok(true),
                Some(_) => {}
                None => return Ok(false),
            }
        }
        let oldest = cursor.recent.front().map_or(tip.number, |seen| seen.at.number);
        // A block that was read is not in the chain: that is the evidence for going back.
        while let Some(seen) = cursor.recent.back() {
            let found = self.contract.rpc().block(seen.at.number)?;
            if found.is_some_and(|block| block.at == seen.at) {
                break;
            }
            let gone = cursor.recent.pop_back().map(|seen| seen.events).unwrap_or_default();
            let reverted = gone.into_iter().rev().map(|(place, task)| Followed::Reverted { place, task });
            events.extend(reverted);
        }
        cursor.next = match (cursor.recent.back(), cursor.start) {
            (Some(seen), _) => seen.at.number + 1,
            (None, Some(start)) => start,
            (None, None) => return Err(ChainError::ReorganisedTooDeep(oldest)),
        };
        Ok(true)
    }

    fn read(
        &mut self,
        cursor: &mut Cursor,
        head: &Block,
        events: &mut Vec<Followed>,
    ) -> Result<Progress, ChainError> {
        let from = cursor.next;
        if from > head.at.number {
            return Ok(Progress::CaughtUp);
        }
        let near = self.contract.rpc().profile().finality.confirmations().max(NEAR);
        let far_end = head.at.number.checked_sub(near).filter(|end| from <= *end);
        match far_end {
            Some(end) => self.read_far(cursor, from, end, events)?,
            None => self.read_near(cursor, from, head.at.number, events)?,
        }
        Ok(if cursor.next > head.at.number { Progress::CaughtUp } else { Progress::Behind })
    }

    /// Reads a range in which nothing moves any more.
    fn read_far(
        &mut self,
        cursor: &mut Cursor,
        from: u64,
        end: u64,
        events: &mut Vec<Followed>,
    ) -> Result<(), ChainError> {
        let rpc = self.contract.rpc().clone();
        let address = self.contract.domain().contract;
        let (to, logs) = loop {
            let to = end.min(from.saturating_add(self.width.blocks() - 1));
            match rpc.logs(address, &[], from, to) {
                Ok(logs) => break (to, logs),
                Err(error) => self.width.shrink(error)?,
            }
        };
        self.width.grow();
        let mut block: Option<Block> = None;
        for log in logs {
            if block.as_ref().is_none_or(|block| block.at.number != log.block.number) {
                block = rpc.block(log.block.number)?;
            }
            let block = block.as_ref().ok_or_else(|| unknown_block(log.block.number))?;
            events.push(self.followed(block, &log)?);
        }
        let last = rpc.block(to)?.ok_or_else(|| unknown_block(to))?;
        cursor.settle(last.at);
        Ok(())
    }

    /// Reads blocks that can still be taken back.
    fn read_near(
        &self,
        cursor: &mut Cursor,
        from: u64,
        head: u64,
        events: &mut Vec<Followed>,
    ) -> Result<(), ChainError> {
        let rpc = self.contract.rpc();
        let to = head.min(from.saturating_add(MAX_NEAR_AT_ONCE - 1));
        let mut blocks = Vec::new();
        let mut parent = cursor.recent.back().map(|seen| seen.at);
        for number in from..=to {
            // The replica that answers now can be behind the one that told the head.
            let Some(block) = rpc.block(number)? else { break };
            if parent.is_some_and(|parent| parent.number + 1 == number && parent.hash != block.parent) {
                return Err(ChainError::Reorganised(number));
            }
            parent = Some(block.at);
            blocks.push(block);
        }
        let Some(last) = blocks.last().map(|block| block.at.number) else { return Ok(()) };
        let address = self.contract.domain().contract;
        let believed = match rpc.profile().checks {
            Checks::Hashes => None,
            Checks::DangerouslyNone => Some(rpc.logs(address, &[], from, last)?),
        };
        for block in blocks {
            let of_block = self.contract.logs_of(&block, believed.as_deref())?;
            let mut noted = Vec::with_capacity(of_block.len());
            for log in &of_block {
                let followed = self.followed(&block, log)?;
                if let Followed::Event { place, event } = &followed {
                    noted.push((*place, event.task()));
                }
                events.push(followed);
            }
            cursor.remember(Seen { at: block.at, events: noted });
        }
        Ok(())
    }

    fn followed(&self, block: &Block, log: &Log) -> Result<Followed, ChainError> {
        if log.block != block.at {
            return Err(ChainError::Reorganised(block.at.number));
        }
        let place =
            Place { block: block.at, time: block.time, transaction: log.transaction, index: log.index };
        Ok(Followed::Event { place, event: self.contract.event(log)? })
    }
}
