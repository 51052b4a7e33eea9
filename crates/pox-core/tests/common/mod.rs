//! What several tests share: seeded randomness, valid records, keys.
#![allow(dead_code, reason = "each test uses a part of it")]

use alloy_primitives::Uint;
use k256::ecdsa::SigningKey;
use pox_core::signature::address_of;
use pox_core::{Address, B256, Domain, abi, keccak256};

/// A small seeded generator (SplitMix64): the same seed gives the same test everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.below(from.len() as u64) as usize].clone()) }
    }

    pub(crate) fn word(&mut self) -> B256 {
        keccak256(self.roll().to_be_bytes())
    }
}

pub(crate) fn domain() -> Domain {
    Domain { chain_id: 8995, contract: Address::repeat_byte(0xc0) }
}

pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_slice(&keccak256([number])[..]).unwrap()
}

pub(crate) fn account(number: u8) -> Address {
    address_of(key(number).verifying_key())
}

/// A valid request for small times, at block time `now`.
pub(crate) fn request(owner: Address, now: u64, dice: &mut Dice) -> abi::Request {
    let time_limit = 1 + dice.below(60) as u32;
    abi::Request {
        owner,
        processors: B256::ZERO,
        price: Uint::from(u64::from(time_limit) * dice.below(5)),
        image: dice.word(),
        inputs: (0..dice.below(3)).map(|_| dice.word()).collect(),
        terms: dice.word(),
        metadata: B256::ZERO,
        policy: dice.word(),
        kinds: 1 + dice.below(3) as u16,
        cpuMillis: 1 + dice.below(2) as u32,
        memoryMib: 1 + dice.below(2) as u32,
        diskMib: 1 + dice.below(2) as u32,
        timeLimit: time_limit,
        matchBy: now + dice.below(200),
        approveWithin: 1 + dice.below(100) as u32,
        proveWithin: time_limit + dice.below(100) as u32,
        salt: dice.word(),
        delegate: Address::ZERO,
        coOwners: Vec::new(),
    }
}

/// An offer that fits most requests of [`request`], but not all.
pub(crate) fn offer(processor: Address, now: u64, dice: &mut Dice) -> abi::Offer {
    abi::Offer {
        processor,
        kinds: 1 + dice.below(3) as u16,
        cpuMillis: 2 - u32::from(dice.percent(20)),
        memoryMib: 2 - u32::from(dice.percent(20)),
        diskMib: 2 - u32::from(dice.percent(20)),
        timeLimit: 60 - 30 * u32::from(dice.percent(20)),
        pricePerSecond: Uint::from(dice.below(3)),
        bond: Uint::from(dice.below(3) * 50),
        validUntil: now + dice.below(400),
        salt: dice.word(),
    }
}
