//! The owner's side of one task: asks, judges by others' verdicts, releases or rejects, collects, ends. A co-owner's is the
//! same without asking, taking back and collecting.
//!
//! It approves only the very match that was judged, and only under enough confirmations: a match that a reorganisation
//! moves or replaces is judged anew. An approval that a reorganisation takes back has still published a secret, but one
//! sealed to an enclave that was accepted, so nothing is lost by it.

use super::agenda::Agenda;
use super::sight::{End, Place, Seat, Sight, Sighting, Standing};
use crate::domain::Domain;
use crate::history::At;
use crate::id::{Archive, ResultsCommitment, TaskId};
use crate::party::Party;
use crate::record::{Request, UnixTime};
use crate::refusal::Phase;
use serde::{Deserialize, Serialize};

/// How patient an owner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Blocks that have to stand on a match before it is answered, and on an end before it counts; its own included.
    pub confirmations: u64,
    /// Seconds after which an action that has shown no effect is asked for again.
    pub again_after: u32,
    /// Seconds after the receipt in which the results have to be fetched.
    pub fetch_within: u32,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The chain shows something.
    Chain(Sighting),
    /// The evidence of a match was judged against the policy, by a verifier.
    Judged {
        /// The match that was judged.
        seat: Seat,
        /// What it came to.
        verdict: Verdict,
    },
    /// The results were fetched and checked against their commitment, or can't be had.
    Fetched {
        /// The commitment that was asked for.
        results: ResultsCommitment,
        /// Whether they were had.
        fetch: Fetch,
    },
    /// The owner wants the request back, if it is not matched any more or yet.
    Cancel,
}

/// What a verifier says of a match's evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Verdict {
    /// The enclave is one that the policy accepts, for this task.
    Accept,
    /// It is not, for this reason of spec §9.4.
    Reject(u8),
}

/// Whether the results were had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Fetch {
    /// They are here, and are those of the receipt.
    Had,
    /// They could not be had now; asked for again until time is up.
    Failed,
}

/// What to do. Each can be asked for again, and has to have its effect at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write [`Owner::entry`] to the journal, before any action that follows.
    Save,
    /// Send the request.
    SendRequest,
    /// Fetch the evidence from the match's transaction and judge it; answer with [`Fact::Judged`].
    Judge(Seat),
    /// Seal the secret to this match's enclave, sign the release, and approve; or release, where there are several parties.
    SendApprove(Seat),
    /// Reject this match.
    SendReject {
        /// The match.
        seat: Seat,
        /// Why, by spec §9.4.
        reason: u8,
    },
    /// Take the request back.
    SendCancel,
    /// End the task, its deadline having passed.
    SendExpire(Phase),
    /// Fetch results and archive, check them, open them; answer with [`Fact::Fetched`].
    FetchResults {
        /// The results' commitment.
        results: ResultsCommitment,
        /// The archive's.
        archive: Archive,
    },
    /// The task has ended, and will not change again.
    Finish(Ending),
}

/// What became of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Ending {
    /// A receipt was posted.
    Proven {
        /// Its outcome's code.
        outcome: u8,
        /// The results.
        results: Collected,
    },
    /// The owner took the request back.
    Cancelled,
    /// A deadline passed in this phase.
    Expired(Phase),
    /// The request never came into the chain, and can't any more.
    NeverPosted,
}

/// What became of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Collected {
    /// The receipt names none, or they are another party's.
    None,
    /// They are here.
    Had,
    /// They could not be had in time.
    Missing,
}

/// All that an owner remembers of one task; the journal's entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    #[serde(with = "super::request_hex")]
    request: Request,
    task: TaskId,
    party: Party,
    sight: Sight,
    judged: Option<(Seat, Verdict)>,
    had: Option<ResultsCommitment>,
    cancelling: bool,
    sent: bool,
    ending: Option<Ending>,
}

impl Entry {
    /// What became of the task, once it has ended for good.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }
}

/// One owner with one task.
#[derive(Debug, Clone)]
pub struct Owner {
    patience: Patience,
    entry: Entry,
    head: Option<At>,
    now: UnixTime,
    agenda: Agenda<Action>,
}

