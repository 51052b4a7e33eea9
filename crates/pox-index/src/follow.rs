//! Brings an index forward, and back where the chain went back.

use crate::error::IndexError;
use crate::index::{Chunk, Index, LocatedEvent};
use crate::source::{Header, Source};
use alloy_primitives::B256;
use pox_chain::{ChainError, Log, Place};
use pox_core::{Domain, Event};
use std::thread;

/// Ranges that are asked for at once, unless told otherwise.
const RANGES: usize = 4;
/// Most blocks near the head that one step reads.
const MAX_NEAR_AT_ONCE: u64 = 64;
/// Remembered blocks that are compared at once when the chain went back.
const COMPARED_AT_ONCE: u32 = 64;

/// Follows a source into an index.
pub struct Indexer<'a, S> {
    source: &'a S,
    index: &'a mut Index,
    ranges: usize,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Events that were added.
    pub added: u64,
    /// Events that were taken back first.
    pub taken_back: u64,
    /// The newest block that was read, or the contract's first if none was.
    pub block: u64,
    /// The source's newest block.
    pub head: u64,
    /// Whether there is more.
    pub progress: Progress,
}

/// How an index stands to its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Everything up to the newest block was read.
    CaughtUp,
    /// There are more blocks; step again at once.
    Behind,
    /// The source is behind what was read before; nothing is taken back for that.
    SourceLags,
}

impl<'a, S: Source> Indexer<'a, S> {
    /// Follows a source into an index.
    pub fn new(source: &'a S, index: &'a mut Index) -> Self {
        Self { source, index, ranges: RANGES }
    }

    /// Asks for so many ranges at once; at least one.
    #[must_use]
    pub fn with_ranges(self, ranges: usize) -> Self {
        Self { ranges: ranges.max(1), ..self }
    }

