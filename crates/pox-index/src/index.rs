//! The index: what was read of the chain, written in transactions.

use crate::engine::{self, Engine, Intent, Open, Value};
use crate::entry::{Entry, Spot};
use crate::error::IndexError;
use crate::rows::{EVENT_COLUMNS, Rows, read_event};
use crate::schema::{self, BLOCKS, BY_BLOCK, Head, TASKS};
use crate::source::Header;
use crate::target::Target;
use alloy_primitives::{Address, B256, LogData};
use pox_chain::{BlockAt, Place};
use pox_core::history::At;
use pox_core::{Domain, Event, TaskId, UnixTime};
use std::collections::{BTreeSet, HashMap};

/// Tasks that are kept at hand between batches; others are made again from their stored events.
const MAX_AT_HAND: usize = 32_768;
/// Blocks without events that are remembered below the newest: where reading goes on from after a reorganisation.
const REMEMBERED: u64 = 1_024;

/// A database with everything that the contract has told.
pub struct Index {
    engine: Box<dyn Engine>,
    domain: Domain,
    start: u64,
    next: u64,
    at_hand: HashMap<TaskId, Entry>,
}

/// An event and its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedEvent {
    /// Where.
    pub place: Place,
    /// What.
    pub event: Event,
    /// The log that it was parsed from.
    pub log: LogData,
}

/// What was read of some blocks on end.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The first block.
    pub from: u64,
    /// The last block.
    pub to: u64,
    /// Those among them that are to be remembered: all that have events, and the last.
    pub blocks: Vec<Header>,
    /// Every event in them, in the chain's order.
    pub events: Vec<LocatedEvent>,
}

/// What an index is of, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// EIP-155 id of the chain.
    pub chain_id: u64,
    /// The contract.
    pub contract: Address,
    /// The newest block that was read; `None` before the first.
    pub as_of: Option<BlockAt>,
    /// Its time.
    pub time: Option<UnixTime>,
}

/// What an index holds; counting takes a while in a large one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Tasks.
    pub tasks: u64,
    /// Events.
    pub events: u64,
    /// Tasks whose events contradict each other.
    pub flagged: u64,
}

impl LocatedEvent {
    pub(crate) fn spot(&self) -> Spot {
        let at = At { number: self.place.block.number, time: self.place.time };
        Spot { at, position: self.place.index }
    }
}

impl Index {
    /// Opens the index of a contract to write it, and makes it if there is none. `start` is the contract's first block.
    ///
    /// # Errors
    /// The database can't be opened, holds the index of another contract, or was made by a newer program.
    pub fn follow(target: &Target, domain: Domain, start: u64) -> Result<Self, IndexError> {
        let mut engine = engine::open(target, Open::OrCreate)?;
        let new = Head { chain: domain.chain_id, contract: domain.contract.into(), start, next: start };
        let head = schema::prepare(engine.as_mut(), &new)?;
        Self::new(engine, &head)?.of(domain)
    }

    /// Opens an index that is there.
    ///
    /// # Errors
    /// There is none, it can't be opened, or its version is another.
    pub fn open(target: &Target) -> Result<Self, IndexError> {
        let mut engine = engine::open(target, Open::Existing)?;
        let head = schema::read(engine.as_mut())?;
        Self::new(engine, &head)
    }

    fn new(engine: Box<dyn Engine>, head: &Head) -> Result<Self, IndexError> {
        let domain = Domain { chain_id: head.chain, contract: Address::from(head.contract) };
        Ok(Self { engine, domain, start: head.start, next: head.next, at_hand: HashMap::new() })
    }

    /// The same, if it is of this contract.
    ///
    /// # Errors
    /// It is of another one.
    pub fn of(self, domain: Domain) -> Result<Self, IndexError> {
        if self.domain == domain {
            return Ok(self);
        }
        Err(IndexError::OtherContract { chain: self.domain.chain_id, contract: self.domain.contract })
    }

