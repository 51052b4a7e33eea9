//! The chain's part of a proof: what shows the steps, headers until their blocks are final, and the changes of authorities between.

use pox_chain::{BlockAt, ChainError, Contract, ProvenState, Rpc, TaskHistory};
use pox_core::proof::{
    ChainProof, ChangeProof, HistoryProof, MAX_CHANGES, MAX_HEADERS, MAX_RUN_HEADERS, ReceiptProof,
};
use pox_verify::anchors::Aura;
use pox_verify::chain::authorities::{ChangeFault, Count, Origin, Term, Timeline};
use pox_verify::chain::{Header, Unpackable, pack};

/// How a proof shows the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shows {
    /// By state if the node proves any, else by receipts.
    #[default]
    Auto,
    /// By the contract's own commitment, in the state of one block.
    State,
    /// By an event for each step.
    Receipts,
}

/// A chain proof, and what it comes to under the sets that were followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// What goes into the proof file.
    pub proof: ChainProof,
    /// Who has built on the block that fewest have built on; `None` where no set is pinned for it.
    pub built: Option<Count>,
}

/// A chain proof can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ChainProofError {
    /// The chain does not give what is needed.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// What it gives is no run of headers.
    #[error("the headers from block {from} on: {error}")]
    Headers {
        /// The first.
        from: u64,
        /// What is wrong.
        error: Unpackable,
    },
    /// It is more than a proof holds.
    #[error("the headers that it takes are more than a proof holds")]
    TooLarge,
}

/// Makes the chain's part of a proof of a task that has ended.
///
/// Headers are taken until every block that the proof rests on is final under the pinned sets and their changes, or there are no
/// more. Whether that convinces anybody, only verification says.
///
/// # Errors
/// The node does not give what is needed, in the form that is asked for.
pub fn show(
    contract: &Contract,
    history: &TaskHistory,
    rule: Option<&Aura>,
    shows: Shows,
) -> Result<Shown, ChainProofError> {
    let by_receipts = |error: Option<ChainError>| match (shows, error) {
        (Shows::State, Some(error)) => Err(error.into()),
        _ => Assembly::new(contract.rpc(), rule).by_receipts(history),
    };
    if shows == Shows::Receipts {
        return by_receipts(None);
    }
    let last = history.steps.last().map_or(0, |step| step.place.block.number);
    let assembly = Assembly::new(contract.rpc(), rule);
    let state = match contract.prove_state(history.task, last) {
        // Nodes forget old states first, and the commitment stands in every later one.
        Err(error) if gives_no_state(&error) => {
            contract.prove_state(history.task, assembly.newly_final(last, history.head.number))
        }
        state => state,
    };
    match state {
        Ok(state) => assembly.by_state(state),
        Err(error) if gives_no_state(&error) => by_receipts(Some(error)),
        Err(error) => Err(error.into()),
    }
}

/// Whether a node's answer means that it proves no state of that block: it has forgotten it, or can't.
fn gives_no_state(error: &ChainError) -> bool {
    matches!(error, ChainError::Refused { .. } | ChainError::Lagging(_) | ChainError::Malformed { .. })
}

/// A run while it grows, with its headers as bytes and taken apart.
#[derive(Default)]
pub(super) struct Run {
    bytes: Vec<Vec<u8>>,
    pub(super) headers: Vec<Header>,
}

