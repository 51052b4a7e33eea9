//! What a chain is opened with.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use alloy_primitives::{Address, B256, Bytes, U256, address, hex, keccak256};
use k256::ecdsa::SigningKey;
use revm::primitives::hardfork::SpecId;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::chain::ANNOUNCEMENT;

/// Chain id of the embedded chain unless told otherwise: the bytes `pox` as a number.
pub const EMBEDDED_CHAIN_ID: u64 = 7_368_568;

/// Gas limit of a block unless told otherwise: above bloxberg's minimum of 8 million.
pub const DEFAULT_GAS_LIMIT: u64 = 10_000_000;

/// Lowest gas price that the pool accepts unless told otherwise, in wei; what bloxberg's nodes ask.
pub const DEFAULT_MIN_GAS_PRICE: u128 = 1_000_000;

/// Length of an Aura step unless told otherwise. A block needs a later step than its parent, so with short steps
/// blocks that are made at once run ahead of the clock least.
pub const DEFAULT_STEP: Duration = Duration::from_secs(1);

/// What the faucet owns in the default genesis: a million coins.
pub const FAUCET_BALANCE: U256 = U256::from_limbs([0x1bce_cced_a100_0000, 0xd3c2, 0, 0]);

/// Where the default genesis has the contract that announces changes of the authorities: among the addresses that no key has.
pub const ANNOUNCER_ADDRESS: Address = address!("0x0000000000000000000000000000000000005e75");

/// Development authorities whose keys the chain has.
pub const MAX_DEV_AUTHORITIES: u32 = 64;

/// Address of [`AccountKey::faucet`].
pub const FAUCET_ADDRESS: Address = address!("0xd2d7a4ac6dfe9f18a0e7d96faaf8fd1526da671d");

/// Everything that decides how a chain behaves.
///
/// A durable chain remembers what its blocks depend on (chain id, hardfork, genesis, step), and refuses to open
/// with something else.
#[derive(Clone, Debug)]
pub struct Config {
    /// Chain id that transactions are signed for.
    pub chain_id: u64,
    /// The rules, the same from genesis on.
    pub hardfork: Hardfork,
    /// Accounts at genesis.
    pub genesis: BTreeMap<Address, GenesisAccount>,
    /// Unix time of the genesis block, in seconds.
    pub genesis_time: u64,
    /// Gas limit of every block.
    pub gas_limit: u64,
    /// Lowest gas price that the pool accepts, in wei.
    pub min_gas_price: u128,
    /// When blocks are made.
    pub mining: Mining,
    /// Who seals blocks.
    pub authorities: Authorities,
    /// Length of an Aura step: whole seconds, at least one.
    pub step: Duration,
    /// Where the time comes from.
    pub clock: Clock,
    /// Folder of a durable chain; without one the chain lives in memory and ends with the process.
    pub data_dir: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        let faucet = GenesisAccount { balance: FAUCET_BALANCE, ..GenesisAccount::default() };
        Self {
            chain_id: EMBEDDED_CHAIN_ID,
            hardfork: Hardfork::Istanbul,
            genesis: BTreeMap::from([(FAUCET_ADDRESS, faucet), (ANNOUNCER_ADDRESS, announcer())]),
            genesis_time: 0,
            gas_limit: DEFAULT_GAS_LIMIT,
            min_gas_price: DEFAULT_MIN_GAS_PRICE,
            mining: Mining::Instant,
            authorities: Authorities::fixed(vec![AccountKey::dev_authority(0)]),
            step: DEFAULT_STEP,
            clock: Clock::System,
            data_dir: None,
        }
    }
}

/// The rules of the EVM and of transactions.
///
/// Up to London blocks are sealed as Aura does. No Aura chain has the later rules: from Paris on blocks carry
/// the seal of proof of stake, which shows nothing, and an author from the same rota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hardfork {
    /// bloxberg's level: legacy transactions only, no base fee.
    #[default]
    Istanbul,
    /// Access lists.
    Berlin,
    /// Base fee.
    London,
    /// Proof of stake.
    Paris,
    /// Withdrawals.
    Shanghai,
    /// Blobs.
    Cancun,
    /// Delegated accounts.
    Prague,
    /// Gas limit of a single transaction.
    Osaka,
}

impl Hardfork {
    pub(crate) const fn spec(self) -> SpecId {
        match self {
            Self::Istanbul => SpecId::ISTANBUL,
            Self::Berlin => SpecId::BERLIN,
            Self::London => SpecId::LONDON,
            Self::Paris => SpecId::MERGE,
            Self::Shanghai => SpecId::SHANGHAI,
            Self::Cancun => SpecId::CANCUN,
            Self::Prague => SpecId::PRAGUE,
            Self::Osaka => SpecId::OSAKA,
        }
    }
}

/// An account at genesis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisAccount {
    /// In wei.
    pub balance: U256,
    /// Transactions it counts as having sent.
    pub nonce: u64,
    /// Runtime code; empty for none.
    pub code: Bytes,
    /// Storage words that aren't zero.
    pub storage: BTreeMap<U256, U256>,
}

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// With every transaction that can run, before `submit` returns.
    Instant,
    /// Every so often, with or without transactions.
    Interval(Duration),
    /// Only on [`crate::Chain::mine`] and `evm_mine`.
    Manual,
}

/// Where the time of blocks comes from, before [`crate::Chain::increase_time`] and the like shift it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that stands at this Unix time, in seconds, until it is moved.
    Manual(u64),
}

/// A secp256k1 key. Its memory is wiped when it is dropped; `Debug` shows its address only.
#[derive(Clone)]
pub struct AccountKey(SigningKey);

