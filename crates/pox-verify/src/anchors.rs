//! What the auditor trusts: everything that a verdict rests on besides the proof itself.

use crate::evidence::launch::PlatformId;
use crate::evidence::roots::VendorRoots;
use crate::policy::{Measurement, is_advisory};
use alloy_primitives::{Address, B256, address};
use core::num::NonZeroU64;
use pox_core::endorsement::Endorsement;
use std::collections::{BTreeMap, BTreeSet};

/// The account of the simulated vendor root, whose secret is in spec §8.4.1: anyone can sign with it.
pub const SIMULATED_ROOT: Address = address!("0x133dc55eeea9859aeec403934379a124ea5317c5");

/// The trust anchors of one verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchors {
    /// The account whose signature makes a simulated quote; whatever it signs is `simulated` at best.
    pub simulated_root: Address,
    /// The vendors' roots, to which evidence of hardware leads.
    pub vendor_roots: VendorRoots,
    /// What is known today of the vendors' hardware; `None` if nobody asks how evidence stands today.
    pub fresh: Option<Fresh>,
    /// The runtimes whose source and build the auditor has reason to trust.
    pub releases: Vec<Release>,
    /// What is known of each chain, by its EIP-155 id.
    pub chains: BTreeMap<u64, ChainAnchor>,
    /// Blocks that the caller knows to stand in their chains, from an endpoint asked now.
    pub trusted_blocks: Vec<TrustedBlock>,
}

/// What an auditor knows today, and what was not known, or not yet so, when a task ran.
///
/// It tells how evidence stands today; what it was when it ran, its archive alone tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fresh {
    /// Endorsements as the vendors give them now; those that an evidence has no use for are left aside.
    pub endorsements: Vec<Endorsement>,
    /// Platforms that are not to be believed: their keys are known to others.
    pub denied_platforms: BTreeSet<PlatformId>,
    /// Flaws, by their vendors' names, that are not to be put up with.
    pub denied_advisories: BTreeSet<String>,
}

/// A text names neither a platform nor a flaw.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no platform (ppid:0x…, chip-id:0x…, module-id:0x…) and no advisory (A-Z 0-9 -)")]
pub struct BadDenial(pub String);

/// A published build of the measured runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// What people call it.
    pub name: String,
    /// What a TEE measures of it.
    pub measurement: Measurement,
}

/// What the auditor knows of one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainAnchor {
    /// What people call it.
    pub name: String,
    /// Whether its seals show anything.
    pub standing: ChainStanding,
    /// Who seals its blocks.
    pub authorities: Authorities,
    /// keccak256 of the contract's runtime code; the contract has no immutables, so it is one value for every deployment.
    pub contract_code: B256,
    /// Where the contract is known to stand: what a proof without state shows is believed of these addresses only.
    pub deployments: BTreeSet<Address>,
    /// What people call its authorities.
    pub names: BTreeMap<Address, String>,
}

/// Whether a chain's seals show anything to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChainStanding {
    /// Its authorities are independent of owner and processor.
    Public,
    /// A development chain, whose keys anyone can have: `simulated` at best.
    Embedded,
}

/// Who is entitled to seal a chain's blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorities {
    /// Nobody is pinned: only a [`TrustedBlock`] can anchor this chain.
    Unpinned,
    /// Aura.
    Aura(Aura),
}

/// An Aura chain's rules and the sets of authorities that the auditor pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aura {
    /// How a block's time gives its step.
    pub steps: StepRule,
    /// The first block whose finality takes more than two thirds, on chains that have changed from one half.
    pub two_thirds_from: Option<u64>,
    /// The pinned sets. A proof shows the changes since the last one before its blocks.
    pub sets: Vec<PinnedSet>,
}

/// A set of authorities that the auditor believes to seal a chain's blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedSet {
    /// The first block that it seals.
    pub from: u64,
    /// The last block that it seals, where a change that no proof shows ends it.
    pub until: Option<u64>,
    /// The validators, in the order of their steps; an empty list seals nothing.
    pub validators: Vec<Address>,
    /// The contract whose events announce its changes; without one it does not change.
    pub announcer: Option<Address>,
    /// When it was known to be so, for people: a date.
    pub as_of: String,
    /// Where it is known from, for people.
    pub source: String,
}

