//! The offers that stand, read from the chain alone.

use crate::error::Failure;
use pox_chain::{Contract, Cursor, Followed, Follower, Progress};
use pox_core::{Event, Offer, OfferId, UnixTime};
use std::collections::BTreeMap;

/// All offers that can still be matched, cheapest first.
pub(crate) fn standing(contract: &Contract, now: UnixTime) -> Result<Vec<(OfferId, Offer)>, Failure> {
    let mut follower = Follower::new(contract, Cursor::before(contract.since()));
    let mut offers = BTreeMap::new();
    loop {
        let batch = follower.poll()?;
        for followed in batch.events {
            let Followed::Event { event, .. } = followed else { continue };
            match event {
                Event::Offered { offer, terms } => drop(offers.insert(offer, terms)),
                Event::OfferWithdrawn { offer, .. } => drop(offers.remove(&offer)),
                _ => {}
            }
        }
        if batch.progress != Progress::Behind {
            break;
        }
    }
    let mut offers: Vec<(OfferId, Offer)> =
        offers.into_iter().filter(|(_, offer)| offer.valid_until >= now).collect();
    offers.sort_by_key(|(id, offer)| (offer.price_per_second, *id));
    Ok(offers)
}
