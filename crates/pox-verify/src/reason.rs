//! Why a component has its grade.

use crate::evidence::launch::{PlatformId, PlatformTrait, TcbStatus, Window};
use alloy_primitives::{Address, B256};
use core::fmt;
use pox_core::evidence::EvidenceKind;
use serde::ser::SerializeStruct;
use std::collections::BTreeSet;

/// Why a component has its grade, or what the grade rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The evidence is of a kind that protects nothing.
    SimulatedKind(EvidenceKind),
    /// This version can't verify evidence of that kind.
    UnsupportedKind(EvidenceKind),
    /// The vendor's endorsements of the quote are not there.
    Unendorsed(String),
    /// The evidence leads to a development vendor's root.
    DevelopmentRoot(EvidenceKind),
    /// How well patched the platform was.
    Tcb {
        /// The vendor's judgement.
        status: TcbStatus,
        /// The versions, for people.
        level: String,
    },
    /// Flaws that concern the platform, by the vendor's names.
    Advisories(BTreeSet<String>),
    /// Which machine it ran on.
    Platform(PlatformId),
    /// The evidence does not say which machine it ran on.
    NoPlatform,
    /// What else the hardware says of itself.
    PlatformTraits(BTreeSet<PlatformTrait>),
    /// The launch itself was made for this task.
    LaunchBound,
    /// The launch was made for no task; the signed claims name it.
    LaunchUnbound,
    /// When the endorsements that were used are in force.
    Endorsed(Window),
    /// The evidence does not hold by what is known today.
    NotToday {
        /// The fault's name.
        name: &'static str,
        /// What exactly.
        message: String,
    },
    /// The auditor denies the platform.
    PlatformDenied(PlatformId),
    /// The auditor denies platforms of this vendor, and the evidence does not say which it is of.
    PlatformUnknown,
    /// The auditor denies a flaw that the platform has.
    AdvisoryDenied(String),
    /// The measurement is that of a release that the verifier knows.
    KnownRelease(String),
    /// The measurement is one that the owner's policy lists, and of no release that the verifier knows.
    ListedMeasurement,
    /// The verifier has no anchor for the chain.
    NoChainAnchor(u64),
    /// The chain is known, but neither its authorities nor this block are.
    NoAuthorities(String),
    /// The chain is a development chain.
    EmbeddedChain(String),
    /// An authority of the chain sealed the block, and so many built on it.
    Sealed {
        /// Who sealed it.
        by: Address,
        /// Distinct authorities that sealed it or a block after it.
        built: usize,
        /// All authorities.
        of: usize,
    },
    /// The authorities are a set that the verifier pins.
    AuthoritiesPinned {
        /// The first block that it seals.
        from: u64,
        /// When it was known to be so.
        as_of: String,
        /// Where it is known from.
        source: String,
    },
    /// The authorities follow from a set that the verifier pins, by changes that the proof shows.
    AuthoritiesProven {
        /// The first block that the pinned set seals.
        from: u64,
        /// When that was known to be so.
        as_of: String,
        /// Where that is known from.
        source: String,
        /// How many changes there were.
        changes: usize,
        /// The block that announced the last.
        announced: u64,
    },
    /// Not enough of the authorities have built on the block.
    NotFinal {
        /// Distinct authorities that sealed it or a block after it.
        built: usize,
        /// All authorities.
        of: usize,
    },
    /// The block is, or is an ancestor of, the one that the caller trusts.
    TrustedBlock {
        /// The trusted block's number.
        number: u64,
        /// The trusted block's hash.
        hash: B256,
    },
    /// The history is shown by an event for each step, and not by the contract's state.
    ByReceipts,
    /// The verifier does not know what stands at the contract's address.
    UnknownContract(Address),
    /// The block's time is after the auditor's: one of the clocks is wrong.
    AheadOfClock {
        /// By how many seconds.
        seconds: u64,
    },
}

