//! The owner's policy: which evidence is good enough to release a secret to (spec §8.3).

use crate::anchors::Anchors;
use alloy_primitives::B256;
use core::fmt;
use core::str::FromStr;
use pox_core::evidence::EvidenceKind;
use pox_core::id::BadDigest;
use pox_core::proof::MAX_POLICY_BYTES;
use pox_core::{Kinds, PolicyHash};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Most measurements in one policy: years of releases, and little enough for a policy's bound.
pub const MAX_MEASUREMENTS: usize = 256;
/// The policy format that this version reads and writes.
const VERSION: u32 = 1;

/// What a TEE measured of the runtime that it launched: 32 bytes.
///
/// A kind with wider or with several registers has one value derived from them, which its section of the spec defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Measurement(pub B256);

/// Which evidence an owner accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    kinds: BTreeSet<EvidenceKind>,
    measurements: BTreeSet<Measurement>,
    allow_simulated: bool,
}

/// Bytes or settings are no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPolicy {
    /// More bytes than any policy has.
    #[error("the policy has {0} bytes, at most {MAX_POLICY_BYTES} are allowed")]
    TooLarge(usize),
    /// Not JSON, a key that this version does not know, or a value of another type.
    #[error("the policy is not one of this version: {0}")]
    Json(String),
    /// Another version.
    #[error("the policy has version {0}, and this program reads version {VERSION}")]
    Version(u32),
    /// It would accept nothing.
    #[error("the policy names no kind of evidence")]
    NoKinds,
    /// More measurements than the bound.
    #[error("the policy names {0} measurements, at most {MAX_MEASUREMENTS} are allowed")]
    Measurements(usize),
    /// The same policy has another, canonical form.
    #[error("the policy is not in canonical form")]
    NotCanonical,
}

/// A policy does not accept an evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyRefusal {
    /// The request's set of kinds has not this one.
    #[error("the request does not accept evidence of kind {0}")]
    NotRequested(EvidenceKind),
    /// The policy does not list the kind.
    #[error("the policy does not accept evidence of kind {0}")]
    Kind(EvidenceKind),
    /// The kind protects nothing, and the policy does not allow that.
    #[error("the policy does not allow simulated evidence, and {0} is simulated")]
    Simulated(EvidenceKind),
    /// The policy lists measurements, and this is none of them.
    #[error("the policy does not list the measurement {0}")]
    Measurement(Measurement),
    /// The policy leaves it to known releases, and this is none that the verifier knows.
    #[error(
        "the policy accepts known releases only, and the measurement {0} is none that this verifier knows"
    )]
    UnknownRelease(Measurement),
}

/// The JSON form; the order of the fields is the canonical one.
#[derive(serde::Serialize)]
struct Canonical<'a> {
    version: u32,
    kinds: &'a BTreeSet<EvidenceKind>,
    measurements: &'a BTreeSet<Measurement>,
    allow_simulated: bool,
}

/// What a person writes: any order, any white space, keys left out.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    kinds: Option<Vec<EvidenceKind>>,
    #[serde(default)]
    measurements: Vec<String>,
    #[serde(default)]
    allow_simulated: bool,
}

impl Default for Policy {
    /// Every hardware kind, known releases, nothing simulated.
    fn default() -> Self {
        Self {
            kinds: [EvidenceKind::Sgx, EvidenceKind::Tdx, EvidenceKind::Snp, EvidenceKind::Nitro].into(),
            measurements: BTreeSet::new(),
            allow_simulated: false,
        }
    }
}

impl Policy {
    /// Builds a policy; without measurements it accepts those of the releases that the verifier knows.
    ///
    /// # Errors
    /// No kinds, or too many measurements.
    pub fn new(
        kinds: impl IntoIterator<Item = EvidenceKind>,
        measurements: impl IntoIterator<Item = Measurement>,
        simulated: SimulatedEvidence,
    ) -> Result<Self, BadPolicy> {
        let policy = Self {
            kinds: kinds.into_iter().collect(),
            measurements: measurements.into_iter().collect(),
            allow_simulated: simulated == SimulatedEvidence::DangerouslyAllowed,
        };
        match (policy.kinds.is_empty(), policy.measurements.len()) {
            (true, _) => Err(BadPolicy::NoKinds),
            (false, count) if count > MAX_MEASUREMENTS => Err(BadPolicy::Measurements(count)),
            _ => Ok(policy),
        }
    }

