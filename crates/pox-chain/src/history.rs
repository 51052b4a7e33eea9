//! One task rebuilt from the chain alone, and checked against the contract's own commitment to it.

use crate::contract::{Contract, TaskView};
use crate::error::{ChainError, contradiction, unknown_block, unknown_transaction};
use crate::follower::Place;
use crate::rpc::{BlockAt, Log};
use crate::scan::Width;
use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_sol_types::SolEvent;
use pox_core::abi::{self, IProofOfExecution as wire};
use pox_core::history::{At, Payload, Step};
use pox_core::proof::MAX_STEPS;
use pox_core::receipt::{archived, archived_batch};
use pox_core::signature::Signature;
use pox_core::{Archive, Call, Event, History, Members, Offer, Party, ReceiptId, Request, TaskId, UnixTime};
use std::collections::BTreeMap;

/// Everything that the chain holds of a task, up to one block. Its steps are exactly those that the contract committed to.
#[derive(Debug, Clone)]
pub struct TaskHistory {
    /// The task.
    pub task: TaskId,
    /// What was asked for.
    pub request: Request,
    /// Every step, in order.
    pub steps: Vec<HistoryStep>,
    /// What the contract's storage said at that block.
    pub view: TaskView,
    /// The newest block when this was read.
    pub head: BlockAt,
}

/// One transaction's part in a task.
#[derive(Debug, Clone)]
pub struct HistoryStep {
    /// What the running commitment hashes.
    pub step: Step,
    /// The event.
    pub event: Event,
    /// Where it stands.
    pub place: Place,
    /// What the call carried besides; each checked against its hash in the event.
    pub carried: Carried,
}

/// What only a call's input holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// Nothing that the event does not say.
    Nothing,
    /// A match's offer and evidence.
    Match {
        /// The offer.
        offer: Box<Offer>,
        /// The enclave's key evidence.
        evidence: Bytes,
        /// The path to the root of the request's list; empty where it has none.
        path: Vec<B256>,
    },
    /// The signed and sealed secret of an approval, or of one party's release.
    Secret {
        /// Whose it is.
        party: Party,
        /// As it stood in the call.
        secret: Bytes,
    },
    /// A receipt's signature.
    Prove {
        /// The enclave's.
        signature: Signature,
        /// The members, if the receipt closes a batch.
        members: Option<Members>,
    },
    /// The contract was called through another one, whose input says nothing about it.
    Hidden,
}

impl TaskHistory {
    /// The members, if the task ended by a receipt that closes a batch, and its call is not hidden.
    pub fn members(&self) -> Option<Members> {
        self.steps.iter().rev().find_map(|step| match step.carried {
            Carried::Prove { members, .. } => members,
            _ => None,
        })
    }
}

impl Contract {
    /// Rebuilds a task: its events from the newest block back to its request, the inputs of the calls behind them, every
    /// hash checked, and the running commitment over all of it compared with the contract's.
    ///
    /// # Errors
    /// There is no such task (or the endpoint does not know of it yet); the endpoint keeps something back, lags or lies;
    /// the chain was reorganised meanwhile.
    pub fn history(&self, task: TaskId) -> Result<TaskHistory, ChainError> {
        let head = self.rpc().head()?;
        let view = self.task_at(task, Some(head.at))?.ok_or(ChainError::NoSuchTask(task))?;
        let logs = self.task_logs(task, head.at.number)?;
        let mut times = BTreeMap::from([(head.at.number, (head.at.hash, head.time))]);
        let mut steps = Vec::with_capacity(logs.len());
        let mut logs = logs.into_iter().peekable();
        while let Some(log) = logs.next() {
            // A batch tells of its members in an event of its own, right after its receipt.
            let topic = |log: &Log| log.content.topics().first().copied();
            let tells = |next: &Log| topic(next) == Some(wire::Members::SIGNATURE_HASH);
            let members = logs.next_if(|next| tells(next) && next.transaction == log.transaction);
            steps.push(self.step(task, log, members.as_ref(), &mut times)?);
        }
        if History::over(steps.iter().map(|step| &step.step)) != view.history {
            return Err(contradiction(format!(
                "its events are not the history that the contract has of task {task}"
            )));
        }
        let request = match steps.first().map(|step| &step.event) {
            Some(Event::Requested { request, .. }) => request.as_ref().clone(),
            _ => return Err(contradiction(format!("task {task} does not begin with a request"))),
        };
        match self.rpc().block(head.at.number)? {
            Some(block) if block.at == head.at => {
                Ok(TaskHistory { task, request, steps, view, head: head.at })
            }
            _ => Err(ChainError::Reorganised(head.at.number)),
        }
    }

