//! One task while its events come in: what `pox-core` makes of them, and where they stand.

use crate::error::IndexError;
use crate::index::LocatedEvent;
use pox_core::history::{At, Step};
use pox_core::replay::{Contradiction, Replay};
use pox_core::{Domain, Event, History, Phase};

/// Where an event stands, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) at: At,
    pub(crate) position: u64,
}

/// A task, as far as its events were read.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Its first event.
    pub(crate) first: Spot,
    /// What its events came to; `None` if the first was no request.
    pub(crate) replay: Option<Replay>,
    /// How many steps it has.
    pub(crate) steps: u64,
    /// Where its receipt is.
    pub(crate) proven: Option<Spot>,
    /// Why its events can't be those of one task. Nothing is derived from the one that contradicted, nor from later ones.
    pub(crate) fault: Option<Contradiction>,
}

impl Entry {
    /// Begins with a task's first event; gives its step.
    pub(crate) fn begin(event: &Event, spot: Spot) -> (Self, Option<Step>) {
        let (replay, step, fault) = match Replay::begin(event, spot.at) {
            Ok((replay, step)) => (Some(replay), Some(step), None),
            Err(fault) => (None, None, Some(fault)),
        };
        (Self { first: spot, replay, steps: u64::from(step.is_some()), proven: None, fault }, step)
    }

    /// Goes on by one event, before the one that follows in the chain; gives its step, if it is one.
    pub(crate) fn then(
        &mut self,
        event: &Event,
        next: Option<&Event>,
        spot: Spot,
        domain: &Domain,
    ) -> Option<Step> {
        if self.fault.is_some() {
            return None;
        }
        let step = match self.replay.as_mut()?.then(event, next, spot.at, domain) {
            Ok(step) => step?,
            Err(fault) => {
                self.fault = Some(fault);
                return None;
            }
        };
        self.steps += 1;
        if matches!(event, Event::Proven { .. }) {
            self.proven = Some(spot);
        }
        Some(step)
    }

    /// Makes a task of all its events; `None` if there are none.
    pub(crate) fn of(events: &[LocatedEvent], domain: &Domain) -> Option<Self> {
        let (first, rest) = events.split_first()?;
        let (mut entry, _) = Self::begin(&first.event, first.spot());
        for (index, located) in rest.iter().enumerate() {
            let next = rest.get(index + 1).map(|located| &located.event);
            entry.then(&located.event, next, located.spot(), domain);
        }
        Some(entry)
    }

    pub(crate) fn phase(&self) -> Phase {
        self.replay.as_ref().map_or(Phase::None, Replay::phase)
    }

    pub(crate) fn history(&self) -> History {
        self.replay.as_ref().map_or(History::ZERO, |replay| replay.history)
    }
}

/// The word for a phase, as the tables and everybody else have it.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::None => "none",
        Phase::Requested => "requested",
        Phase::Matched => "matched",
        Phase::Approved => "approved",
        Phase::Proven => "proven",
        Phase::Cancelled => "cancelled",
        Phase::Expired => "expired",
    }
}

/// The phase that a word stands for.
pub(crate) fn phase_of(name: &str) -> Result<Phase, IndexError> {
    const ALL: [Phase; 7] = [
        Phase::None,
        Phase::Requested,
        Phase::Matched,
        Phase::Approved,
        Phase::Proven,
        Phase::Cancelled,
        Phase::Expired,
    ];
    ALL.into_iter().find(|phase| phase_name(*phase) == name).ok_or(IndexError::Damaged("a phase is none"))
}
