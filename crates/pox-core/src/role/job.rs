//! One task of a processor.

use super::processor::{Action, EnclaveFact, Ending, Policy, Proof, delay};
use super::sight::{End, Place, Seat, Sight, Standing};
use crate::event::Event;
use crate::history::At;
use crate::id::{OfferId, TaskId};
use crate::record::{Offer, Processors, Request, UnixTime};
use crate::refusal::Phase;
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All that a processor remembers of one task; the journal's entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    #[serde(with = "super::request_hex")]
    request: Request,
    task: TaskId,
    sight: Sight,
    stage: Stage,
    failed_launches: u32,
    ending: Option<Ending>,
}

/// What the processor has for the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Stage {
    /// Nothing yet.
    Watching,
    /// An enclave is being launched.
    Booting { offer: OfferId },
    /// An enclave is up; from here on a match of it can come into the chain.
    Armed { offer: OfferId, enclave: Address, evidence: B256 },
    /// The enclave refused this approval's secret. It could be the owner's fault or a lying endpoint's: time tells.
    Refused { enclave: Address, approved: Place },
    /// The enclave has signed; it is not needed any more.
    Signed { enclave: Address, proof: Box<Proof> },
    /// The enclave is gone, and with it its keys.
    Lost { enclave: Address },
    /// Done, or given up; a match of this enclave can still come into the chain.
    Left { enclave: Option<Address> },
}

/// What a decision looks at besides the task.
pub(super) struct Context<'a> {
    pub(super) policy: &'a Policy,
    pub(super) offers: &'a BTreeMap<OfferId, Offer>,
    pub(super) head: Option<At>,
    pub(super) clock: UnixTime,
}

impl Job {
    pub(super) fn new(task: TaskId, request: Request) -> Self {
        let (sight, stage) = (Sight::new(task), Stage::Watching);
        Self { request, task, sight, stage, failed_launches: 0, ending: None }
    }

