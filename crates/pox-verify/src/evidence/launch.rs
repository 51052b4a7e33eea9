//! What a TEE says of a launch and of the machine under it, in one form for all kinds (spec §8.6).

use crate::policy::Measurement;
use alloy_primitives::B256;
use core::fmt;
use pox_core::UnixTime;
use pox_core::evidence::EvidenceKind;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// One measurement register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// The vendor's name for it: `MRTD`, `PCR0`.
    pub name: &'static str,
    /// Its value, as wide as the vendor has it.
    pub value: Vec<u8>,
    /// Whether it is a part of the kind's one [`Measurement`].
    pub measured: bool,
}

/// What genuine hardware signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Which TEE.
    pub kind: EvidenceKind,
    /// The measurement registers, in the spec's order.
    pub registers: Vec<Register>,
    /// The 64 bytes that the enclave had it sign.
    pub report_data: [u8; 64],
    /// How well patched the platform is.
    pub tcb: Tcb,
    /// Which machine, if it says.
    pub platform: Option<PlatformId>,
    /// The launch-time field that the host sets before the launch: MRCONFIGID, HOST_DATA, CONFIGID, a locked PCR.
    pub launch_data: Option<Vec<u8>>,
    /// What else the hardware says of itself.
    pub traits: BTreeSet<PlatformTrait>,
    /// When the endorsements that were used are all valid; `None` if none were needed.
    pub endorsed: Option<Window>,
}

/// How well patched a platform is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcb {
    /// The vendor's judgement.
    pub status: TcbStatus,
    /// The vendor's names of the flaws that concern it: `INTEL-SA-00289`.
    pub advisories: BTreeSet<String>,
    /// The versions, for people: `bootloader 3, tee 0, snp 20, microcode 209`.
    pub level: String,
    /// The vendor's number of the edition of its TCB table, where it has one.
    pub evaluation: Option<u32>,
    /// Versions that a policy can set a minimum for, by the vendor's names; each the lowest that the launch has been under.
    /// Empty where the vendor's status says it all.
    pub parts: BTreeMap<&'static str, u32>,
}

/// The vendor's judgement of a platform's security level, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TcbStatus {
    /// Nothing to do.
    UpToDate,
    /// Software on it has to be hardened.
    SwHardeningNeeded,
    /// Its configuration has to be changed.
    ConfigurationNeeded,
    /// Both of these.
    ConfigurationAndSwHardeningNeeded,
    /// Its firmware is superseded.
    OutOfDate,
    /// Superseded, and to be configured.
    OutOfDateConfigurationNeeded,
    /// Its keys are no longer to be believed.
    Revoked,
}

/// The identity that a vendor gave one machine or one launch host: a PPID, a chip id, a module id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlatformId {
    /// What the vendor calls it: `ppid`, `chip-id`, `module-id`.
    pub name: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What hardware says of itself that a policy or a reader may care about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlatformTrait {
    /// Two threads share a core.
    Smt,
    /// The platform's set of packages can change (Intel).
    DynamicPlatform,
    /// Its keys are cached by the vendor (Intel).
    CachedKeys,
    /// AMD EPYC Milan: its root of trust can be extracted by software.
    Milan,
    /// AMD EPYC Genoa, Bergamo or Siena.
    Genoa,
    /// AMD EPYC Turin.
    Turin,
    /// The key is the cloud operator's (VLEK), not the chip's: the chip can't be told.
    OperatorKey,
    /// The chip's id is masked.
    MaskedChipId,
    /// The memory was checked for aliases (AMD).
    AliasChecked,
    /// Ciphertext is hidden from the host (AMD).
    CiphertextHidden,
    /// No revocation list came with it: whether what vouches for it had been revoked is not known (AMD).
    RevocationUnchecked,
}

/// A span of time, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First second.
    pub from: UnixTime,
    /// Last second.
    pub until: UnixTime,
}

impl Launch {
    /// The one value for all measured registers: SHA-256 of a domain tag, the kind's code, and each register's name and value
    /// after their lengths, in the spec's order.
    pub fn measurement(&self) -> Measurement {
        measurement(
            self.kind,
            self.registers
                .iter()
                .filter(|register| register.measured)
                .map(|register| (register.name, register.value.as_slice())),
        )
    }
}

/// The measurement of a kind that has wide or several registers; expected values are computed with it as well.
pub fn measurement<'a>(
    kind: EvidenceKind,
    registers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Measurement {
    let mut hash = Sha256::new().chain_update(b"pox-measurement-v1\0").chain_update([kind as u8]);
    for (name, value) in registers {
        for part in [name.as_bytes(), value] {
            hash.update((part.len() as u32).to_be_bytes());
            hash.update(part);
        }
    }
    Measurement(B256::from(<[u8; 32]>::from(hash.finalize())))
}

impl Window {
    /// The seconds that are in both; `None` if there are none.
    pub fn and(self, other: Self) -> Option<Self> {
        let window = Self { from: self.from.max(other.from), until: self.until.min(other.until) };
        (window.from <= window.until).then_some(window)
    }

    /// Whether a time is in it.
    pub fn contains(self, time: UnixTime) -> bool {
        (self.from..=self.until).contains(&time)
    }
}

impl TcbStatus {
    /// The name in policies and outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::UpToDate => "up-to-date",
            Self::SwHardeningNeeded => "sw-hardening-needed",
            Self::ConfigurationNeeded => "configuration-needed",
            Self::ConfigurationAndSwHardeningNeeded => "configuration-and-sw-hardening-needed",
            Self::OutOfDate => "out-of-date",
            Self::OutOfDateConfigurationNeeded => "out-of-date-configuration-needed",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