    /// The contract that it is of.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The first block that it was not told of.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The contract's first block.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Adds what was read of the next blocks, whole or not at all.
    ///
    /// # Errors
    /// The database fails, or another process has brought the index forward meanwhile.
    pub fn append(&mut self, chunks: &[Chunk]) -> Result<(), IndexError> {
        let Some(last) = chunks.last() else { return Ok(()) };
        let next = last.to + 1;
        self.writing(|index| {
            index.append_in(chunks)?;
            index.prune(next)?;
            index.advance(next)
        })?;
        self.next = next;
        if self.at_hand.len() > MAX_AT_HAND {
            self.at_hand.clear();
        }
        Ok(())
    }

    /// Takes back everything above a block, whole or not at all; `None` takes back everything.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn roll_back(&mut self, to: Option<u64>) -> Result<u64, IndexError> {
        let next = to.map_or(self.start, |block| block + 1);
        self.at_hand.clear();
        let taken = self.writing(|index| {
            let taken = index.take_back(next)?;
            index.advance(next)?;
            Ok(taken)
        })?;
        self.next = next;
        Ok(taken)
    }

    /// The blocks at or below a height that are remembered, highest first.
    ///
    /// # Errors
    /// The database fails.
    pub fn remembered(&mut self, highest: u64, most: u32) -> Result<Vec<Header>, IndexError> {
        let ask = "SELECT number, hash, time FROM blocks WHERE number <= $1 ORDER BY number DESC LIMIT $2";
        let rows = self.engine.query(ask, &[Value::saturating(highest), Value::Int(most.into())])?;
        let header = |row: &engine::Row| {
            let at = BlockAt { number: row.count(0)?, hash: B256::from(row.fixed::<32>(1)?) };
            Ok(Header { at, parent: None, time: UnixTime(row.count(2)?) })
        };
        rows.iter().map(header).collect()
    }

    /// Asks several things of one state of the index.
    pub(crate) fn reading<T>(
        &mut self,
        ask: impl FnOnce(&mut dyn Engine, &Domain) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        self.engine.begin(Intent::Read)?;
        let answer = ask(self.engine.as_mut(), &self.domain);
        // Nothing was written, so it ends the same either way.
        self.engine.roll_back()?;
        answer
    }

    fn writing<T>(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        self.engine.begin(Intent::Write)?;
        let written = self.hold().and_then(|()| write(self));
        let kept = written.and_then(|value| self.engine.commit().map(|()| value));
        if kept.is_err() {
            self.at_hand.clear();
            // The first error says more than one about ending what it broke.
            let _ = self.engine.roll_back();
        }
        kept
    }

    /// Checks, and makes sure until the transaction ends, that nobody else brings the index forward.
    fn hold(&mut self) -> Result<(), IndexError> {
        let ask = self.engine.spell("SELECT next FROM pox_index {lock}");
        let rows = self.engine.query(&ask, &[])?;
        let stored = rows.first().ok_or(IndexError::Missing)?.count(0)?;
        if stored == self.next { Ok(()) } else { Err(IndexError::OtherWriter) }
    }

    fn advance(&mut self, next: u64) -> Result<(), IndexError> {
        let next = Value::exact(next, "block number")?;
        self.engine.execute("UPDATE pox_index SET next = $1", &[next]).map(drop)
    }

    fn append_in(&mut self, chunks: &[Chunk]) -> Result<(), IndexError> {
        let mut rows = Rows::default();
        let mut touched: HashMap<TaskId, Touched> = HashMap::new();
        let mut expected = self.next;
        for chunk in chunks {
            if chunk.from != expected {
                return Err(IndexError::OtherWriter);
            }
            expected = chunk.to + 1;
            let mut counts: HashMap<u64, i64> = HashMap::new();
            for (index, located) in chunk.events.iter().enumerate() {
                // Events of one block are in one chunk, so what follows in the same transaction is here.
                let next = chunk.events.get(index + 1).map(|located| &located.event);
                *counts.entry(located.place.block.number).or_default() += 1;
                let step = match located.event.task() {
                    Some(task) => self.take(task, located, next, &mut touched)?,
                    None => None,
                };
                rows.push_event(located, step)?;
            }
            for header in &chunk.blocks {
                let row = vec![
                    Value::exact(header.at.number, "block number")?,
                    Value::bytes(header.at.hash),
                    Value::exact(header.time.0, "block time")?,
                    Value::Int(counts.get(&header.at.number).copied().unwrap_or_default()),
                ];
                rows.push(&BLOCKS, row);
            }
        }
        let known: Vec<Vec<u8>> = touched
            .iter()
            .filter(|(_, how)| **how == Touched::Known)
            .map(|(task, _)| task.0.to_vec())
            .collect();
        self.engine.remove(&TASKS, "id", &known)?;
        for (task, how) in touched {
            let entry = self.at_hand.get(&task).ok_or(IndexError::Damaged("a task is lost"))?;
            rows.push_task(task, entry, how == Touched::New)?;
        }
        for (table, rows) in rows.into_tables() {
            self.engine.append(table, rows)?;
        }
        Ok(())
    }

    /// Goes on with a task by one event; gives the step's number and content, if it is one.
    fn take(
        &mut self,
        task: TaskId,
        located: &LocatedEvent,
        next: Option<&Event>,
        touched: &mut HashMap<TaskId, Touched>,
    ) -> Result<Option<(u64, pox_core::history::Step)>, IndexError> {
        if !self.at_hand.contains_key(&task) {
            // A request opens a task; the contract has none with the same id before it.
            match self.load(task)? {
                Some(entry) => drop(self.at_hand.insert(task, entry)),
                None => {
                    let (entry, step) = Entry::begin(&located.event, located.spot());
                    self.at_hand.insert(task, entry);
                    touched.insert(task, Touched::New);
                    return Ok(step.map(|step| (1, step)));
                }
            }
        }
        touched.entry(task).or_insert(Touched::Known);
        let entry = self.at_hand.get_mut(&task).ok_or(IndexError::Damaged("a task is lost"))?;
        let step = entry.then(&located.event, next, located.spot(), &self.domain);
        Ok(step.map(|step| (entry.steps, step)))
    }

    /// Makes a task of its stored events.
    fn load(&mut self, task: TaskId) -> Result<Option<Entry>, IndexError> {
        let ask = format!(
            "SELECT {EVENT_COLUMNS} FROM events e JOIN blocks b ON b.number = e.block WHERE e.task = $1 ORDER BY e.block, e.position"
        );
        let rows = self.engine.query(&ask, &[Value::bytes(task.0)])?;
        let events = rows.iter().map(|row| read_event(row, &self.domain)).collect::<Result<Vec<_>, _>>()?;
        Ok(Entry::of(&events, &self.domain))
    }

    fn take_back(&mut self, next: u64) -> Result<u64, IndexError> {
        let from = Value::exact(next, "block number")?;
        let ask = "SELECT DISTINCT task FROM events WHERE block >= $1 AND task IS NOT NULL";
        let rows = self.engine.query(ask, std::slice::from_ref(&from))?;
        let tasks = rows.iter().map(|row| Ok(TaskId::from(row.fixed::<32>(0)?)));
        let tasks = tasks.collect::<Result<BTreeSet<_>, IndexError>>()?;
        let mut taken = 0;
        for table in BY_BLOCK {
            let delete = format!("DELETE FROM {} WHERE block >= $1", table.name);
            let count = self.engine.execute(&delete, std::slice::from_ref(&from))?;
            if std::ptr::eq(table, &schema::EVENTS) {
                taken = count;
            }
        }
        self.engine.execute("DELETE FROM blocks WHERE number >= $1", &[from])?;
        let mut rows = Rows::default();
        let mut left = Vec::new();
        for task in tasks {
            if let Some(entry) = self.load(task)? {
                rows.push_task(task, &entry, false)?;
                left.push(task.0.to_vec());
            }
        }
        self.engine.remove(&TASKS, "id", &left)?;
        for (table, rows) in rows.into_tables() {
            self.engine.append(table, rows)?;
        }
        Ok(taken)
    }

    /// Forgets blocks without events that are far below the newest. What earlier batches left is within reach of this one.
    fn prune(&mut self, next: u64) -> Result<(), IndexError> {
        let keep = next.saturating_sub(REMEMBERED);
        let since = self.next.saturating_sub(REMEMBERED + 1);
        let delete = "DELETE FROM blocks WHERE number >= $1 AND number < $2 AND events = 0";
        self.engine.execute(delete, &[Value::saturating(since), Value::saturating(keep)]).map(drop)
    }
}

/// Whether a task that a batch touches was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touched {
    New,
    Known,
}
