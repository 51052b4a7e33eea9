//! Requests and offers, parsed: a value of these types is within every bound of spec §3 that needs no clock.

use crate::abi;
use crate::domain::Domain;
use crate::id::{
    DatasetCommitment, ImageDigest, ListRoot, MetadataRoot, OfferId, PolicyHash, Salt, TaskId, TermsRoot,
};
use crate::party::{self, CoOwner};
use crate::tree;
use alloy_primitives::{Address, B256, U256, Uint};
use alloy_sol_types::SolValue;
use core::fmt;

/// Most inputs that one request names; bounds the contract's loop.
pub const MAX_INPUTS: usize = 32;
/// Highest price: the contract keeps it beside the owner, a bit for the end, and one for a sponsor.
pub const MAX_PRICE: Amount = Amount((1 << 94) - 1);
/// Longest run and longest time to approve, seconds: 30 days.
pub const MAX_TASK_SECONDS: u32 = 2_592_000;
/// Longest time to match or prove, seconds: 365 days.
pub const MAX_DEADLINE_SECONDS: u32 = 31_536_000;

/// A record has a field out of its bounds.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("field {name} is out of its bounds (spec §3)")]
pub struct BadRecord {
    /// The field's index in the record's order.
    pub field: u8,
    /// The field's name.
    pub name: &'static str,
}

/// Bytes are no request or offer.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum BadRecordBytes {
    /// Not the one ABI encoding of the record.
    #[error(transparent)]
    Encoding(#[from] abi::NotCanonical),
    /// A field is out of its bounds.
    #[error(transparent)]
    Field(#[from] BadRecord),
}

/// An amount of the chain's coin, in wei, below 2^96.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Amount(u128);

/// Seconds since 1970-01-01, as the chain's blocks give them.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    minicbor::Encode,
    minicbor::Decode,
)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct UnixTime(#[n(0)] pub u64);

/// A set of TEE kinds, one bit per kind code (spec §8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Kinds(pub u16);

/// What a task may use, or an offer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Thousandths of a processor core.
    pub cpu_millis: u32,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// Scratch and results together, MiB.
    pub disk_mib: u32,
    /// Wall-clock time, seconds.
    pub time_limit: u32,
}

/// Who may match a request (spec §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Processors {
    /// Whoever fits.
    Any,
    /// One account.
    Only(Address),
    /// Every account of a list with this root (spec §3.4).
    Listed(ListRoot),
}

/// One execution, as the owner asks for it (spec §3.1).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Request {
    /// Requests the task, has the price escrowed, releases the secret.
    pub owner: Address,
    /// Who may match.
    pub processors: Processors,
    /// Paid to the processor for a receipt whose outcome says so; at most [`MAX_PRICE`].
    pub price: Amount,
    /// SHA-256 of the OCI image manifest.
    pub image: ImageDigest,
    /// The sealed datasets that the task reads.
    pub inputs: Vec<DatasetCommitment>,
    /// How to run.
    pub terms: TermsRoot,
    /// Catalogue metadata, or zero.
    pub metadata: MetadataRoot,
    /// Which evidence the owner accepts.
    pub policy: PolicyHash,
    /// The TEE kinds that the owner accepts.
    pub kinds: Kinds,
    /// What the task may use.
    pub resources: Resources,
    /// Last second in which it can be matched.
    pub match_by: UnixTime,
    /// Seconds after the match in which the owner can approve or reject.
    pub approve_within: u32,
    /// Seconds after the approval in which the receipt can be posted.
    pub prove_within: u32,
    /// Makes equal requests distinct.
    pub salt: Salt,
    /// The account whose key signs releases and refusals for the owner; `None`: the owner's own.
    pub delegate: Option<Address>,
    /// Who else has to release a secret, in ascending order of their accounts.
    pub co_owners: Vec<CoOwner>,
}

/// Resources that a processor advertises (spec §3.2).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Offer {
    /// Offers, matches and is paid.
    pub processor: Address,
    /// The TEE kinds that it has.
    pub kinds: Kinds,
    /// The most that one task can use.
    pub resources: Resources,
    /// Least price per second of a request's time limit.
    pub price_per_second: Amount,
    /// Deposited with each match; lost if an approved task is not proven in time.
    pub bond: Amount,
    /// Last second in which the offer can be matched.
    pub valid_until: UnixTime,
    /// Makes equal offers distinct.
    pub salt: Salt,
}