impl Owner {
    /// Begins a task, as its owner or one of its co-owners.
    pub fn new(domain: &Domain, request: Request, party: Party, patience: Patience) -> Self {
        let task = request.id(domain);
        let entry = Entry {
            request,
            task,
            party,
            sight: Sight::new(task),
            judged: None,
            had: None,
            cancelling: false,
            sent: false,
            ending: None,
        };
        Self::resume(entry, patience)
    }

    /// Goes on from a journal's entry. What was being done is asked for again.
    pub fn resume(entry: Entry, patience: Patience) -> Self {
        let agenda = Agenda::new(patience.again_after);
        Self { patience, entry, head: None, now: UnixTime(0), agenda }
    }

    /// The task.
    pub fn task(&self) -> TaskId {
        self.entry.task
    }

    /// The request.
    pub fn request(&self) -> &Request {
        &self.entry.request
    }

    /// Which party this is.
    pub fn party(&self) -> Party {
        self.entry.party
    }

    /// What to write to the journal.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// What became of the task, once it has ended for good.
    pub fn ending(&self) -> Option<Ending> {
        self.entry.ending
    }

    /// Takes a fact. Facts about other tasks, repeated and outdated ones change nothing.
    pub fn handle(&mut self, fact: Fact, now: UnixTime) {
        let before = self.entry.clone();
        match fact {
            Fact::Chain(Sighting::Event { place, event }) => drop(self.entry.sight.see(place, &event)),
            Fact::Chain(Sighting::Reverted { place }) => drop(self.entry.sight.revert(&place)),
            Fact::Chain(Sighting::Head(head)) => self.head = Some(head),
            Fact::Judged { seat, verdict } => self.judge(seat, verdict),
            Fact::Fetched { results, fetch: Fetch::Had } => self.entry.had = Some(results),
            Fact::Fetched { fetch: Fetch::Failed, .. } => {}
            Fact::Cancel => self.entry.cancelling = true,
        }
        self.decide(&before, now);
    }

    /// Takes the time.
    pub fn handle_timeout(&mut self, now: UnixTime) {
        let before = self.entry.clone();
        self.decide(&before, now);
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.agenda.poll()
    }

    /// When to call [`Owner::handle_timeout`], if nothing happens before.
    pub fn poll_timeout(&self) -> Option<UnixTime> {
        if self.entry.ending.is_some() {
            return None;
        }
        let deadline = self.deadline().filter(|deadline| *deadline > self.now);
        [self.agenda.next_due(), deadline].into_iter().flatten().min()
    }

    /// Only of the match that stands now; a verdict on another one is outdated.
    fn judge(&mut self, seat: Seat, verdict: Verdict) {
        if self.entry.sight.standing() == Standing::Matched(seat) {
            self.entry.judged = Some((seat, verdict));
        }
    }

    fn decide(&mut self, before: &Entry, now: UnixTime) {
        if self.entry.ending.is_some() {
            return;
        }
        self.now = now;
        let clock = self.clock(now);
        let ending = self.ended(clock);
        let wanted = if ending.is_some() { Vec::new() } else { self.wanted(clock) };
        self.entry.sent |= wanted.contains(&Action::SendRequest);
        self.entry.ending = ending;
        if self.entry != *before {
            self.agenda.tell(Action::Save);
        }
        self.agenda.want(wanted, now);
        if let Some(ending) = ending {
            self.agenda.tell(Action::Finish(ending));
        }
    }

