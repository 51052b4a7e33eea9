//! A task rebuilt from its events alone (spec §4, §16.2): what somebody who only reads the chain knows of it.
//!
//! [`crate::Task`] needs what only calls carry: the offer's terms, the secret, signatures. The contract has checked these, and
//! events leave them out. So a [`Replay`] holds what events show, and refuses events that can't be those of one task: whoever
//! told them keeps something back, or lies. A test replays the events of random calls on [`crate::Ledger`] and compares.

use crate::abi;
use crate::domain::Domain;
use crate::event::Event;
use crate::history::{At, Payload, Step};
use crate::id::{Archive, History, OfferId, TaskId};
use crate::ledger::TaskView;
use crate::members::Members;
use crate::party::Parties;
use crate::receipt::Doing;
use crate::record::{Amount, MAX_DEADLINE_SECONDS, Processors, Request, UnixTime};
use crate::refusal::Phase;
use alloy_primitives::{Address, B256};

/// A task, as its events tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The task.
    pub task: TaskId,
    /// What was asked for.
    pub request: Request,
    /// Who escrowed the price, if it was not the owner.
    pub sponsor: Option<Address>,
    /// Where it stands.
    pub stage: Stage,
    /// The running commitment over its steps. The contract's own says whether they were all told.
    pub history: History,
    /// Where its last step is.
    pub last: At,
    /// How many of the request's inputs were announced by an event of their own.
    announced: usize,
    /// Whether the members of its batch are yet to be told by an event of their own.
    members_due: bool,
}

/// Where a task stands, with what is known then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Open to be matched.
    Requested,
    /// Waits for its owners.
    Matched {
        /// The match.
        seat: Seat,
        /// Whose `release` is missing; nobody's where the owner's `approve` is what it waits for.
        missing: Parties,
    },
    /// Waits for the receipt.
    Approved(Released),
    /// Ended by a receipt.
    Proven {
        /// The match and the release before it.
        released: Released,
        /// The receipt; its outcome can be a code that this version does not know.
        receipt: Box<abi::Receipt>,
        /// SHA-256 of the archive.
        archive: Archive,
        /// The members, if it closes a batch.
        members: Option<Members>,
    },
    /// Ended by its owner.
    Cancelled,
    /// Ended by time.
    Expired {
        /// The phase that it ended from.
        from: Phase,
        /// The match that it stood in.
        seat: Option<Seat>,
    },
}

/// A match, as its event tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The offer.
    pub offer: OfferId,
    /// Who matched.
    pub processor: Address,
    /// The enclave's account.
    pub enclave: Address,
    /// keccak256 of the evidence.
    pub evidence: B256,
    /// What the processor deposited.
    pub bond: Amount,
    /// Last second in which the owner can answer.
    pub approve_by: UnixTime,
}

/// A match whose secrets are all released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Released {
    /// The match.
    pub seat: Seat,
    /// keccak256 of the signed and sealed secret that came last.
    pub secret: B256,
    /// Last second in which the receipt can be posted.
    pub prove_by: UnixTime,
}

/// Events that can't be those of one task of the contract: whoever told them left some out, or made some up.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum Contradiction {
    /// The first event is not a request.
    #[error("its first event is not a request")]
    NoRequest,
    /// There is a second request.
    #[error("it is requested twice")]
    RequestedTwice,
    /// The event is about something else.
    #[error("an event that is not about it")]
    OtherTask,
    /// The event can't follow in this phase.
    #[error("a step that can't be taken while it is {0}")]
    WrongPhase(Phase),
    /// The step came after its deadline.
    #[error("a step after its deadline, {}", .0.0)]
    TooLate(UnixTime),
    /// The deadline had not passed.
    #[error("an expiry before its deadline, {}", .0.0)]
    TooEarly(UnixTime),
    /// The deadline of the request is none that the contract takes.
    #[error("a request with a deadline that the contract refuses")]
    Deadline,
    /// Steps go back in the chain.
    #[error("a step before the one that it follows")]
    Backwards,
    /// Not the processor that the request or the match names.
    #[error("a step of another processor than its own")]
    OtherProcessor,
    /// Not the enclave that was matched.
    #[error("a step of another enclave than the matched one")]
    OtherEnclave,
    /// No outcome of spec §6.1 has this code.
    #[error("a receipt whose outcome is none")]
    BadOutcome,
    /// An input is announced that is not the request's next one, or one was not announced.
    #[error("its inputs are not announced as its request names them")]
    Inputs,
    /// Not a party of the task, or one that has released already.
    #[error("a step of somebody whose turn it is not")]
    OtherParty,
    /// The price is said to be a sponsor's at another time than with the request, or twice.
    #[error("a sponsor where there is none")]
    Sponsor,
    /// The members are not told right after the receipt that closes their batch.
    #[error("members without the receipt that closes their batch")]
    Members,
}

