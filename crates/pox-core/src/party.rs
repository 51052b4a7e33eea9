//! Who has a say in a task: the owner and its co-owners, each with a number (spec §3.1).

use crate::abi;
use crate::record::{BadRecord, MAX_INPUTS, Request};
use alloy_primitives::Address;

/// Most co-owners: each party has one bit in a byte.
pub const MAX_CO_OWNERS: usize = 7;

/// A party of a task, within its request: 0 is the owner, `i` co-owner `i - 1`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Party(pub u8);

/// Somebody besides the owner whose data a task uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct CoOwner {
    /// Releases its own secret to the enclave, or refuses it.
    pub account: Address,
    /// Which of the request's inputs are its: bit `i` for input `i`.
    pub inputs: u32,
}

/// A set of parties, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Parties(pub u8);

impl Party {
    /// The owner.
    pub const OWNER: Self = Self(0);
}

impl Parties {
    /// Whether nobody is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the party is in it.
    pub fn contains(self, party: Party) -> bool {
        party.0 < 8 && self.0 & (1 << party.0) != 0
    }

    /// The others.
    #[must_use]
    pub fn without(self, party: Party) -> Self {
        if party.0 < 8 { Self(self.0 & !(1 << party.0)) } else { self }
    }
}

impl Request {
    /// Every party, the owner first.
    pub fn parties(&self) -> impl Iterator<Item = (Party, Address)> {
        let accounts = core::iter::once(self.owner).chain(self.co_owners.iter().map(|other| other.account));
        (0..).map(Party).zip(accounts)
    }

    /// The party's account; `None` if there is no such party.
    pub fn account_of(&self, party: Party) -> Option<Address> {
        self.parties().find(|(known, _)| *known == party).map(|(_, account)| account)
    }

    /// The account whose key signs releases and refusals for the party: the owner's delegate, if it has one.
    pub fn signer_of(&self, party: Party) -> Option<Address> {
        match self.delegate {
            Some(delegate) if party == Party::OWNER => Some(delegate),
            _ => self.account_of(party),
        }
    }

    /// The party that an account is, or signs for.
    pub fn party_of(&self, account: Address) -> Option<Party> {
        if self.delegate == Some(account) {
            return Some(Party::OWNER);
        }
        self.parties().find(|(_, known)| *known == account).map(|(party, _)| party)
    }

    /// Whose an input is.
    pub fn owner_of(&self, input: usize) -> Party {
        let bit = |other: &CoOwner| u32::try_from(input).is_ok_and(|input| other.has(input));
        let place = self.co_owners.iter().position(bit);
        place.and_then(|place| u8::try_from(place + 1).ok()).map_or(Party::OWNER, Party)
    }

    /// The positions of a party's inputs, ascending.
    pub fn inputs_of(&self, party: Party) -> impl Iterator<Item = usize> {
        (0..self.inputs.len()).filter(move |input| self.owner_of(*input) == party)
    }

    /// Who has to give its secret by `release` once the task is matched; nobody if the owner's one secret comes by `approve`.
    pub fn releases(&self) -> Parties {
        if self.delegate.is_none() && self.co_owners.is_empty() {
            return Parties(0);
        }
        self.parties().fold(Parties(0), |set, (party, _)| Parties(set.0 | 1 << party.0))
    }
}

impl CoOwner {
    /// Whether this input is its.
    pub fn has(&self, input: u32) -> bool {
        self.inputs.checked_shr(input).unwrap_or(0) & 1 == 1
    }

    pub(crate) fn to_abi(self) -> abi::CoOwner {
        abi::CoOwner { account: self.account, inputs: self.inputs }
    }
}

/// Checks the co-owners of a request by spec §3.1: in order, so none twice; nobody signs for two; no input has two owners.
pub(crate) fn check(wire: &abi::Request) -> Result<Vec<CoOwner>, BadRecord> {
    const CO_OWNERS: BadRecord = BadRecord { field: 18, name: "coOwners" };
    if wire.coOwners.len() > MAX_CO_OWNERS {
        return Err(CO_OWNERS);
    }
    let (mut last, mut owned) = (Address::ZERO, 0u32);
    let inputs = u32::try_from(wire.inputs.len().min(MAX_INPUTS)).unwrap_or(0);
    for other in &wire.coOwners {
        let twice = other.account <= last || other.account == wire.owner || other.account == wire.delegate;
        let beyond = other.inputs.checked_shr(inputs).unwrap_or(0) != 0;
        if twice || other.inputs == 0 || other.inputs & owned != 0 || beyond {
            return Err(CO_OWNERS);
        }
        (last, owned) = (other.account, owned | other.inputs);
    }
    Ok(wire.coOwners.iter().map(|other| CoOwner { account: other.account, inputs: other.inputs }).collect())
}
