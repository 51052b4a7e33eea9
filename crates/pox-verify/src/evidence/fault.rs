//! What can be wrong with hardware evidence, in words that all vendors share.

use core::fmt;

/// A vendor's verifier refuses a quote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct VendorRejection {
    /// What kind of fault it is.
    pub fault: Fault,
    /// What exactly, in the vendor's words.
    pub message: String,
}

/// Kinds of fault; each has a stable name for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Quote or endorsement is not of its vendor's format.
    Malformed,
    /// It does not lead to a pinned root.
    Untrusted,
    /// It was altered, or signed by another.
    Forged,
    /// An endorsement's validity begins later.
    NotYetValid,
    /// An endorsement's validity has ended.
    Expired,
    /// A certificate on the way is revoked.
    Revoked,
    /// The vendor believes nothing at this security level.
    TcbRevoked,
    /// The vendor knows no security level that low.
    TcbUnknown,
    /// An endorsement is of another platform than the quote.
    WrongPlatform,
    /// An endorsement is of another kind of TEE, or a part under the enclave is not the vendor's.
    WrongPart,
    /// Made outside the time in which this task's evidence was made.
    WrongTime,
    /// The host can see and change everything.
    Debug,
    /// The launch can be moved to another machine.
    Migration,
    /// A service TD has a say in it.
    ServiceTd,
    /// Made below the highest privilege level.
    Vmpl,
    /// Other attributes of the launch protect nothing, or are not known.
    Attributes,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 16] = [
        Self::Malformed,
        Self::Untrusted,
        Self::Forged,
        Self::NotYetValid,
        Self::Expired,
        Self::Revoked,
        Self::TcbRevoked,
        Self::TcbUnknown,
        Self::WrongPlatform,
        Self::WrongPart,
        Self::WrongTime,
        Self::Debug,
        Self::Migration,
        Self::ServiceTd,
        Self::Vmpl,
        Self::Attributes,
    ];

    /// The name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Untrusted => "untrusted",
            Self::Forged => "forged",
            Self::NotYetValid => "not-yet-valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::TcbRevoked => "tcb-revoked",
            Self::TcbUnknown => "tcb-unknown",
            Self::WrongPlatform => "wrong-platform",
            Self::WrongPart => "wrong-part",
            Self::WrongTime => "wrong-time",
            Self::Debug => "debug",
            Self::Migration => "migration",
            Self::ServiceTd => "service-td",
            Self::Vmpl => "vmpl",
            Self::Attributes => "attributes",
        }
    }

    /// Whether newer endorsements, or patches, would mend it.
    pub fn is_out_of_date(self) -> bool {
        matches!(
            self,
            Self::NotYetValid | Self::Expired | Self::Revoked | Self::TcbRevoked | Self::TcbUnknown
        )
    }

    /// Whether the launch is genuine, and one that no policy may allow.
    pub fn is_unprotected(self) -> bool {
        matches!(self, Self::Debug | Self::Migration | Self::ServiceTd | Self::Vmpl | Self::Attributes)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_fault_has_its_own_name() {
        let names: BTreeSet<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
        assert!(!Fault::ALL.iter().any(|fault| fault.is_out_of_date() && fault.is_unprotected()));
    }
}