impl Replay {
    /// Begins with a task's first event.
    ///
    /// # Errors
    /// It is no request, or one that the contract takes in no block of this time.
    pub fn begin(event: &Event, at: At) -> Result<(Self, Step), Contradiction> {
        let Event::Requested { task, request } = event else { return Err(Contradiction::NoRequest) };
        let latest = at.time.0.saturating_add(MAX_DEADLINE_SECONDS.into());
        if !(at.time.0..=latest).contains(&request.match_by.0) {
            return Err(Contradiction::Deadline);
        }
        let step = Payload::Request(*task).step(at);
        let replay = Self {
            task: *task,
            request: request.as_ref().clone(),
            sponsor: None,
            stage: Stage::Requested,
            history: History::ZERO.then(&step),
            last: at,
            announced: 0,
            members_due: false,
        };
        Ok((replay, step))
    }

    /// Goes on by one event; gives the step that it is, if it is one. On an error nothing has changed. `next` is the event that
    /// follows in the chain, if there is one: the members of a batch are told behind its receipt.
    ///
    /// # Errors
    /// The contract can't have emitted it for this task as it was told.
    pub fn then(
        &mut self,
        event: &Event,
        next: Option<&Event>,
        at: At,
        domain: &Domain,
    ) -> Result<Option<Step>, Contradiction> {
        if event.task() != Some(self.task) {
            return Err(Contradiction::OtherTask);
        }
        if at.number < self.last.number || at.time < self.last.time {
            return Err(Contradiction::Backwards);
        }
        let with_request = self.stage == Stage::Requested && at == self.last;
        match event {
            Event::Uses { input, .. } => {
                let is_next = self.request.inputs.get(self.announced) == Some(input);
                if !is_next || !with_request || self.sponsor.is_some() {
                    return Err(Contradiction::Inputs);
                }
                self.announced += 1;
                return Ok(None);
            }
            Event::Sponsored { sponsor, .. } => {
                if self.sponsor.is_some() || !with_request || !self.is_announced() {
                    return Err(Contradiction::Sponsor);
                }
                self.sponsor = Some(*sponsor);
                return Ok(None);
            }
            Event::Members { root, count, .. } => {
                let told = Members { root: *root, count: *count };
                let is_of_receipt =
                    matches!(&self.stage, Stage::Proven { members, .. } if *members == Some(told));
                if !is_of_receipt || !self.members_due || at != self.last {
                    return Err(Contradiction::Members);
                }
                self.members_due = false;
                return Ok(None);
            }
            _ => {}
        }
        if !self.is_announced() {
            return Err(Contradiction::Inputs);
        }
        let members = match (event, next) {
            (Event::Proven { .. }, Some(Event::Members { task, root, count })) if *task == self.task => {
                Some(Members { root: *root, count: *count })
            }
            _ => None,
        };
        let stage = self.follow(event, members, at)?;
        let payload = event.payload(domain, members).ok_or(Contradiction::OtherTask)?;
        let step = payload.step(at);
        self.history = self.history.then(&step);
        self.stage = stage;
        self.last = at;
        self.members_due = members.is_some();
        Ok(Some(step))
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        match self.stage {
            Stage::Requested => Phase::Requested,
            Stage::Matched { .. } => Phase::Matched,
            Stage::Approved(_) => Phase::Approved,
            Stage::Proven { .. } => Phase::Proven,
            Stage::Cancelled => Phase::Cancelled,
            Stage::Expired { .. } => Phase::Expired,
        }
    }

    /// The match that it stands in, or stood in when it ended.
    pub fn seat(&self) -> Option<&Seat> {
        match &self.stage {
            Stage::Matched { seat, .. } => Some(seat),
            Stage::Approved(released) | Stage::Proven { released, .. } => Some(&released.seat),
            Stage::Expired { seat, .. } => seat.as_ref(),
            Stage::Requested | Stage::Cancelled => None,
        }
    }

    /// The deadline of its phase; an end has none.
    pub fn deadline(&self) -> Option<UnixTime> {
        match &self.stage {
            Stage::Requested => Some(self.request.match_by),
            Stage::Matched { seat, .. } => Some(seat.approve_by),
            Stage::Approved(released) => Some(released.prove_by),
            Stage::Proven { .. } | Stage::Cancelled | Stage::Expired { .. } => None,
        }
    }

    /// What the contract's `task` view says, if every event was told.
    pub fn view(&self) -> TaskView {
        let phase = self.phase();
        let seat = self.seat().filter(|_| !phase.is_end());
        let sponsor = self.sponsor.filter(|_| !phase.is_end());
        TaskView {
            phase,
            owner: self.request.owner,
            processor: seat.map_or(Address::ZERO, |seat| seat.processor),
            enclave: seat.map_or(Address::ZERO, |seat| seat.enclave),
            price: if phase.is_end() { Amount::ZERO } else { self.request.price },
            bond: seat.map_or(Amount::ZERO, |seat| seat.bond),
            deadline: seat.and(self.deadline()).unwrap_or_default(),
            history: self.history,
            sponsor: sponsor.unwrap_or_default(),
            missing: match self.stage {
                Stage::Matched { missing, .. } => missing,
                _ => Parties(0),
            },
        }
    }