impl Reason {
    /// A stable name for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SimulatedKind(_) => "simulated-kind",
            Self::UnsupportedKind(_) => "unsupported-kind",
            Self::Unendorsed(_) => "unendorsed",
            Self::DevelopmentRoot(_) => "development-root",
            Self::Tcb { status, .. } if status.is_superseded() => "tcb-outdated",
            Self::Tcb { .. } => "tcb",
            Self::Advisories(_) => "advisories",
            Self::Platform(_) => "platform",
            Self::NoPlatform => "no-platform",
            Self::PlatformTraits(_) => "platform-traits",
            Self::LaunchBound => "launch-bound",
            Self::LaunchUnbound => "launch-unbound",
            Self::Endorsed(_) => "endorsed",
            Self::NotToday { name, .. } => name,
            Self::PlatformDenied(_) => "platform-denied",
            Self::PlatformUnknown => "platform-unknown",
            Self::AdvisoryDenied(_) => "advisory-denied",
            Self::KnownRelease(_) => "known-release",
            Self::ListedMeasurement => "listed-measurement",
            Self::NoChainAnchor(_) => "no-chain-anchor",
            Self::NoAuthorities(_) => "no-authorities",
            Self::EmbeddedChain(_) => "embedded-chain",
            Self::Sealed { .. } => "sealed",
            Self::AuthoritiesPinned { .. } => "authorities-pinned",
            Self::AuthoritiesProven { .. } => "authorities-proven",
            Self::NotFinal { .. } => "not-final",
            Self::TrustedBlock { .. } => "trusted-block",
            Self::ByReceipts => "by-receipts",
            Self::UnknownContract(_) => "unknown-contract",
            Self::AheadOfClock { .. } => "ahead-of-clock",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SimulatedKind(kind) => {
                write!(f, "the evidence is {kind}: anyone can sign it, and it protects nothing")
            }
            Self::UnsupportedKind(kind) => {
                write!(
                    f,
                    "this version can't verify evidence of kind {kind}, so nothing vouches for the enclave"
                )
            }
            Self::Unendorsed(missing) => write!(f, "nothing vouches for the enclave: {missing}"),
            Self::DevelopmentRoot(kind) => {
                write!(
                    f,
                    "the {kind} evidence leads to a development root: anyone can sign it, and it protects nothing"
                )
            }
            Self::Tcb { status, level } => write!(f, "the platform is {status} ({level})"),
            Self::Advisories(advisories) => write!(f, "known flaws of the platform: {}", list(advisories)),
            Self::Platform(platform) => write!(f, "it ran on the platform {platform}"),
            Self::NoPlatform => f.write_str("the evidence does not say on which machine it ran"),
            Self::PlatformTraits(traits) => write!(f, "the platform says of itself: {}", list(traits)),
            Self::LaunchBound => f.write_str("the enclave was launched for this task and no other"),
            Self::LaunchUnbound => f.write_str(
                "the enclave was launched for no task in particular; its signed claims name this one",
            ),
            Self::Endorsed(window) => {
                write!(f, "the endorsements hold from {} until {}", window.from.0, window.until.0)
            }
            Self::NotToday { message, .. } => write!(f, "it would not be accepted today: {message}"),
            Self::PlatformDenied(platform) => write!(f, "the platform {platform} is not to be believed"),
            Self::PlatformUnknown => f.write_str(
                "platforms of its vendor are not to be believed, and the evidence hides which it is of",
            ),
            Self::AdvisoryDenied(advisory) => {
                write!(f, "the platform has the flaw {advisory}, which is denied")
            }
            Self::KnownRelease(name) => write!(f, "the enclave ran the release {name}"),
            Self::ListedMeasurement => {
                write!(
                    f,
                    "the enclave ran what the owner's policy lists, no release that this verifier knows"
                )
            }
            Self::NoChainAnchor(id) => {
                write!(f, "this verifier has no anchor for chain {id}, so nothing vouches for the block")
            }
            Self::NoAuthorities(name) => {
                write!(f, "this verifier knows neither who sealed {name} then nor the block")
            }
            Self::EmbeddedChain(name) => {
                write!(f, "{name} is a development chain: anyone can seal its blocks")
            }
            Self::Sealed { by, built, of } => {
                write!(f, "sealed by the authority {by}; {built} of {of} authorities built on it")
            }
            Self::AuthoritiesPinned { from, as_of, source } => {
                write!(f, "trusted: the authorities pinned from block {from} on, as of {as_of} ({source})")
            }
            Self::AuthoritiesProven { from, as_of, source, changes, announced } => write!(
                f,
                "trusted: the authorities pinned from block {from} on, as of {as_of} ({source}); the proof shows {changes} \
                 changes since, the last one announced in block {announced}"
            ),
            Self::NotFinal { built, of } => {
                write!(f, "not final: {built} of {of} authorities built on it, which are not enough")
            }
            Self::TrustedBlock { number, hash } => {
                write!(f, "trusted: the endpoint, which has block {number} with hash {hash} in its chain")
            }
            Self::ByReceipts => f.write_str(
                "shown by an event for each step: other steps, such as rejected matches, can be left out",
            ),
            Self::UnknownContract(address) => {
                write!(
                    f,
                    "this verifier does not know the contract at {address}, and events show nothing of its code"
                )
            }
            Self::AheadOfClock { seconds } => {
                write!(f, "the block's time is {seconds} s after the auditor's clock")
            }
        }
    }
}

fn list<T: fmt::Display>(items: &BTreeSet<T>) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut reason = serializer.serialize_struct("Reason", 2)?;
        reason.serialize_field("code", self.code())?;
        reason.serialize_field("message", &self.to_string())?;
        reason.end()
    }
}