    /// Reads what a person wrote: `version`, and any of the other keys, which default to those of [`Policy::default`].
    ///
    /// # Errors
    /// Not JSON of this form; unknown keys are refused, because they would be promises that nobody keeps.
    pub fn from_written(json: &[u8]) -> Result<Self, BadPolicy> {
        if json.len() > MAX_POLICY_BYTES {
            return Err(BadPolicy::TooLarge(json.len()));
        }
        let written: Written =
            serde_json::from_slice(json).map_err(|error| BadPolicy::Json(error.to_string()))?;
        if written.version != VERSION {
            return Err(BadPolicy::Version(written.version));
        }
        let measurements: Result<Vec<Measurement>, _> =
            written.measurements.iter().map(|text| text.parse()).collect();
        let measurements =
            measurements.map_err(|error: BadDigest| BadPolicy::Json(format!("measurements: {error}")))?;
        let kinds = written.kinds.unwrap_or_else(|| Self::default().kinds.into_iter().collect());
        let simulated = if written.allow_simulated {
            SimulatedEvidence::DangerouslyAllowed
        } else {
            SimulatedEvidence::Refused
        };
        Self::new(kinds, measurements, simulated)
    }

    /// Parses the canonical form, and nothing else.
    ///
    /// # Errors
    /// No policy, or another form of one.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadPolicy> {
        let policy = Self::from_written(bytes)?;
        if policy.canonical_bytes() == bytes { Ok(policy) } else { Err(BadPolicy::NotCanonical) }
    }

    /// The canonical form, whose hash a request commits to.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let canonical = Canonical {
            version: VERSION,
            kinds: &self.kinds,
            measurements: &self.measurements,
            allow_simulated: self.allow_simulated,
        };
        serde_json::to_vec(&canonical).expect("names and hexadecimal digits always serialise")
    }

    /// SHA-256 of the canonical form.
    pub fn hash(&self) -> PolicyHash {
        PolicyHash::from(<[u8; 32]>::from(Sha256::digest(self.canonical_bytes())))
    }

    /// The kinds that it can accept, as a request states them.
    pub fn kinds(&self) -> Kinds {
        self.kinds.iter().copied().filter(|kind| self.allow_simulated || !kind.is_simulated()).collect()
    }

    /// Whether it accepts evidence of this kind and measurement.
    ///
    /// Says nothing of the evidence itself: that kind and measurement are true is for [`crate::evidence::verify`].
    ///
    /// # Errors
    /// It does not; the first reason in the order of the policy's keys.
    pub fn accepts(
        &self,
        kind: EvidenceKind,
        measurement: Measurement,
        anchors: &Anchors,
    ) -> Result<(), PolicyRefusal> {
        self.accepts_kind(kind)?;
        if self.measurements.contains(&measurement) {
            Ok(())
        } else if !self.measurements.is_empty() {
            Err(PolicyRefusal::Measurement(measurement))
        } else if anchors.release(measurement).is_none() {
            Err(PolicyRefusal::UnknownRelease(measurement))
        } else {
            Ok(())
        }
    }

    pub(crate) fn accepts_kind(&self, kind: EvidenceKind) -> Result<(), PolicyRefusal> {
        if !self.kinds.contains(&kind) {
            Err(PolicyRefusal::Kind(kind))
        } else if kind.is_simulated() && !self.allow_simulated {
            Err(PolicyRefusal::Simulated(kind))
        } else {
            Ok(())
        }
    }
}

/// Whether a policy lets simulated evidence pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimulatedEvidence {
    /// It never does.
    Refused,
    /// It does, if the kind is listed: the processor then can read and alter everything.
    DangerouslyAllowed,
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl FromStr for Measurement {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let digits = text.strip_prefix("0x").ok_or(BadDigest)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| BadDigest)?;
        Ok(Self(B256::from(bytes)))
    }
}
