//! Why a policy does not accept an evidence.

use super::Measurement;
use crate::evidence::launch::{PlatformId, TcbStatus};
use pox_core::evidence::EvidenceKind;

/// A policy does not accept an evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyRefusal {
    /// The request's set of kinds has not this one.
    #[error("the request does not accept evidence of kind {0}")]
    NotRequested(EvidenceKind),
    /// The policy does not list the kind.
    #[error("the policy does not accept evidence of kind {0}")]
    Kind(EvidenceKind),
    /// The kind, or the root that the evidence leads to, protects nothing, and the policy does not allow that.
    #[error("the policy does not allow simulated evidence, and {0} is simulated")]
    Simulated(EvidenceKind),
    /// The policy lists measurements, and this is none of them.
    #[error("the policy does not list the measurement {0}")]
    Measurement(Measurement),
    /// The policy lists releases, and the measurement is of none of them.
    #[error("the policy does not list a release with the measurement {0}")]
    Release(Measurement),
    /// The policy leaves it to known releases, and this is none that the verifier knows.
    #[error(
        "the policy accepts known releases only, and the measurement {0} is none that this verifier knows"
    )]
    UnknownRelease(Measurement),
    /// The platform is not patched well enough.
    #[error("the policy does not accept platforms that are {0}")]
    Tcb(TcbStatus),
    /// The platform has a flaw that the policy does not allow.
    #[error("the policy does not allow the flaw {0}")]
    AdvisoryNotAllowed(String),
    /// The platform has a flaw that the policy denies.
    #[error("the policy denies the flaw {0}")]
    AdvisoryDenied(String),
    /// The platform was judged by an older TCB table than the policy asks for.
    #[error("the policy asks for TCB evaluation {least}, and the platform was judged by {actual}")]
    Evaluation {
        /// The table's number.
        actual: u32,
        /// The policy's.
        least: u32,
    },
    /// A part of an SNP platform's firmware is older than the policy asks for.
    #[error("the policy asks for {part} {least}, and the platform has {}", .actual.map_or_else(|| "none".into(), |version| version.to_string()))]
    SnpTcb {
        /// Which part.
        part: &'static str,
        /// Its version, if the product line has that part.
        actual: Option<u32>,
        /// The policy's.
        least: u32,
    },
    /// The policy lists platforms, and this is none of them.
    #[error("the policy does not list the platform {0}")]
    Platform(PlatformId),
    /// The policy lists platforms, and the evidence does not say which one it is of.
    #[error("the policy lists platforms, and the evidence hides which one it is of")]
    PlatformHidden,
    /// The policy denies the platform.
    #[error("the policy denies the platform {0}")]
    PlatformDenied(PlatformId),
    /// The policy denies platforms of this vendor, and the evidence does not say which one it is of.
    #[error("the policy denies platforms, and the evidence hides which one it is of")]
    PlatformDeniedHidden,
    /// The platform's root of trust can be extracted by software.
    #[error("the policy does not allow AMD Milan, whose root of trust can be extracted by software")]
    Milan,
    /// Nobody looked whether what vouches for the platform was revoked.
    #[error("the policy asks for revocation lists, and none came with the evidence")]
    RevocationUnchecked,
    /// The launch was not made for the task.
    #[error("the policy asks for a launch that was made for the task")]
    LaunchUnbound,
}

impl PolicyRefusal {
    /// The policy's key that refuses; `kinds` for the request's own set, too.
    pub fn key(&self) -> &'static str {
        match self {
            Self::NotRequested(_) | Self::Kind(_) => "kinds",
            Self::Simulated(_) => "allow_simulated",
            Self::Measurement(_) | Self::UnknownRelease(_) => "measurements",
            Self::Release(_) => "releases",
            Self::Tcb(_) => "tcb",
            Self::AdvisoryNotAllowed(_) => "allowed_advisories",
            Self::AdvisoryDenied(_) => "denied_advisories",
            Self::Evaluation { .. } => "minimum_tcb_evaluation",
            Self::SnpTcb { .. } => "minimum_snp_tcb",
            Self::Platform(_) | Self::PlatformHidden => "platforms",
            Self::PlatformDenied(_) | Self::PlatformDeniedHidden => "denied_platforms",
            Self::Milan => "allow_milan",
            Self::RevocationUnchecked => "allow_unchecked_revocation",
            Self::LaunchUnbound => "require_launch_binding",
        }
    }

    /// Whether newer endorsements, or patches, would mend it.
    pub fn is_out_of_date(&self) -> bool {
        matches!(
            self,
            Self::Tcb(_)
                | Self::AdvisoryNotAllowed(_)
                | Self::AdvisoryDenied(_)
                | Self::Evaluation { .. }
                | Self::SnpTcb { .. }
                | Self::RevocationUnchecked
        )
    }
}
