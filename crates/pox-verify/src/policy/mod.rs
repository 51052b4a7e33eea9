//! The owner's policy: which evidence is good enough to release a secret to (spec §8.3).

mod form;
mod refusal;

pub(crate) use form::is_advisory;
pub use form::{BadPolicy, MAX_MEASUREMENTS};
pub use refusal::PolicyRefusal;

use crate::anchors::Anchors;
use crate::evidence::launch::{Launch, LaunchBinding, PlatformId, PlatformTrait, TcbStatus};
use crate::evidence::roots::RootStanding;
use crate::evidence::{Hardware, denied_platform, has};
use alloy_primitives::B256;
use core::fmt;
use core::str::FromStr;
use pox_core::evidence::EvidenceKind;
use pox_core::id::BadDigest;
use pox_core::{Kinds, PolicyHash};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// What a TEE measured of the runtime that it launched: 32 bytes.
///
/// A kind with wider or with several registers has one value derived from them, which its section of the spec defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Measurement(pub B256);

/// Which evidence an owner accepts; the order of the fields is that of the canonical form, and of the checks.
///
/// What protects nothing is not for a policy to allow: debugging, migration, service TDs, privilege levels below the highest and
/// registers that are all zero are refused before any policy is asked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Policy {
    kinds: BTreeSet<EvidenceKind>,
    measurements: BTreeSet<Measurement>,
    releases: BTreeSet<String>,
    tcb: BTreeSet<TcbStatus>,
    /// `None` allows all that is not denied.
    allowed_advisories: Option<BTreeSet<String>>,
    denied_advisories: BTreeSet<String>,
    minimum_tcb_evaluation: u32,
    minimum_snp_tcb: SnpMinimums,
    /// Empty accepts all that are not denied.
    platforms: BTreeSet<PlatformId>,
    denied_platforms: BTreeSet<PlatformId>,
    allow_milan: bool,
    allow_unchecked_revocation: bool,
    require_launch_binding: bool,
    allow_simulated: bool,
}

/// The lowest firmware versions of each SNP product line; a line that is left out has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnpMinimums {
    /// EPYC Milan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milan: Option<SnpMinimum>,
    /// EPYC Genoa, Bergamo or Siena.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genoa: Option<SnpMinimum>,
    /// EPYC Turin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turin: Option<SnpMinimum>,
}

/// The lowest firmware versions of one product line; a part that is left out may have any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnpMinimum {
    /// First mutable code of the security processor, which Turin counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmc: Option<u8>,
    /// Boot loader of the security processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootloader: Option<u8>,
    /// Operating system of the security processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tee: Option<u8>,
    /// SNP firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snp: Option<u8>,
    /// Patch level of the cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub microcode: Option<u8>,
}

impl Default for Policy {
    /// Every hardware kind, known releases, patched platforms, AMD Milan not among them, nothing simulated.
    ///
    /// Software that needs hardening against a platform's flaws is the runtime's to harden, so that status passes; a configuration
    /// that its vendor warns of is for an owner to accept.
    fn default() -> Self {
        Self {
            kinds: [EvidenceKind::Sgx, EvidenceKind::Tdx, EvidenceKind::Snp, EvidenceKind::Nitro].into(),
            measurements: BTreeSet::new(),
            releases: BTreeSet::new(),
            tcb: [TcbStatus::UpToDate, TcbStatus::SwHardeningNeeded].into(),
            allowed_advisories: None,
            denied_advisories: BTreeSet::new(),
            minimum_tcb_evaluation: 0,
            minimum_snp_tcb: SnpMinimums::default(),
            platforms: BTreeSet::new(),
            denied_platforms: BTreeSet::new(),
            allow_milan: false,
            allow_unchecked_revocation: false,
            require_launch_binding: false,
            allow_simulated: false,
        }
    }
}