    fn is_announced(&self) -> bool {
        self.announced == self.request.inputs.len()
    }

    /// The stage that an event leads to.
    fn follow(&self, event: &Event, members: Option<Members>, at: At) -> Result<Stage, Contradiction> {
        match (&self.stage, event) {
            (_, Event::Requested { .. }) => Err(Contradiction::RequestedTwice),
            (Stage::Requested, Event::Matched { .. }) => self.matched(event, at),
            (Stage::Requested, Event::Cancelled { .. }) => Ok(Stage::Cancelled),
            (Stage::Matched { seat, .. }, Event::Rejected { processor, account, enclave, .. }) => {
                in_time(at, seat.approve_by)?;
                is_processor(seat.processor, *processor)?;
                is_enclave(seat.enclave, *enclave)?;
                if !self.request.parties().any(|(_, party)| party == *account) {
                    return Err(Contradiction::OtherParty);
                }
                Ok(Stage::Requested)
            }
            (Stage::Matched { seat, missing }, Event::Approved { enclave, secret, .. }) => {
                if !missing.is_empty() {
                    return Err(Contradiction::OtherParty);
                }
                self.answered(seat, Parties(0), *enclave, *secret, at)
            }
            (
                Stage::Matched { seat, missing },
                Event::Released { account, enclave, secret, missing: left, .. },
            ) => {
                let party =
                    self.request.parties().find(|(_, party)| party == account).map(|(party, _)| party);
                let party =
                    party.filter(|party| missing.contains(*party)).ok_or(Contradiction::OtherParty)?;
                let missing = missing.without(party);
                if missing != Parties(*left) {
                    return Err(Contradiction::OtherParty);
                }
                self.answered(seat, missing, *enclave, *secret, at)
            }
            (Stage::Approved(released), Event::Proven { processor, receipt, archive, .. }) => {
                in_time(at, released.prove_by)?;
                is_processor(released.seat.processor, *processor)?;
                is_enclave(released.seat.enclave, receipt.enclave)?;
                Doing::of(receipt.outcome).ok_or(Contradiction::BadOutcome)?;
                let (released, receipt) = (*released, receipt.clone());
                Ok(Stage::Proven { released, receipt, archive: *archive, members })
            }
            (_, Event::Expired { from, .. }) => {
                let phase = self.phase();
                let deadline = self.deadline().ok_or(Contradiction::WrongPhase(phase))?;
                if *from != phase {
                    return Err(Contradiction::WrongPhase(phase));
                }
                if at.time <= deadline {
                    return Err(Contradiction::TooEarly(deadline));
                }
                Ok(Stage::Expired { from: *from, seat: self.seat().copied() })
            }
            _ => Err(Contradiction::WrongPhase(self.phase())),
        }
    }

    fn matched(&self, event: &Event, at: At) -> Result<Stage, Contradiction> {
        let Event::Matched { offer, processor, enclave, evidence, bond, .. } = *event else {
            return Err(Contradiction::WrongPhase(self.phase()));
        };
        in_time(at, self.request.match_by)?;
        // Of a list, events show no path.
        if let Processors::Only(only) = self.request.processors {
            is_processor(only, processor)?;
        }
        if enclave.is_zero() {
            return Err(Contradiction::OtherEnclave);
        }
        let approve_by = after(at, self.request.approve_within);
        let seat = Seat { offer, processor, enclave, evidence, bond, approve_by };
        Ok(Stage::Matched { seat, missing: self.request.releases() })
    }

    /// After an answer to the named enclave: approved, once nobody's is missing.
    fn answered(
        &self,
        seat: &Seat,
        missing: Parties,
        enclave: Address,
        secret: B256,
        at: At,
    ) -> Result<Stage, Contradiction> {
        in_time(at, seat.approve_by)?;
        is_enclave(seat.enclave, enclave)?;
        let prove_by = after(at, self.request.prove_within);
        Ok(match missing.is_empty() {
            true => Stage::Approved(Released { seat: *seat, secret, prove_by }),
            false => Stage::Matched { seat: *seat, missing },
        })
    }
}

fn in_time(at: At, deadline: UnixTime) -> Result<(), Contradiction> {
    if at.time <= deadline { Ok(()) } else { Err(Contradiction::TooLate(deadline)) }
}

fn is_processor(expected: Address, told: Address) -> Result<(), Contradiction> {
    if expected == told { Ok(()) } else { Err(Contradiction::OtherProcessor) }
}

fn is_enclave(expected: Address, told: Address) -> Result<(), Contradiction> {
    if expected == told { Ok(()) } else { Err(Contradiction::OtherEnclave) }
}

fn after(at: At, seconds: u32) -> UnixTime {
    UnixTime(at.time.0.saturating_add(seconds.into()))
}