    fn wanted(&self, clock: UnixTime) -> Vec<Action> {
        let is_owner = self.entry.party == Party::OWNER;
        let cancelling = self.entry.cancelling && is_owner;
        let late = self.phase_deadline().is_some_and(|deadline| clock > deadline);
        match self.entry.sight.standing() {
            Standing::Unseen if late || cancelling || !is_owner => Vec::new(),
            Standing::Unseen => vec![Action::SendRequest],
            Standing::Open { .. } if late => vec![Action::SendExpire(Phase::Requested)],
            Standing::Open { .. } if cancelling => vec![Action::SendCancel],
            Standing::Open { .. } => Vec::new(),
            Standing::Matched(_) if late => vec![Action::SendExpire(Phase::Matched)],
            Standing::Matched(seat) => self.answer(seat).into_iter().collect(),
            Standing::Approved { .. } if late => vec![Action::SendExpire(Phase::Approved)],
            Standing::Approved { .. } => Vec::new(),
            Standing::Ended { end: End::Proven(posting), place, .. } => {
                let results = posting.results;
                let in_time = clock <= place.deadline(self.patience.fetch_within);
                let missing = is_owner && !results.is_zero() && self.entry.had != Some(results);
                let fetch = Action::FetchResults { results, archive: posting.archive };
                if missing && in_time { vec![fetch] } else { Vec::new() }
            }
            Standing::Ended { .. } => Vec::new(),
        }
    }

    /// Judge first; then answer, but only a match that is deep enough: `reject` names no enclave, and would hit another one
    /// that a reorganisation puts in its place.
    fn answer(&self, seat: Seat) -> Option<Action> {
        if self
            .entry
            .request
            .account_of(self.entry.party)
            .is_some_and(|own| self.entry.sight.has_released(own))
        {
            return None;
        }
        match self.entry.judged {
            Some((judged, verdict)) if judged == seat => {
                let deep = seat.place.confirmed(self.head, self.patience.confirmations);
                deep.then_some(match verdict {
                    Verdict::Accept => Action::SendApprove(seat),
                    Verdict::Reject(reason) => Action::SendReject { seat, reason },
                })
            }
            _ => Some(Action::Judge(seat)),
        }
    }

    fn ended(&self, clock: UnixTime) -> Option<Ending> {
        match self.entry.sight.standing() {
            Standing::Unseen if self.entry.cancelling && !self.entry.sent => Some(Ending::NeverPosted),
            // By the chain's own time: the local clock could be ahead of a block that still takes the request.
            Standing::Unseen => {
                let over = self.head.is_some_and(|head| head.time > self.entry.request.match_by);
                over.then_some(Ending::NeverPosted)
            }
            Standing::Ended { place, end, .. } if place.confirmed(self.head, self.patience.confirmations) => {
                self.conclude(place, end, clock)
            }
            _ => None,
        }
    }

    fn conclude(&self, place: Place, end: End, clock: UnixTime) -> Option<Ending> {
        match end {
            End::Cancelled => Some(Ending::Cancelled),
            End::Expired(phase) => Some(Ending::Expired(phase)),
            End::Proven(posting) => {
                let results = if posting.results.is_zero() || self.entry.party != Party::OWNER {
                    Collected::None
                } else if self.entry.had == Some(posting.results) {
                    Collected::Had
                } else if clock > place.deadline(self.patience.fetch_within) {
                    Collected::Missing
                } else {
                    return None;
                };
                Some(Ending::Proven { outcome: posting.outcome, results })
            }
        }
    }

    fn phase_deadline(&self) -> Option<UnixTime> {
        let request = &self.entry.request;
        match self.entry.sight.standing() {
            Standing::Unseen | Standing::Open { .. } => Some(request.match_by),
            Standing::Matched(seat) => Some(seat.place.deadline(request.approve_within)),
            Standing::Approved { place, .. } => Some(place.deadline(request.prove_within)),
            Standing::Ended { .. } => None,
        }
    }

    /// The first second after the deadline that is waited for.
    fn deadline(&self) -> Option<UnixTime> {
        let deadline = match self.entry.sight.standing() {
            Standing::Ended { place, end: End::Proven(_), .. } => place.deadline(self.patience.fetch_within),
            _ => self.phase_deadline()?,
        };
        Some(UnixTime(deadline.0.saturating_add(1)))
    }

    /// The chain's time can be ahead of ours, or stand still while no block is made.
    fn clock(&self, now: UnixTime) -> UnixTime {
        self.head.map_or(now, |head| now.max(head.time))
    }
}