    /// The task's logs, oldest first. Searched backwards: tasks that are looked for are mostly recent.
    fn task_logs(&self, task: TaskId, head: u64) -> Result<Vec<Log>, ChainError> {
        let kinds = vec![
            wire::Requested::SIGNATURE_HASH,
            wire::Matched::SIGNATURE_HASH,
            wire::Rejected::SIGNATURE_HASH,
            wire::Approved::SIGNATURE_HASH,
            wire::Released::SIGNATURE_HASH,
            wire::Proven::SIGNATURE_HASH,
            wire::Members::SIGNATURE_HASH,
            wire::Cancelled::SIGNATURE_HASH,
            wire::Expired::SIGNATURE_HASH,
        ];
        let topics = [kinds, vec![task.0]];
        let mut width = Width::new(self.rpc().profile().log_range);
        let mut parts = Vec::new();
        let (mut to, mut count) = (head, 0);
        loop {
            let from = to.saturating_sub(width.blocks() - 1).max(self.since());
            match self.rpc().logs(self.domain().contract, &topics, from, to) {
                Ok(logs) => {
                    count += logs.len();
                    if count > MAX_STEPS {
                        return Err(contradiction(format!("task {task} has more steps than a proof holds")));
                    }
                    let complete = logs.first().is_some_and(|log| {
                        log.content.topics().first() == Some(&wire::Requested::SIGNATURE_HASH)
                    });
                    parts.push(logs);
                    if complete || from <= self.since() {
                        break;
                    }
                    to = from - 1;
                    width.grow();
                }
                Err(error) => width.shrink(error)?,
            }
        }
        Ok(parts.into_iter().rev().flatten().collect())
    }

    fn step(
        &self,
        task: TaskId,
        log: Log,
        members: Option<&Log>,
        times: &mut BTreeMap<u64, (B256, UnixTime)>,
    ) -> Result<HistoryStep, ChainError> {
        let event = self.event(&log)?;
        let members = match members.map(|log| self.event(log)).transpose()? {
            Some(Event::Members { task: of, root, count }) if of == task => Some(Members { root, count }),
            _ => None,
        };
        let number = log.block.number;
        let (hash, time) = match times.get(&number) {
            Some(known) => *known,
            None => {
                let block = self.rpc().block(number)?.ok_or_else(|| unknown_block(number))?;
                *times.entry(number).or_insert((block.at.hash, block.time))
            }
        };
        if hash != log.block.hash {
            return Err(ChainError::Reorganised(number));
        }
        let payload = self
            .payload(task, &event, members)
            .ok_or_else(|| contradiction(format!("a log that is no step of task {task}")))?;
        let carried = self.carried(&event, &log)?;
        let place = Place { block: log.block, time, transaction: log.transaction, index: log.index };
        Ok(HistoryStep { step: payload.step(At { number, time }), event, place, carried })
    }

    /// Reads a log of the contract; one that is not what the contract emits is the endpoint's fault.
    pub(crate) fn event(&self, log: &Log) -> Result<Event, ChainError> {
        Event::parse(self.domain(), &log.content)
            .map_err(|error| contradiction(format!("log {} of {}: {error}", log.index, log.transaction)))
    }

    fn payload(&self, task: TaskId, event: &Event, members: Option<Members>) -> Option<Payload> {
        event.payload(self.domain(), members).filter(|_| event.task() == Some(task))
    }