    /// Reads on until there is no more, telling about each step.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn catch_up(&mut self, tell: &mut dyn FnMut(&Step)) -> Result<Step, IndexError> {
        loop {
            let step = self.step_telling(tell)?;
            if step.progress != Progress::Behind {
                return Ok(step);
            }
        }
    }

    /// Looks once. On an error the index is as it was, or further by whole batches; a later step goes on from there.
    ///
    /// # Errors
    /// The chain can't be asked, was reorganised meanwhile, or shows what the contract never emits; the database fails.
    pub fn step(&mut self) -> Result<Step, IndexError> {
        self.step_telling(&mut |_| ())
    }

    fn step_telling(&mut self, tell: &mut dyn FnMut(&Step)) -> Result<Step, IndexError> {
        let head = self.source.head()?;
        let taken_back = match self.take_back(&head)? {
            Back::By(events) => events,
            Back::Lags => return Ok(self.done(0, 0, &head, Progress::SourceLags)),
        };
        let from = self.index.next();
        if from > head.at.number {
            return Ok(self.done(0, taken_back, &head, Progress::CaughtUp));
        }
        let settled = head.at.number.checked_sub(self.source.unsettled()).filter(|end| from <= *end);
        let added = match settled {
            Some(end) => self.read_settled(from, end, &head, tell)?,
            None => self.read_near(from, head.at.number)?,
        };
        let more = if self.index.next() > head.at.number { Progress::CaughtUp } else { Progress::Behind };
        let step = self.done(added, taken_back, &head, more);
        tell(&step);
        Ok(step)
    }

    /// Goes back to the last remembered block that is still in the chain.
    fn take_back(&mut self, head: &Header) -> Result<Back, IndexError> {
        let Some(tip) = self.newest()? else { return Ok(Back::By(0)) };
        let Some(highest) = self.index.remembered(head.at.number, 1)?.first().copied() else {
            // Below everything that was read, nothing shows which chain it is.
            return Ok(Back::Lags);
        };
        match self.source.block(highest.at.number)? {
            Some(block) if block.at == highest.at && highest.at == tip.at => return Ok(Back::By(0)),
            Some(block) if block.at != highest.at => {}
            _ => return Ok(Back::Lags),
        }
        // A block that was read is not in the chain: that is the evidence for going back.
        let mut highest = Some(highest.at.number);
        while let Some(from) = highest {
            let known = self.index.remembered(from, COMPARED_AT_ONCE)?;
            for block in &known {
                match self.source.block(block.at.number)? {
                    Some(found) if found.at == block.at => {
                        return Ok(Back::By(self.index.roll_back(Some(block.at.number))?));
                    }
                    Some(_) => {}
                    // Another replica answers, and has not come so far: no evidence of anything.
                    None => return Ok(Back::Lags),
                }
            }
            highest = known.last().and_then(|block| block.at.number.checked_sub(1));
        }
        Ok(Back::By(self.index.roll_back(None)?))
    }

    fn newest(&mut self) -> Result<Option<Header>, IndexError> {
        let Some(last) = self.index.next().checked_sub(1) else { return Ok(None) };
        Ok(self.index.remembered(last, 1)?.first().copied())
    }

    /// Reads ranges in which nothing moves any more, some at once, and writes one round while the next is read.
    fn read_settled(
        &mut self,
        from: u64,
        end: u64,
        head: &Header,
        tell: &mut dyn FnMut(&Step),
    ) -> Result<u64, IndexError> {
        let (source, domain) = (self.source, *self.index.domain());
        let width = source.range().max(1);
        let (mut next, mut added) = (from, 0);
        let mut last = self.newest()?.filter(|tip| tip.at.number + 1 == from).map(|tip| tip.at.hash);
        let mut ready: Vec<Chunk> = Vec::new();
        loop {
            let mut ranges = Vec::new();
            while next <= end && ranges.len() < self.ranges {
                let to = end.min(next.saturating_add(width - 1));
                ranges.push((next, to));
                next = to + 1;
            }
            let (read, written) = thread::scope(|scope| {
                let readers: Vec<_> = ranges
                    .iter()
                    .map(|&(from, to)| scope.spawn(move || read_range(source, &domain, from, to)))
                    .collect();
                let written = self.index.append(&ready);
                // A reader panics only if its source does, and then so does this.
                let read: Vec<_> = readers
                    .into_iter()
                    .map(|reader| reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect();
                (read, written)
            });
            written?;
            if !ready.is_empty() {
                added += ready.iter().map(|chunk| chunk.events.len() as u64).sum::<u64>();
                tell(&self.done(added, 0, head, Progress::Behind));
            }
            // What was read before a failure is kept.
            let mut failure = None;
            ready = Vec::with_capacity(read.len());
            for chunk in read {
                match chunk {
                    // Ranges that were read at different times can be of different chains.
                    Ok((before, chunk)) if last.is_none_or(|last| before == Some(last)) => {
                        last = chunk.blocks.last().map(|block| block.at.hash);
                        ready.push(chunk);
                    }
                    Ok((_, chunk)) => failure = failure.or(Some(ChainError::Reorganised(chunk.from))),
                    Err(error) => failure = failure.or(Some(error)),
                }
                if failure.is_some() {
                    break;
                }
            }
            if let Some(error) = failure {
                self.index.append(&ready)?;
                return Err(error.into());
            }
            if ready.is_empty() {
                return Ok(added);
            }
        }
    }

    /// Reads blocks that can still be taken back.
    fn read_near(&mut self, from: u64, head: u64) -> Result<u64, IndexError> {
        let to = head.min(from.saturating_add(MAX_NEAR_AT_ONCE - 1));
        let mut parent = self.newest()?.filter(|tip| tip.at.number + 1 == from).map(|tip| tip.at.hash);
        let mut blocks = Vec::new();
        let mut events = Vec::new();
        for (header, logs) in self.source.near(from, to)? {
            let follows = parent.is_none_or(|hash| header.parent == Some(hash));
            if header.at.number != from + blocks.len() as u64 || !follows {
                return Err(ChainError::Reorganised(header.at.number).into());
            }
            parent = Some(header.at.hash);
            for log in logs {
                events.push(located(&header, log, self.index.domain())?);
            }
            blocks.push(header);
        }
        let last = blocks.last().ok_or_else(|| ChainError::Lagging(format!("block {from}")))?;
        let (to, added) = (last.at.number, events.len() as u64);
        self.index.append(&[Chunk { from, to, blocks, events }])?;
        Ok(added)
    }

    fn done(&self, added: u64, taken_back: u64, head: &Header, progress: Progress) -> Step {
        let block = self.index.next().saturating_sub(1).max(self.index.start());
        Step { added, taken_back, block, head: head.at.number, progress }
    }
}

/// How far the index went back.
enum Back {
    By(u64),
    Lags,
}

/// A range, and the hash of the block before it.
type Range = (Option<B256>, Chunk);

fn read_range<S: Source>(source: &S, domain: &Domain, from: u64, to: u64) -> Result<Range, ChainError> {
    let before = match from.checked_sub(1) {
        Some(number) => source.block(number)?.map(|header| header.at.hash),
        None => None,
    };
    let logs = source.logs(from, to)?;
    let block = |number| source.block(number)?.ok_or_else(|| ChainError::Lagging(format!("block {number}")));
    let mut blocks: Vec<Header> = Vec::new();
    let mut events = Vec::with_capacity(logs.len());
    for log in logs {
        let number = log.block.number;
        if blocks.last().is_none_or(|last| last.at.number != number) {
            blocks.push(block(number)?);
        }
        if let Some(header) = blocks.last() {
            events.push(located(header, log, domain)?);
        }
    }
    if blocks.last().is_none_or(|last| last.at.number != to) {
        blocks.push(block(to)?);
    }
    Ok((before, Chunk { from, to, blocks, events }))
}

fn located(header: &Header, log: Log, domain: &Domain) -> Result<LocatedEvent, ChainError> {
    if log.block != header.at {
        return Err(ChainError::Reorganised(header.at.number));
    }
    let event = Event::parse(domain, &log.content).map_err(|error| {
        ChainError::Contradiction(format!("log {} of {}: {error}", log.index, log.transaction))
    })?;
    let place = Place { block: header.at, time: header.time, transaction: log.transaction, index: log.index };
    Ok(LocatedEvent { place, event, log: log.content })
}