impl AccountKey {
    /// Reads a private key, big-endian.
    ///
    /// # Errors
    /// [`InvalidKey`] for zero and for numbers not below the curve's order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, InvalidKey> {
        SigningKey::from_slice(bytes).map(Self).map_err(|_| InvalidKey)
    }

    /// The key that owns the default genesis: Keccak-256 of `pox development faucet`.
    ///
    /// It is public, so whatever it owns on any other chain is lost.
    #[must_use]
    pub fn faucet() -> Self {
        Self::from_public_seed(b"pox development faucet")
    }

    /// The development authority of that index: Keccak-256 of `pox development authority ` and the index in decimal.
    ///
    /// It is public: what it seals shows nothing to anybody.
    #[must_use]
    pub fn dev_authority(index: u32) -> Self {
        Self::from_public_seed(format!("pox development authority {index}").as_bytes())
    }

    /// The account that the key signs for.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::from_public_key(self.0.verifying_key())
    }

    /// The private key, big-endian.
    #[must_use]
    pub fn dangerous_to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// Signs a digest: r, s, and the recovery id as 0 or 1.
    ///
    /// # Errors
    /// [`InvalidKey`] in the case, of negligible probability, that the signature comes out as zero.
    pub fn sign(&self, digest: &B256) -> Result<[u8; 65], InvalidKey> {
        let (signature, recovery) =
            self.0.sign_prehash_recoverable(digest.as_slice()).map_err(|_| InvalidKey)?;
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = recovery.to_byte();
        Ok(bytes)
    }

    fn from_public_seed(seed: &[u8]) -> Self {
        let mut digest = keccak256(seed);
        loop {
            // All but one in 2^127 digests are keys.
            match Self::from_bytes(&digest) {
                Ok(key) => return key,
                Err(InvalidKey) => digest = keccak256(digest),
            }
        }
    }
}

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccountKey({})", self.address())
    }
}

/// Not a secp256k1 private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a secp256k1 private key")]
pub struct InvalidKey;

/// Who seals blocks: pinned sets as in Aura's `multi`, and sets that a contract announces.
///
/// The block of step *s* is sealed by authority *s* mod *n* of the set that its number falls into. Sets are never empty.
///
/// A log of [`ANNOUNCER_ADDRESS`] with the topics `InitiateChange(bytes32,address[])` and the parent's hash announces a set. Once
/// more than half of the present set have built on its block, the new one seals every later block, as on any Aura chain. Authorities
/// whose keys the chain does not have never seal, as if they were offline; it has those given here, and all development authorities'.
#[derive(Clone, Debug)]
pub struct Authorities {
    sets: BTreeMap<u64, Vec<Address>>,
    keys: BTreeMap<Address, AccountKey>,
}

impl Authorities {
    /// One set from genesis on; without keys it is the first development authority.
    #[must_use]
    pub fn fixed(keys: Vec<AccountKey>) -> Self {
        let known = (0..MAX_DEV_AUTHORITIES).map(AccountKey::dev_authority);
        let keyed = known.map(|key| (key.address(), key)).collect();
        Self { sets: BTreeMap::new(), keys: keyed }.then(0, keys)
    }

    /// Another set from block `number` on, whatever was announced; without keys it is the first development authority.
    #[must_use]
    pub fn then(mut self, number: u64, keys: Vec<AccountKey>) -> Self {
        let keys = or_dev(keys);
        self.sets.insert(number, keys.iter().map(AccountKey::address).collect());
        self.keys.extend(keys.into_iter().map(|key| (key.address(), key)));
        self
    }

    /// The key of an authority, if it is here.
    pub(crate) fn key(&self, authority: &Address) -> Option<&AccountKey> {
        self.keys.get(authority)
    }

    /// The sets that are given here, by the first block that each seals.
    pub(crate) fn sets(&self) -> &BTreeMap<u64, Vec<Address>> {
        &self.sets
    }
}

fn or_dev(keys: Vec<AccountKey>) -> Vec<AccountKey> {
    if keys.is_empty() { vec![AccountKey::dev_authority(0)] } else { keys }
}

/// The contract that announces: whoever calls it with the ABI encoding of a list of accounts, as data and nothing else, makes it
/// log that list as the set to come. Nobody is kept from it: the chain protects nothing.
fn announcer() -> GenesisAccount {
    // calldatacopy(0, 0, calldatasize); log2(0, calldatasize, topic, blockhash(number - 1))
    let code = [&hex!("36600060003760014303407f")[..], ANNOUNCEMENT.as_slice(), &hex!("366000a200")].concat();
    GenesisAccount { nonce: 1, code: code.into(), ..GenesisAccount::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_what_their_words_say() {
        assert_eq!(EMBEDDED_CHAIN_ID.to_be_bytes()[5..], *b"pox");
        assert_eq!(AccountKey::faucet().address(), FAUCET_ADDRESS);
        assert_eq!(FAUCET_BALANCE, U256::from(10).pow(U256::from(24)));
    }

    #[test]
    fn the_first_authority_is_the_profile_s() {
        let first = address!("0x19786102a095485b6efe129a4e59400d34cc2570");
        assert_eq!(AccountKey::dev_authority(0).address(), first);
    }

    #[test]
    fn keys_out_of_range_are_refused_and_never_shown() {
        assert!(AccountKey::from_bytes(&[0; 32]).is_err());
        assert!(AccountKey::from_bytes(&[0xff; 32]).is_err());
        let key = AccountKey::faucet();
        assert!(!format!("{key:?}").contains(&hex::encode(key.dangerous_to_bytes().as_slice())));
    }
}