    fn carried(&self, event: &Event, log: &Log) -> Result<Carried, ChainError> {
        let carries = matches!(
            event,
            Event::Matched { .. } | Event::Approved { .. } | Event::Released { .. } | Event::Proven { .. }
        );
        if !carries {
            return Ok(Carried::Nothing);
        }
        let hash = log.transaction;
        let transaction = self.rpc().transaction(hash)?.ok_or_else(|| unknown_transaction(hash))?;
        if transaction.block != Some(log.block.hash) {
            return Err(ChainError::Reorganised(log.block.number));
        }
        if transaction.to != Some(self.domain().contract) {
            return Ok(Carried::Hidden);
        }
        self.fitting(event, &transaction.input).ok_or_else(|| {
            contradiction(format!("the input of transaction {hash} is not what its event says"))
        })
    }

    /// What the input carries, if it is the input of exactly this event's call.
    fn fitting(&self, event: &Event, input: &[u8]) -> Option<Carried> {
        match (event, Call::parse(input)?) {
            (Event::Matched { .. }, Call::MatchTask { record, terms, enclave, evidence }) => {
                self.match_of(event, record, terms, enclave, evidence, Vec::new())
            }
            (Event::Matched { .. }, Call::MatchListed { record, terms, enclave, evidence, path }) => {
                self.match_of(event, record, terms, enclave, evidence, path)
            }
            (
                Event::Approved { task, enclave, secret },
                Call::Approve { task: of, enclave: called, secret: bytes },
            ) => {
                let fits = of == *task && called == *enclave && keccak256(&bytes) == *secret;
                fits.then_some(Carried::Secret { party: Party::OWNER, secret: bytes })
            }
            (
                Event::Released { task, account, enclave, secret, .. },
                Call::Release { record, party, enclave: called, secret: bytes },
            ) => {
                let (request, party) = (Request::try_from(record).ok()?, Party(party));
                let fits = request.id(self.domain()) == *task
                    && request.account_of(party) == Some(*account)
                    && called == *enclave
                    && keccak256(&bytes) == *secret;
                fits.then_some(Carried::Secret { party, secret: bytes })
            }
            (Event::Proven { .. }, Call::Prove { receipt, archive, signature }) => {
                self.proof_of(event, receipt, archive, None, &signature)
            }
            (Event::Proven { .. }, Call::ProveMany { receipt, archive, members: root, count, signature }) => {
                self.proof_of(event, receipt, archive, Some(Members { root, count }), &signature)
            }
            _ => None,
        }
    }

    fn match_of(
        &self,
        event: &Event,
        record: abi::Request,
        terms: abi::Offer,
        called: Address,
        bytes: Bytes,
        path: Vec<B256>,
    ) -> Option<Carried> {
        let Event::Matched { task, offer, enclave, evidence, .. } = event else { return None };
        let terms = Offer::try_from(terms).ok()?;
        let request = Request::try_from(record).ok()?;
        let fits = request.id(self.domain()) == *task
            && terms.id(self.domain()) == *offer
            && called == *enclave
            && keccak256(&bytes) == *evidence;
        fits.then(|| Carried::Match { offer: Box::new(terms), evidence: bytes, path })
    }

    fn proof_of(
        &self,
        event: &Event,
        called: abi::Receipt,
        of: Archive,
        members: Option<Members>,
        signature: &[u8],
    ) -> Option<Carried> {
        let Event::Proven { receipt, archive, .. } = event else { return None };
        let signature = Signature::parse(signature).ok()?;
        let (domain, id) = (self.domain(), ReceiptId(self.domain().digest(&called)));
        let statement = match members {
            None => archived(domain, id, of).0,
            Some(Members { root, count }) => archived_batch(domain, id, of, root, count).0,
        };
        let fits = called == **receipt && of == *archive && signature.signer(statement) == Ok(called.enclave);
        fits.then_some(Carried::Prove { signature, members })
    }
}