    /// The task.
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// Its request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// What became of it, once the processor has done with it.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    pub(super) fn stage(&self) -> &Stage {
        &self.stage
    }

    pub(super) fn has_enclave(&self) -> bool {
        matches!(self.stage, Stage::Booting { .. } | Stage::Armed { .. } | Stage::Refused { .. })
    }

    /// Whether the processor had done anything for it, being in this stage.
    pub(super) fn was_engaged(&self, stage: &Stage) -> bool {
        *stage != Stage::Watching || self.failed_launches > 0
    }

    /// The same job after a crash: its enclave is gone.
    pub(super) fn restarted(self) -> Self {
        let stage = match self.stage {
            Stage::Booting { .. } => Stage::Watching,
            Stage::Armed { enclave, .. } | Stage::Refused { enclave, .. } => Stage::Lost { enclave },
            other => other,
        };
        Self { stage, ..self }
    }

    pub(super) fn see(&mut self, place: Place, event: &Event) -> bool {
        self.sight.see(place, event)
    }

    pub(super) fn revert(&mut self, place: &Place) -> bool {
        self.sight.revert(place)
    }

    /// Takes what the enclave says; says whether it changed anything.
    pub(super) fn hear(&mut self, fact: EnclaveFact) -> bool {
        let next = match (&self.stage, fact) {
            (Stage::Booting { offer }, EnclaveFact::Ready { enclave, evidence }) => {
                Stage::Armed { offer: *offer, enclave, evidence }
            }
            (Stage::Booting { .. }, EnclaveFact::Gone) => {
                self.failed_launches += 1;
                Stage::Watching
            }
            (Stage::Armed { enclave, .. }, EnclaveFact::SecretRefused) => match self.sight.standing() {
                Standing::Approved { place, .. } => Stage::Refused { enclave: *enclave, approved: place },
                _ => return false,
            },
            (Stage::Armed { enclave, .. } | Stage::Refused { enclave, .. }, EnclaveFact::Finished(proof)) => {
                Stage::Signed { enclave: *enclave, proof }
            }
            (Stage::Armed { enclave, .. } | Stage::Refused { enclave, .. }, EnclaveFact::Gone) => {
                Stage::Lost { enclave: *enclave }
            }
            _ => return false,
        };
        self.stage = next;
        true
    }

    /// Takes the steps that need nothing from outside: begin, give up, end.
    pub(super) fn advance(&mut self, context: &Context<'_>, free_slot: bool) {
        if let (Stage::Watching, true) = (&self.stage, free_slot)
            && let Some((offer, start)) = self.opening(context)
            && context.clock >= start
        {
            self.stage = Stage::Booting { offer };
        }
        if let Some(ending) = self.reached(context).filter(|_| self.ending.is_none()) {
            self.ending = Some(ending);
            self.stage = Stage::Left { enclave: self.enclave() };
        }
    }

    /// Whether nothing can happen to the task any more that concerns this processor.
    pub(super) fn is_over(&self, context: &Context<'_>) -> bool {
        let Stage::Left { .. } = self.stage else { return false };
        match self.sight.standing() {
            Standing::Ended { place, .. } => self.deep(&place, context),
            Standing::Matched(seat) if self.is_ours(&seat, context) => false,
            _ => self.outlasted(context),
        }
    }

    pub(super) fn wanted(&self, context: &Context<'_>) -> Option<Action> {
        let task = self.task;
        let late = self.deadline().is_some_and(|deadline| context.clock > deadline);
        match (&self.stage, self.sight.standing()) {
            (Stage::Booting { .. }, Standing::Open { .. }) => {
                Some(Action::Boot { task, request: Box::new(self.request.clone()) })
            }
            (Stage::Armed { offer, enclave, .. }, Standing::Open { .. })
                if !late && !self.sight.seated(context.policy.account, *enclave) =>
            {
                let offer = Box::new(context.offers.get(offer)?.clone());
                let request = Box::new(self.request.clone());
                let path = context.policy.path_for(request.processors);
                Some(Action::SendMatch { task, request, offer, enclave: *enclave, path })
            }
            (_, Standing::Matched(seat)) if late && self.is_ours(&seat, context) => {
                let request = Box::new(self.request.clone());
                Some(Action::SendExpire { task, request, from: Phase::Matched })
            }
            (Stage::Armed { .. }, Standing::Approved { seat, .. })
                if !late && self.is_ours(&seat, context) =>
            {
                Some(Action::Deliver { task, released: self.sight.released() })
            }
            (Stage::Refused { approved, .. }, Standing::Approved { place, .. }) if place != *approved => {
                Some(Action::Deliver { task, released: self.sight.released() })
            }
            (Stage::Signed { proof, .. }, Standing::Approved { seat, .. })
                if !late && self.is_ours(&seat, context) =>
            {
                Some(Action::SendProve { task, proof: proof.clone() })
            }
            _ => None,
        }
    }

    /// When the next decision could differ, if nothing happens before.
    pub(super) fn wake(&self, context: &Context<'_>) -> Option<UnixTime> {
        let start = match self.stage {
            Stage::Watching => self.opening(context).map(|(_, start)| start),
            _ => None,
        };
        let late = self.deadline().map(|deadline| UnixTime(deadline.0.saturating_add(1)));
        let over = late.map(|late| UnixTime(late.0.saturating_add(context.policy.grace.into())));
        [start, late, over].into_iter().flatten().filter(|wake| *wake > context.clock).min()
    }

    /// The offer that serves the task and the time from which to boot for it, if it is worth it.
    fn opening(&self, context: &Context<'_>) -> Option<(OfferId, UnixTime)> {
        let Standing::Open { since, .. } = self.sight.standing() else { return None };
        let (request, policy) = (&self.request, context.policy);
        let by = context.clock.0.saturating_add(policy.boot_time.into());
        let run = request.resources.time_limit.saturating_add(policy.overhead);
        if request.match_by.0 < by || request.prove_within < run {
            return None;
        }
        let serves =
            |(_, offer): &(&OfferId, &Offer)| offer.valid_until.0 >= by && offer.misfit(request).is_none();
        let (id, _) = context.offers.iter().find(serves)?;
        let wait = match request.processors {
            Processors::Only(_) => 0,
            Processors::Any | Processors::Listed(_) => delay(self.task, *id, policy.max_delay),
        };
        Some((*id, since.deadline(wait)))
    }

    /// The ending that the task has reached for us, if it has.
    fn reached(&self, context: &Context<'_>) -> Option<Ending> {
        let launchable = self.failed_launches < context.policy.launches;
        match self.sight.standing() {
            Standing::Ended { place, end, seat } => {
                let ours = seat.is_some_and(|seat| self.is_ours(&seat, context));
                self.deep(&place, context).then_some(if ours { ending_of(end) } else { Ending::NotOurs })
            }
            Standing::Open { rejected: Some(seat), since } if self.is_ours(&seat, context) => {
                self.deep(&since, context).then_some(Ending::Rejected)
            }
            Standing::Open { .. } if !launchable => Some(Ending::NoEnclave),
            Standing::Open { .. } | Standing::Unseen => self.outlasted(context).then_some(Ending::NotOurs),
            Standing::Matched(seat) if self.is_ours(&seat, context) => None,
            Standing::Approved { seat, .. } if self.is_ours(&seat, context) => {
                self.outlasted(context).then_some(Ending::BondLost)
            }
            // Another was first. Until that is deep, a reorganisation can still let our match in.
            Standing::Matched(seat) | Standing::Approved { seat, .. } => {
                let engaged = !matches!(self.stage, Stage::Watching);
                (engaged && self.deep(&seat.place, context)).then_some(Ending::NotOurs)
            }
        }
    }

    /// Whether the phase's deadline lies so far back, by the chain's own time, that nothing before it can still show up.
    fn outlasted(&self, context: &Context<'_>) -> bool {
        let end = self.deadline().map(|deadline| deadline.0.saturating_add(context.policy.grace.into()));
        matches!((context.head, end), (Some(head), Some(end)) if head.time.0 > end)
    }

    fn is_ours(&self, seat: &Seat, context: &Context<'_>) -> bool {
        self.enclave().is_some_and(|enclave| seat.is_of(context.policy.account, enclave))
    }

    fn enclave(&self) -> Option<Address> {
        match &self.stage {
            Stage::Armed { enclave, .. }
            | Stage::Refused { enclave, .. }
            | Stage::Signed { enclave, .. }
            | Stage::Lost { enclave } => Some(*enclave),
            Stage::Left { enclave } => *enclave,
            Stage::Watching | Stage::Booting { .. } => None,
        }
    }

    fn deadline(&self) -> Option<UnixTime> {
        match self.sight.standing() {
            Standing::Unseen | Standing::Open { .. } => Some(self.request.match_by),
            Standing::Matched(seat) => Some(seat.place.deadline(self.request.approve_within)),
            Standing::Approved { place, .. } => Some(place.deadline(self.request.prove_within)),
            Standing::Ended { .. } => None,
        }
    }

    fn deep(&self, place: &Place, context: &Context<'_>) -> bool {
        place.confirmed(context.head, context.policy.confirmations)
    }
}

/// What an end means for the processor whose match was the last.
fn ending_of(end: End) -> Ending {
    match end {
        End::Proven(posting) => Ending::Proven(posting.outcome),
        End::Expired(Phase::Matched) => Ending::Unanswered,
        End::Expired(Phase::Approved) => Ending::BondLost,
        // Its match was rejected, and then the task ended without another one.
        End::Expired(_) | End::Cancelled => Ending::Rejected,
    }
}