/// How a block's time gives its Aura step: time divided by the step's length, rounded down.
///
/// The step is not under the seal's signature, so it has to follow from what is, within one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepRule {
    /// Length of a step, seconds.
    pub seconds: NonZeroU64,
}

/// A block of which the caller knows the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedBlock {
    /// The chain's EIP-155 id.
    pub chain_id: u64,
    /// The block's number.
    pub number: u64,
    /// The block's hash.
    pub hash: B256,
}

impl Default for Anchors {
    /// The simulated root of the spec and the vendors' own, and neither releases nor chains: no proof gets above `asserted`.
    fn default() -> Self {
        Self {
            simulated_root: SIMULATED_ROOT,
            vendor_roots: VendorRoots::pinned(),
            fresh: None,
            releases: Vec::new(),
            chains: BTreeMap::new(),
            trusted_blocks: Vec::new(),
        }
    }
}

impl Fresh {
    /// Denies what a text names: one platform, or one flaw. What has a colon is never taken for a flaw, which would deny nothing.
    ///
    /// # Errors
    /// It names neither.
    pub fn deny(&mut self, text: &str) -> Result<(), BadDenial> {
        if let Ok(platform) = text.parse() {
            self.denied_platforms.insert(platform);
        } else if is_advisory(text) {
            self.denied_advisories.insert(text.to_owned());
        } else {
            return Err(BadDenial(text.to_owned()));
        }
        Ok(())
    }
}

impl Anchors {
    /// The name under which a measurement is known, if it is.
    pub fn release(&self, measurement: Measurement) -> Option<&str> {
        self.releases
            .iter()
            .find(|release| release.measurement == measurement)
            .map(|release| release.name.as_str())
    }
}

impl Authorities {
    /// The rules of an Aura chain whose authorities are pinned.
    pub fn aura(&self) -> Option<&Aura> {
        match self {
            Self::Aura(aura) => Some(aura),
            Self::Unpinned => None,
        }
    }
}

impl Aura {
    /// Whether so many of a set make a block of that number final.
    pub fn is_enough(&self, built: usize, of: usize, number: u64) -> bool {
        match self.two_thirds_from {
            Some(from) if number >= from => built.saturating_mul(3) > of.saturating_mul(2),
            _ => built.saturating_mul(2) > of,
        }
    }
}

impl StepRule {
    /// The step of a block of that time.
    pub fn step(self, time: u64) -> u64 {
        time / self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k256::ecdsa::SigningKey;
    use sha2::{Digest, Sha256};

    #[test]
    fn what_is_denied_is_a_platform_or_a_flaw() {
        let mut fresh = Fresh::default();
        for text in ["ppid:0x00ff", "chip-id:0x01", "INTEL-SA-00615"] {
            fresh.deny(text).unwrap();
        }
        assert_eq!((fresh.denied_platforms.len(), fresh.denied_advisories.len()), (2, 1));
        let long = "A".repeat(65);
        for text in ["", "ppid:0xFF", "ppid:", "PPID:0x00", "intel-sa-00615", "INTEL SA", &long] {
            assert_eq!(fresh.deny(text), Err(BadDenial(text.to_owned())));
        }
    }

    #[test]
    fn half_and_two_thirds_are_not_enough() {
        let steps = StepRule { seconds: NonZeroU64::MIN };
        let aura = Aura { steps, two_thirds_from: Some(100), sets: Vec::new() };
        let least = |of: usize, number| (0..=of).find(|built| aura.is_enough(*built, of, number)).unwrap();
        assert_eq!([1, 2, 3, 50, 51].map(|of| least(of, 99)), [1, 2, 2, 26, 26]);
        assert_eq!([1, 2, 3, 50, 51].map(|of| least(of, 100)), [1, 2, 3, 34, 35]);
        assert!(!aura.is_enough(0, 0, 0));
    }

    #[test]
    fn the_simulated_root_is_the_specs() {
        let secret =
            Sha256::digest("pox simulated vendor root: anyone can sign with this key, it protects nothing");
        let key = SigningKey::from_slice(&secret).unwrap();
        assert_eq!(pox_core::signature::address_of(key.verifying_key()), SIMULATED_ROOT);
    }
}