pub(super) struct Assembly<'a> {
    rpc: &'a Rpc,
    pub(super) timeline: Option<Timeline<'a>>,
    /// Each with the last block that the set before it seals.
    changes: Vec<(u64, ChangeProof)>,
    headers: usize,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(rpc: &'a Rpc, rule: Option<&'a Aura>) -> Self {
        Self { rpc, timeline: rule.map(Timeline::pinned), changes: Vec::new(), headers: 0 }
    }

    fn by_state(mut self, state: ProvenState) -> Result<Shown, ChainProofError> {
        let block = state.at.number;
        self.follow_changes(block)?;
        let mut run = Run::default();
        self.grow_to_finality(&mut run, block)?;
        if run.headers.first().is_none_or(|header| header.hash != state.hash) {
            return Err(ChainError::Reorganised(block).into());
        }
        let built = self.count(&run, block);
        let proof = self.proof(HistoryProof::State(state.proof), &[run])?;
        Ok(Shown { proof, built })
    }

    fn by_receipts(mut self, history: &TaskHistory) -> Result<Shown, ChainProofError> {
        let blocks: Vec<u64> = history.steps.iter().map(|step| step.place.block.number).collect();
        self.follow_changes(blocks.last().copied().unwrap_or(0))?;
        let mut runs: Vec<Run> = Vec::new();
        let mut built: Option<Count> = None;
        for block in blocks {
            match runs.last_mut() {
                Some(run) if run.last().is_some_and(|last| block <= last.saturating_add(1)) => {
                    self.grow_to_finality(run, block)?;
                }
                _ => {
                    let mut run = Run::default();
                    self.grow_to_finality(&mut run, block)?;
                    runs.push(run);
                }
            }
            let count = runs.last().and_then(|run| self.count(run, block));
            if built.as_ref().is_none_or(|weakest| count.as_ref().is_some_and(|count| weaker(count, weakest)))
            {
                built = count;
            }
        }
        let mut receipts: Vec<ReceiptProof> = Vec::with_capacity(history.steps.len());
        for step in &history.steps {
            let place = step.place;
            receipts.push(self.rpc.prove_log(place.block, place.transaction, place.index)?.proof);
        }
        let proof = self.proof(HistoryProof::Receipts(receipts), &runs)?;
        Ok(Shown { proof, built })
    }

    /// The whole, with those changes only that come before a header of the runs.
    fn proof(self, history: HistoryProof, runs: &[Run]) -> Result<ChainProof, ChainProofError> {
        let newest = runs.last().and_then(Run::last).unwrap_or(0);
        let needed = self.changes.into_iter().filter(|(last, _)| *last < newest);
        Ok(ChainProof {
            history,
            runs: runs.iter().map(packed).collect::<Result<_, _>>()?,
            changes: needed.map(|(_, change)| change).collect(),
        })
    }

    /// Follows the announced changes up to a block, if the sets that are known without them do not seal it.
    pub(super) fn follow_changes(&mut self, block: u64) -> Result<(), ChainProofError> {
        let Some(timeline) = &self.timeline else { return Ok(()) };
        let Some(term) = timeline.term_at(block).map(|term| timeline.terms()[term].clone()) else {
            return Ok(());
        };
        let Some(announcer) = term.announcer else { return Ok(()) };
        // Some headers are enough to see whether another set seals; not one, because sets share authorities and their turns.
        let wanted = (2 * term.validators.len()).clamp(PROBE_HEADERS, MAX_RUN_HEADERS);
        let mut probe = Run::default();
        let found = self.extend(&mut probe, block, wanted)?;
        self.headers = 0;
        let holds = |timeline: &Timeline<'_>| matches!(timeline.check(&probe.headers), Ok(Some(_)));
        if found == wanted && self.timeline.as_ref().is_some_and(holds) {
            return Ok(());
        }
        let announced = self.rpc.announcements(announcer, term.from, block)?;
        for (at, transaction, index) in announced {
            let announcement = self.rpc.prove_log(at, transaction, index)?.proof;
            self.follow(at, announcement)?;
        }
        Ok(())
    }

    /// Follows one change. One that never became final, or came before the last one was, changed nothing.
    fn follow(&mut self, at: BlockAt, announcement: ReceiptProof) -> Result<(), ChainProofError> {
        let mut run = Run::default();
        self.grow_to_finality(&mut run, at.number)?;
        if run.headers.first().is_none_or(|header| header.hash != at.hash) {
            return Err(ChainError::Reorganised(at.number).into());
        }
        let Some(timeline) = &mut self.timeline else { return Ok(()) };
        match timeline.follow(&run.headers, &announcement) {
            Ok(()) if self.changes.len() == MAX_CHANGES => Err(ChainProofError::TooLarge),
            Ok(()) => {
                let last = run.last().unwrap_or(at.number);
                self.changes.push((last, ChangeProof { run: packed(&run)?, announcement }));
                Ok(())
            }
            Err(ChangeFault::NotFinal { .. } | ChangeFault::Order | ChangeFault::Surplus) => Ok(()),
            Err(fault) => {
                Err(ChainError::Contradiction(format!("the change of block {}: {fault}", at.number)).into())
            }
        }
    }

    /// Adds headers until a block of the run is final, or there are no more; the run begins with the block if it is empty.
    pub(super) fn grow_to_finality(&mut self, run: &mut Run, block: u64) -> Result<(), ChainProofError> {
        loop {
            let is_there = run.last().is_some_and(|last| last >= block);
            let is_final = self.count(run, block).is_none_or(|count| count.is_final);
            if is_there && is_final {
                return Ok(());
            }
            let next = run.last().map_or(block, |last| last.saturating_add(1));
            if self.extend(run, next, 1)? == 0 {
                return Ok(());
            }
        }
    }

    /// Adds so many headers, or as many as there are, and says how many.
    pub(super) fn extend(
        &mut self,
        run: &mut Run,
        from: u64,
        count: usize,
    ) -> Result<usize, ChainProofError> {
        for (added, number) in (from..).take(count).enumerate() {
            let Some((at, bytes)) = self.rpc.header(number)? else { return Ok(added) };
            let header = Header::parse(&bytes)
                .map_err(|error| ChainError::Contradiction(format!("block {number}: {error}")))?;
            if header.hash != at.hash || run.headers.last().is_some_and(|last| last.hash != header.parent) {
                return Err(ChainError::Reorganised(number).into());
            }
            self.headers += 1;
            if run.headers.len() == MAX_RUN_HEADERS || self.headers > MAX_HEADERS {
                return Err(ChainProofError::TooLarge);
            }
            run.bytes.push(bytes);
            run.headers.push(header);
        }
        Ok(count)
    }

    /// Who built on a block of a run; `None` where a set is not known, and headers after the block show nothing.
    fn count(&self, run: &Run, block: u64) -> Option<Count> {
        let timeline = self.timeline.as_ref()?;
        let terms: Vec<usize> =
            run.headers.iter().map(|header| timeline.term_at(header.number)).collect::<Option<_>>()?;
        let position = run.headers.iter().position(|header| header.number == block)?;
        Some(timeline.count(&run.headers, &terms, position))
    }

    /// The set that seals a block as far as changes were followed, and how many of them lead to it from a pinned one.
    pub(super) fn set_at(&self, block: u64) -> Option<(Term, usize)> {
        let timeline = self.timeline.as_ref()?;
        let term = timeline.terms()[timeline.term_at(block)?].clone();
        let changes = match term.origin {
            Origin::Pinned(_) => 0,
            Origin::Proven { changes, .. } => changes,
        };
        Some((term, changes))
    }

    /// A new block that is final already in all likelihood: as far back as each authority of the newest known set has two turns.
    fn newly_final(&self, least: u64, head: u64) -> u64 {
        let timeline = self.timeline.as_ref();
        let of = timeline
            .and_then(|timeline| timeline.term_at(head).map(|term| timeline.terms()[term].validators.len()));
        let back = u64::try_from(of.unwrap_or(0).saturating_mul(2)).unwrap_or(u64::MAX);
        head.saturating_sub(back).max(least)
    }
}

impl Run {
    fn last(&self) -> Option<u64> {
        self.headers.last().map(|header| header.number)
    }
}

fn weaker(one: &Count, other: &Count) -> bool {
    (one.is_final, one.builders.len()) < (other.is_final, other.builders.len())
}

fn packed(run: &Run) -> Result<Vec<u8>, ChainProofError> {
    let from = run.headers.first().map_or(0, |header| header.number);
    pack(&run.bytes).map_err(|error| ChainProofError::Headers { from, error })
}

/// Headers that are looked at, at least, to see whether the known set still seals.
const PROBE_HEADERS: usize = 16;
