//! What one party has seen of one task, reorganisations included.

use crate::event::Event;
use crate::history::At;
use crate::id::{Archive, OfferId, ResultsCommitment, TaskId};
use crate::party::Parties;
use crate::record::UnixTime;
use crate::refusal::Phase;
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

/// Most steps that are remembered; only the last three say where a task stands.
const MAX_SIGHTINGS: usize = 256;

/// Where an event stands in the chain; two events are the same only if this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The block's number and time.
    pub at: At,
    /// The block's hash.
    pub block: B256,
    /// The transaction, whose input holds evidence, secret or receipt.
    pub transaction: B256,
    /// The log's index in the block.
    pub index: u64,
}

/// What the chain told, or took back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// An event is in the chain.
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
    },
    /// The chain's newest block; its time, or the time that the next one would have if blocks are made on demand.
    Head(At),
}

/// A match, as its event tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seat {
    /// Where the match stands; another place is another match.
    pub place: Place,
    /// The offer.
    pub offer: OfferId,
    /// Who matched.
    pub processor: Address,
    /// The enclave's account.
    pub enclave: Address,
    /// keccak256 of the evidence.
    pub evidence: B256,
}

/// A receipt, as its event tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posting {
    /// The outcome's code.
    pub outcome: u8,
    /// Commitment to the sealed results, or zero.
    pub results: ResultsCommitment,
    /// SHA-256 of the archive.
    pub archive: Archive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    place: Place,
    step: SeenStep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum SeenStep {
    Requested,
    Matched(Seat),
    Rejected,
    Approved,
    Released { account: Address, missing: Parties },
    Proven(Posting),
    Cancelled,
    Expired(Phase),
}

/// Everything seen of one task that is still in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sight {
    task: TaskId,
    seen: Vec<Seen>,
}

/// Where the task stands, as far as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// No request was seen.
    Unseen,
    /// Open to be matched, since this place; after a rejection, the match that was rejected.
    Open { since: Place, rejected: Option<Seat> },
    /// Matched; with several parties, some may have released.
    Matched(Seat),
    /// Approved there.
    Approved { seat: Seat, place: Place },
    /// Ended there; with the last match, if there was one.
    Ended { place: Place, end: End, seat: Option<Seat> },
}

/// How the task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Proven(Posting),
    Cancelled,
    Expired(Phase),
}

impl Sight {
    pub(super) fn new(task: TaskId) -> Self {
        Self { task, seen: Vec::new() }
    }

    /// Notes an event; says whether it was new.
    pub(super) fn see(&mut self, place: Place, event: &Event) -> bool {
        let step = match event {
            Event::Requested { .. } => SeenStep::Requested,
            Event::Matched { offer, processor, enclave, evidence, .. } => SeenStep::Matched(Seat {
                place,
                offer: *offer,
                processor: *processor,
                enclave: *enclave,
                evidence: *evidence,
            }),
            Event::Rejected { .. } => SeenStep::Rejected,
            Event::Approved { .. } => SeenStep::Approved,
            Event::Proven { receipt, archive, .. } => SeenStep::Proven(Posting {
                outcome: receipt.outcome,
                results: ResultsCommitment(receipt.results),
                archive: *archive,
            }),
            Event::Cancelled { .. } => SeenStep::Cancelled,
            Event::Expired { from, .. } => SeenStep::Expired(*from),
            Event::Released { account, missing, .. } => {
                SeenStep::Released { account: *account, missing: Parties(*missing) }
            }
            Event::Sponsored { .. }
            | Event::Members { .. }
            | Event::Uses { .. }
            | Event::Offered { .. }
            | Event::OfferWithdrawn { .. }
            | Event::Withdrawn { .. } => return false,
        };
        if event.task() != Some(self.task) || self.seen.iter().any(|seen| seen.place == place) {
            return false;
        }
        self.seen.push(Seen { place, step });
        self.seen.sort_by_key(|seen| (seen.place.at.number, seen.place.index));
        if self.seen.len() > MAX_SIGHTINGS {
            self.seen.remove(0);
        }
        true
    }

    /// Takes an event back; says whether it had been seen.
    pub(super) fn revert(&mut self, place: &Place) -> bool {
        let before = self.seen.len();
        self.seen.retain(|seen| seen.place != *place);
        self.seen.len() < before
    }

    pub(super) fn standing(&self) -> Standing {
        let Some(last) = self.seen.last() else { return Standing::Unseen };
        let place = last.place;
        let ended = |end| Standing::Ended { place, end, seat: self.last_seat() };
        match last.step {
            SeenStep::Requested => Standing::Open { since: place, rejected: None },
            SeenStep::Rejected => Standing::Open { since: place, rejected: self.last_seat() },
            SeenStep::Matched(seat) => Standing::Matched(seat),
            // An approval whose match is not seen yet: the events came out of order, the rest will follow.
            SeenStep::Approved => match self.last_seat() {
                Some(seat) => Standing::Approved { seat, place },
                None => Standing::Unseen,
            },
            SeenStep::Released { missing, .. } => match self.last_seat() {
                Some(seat) if missing.is_empty() => Standing::Approved { seat, place },
                Some(seat) => Standing::Matched(seat),
                None => Standing::Unseen,
            },
            SeenStep::Proven(posting) => ended(End::Proven(posting)),
            SeenStep::Cancelled => ended(End::Cancelled),
            SeenStep::Expired(from) => ended(End::Expired(from)),
        }
    }

    /// Whether this enclave was ever matched.
    pub(super) fn seated(&self, processor: Address, enclave: Address) -> bool {
        self.seen
            .iter()
            .any(|seen| matches!(seen.step, SeenStep::Matched(seat) if seat.is_of(processor, enclave)))
    }

    /// Where the secrets of the last match stand, as far as they were released, in the chain's order.
    pub(super) fn released(&self) -> Vec<Place> {
        self.answers().map(|seen| seen.place).collect()
    }

    /// Whether this account has released its secret to the last match.
    pub(super) fn has_released(&self, party: Address) -> bool {
        self.answers().any(|seen| matches!(seen.step, SeenStep::Released { account, .. } if account == party))
    }

    fn answers(&self) -> impl Iterator<Item = &Seen> {
        let matched = self.seen.iter().rposition(|seen| matches!(seen.step, SeenStep::Matched(_)));
        let since = matched.map_or(&[][..], |place| &self.seen[place..]);
        since.iter().filter(|seen| matches!(seen.step, SeenStep::Approved | SeenStep::Released { .. }))
    }

    fn last_seat(&self) -> Option<Seat> {
        self.seen.iter().rev().find_map(|seen| match seen.step {
            SeenStep::Matched(seat) => Some(seat),
            _ => None,
        })
    }
}

impl Seat {
    /// Whether this is a match of this processor's enclave.
    pub(super) fn is_of(&self, processor: Address, enclave: Address) -> bool {
        self.processor == processor && self.enclave == enclave
    }
}

impl Place {
    /// Whether this many blocks stand on it, its own included.
    pub(super) fn confirmed(&self, head: Option<At>, depth: u64) -> bool {
        head.is_some_and(|head| head.number.saturating_add(1).saturating_sub(self.at.number) >= depth)
    }

    /// A deadline that began with its block.
    pub(super) fn deadline(&self, seconds: u32) -> UnixTime {
        UnixTime(self.at.time.0.saturating_add(seconds.into()))
    }
}
