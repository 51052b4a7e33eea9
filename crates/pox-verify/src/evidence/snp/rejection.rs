//! Why a report is rejected.

use super::product::ProductLine;
use super::report::{FirmwareVersion, SigningKey};
use core::fmt;
use pox_core::UnixTime;

/// One piece of what leads from a root to a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// The line's root.
    Ark,
    /// What it certifies: the ASK for chips, the ASVK for operators.
    Ask,
    /// The key that signs reports: VCEK or VLEK.
    Vek,
    /// The root's revocation list.
    Crl,
}

/// A term of the guest's policy that firmware holds its host to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyTerm {
    /// No two threads on a core.
    Smt,
    /// Ciphertext must be hidden.
    CiphertextHiding,
    /// The lowest ABI version.
    Abi,
}

/// Bytes are no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReport {
    /// Another length.
    #[error("it has {0} bytes, not 1184")]
    Length(usize),
    /// A version whose form is not known.
    #[error("its version {0} is not one of 2 to 5")]
    Version(u32),
    /// A signature algorithm other than ECDSA P-384 with SHA-384.
    #[error("its signature algorithm {0} is unknown")]
    SignatureAlgorithm(u32),
    /// No key signs it, or an unknown one.
    #[error("its signing key {0} is neither the VCEK nor the VLEK")]
    SigningKey(u32),
    /// Something where there must be nothing.
    #[error("what is reserved in or about {0} is not as it must be")]
    Reserved(&'static str),
}

/// A report does not show what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnpRejection {
    /// It is not of AMD's format.
    #[error("the report is malformed: {0}")]
    Report(#[from] BadReport),
    /// An endorsement of a kind that a report has no use for.
    #[error("an endorsement of kind {0} has no meaning here")]
    Endorsement(u16),
    /// More endorsements of a kind than there can be.
    #[error("there is more than one {0}")]
    Repeated(Link),
    /// An endorsement is missing: nothing vouches for the report, and nothing speaks against it.
    #[error("there is no {0}")]
    Missing(Link),
    /// An endorsement is not of AMD's form.
    #[error("the {link} is malformed: {fault}")]
    Malformed {
        /// Which.
        link: Link,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// No pinned root has the name of the intermediate's issuer.
    #[error("no pinned root issued the ASK or ASVK certificate")]
    Root,
    /// It is issued by another than its place in the chain needs.
    #[error("the {0} is issued by another")]
    Issuer(Link),
    /// Its signature is not its issuer's.
    #[error("the signature of the {0} does not hold")]
    Signature(Link),
    /// It is not valid yet.
    #[error("the {link} is not valid before {}", from.0)]
    NotYetValid {
        /// Which.
        link: Link,
        /// Its first second.
        from: UnixTime,
    },
    /// It is no longer valid.
    #[error("the {link} is not valid after {}", until.0)]
    Expired {
        /// Which.
        link: Link,
        /// Its last second.
        until: UnixTime,
    },
    /// The root has revoked it.
    #[error("the {0} is revoked")]
    Revoked(Link),
    /// The report says that another key signs it than the certificate is of.
    #[error("the report is to be signed by a {selected}, and the certificate is of a {certified}")]
    SigningKey {
        /// What the report says.
        selected: SigningKey,
        /// What there is a certificate of.
        certified: SigningKey,
    },
    /// The report is of a processor of another line than its root.
    #[error("a processor of family {family:#x}, model {model:#x}, is not of the line {line}")]
    ProductLine {
        /// The root's line.
        line: ProductLine,
        /// The processor's family.
        family: u8,
        /// The processor's model.
        model: u8,
    },
    /// The report's signature is not by the certified key.
    #[error("the report's signature does not hold")]
    ReportSignature,
    /// The certified key is another chip's.
    #[error("the VCEK is another chip's")]
    ChipId,
    /// The certified key is of another TCB version.
    #[error("the report is of {part} {reported}, and its key of {part} {certified}")]
    Tcb {
        /// Which part.
        part: &'static str,
        /// What the report has.
        reported: u8,
        /// What the certificate has.
        certified: u8,
    },
    /// TCB versions are in an order that firmware does not allow.
    #[error("the {lower} TCB version is above the {upper} one")]
    TcbOrder {
        /// Which must not be above.
        lower: &'static str,
        /// Which other.
        upper: &'static str,
    },
    /// The committed firmware is newer than the one that runs.
    #[error("firmware {committed} is committed, and {current} runs")]
    FirmwareOrder {
        /// What is committed.
        committed: FirmwareVersion,
        /// What runs.
        current: FirmwareVersion,
    },
    /// The host may read the guest's memory.
    #[error("the guest's policy allows debugging")]
    Debug,
    /// The guest may be taken to another machine.
    #[error("the guest's policy allows migration")]
    Migration,
    /// What asked for the report is not at the highest privilege level.
    #[error("the report is of VMPL {0}, not 0")]
    Vmpl(u32),
    /// The platform breaks a term of the guest's policy, which genuine firmware can't let it.
    #[error("the platform does not keep the guest's policy on {0}")]
    PolicyNotKept(PolicyTerm),
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ark => "ARK certificate",
            Self::Ask => "ASK or ASVK certificate",
            Self::Vek => "VCEK or VLEK certificate",
            Self::Crl => "revocation list",
        })
    }
}

impl fmt::Display for PolicyTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smt => "threads that share a core",
            Self::CiphertextHiding => "hidden ciphertext",
            Self::Abi => "the lowest ABI version",
        })
    }
}
