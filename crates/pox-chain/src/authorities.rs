//! The part of a profile that says who seals an Aura chain's blocks.

use crate::error::ChainError;
use crate::rpc::{BlockAt, CallParams, Rpc};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, sol};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

/// Most authorities of one set.
const MAX_AUTHORITIES: usize = 1024;
/// Most pinned sets of a profile.
const MAX_SETS: usize = 64;
/// Most bytes of a name or a source.
const MAX_TEXT_BYTES: usize = 256;

/// Who seals the blocks of an Aura chain, as far as it is pinned: what auditors trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorities {
    /// Length of a step, seconds.
    pub step_seconds: NonZeroU64,
    /// The first block whose finality takes more than two thirds; without it more than half is always enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub two_thirds_from: Option<u64>,
    /// The sets that are known.
    pub sets: Vec<AuthoritySet>,
    /// The contract that keeps the set, and tells it by `getValidators()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Address>,
    /// What people call them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<Address, String>,
}

/// A set of authorities, from one block on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthoritySet {
    /// The first block that it seals.
    pub from: u64,
    /// The last block that it seals, where a change ends it that nobody can prove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// The contract that announces the set after it by `InitiateChange(bytes32,address[])`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announcer: Option<Address>,
    /// The day on which it was known to be so: `2024-04-25`.
    pub as_of: String,
    /// Where it is known from.
    pub source: String,
    /// The authorities, in the order of their steps.
    pub validators: Vec<Address>,
}

impl Authorities {
    /// Whether everything is within its bounds.
    pub(crate) fn fits(&self) -> bool {
        let is_text =
            |text: &str| (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        let from_before = self.sets.windows(2).all(|pair| pair[0].from < pair[1].from);
        let set_fits = |set: &AuthoritySet| {
            let distinct: BTreeSet<&Address> = set.validators.iter().collect();
            (1..=MAX_AUTHORITIES).contains(&set.validators.len())
                && distinct.len() == set.validators.len()
                && set.until.is_none_or(|until| until >= set.from)
                && is_day(&set.as_of)
                && is_text(&set.source)
        };
        from_before
            && (1..=MAX_SETS).contains(&self.sets.len())
            && self.sets.iter().all(set_fits)
            && self.names.values().all(|name| is_text(name))
    }
}

sol! {
    function getValidators() external view returns (address[] memory set);
}

impl Rpc {
    /// The authorities that a contract tells in the state of a block, in the order of their steps; `None` if it tells none.
    ///
    /// That they seal is not established here, nor that the chain asks this contract.
    ///
    /// # Errors
    /// The endpoints can't be asked, or don't agree.
    pub fn validators(&self, contract: Address, at: BlockAt) -> Result<Option<Vec<Address>>, ChainError> {
        let data: Bytes = getValidatorsCall {}.abi_encode().into();
        let call = CallParams { from: None, to: Some(contract), value: U256::ZERO, data: &data };
        let answer = match self.call_at(&call, at) {
            Err(ChainError::Reverted(_)) => return Ok(None),
            answer => answer?,
        };
        let set = getValidatorsCall::abi_decode_returns_validate(&answer).unwrap_or_default();
        let distinct: BTreeSet<&Address> = set.iter().collect();
        let fits = (1..=MAX_AUTHORITIES).contains(&set.len()) && distinct.len() == set.len();
        Ok(fits.then_some(set))
    }
}

/// Four digits, two, two; which of them are days, calendars know.
fn is_day(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Authorities {
        let set = AuthoritySet {
            from: 1,
            until: Some(1),
            announcer: None,
            as_of: "2024-04-25".into(),
            source: "a test".into(),
            validators: vec![Address::repeat_byte(1), Address::repeat_byte(2)],
        };
        let next = AuthoritySet { from: 2, until: None, ..set.clone() };
        let names = BTreeMap::from([(Address::repeat_byte(1), "A University".into())]);
        Authorities {
            step_seconds: NonZeroU64::MIN,
            two_thirds_from: None,
            contract: None,
            sets: vec![set, next],
            names,
        }
    }

    #[test]
    fn sets_out_of_bounds_are_refused() {
        assert!(good().fits());
        let bad: [fn(&mut Authorities); 9] = [
            |a| a.sets.clear(),
            |a| a.sets[1].from = 1,
            |a| a.sets[0].until = Some(0),
            |a| a.sets[0].validators.clear(),
            |a| a.sets[0].validators[1] = Address::repeat_byte(1),
            |a| a.sets[0].as_of = "25.04.2024".into(),
            |a| a.sets[0].source = String::new(),
            |a| a.sets[0].source = "a\u{1b}b".into(),
            |a| a.names = BTreeMap::from([(Address::ZERO, "x".repeat(257))]),
        ];
        for (which, spoil) in bad.into_iter().enumerate() {
            let mut authorities = good();
            spoil(&mut authorities);
            assert!(!authorities.fits(), "{which}");
        }
    }
}