impl Policy {
    /// Builds a policy that is the default one in everything else; without measurements it accepts those of the releases that the
    /// verifier knows.
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
            ..Self::default()
        };
        policy.checked()
    }

    /// SHA-256 of the canonical form.
    pub fn hash(&self) -> PolicyHash {
        PolicyHash::from(<[u8; 32]>::from(Sha256::digest(self.canonical_bytes())))
    }

    /// The kinds that it can accept, as a request states them.
    pub fn kinds(&self) -> Kinds {
        self.kinds.iter().copied().filter(|kind| self.allow_simulated || !kind.is_simulated()).collect()
    }

    /// The names of the releases that it accepts; what they stand for, a verifier's anchors say.
    pub fn releases(&self) -> impl Iterator<Item = &str> {
        self.releases.iter().map(String::as_str)
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
        let release = anchors.release(measurement);
        let is_listed = self.measurements.contains(&measurement)
            || release.is_some_and(|name| self.releases.contains(name));
        match (self.measurements.is_empty(), self.releases.is_empty()) {
            _ if is_listed => Ok(()),
            (true, true) if release.is_some() => Ok(()),
            (true, true) => Err(PolicyRefusal::UnknownRelease(measurement)),
            (_, false) => Err(PolicyRefusal::Release(measurement)),
            (false, true) => Err(PolicyRefusal::Measurement(measurement)),
        }
    }

    /// Whether it accepts what hardware says of launch and machine, besides kind and measurement, which [`Policy::accepts`] judges.
    ///
    /// Says nothing of the evidence itself: that this is what hardware says is for [`crate::evidence::verify`].
    ///
    /// # Errors
    /// It does not; the first reason in the order of the policy's keys.
    pub fn accepts_hardware(&self, hardware: &Hardware) -> Result<(), PolicyRefusal> {
        let launch = &hardware.launch;
        self.accepts_tcb(launch)?;
        self.accepts_platform(launch)?;
        if has(launch, PlatformTrait::Milan) && !self.allow_milan {
            return Err(PolicyRefusal::Milan);
        }
        if has(launch, PlatformTrait::RevocationUnchecked) && !self.allow_unchecked_revocation {
            return Err(PolicyRefusal::RevocationUnchecked);
        }
        if self.require_launch_binding && hardware.binding == LaunchBinding::Unbound {
            return Err(PolicyRefusal::LaunchUnbound);
        }
        if hardware.roots == RootStanding::Development && !self.allow_simulated {
            return Err(PolicyRefusal::Simulated(launch.kind));
        }
        Ok(())
    }

    fn accepts_tcb(&self, launch: &Launch) -> Result<(), PolicyRefusal> {
        let tcb = &launch.tcb;
        if !self.tcb.contains(&tcb.status) {
            return Err(PolicyRefusal::Tcb(tcb.status));
        }
        let is_allowed =
            |name: &&String| self.allowed_advisories.as_ref().is_none_or(|all| all.contains(*name));
        if let Some(advisory) = tcb.advisories.iter().find(|name| !is_allowed(name)) {
            return Err(PolicyRefusal::AdvisoryNotAllowed(advisory.clone()));
        }
        if let Some(advisory) = tcb.advisories.intersection(&self.denied_advisories).next() {
            return Err(PolicyRefusal::AdvisoryDenied(advisory.clone()));
        }
        let least = self.minimum_tcb_evaluation;
        if let Some(actual) = tcb.evaluation.filter(|actual| *actual < least) {
            return Err(PolicyRefusal::Evaluation { actual, least });
        }
        for (part, least) in self.minimum_snp_tcb.of(launch).into_iter().flat_map(SnpMinimum::parts) {
            let actual = tcb.parts.get(part).copied();
            if actual.is_none_or(|actual| actual < least) {
                return Err(PolicyRefusal::SnpTcb { part, actual, least });
            }
        }
        Ok(())
    }

    fn accepts_platform(&self, launch: &Launch) -> Result<(), PolicyRefusal> {
        match &launch.platform {
            _ if self.platforms.is_empty() => {}
            None => return Err(PolicyRefusal::PlatformHidden),
            Some(platform) if !self.platforms.contains(platform) => {
                return Err(PolicyRefusal::Platform(platform.clone()));
            }
            Some(_) => {}
        }
        match denied_platform(launch, &self.denied_platforms) {
            None => Ok(()),
            Some(Some(platform)) => Err(PolicyRefusal::PlatformDenied(platform)),
            Some(None) => Err(PolicyRefusal::PlatformDeniedHidden),
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

impl SnpMinimums {
    /// The minimum for a launch's product line.
    fn of(self, launch: &Launch) -> Option<SnpMinimum> {
        let lines = [
            (PlatformTrait::Milan, self.milan),
            (PlatformTrait::Genoa, self.genoa),
            (PlatformTrait::Turin, self.turin),
        ];
        lines.into_iter().find(|(line, _)| has(launch, *line)).and_then(|(_, minimum)| minimum)
    }
}

impl SnpMinimum {
    /// The parts that have a minimum, by the names of [`crate::evidence::launch::Tcb::parts`].
    fn parts(self) -> impl Iterator<Item = (&'static str, u32)> {
        let parts = [
            ("fmc", self.fmc),
            ("bootloader", self.bootloader),
            ("tee", self.tee),
            ("snp", self.snp),
            ("microcode", self.microcode),
        ];
        parts.into_iter().filter_map(|(name, least)| Some((name, u32::from(least?))))
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
