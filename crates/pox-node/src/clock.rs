//! The machine's clock and the chain's facts in the roles' words.

use pox_chain::{Followed, Place};
use pox_core::UnixTime;
use pox_core::history::At;
use pox_core::role::{self, Sighting};
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine's time; a clock before 1970 counts as 1970.
pub(crate) fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// A follower's word as a role takes it.
pub(crate) fn sighting(followed: &Followed) -> Sighting {
    match followed {
        Followed::Event { place, event } => Sighting::Event { place: place_of(place), event: event.clone() },
        Followed::Reverted { place, .. } => Sighting::Reverted { place: place_of(place) },
    }
}

/// The newest block, and the time that the next one can have.
pub(crate) fn head(number: u64) -> Sighting {
    Sighting::Head(At { number, time: now() })
}

fn place_of(place: &Place) -> role::Place {
    role::Place {
        at: At { number: place.block.number, time: place.time },
        block: place.block.hash,
        transaction: place.transaction,
        index: place.index,
    }
}