impl Request {
    /// The task id: this record's digest in its domain.
    pub fn id(&self, domain: &Domain) -> TaskId {
        TaskId(domain.digest(&self.to_abi()))
    }

    /// The record as it travels in calls.
    pub fn to_abi(&self) -> abi::Request {
        abi::Request {
            owner: self.owner,
            processors: self.processors.word(),
            price: self.price.to_abi(),
            image: self.image.0,
            inputs: self.inputs.iter().map(|input| input.0).collect(),
            terms: self.terms.0,
            metadata: self.metadata.0,
            policy: self.policy.0,
            kinds: self.kinds.0,
            cpuMillis: self.resources.cpu_millis,
            memoryMib: self.resources.memory_mib,
            diskMib: self.resources.disk_mib,
            timeLimit: self.resources.time_limit,
            matchBy: self.match_by.0,
            approveWithin: self.approve_within,
            proveWithin: self.prove_within,
            salt: self.salt.0,
            delegate: self.delegate.unwrap_or_default(),
            coOwners: self.co_owners.iter().map(|other| other.to_abi()).collect(),
        }
    }
}

impl Request {
    /// Parses the ABI encoding.
    ///
    /// # Errors
    /// Another encoding, or a field out of its bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadRecordBytes> {
        Ok(abi::parse::<abi::Request>(bytes, "request")?.try_into()?)
    }

    /// The ABI encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_abi().abi_encode()
    }
}

impl TryFrom<abi::Request> for Request {
    type Error = BadRecord;

    fn try_from(wire: abi::Request) -> Result<Self, BadRecord> {
        check(!wire.owner.is_zero(), 0, "owner")?;
        check(Amount::from_abi(wire.price) <= MAX_PRICE, 2, "price")?;
        check(!wire.image.is_zero(), 3, "image")?;
        check(wire.inputs.len() <= MAX_INPUTS && !wire.inputs.contains(&B256::ZERO), 4, "inputs")?;
        check(!wire.terms.is_zero(), 5, "terms")?;
        check(!wire.policy.is_zero(), 7, "policy")?;
        check(wire.kinds != 0, 8, "kinds")?;
        check(wire.cpuMillis != 0, 9, "cpuMillis")?;
        check(wire.memoryMib != 0, 10, "memoryMib")?;
        check(wire.diskMib != 0, 11, "diskMib")?;
        check((1..=MAX_TASK_SECONDS).contains(&wire.timeLimit), 12, "timeLimit")?;
        check((1..=MAX_TASK_SECONDS).contains(&wire.approveWithin), 14, "approveWithin")?;
        check((wire.timeLimit..=MAX_DEADLINE_SECONDS).contains(&wire.proveWithin), 15, "proveWithin")?;
        check(wire.delegate != wire.owner, 17, "delegate")?;
        let co_owners = party::check(&wire)?;
        Ok(Self {
            owner: wire.owner,
            processors: Processors::of(wire.processors),
            price: Amount::from_abi(wire.price),
            image: ImageDigest(wire.image),
            inputs: wire.inputs.into_iter().map(DatasetCommitment).collect(),
            terms: TermsRoot(wire.terms),
            metadata: MetadataRoot(wire.metadata),
            policy: PolicyHash(wire.policy),
            kinds: Kinds(wire.kinds),
            resources: Resources {
                cpu_millis: wire.cpuMillis,
                memory_mib: wire.memoryMib,
                disk_mib: wire.diskMib,
                time_limit: wire.timeLimit,
            },
            match_by: UnixTime(wire.matchBy),
            approve_within: wire.approveWithin,
            prove_within: wire.proveWithin,
            salt: Salt(wire.salt),
            delegate: Some(wire.delegate).filter(|address| !address.is_zero()),
            co_owners,
        })
    }
}

impl Processors {
    /// Whether an account may match; for a list, by the path from the account's leaf to its root.
    pub fn allow(&self, account: Address, path: Option<&[B256]>) -> bool {
        match (self, path) {
            (Self::Any, None) => true,
            (Self::Only(only), None) => *only == account,
            // What the contract computes for any word with a path; that a path leads to another word than a root, nobody
            // can bring about.
            (_, Some(path)) => tree::climb(tree::account_leaf(account), path) == Some(self.word()),
            (Self::Listed(_), None) => false,
        }
    }

    /// The word in the record: zero, an account as a number, or a root.
    pub fn word(&self) -> B256 {
        match self {
            Self::Any => B256::ZERO,
            Self::Only(account) => account.into_word(),
            Self::Listed(root) => root.0,
        }
    }

