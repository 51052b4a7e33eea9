//! Why a DCAP quote shows nothing.

use super::collateral::BadCollateral;
use super::quote::{BadLaunch, BadQuote};
use crate::evidence::launch::Window;
use core::fmt;
use pox_core::UnixTime;

/// A quote does not show what its kind of hardware shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DcapRejection {
    /// The quote is malformed.
    #[error("the quote is malformed: {0}")]
    Quote(#[from] BadQuote),
    /// The launch protects nothing, or not from everybody.
    #[error("{0}")]
    Launch(#[from] BadLaunch),
    /// Nothing is known of the quote without collateral, good or bad.
    #[error("there is no DCAP collateral beside the quote")]
    MissingEndorsement,
    /// The quote only names its platform, and no certificate of it came with the collateral.
    #[error("neither the quote nor its collateral holds the platform's certificate")]
    MissingPckChain,
    /// An endorsement of a kind that DCAP has no use for.
    #[error("an endorsement of kind {0} has no meaning for a DCAP quote")]
    ForeignEndorsement(u16),
    /// More collaterals than an archive's two evidences need.
    #[error("{0} collaterals, at most {max} are of use", max = super::MAX_COLLATERALS)]
    TooManyEndorsements(usize),
    /// The collateral is malformed.
    #[error("the collateral is malformed: {0}")]
    Collateral(#[from] BadCollateral),
    /// A part is not of its format.
    #[error("the {0} is malformed")]
    Malformed(Part),
    /// A part's certificate does not lead to the pinned root.
    #[error("the {0} does not lead to the pinned root")]
    Untrusted(Part),
    /// A part was altered, or signed by another.
    #[error("the signature of the {0} does not hold")]
    Signature(Part),
    /// A part's certificate was revoked.
    #[error("the {0} is revoked")]
    Revoked(Part),
    /// A part's validity begins later.
    #[error("the {0} is not valid yet")]
    NotYet(Part),
    /// A part's validity has ended.
    #[error("the {0} has expired")]
    Expired(Part),
    /// The time lies outside what all parts together cover.
    #[error("the endorsements hold from {} until {}, not at {at}", .endorsed.from.0, .endorsed.until.0, at = .at.0)]
    OutsideWindow {
        /// The time asked for.
        at: UnixTime,
        /// When all parts are valid.
        endorsed: Window,
    },
    /// A part of the collateral is for the other TEE.
    #[error("the {0} is for another kind of TEE")]
    OtherTee(Part),
    /// The collateral is for another platform family.
    #[error("the TCB info is for platforms {stated}, the quote is from {actual}")]
    OtherPlatform {
        /// FMSPC in the TCB info.
        stated: String,
        /// FMSPC in the platform's certificate.
        actual: String,
    },
    /// The collateral is for another provisioning certification enclave.
    #[error("the TCB info is for another PCE than the platform's")]
    OtherPce,
    /// A TCB table that this version can't read.
    #[error("the TCB info has the unknown version {version} or type {tcb_type}")]
    UnknownTable {
        /// Its version.
        version: u8,
        /// Its type.
        tcb_type: u32,
    },
    /// The attestation key is not the quoting enclave's.
    #[error("the quoting enclave vouches for another attestation key")]
    AttestationKey,
    /// The quoting enclave is not the one that Intel names.
    #[error("the quoting enclave is not the one that its identity describes")]
    QuotingEnclave,
    /// The TDX module is not the one that Intel names.
    #[error("the TDX module is not one that the TCB info describes")]
    TdxModule,
    /// The platform or a part of it is older than every level that Intel knows.
    #[error("no TCB level of the {0} matches")]
    NoTcbLevel(Part),
    /// Intel believes nothing that this level signs.
    #[error("the TCB level of the {0} is revoked")]
    TcbRevoked(Part),
    /// dcap-qvl refuses it for a reason that has no name here.
    #[error("refused: {0}")]
    Refused(String),
}

/// What a quote's trust leads through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The pinned root.
    Root,
    /// The root's revocation list.
    RootCrl,
    /// The revocation list of the CA that certified the platform.
    PckCrl,
    /// The certificate that TCB info is signed with.
    TcbSigner,
    /// TCB info.
    TcbInfo,
    /// The certificate that the quoting enclave's identity is signed with.
    QeSigner,
    /// The quoting enclave's identity.
    QeIdentity,
    /// The platform's certificate, or its issuer's.
    PckChain,
    /// The quoting enclave's report.
    QeReport,
    /// The quote itself.
    Quote,
    /// The TDX module.
    TdxModule,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "pinned root",
            Self::RootCrl => "root's revocation list",
            Self::PckCrl => "PCK revocation list",
            Self::TcbSigner => "TCB info's signing certificate",
            Self::TcbInfo => "TCB info",
            Self::QeSigner => "QE identity's signing certificate",
            Self::QeIdentity => "QE identity",
            Self::PckChain => "PCK certificate chain",
            Self::QeReport => "quoting enclave's report",
            Self::Quote => "quote",
            Self::TdxModule => "TDX module",
        })
    }
}