    /// What a word says. That a root looks like an account has a chance of 2^-96.
    pub fn of(word: B256) -> Self {
        match word[..12].iter().all(|byte| *byte == 0) {
            _ if word.is_zero() => Self::Any,
            true => Self::Only(Address::from_word(word)),
            false => Self::Listed(ListRoot(word)),
        }
    }
}

impl Offer {
    /// The offer id: this record's digest in its domain.
    pub fn id(&self, domain: &Domain) -> OfferId {
        OfferId(domain.digest(&self.to_abi()))
    }

    /// The record as it travels in calls.
    pub fn to_abi(&self) -> abi::Offer {
        abi::Offer {
            processor: self.processor,
            kinds: self.kinds.0,
            cpuMillis: self.resources.cpu_millis,
            memoryMib: self.resources.memory_mib,
            diskMib: self.resources.disk_mib,
            timeLimit: self.resources.time_limit,
            pricePerSecond: self.price_per_second.to_abi(),
            bond: self.bond.to_abi(),
            validUntil: self.valid_until.0,
            salt: self.salt.0,
        }
    }

    /// Why this offer can't serve a request: the request's first field that does not fit, or `None` if it fits (spec §4).
    pub fn misfit(&self, request: &Request) -> Option<u8> {
        let (has, needs) = (&self.resources, &request.resources);
        if self.kinds.0 & request.kinds.0 == 0 {
            return Some(8);
        }
        let limits = [
            (9, has.cpu_millis, needs.cpu_millis),
            (10, has.memory_mib, needs.memory_mib),
            (11, has.disk_mib, needs.disk_mib),
            (12, has.time_limit, needs.time_limit),
        ];
        if let Some((field, ..)) = limits.into_iter().find(|(_, has, needs)| has < needs) {
            return Some(field);
        }
        let least = self.price_per_second.0.checked_mul(u128::from(needs.time_limit));
        if least.is_none_or(|least| least > request.price.0) { Some(2) } else { None }
    }

    /// The least price for which this offer serves a time limit, if a request can name it.
    pub fn least_price(&self, time_limit: u32) -> Option<Amount> {
        let price = Amount::from_wei(self.price_per_second.0.checked_mul(u128::from(time_limit))?)?;
        (price <= MAX_PRICE).then_some(price)
    }
}

impl Offer {
    /// Parses the ABI encoding.
    ///
    /// # Errors
    /// Another encoding, or a field out of its bounds.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadRecordBytes> {
        Ok(abi::parse::<abi::Offer>(bytes, "offer")?.try_into()?)
    }

    /// The ABI encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_abi().abi_encode()
    }
}

impl TryFrom<abi::Offer> for Offer {
    type Error = BadRecord;

    fn try_from(wire: abi::Offer) -> Result<Self, BadRecord> {
        check(!wire.processor.is_zero(), 0, "processor")?;
        check(wire.kinds != 0, 1, "kinds")?;
        Ok(Self {
            processor: wire.processor,
            kinds: Kinds(wire.kinds),
            resources: Resources {
                cpu_millis: wire.cpuMillis,
                memory_mib: wire.memoryMib,
                disk_mib: wire.diskMib,
                time_limit: wire.timeLimit,
            },
            price_per_second: Amount::from_abi(wire.pricePerSecond),
            bond: Amount::from_abi(wire.bond),
            valid_until: UnixTime(wire.validUntil),
            salt: Salt(wire.salt),
        })
    }
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of so many wei, if it is below 2^96.
    pub fn from_wei(wei: u128) -> Option<Self> {
        (wei < 1 << 96).then_some(Self(wei))
    }

    /// How many wei.
    pub fn wei(self) -> u128 {
        self.0
    }

    pub(crate) fn to_abi(self) -> Uint<96, 2> {
        Uint::from(self.0)
    }

    pub(crate) fn from_abi(wire: Uint<96, 2>) -> Self {
        Self(wire.to())
    }
}

impl From<Amount> for U256 {
    fn from(amount: Amount) -> Self {
        Self::from(amount.0)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wei", self.0)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Amount {
    /// A decimal string: JSON numbers lose digits above 2^53.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse()
            .ok()
            .and_then(Self::from_wei)
            .ok_or_else(|| serde::de::Error::custom("expected wei below 2^96, as a decimal string"))
    }
}

fn check(holds: bool, field: u8, name: &'static str) -> Result<(), BadRecord> {
    if holds { Ok(()) } else { Err(BadRecord { field, name }) }
}
