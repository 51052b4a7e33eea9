//! What a TEE says of a launch and of the machine under it, in one form for all kinds (spec §8.6).

use crate::policy::Measurement;
use alloy_primitives::B256;
use core::fmt;
use core::str::FromStr;
use pox_core::evidence::EvidenceKind;
use pox_core::{TaskId, UnixTime};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::collections::{BTreeMap, BTreeSet};

/// Most bytes of a platform's identity: a chip id has 64, a module id fewer.
pub const MAX_PLATFORM_ID_BYTES: usize = 64;

/// One measurement register.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Register {
    /// The vendor's name for it: `MRTD`, `PCR0`.
    pub name: &'static str,
    /// Its value, as wide as the vendor has it.
    #[serde(serialize_with = "in_hex")]
    pub value: Vec<u8>,
    /// Whether it is a part of the kind's one [`Measurement`].
    pub measured: bool,
}

/// What genuine hardware signed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Launch {
    /// Which TEE.
    pub kind: EvidenceKind,
    /// The measurement registers, in the spec's order.
    pub registers: Vec<Register>,
    /// The 64 bytes that the enclave had it sign.
    #[serde(serialize_with = "in_hex")]
    pub report_data: [u8; 64],
    /// How well patched the platform is.
    pub tcb: Tcb,
    /// Which machine, if it says.
    pub platform: Option<PlatformId>,
    /// The launch-time field that the host sets before the launch: MRCONFIGID, HOST_DATA, CONFIGID, a locked PCR.
    #[serde(skip)] // it is one of the registers
    pub launch_data: Option<Vec<u8>>,
    /// What else the hardware says of itself.
    pub traits: BTreeSet<PlatformTrait>,
    /// When the endorsements that were used are all valid; `None` if none were needed.
    pub endorsed: Option<Window>,
}

/// How well patched a platform is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Window {
    /// First second.
    pub from: UnixTime,
    /// Last second.
    pub until: UnixTime,
}

/// Whether a launch was made for one task: the field that a host sets before the launch, and can't change after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LaunchBinding {
    /// The TEE has no such field, or it is zero: only the report data binds the task.
    Unbound,
    /// The field holds what it must for this task.
    Task,
}

/// The field that a host sets before a launch holds something, and not what it must for the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was launched for something else than this task")]
pub struct WrongLaunchBinding;

/// A text names no platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected ppid:0x…, chip-id:0x… or module-id:0x…, lower-case hexadecimal, 1 to {MAX_PLATFORM_ID_BYTES} bytes"
)]
pub struct BadPlatformId;

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

    /// Whether it was launched for this task.
    ///
    /// # Errors
    /// It was launched for something else: the field is there, is not zero, and is another.
    pub fn binding(&self, task: TaskId) -> Result<LaunchBinding, WrongLaunchBinding> {
        match self.launch_data.as_deref() {
            None => Ok(LaunchBinding::Unbound),
            Some(data) if data.iter().all(|byte| *byte == 0) => Ok(LaunchBinding::Unbound),
            Some(data) if launch_data(self.kind, task).as_deref() == Some(data) => Ok(LaunchBinding::Task),
            Some(_) => Err(WrongLaunchBinding),
        }
    }
}

/// What the field that a host sets before a launch must hold for a task (spec §8.6.2); `None` for kinds without one.
///
/// For `nitro` it is PCR16 after it was extended once, by [`launch_digest`].
pub fn launch_data(kind: EvidenceKind, task: TaskId) -> Option<Vec<u8>> {
    let named = [b"pox-launch-v1\0".as_slice(), task.as_bytes()].concat();
    match kind {
        EvidenceKind::Simulated | EvidenceKind::VmSim => None,
        EvidenceKind::Sgx => Some(Sha512::digest(named).to_vec()),
        EvidenceKind::Tdx => Some(launch_digest(task).to_vec()),
        EvidenceKind::Snp => Some(Sha256::digest(named).to_vec()),
        EvidenceKind::Nitro => {
            let extended = Sha384::new().chain_update([0; 48]).chain_update(launch_digest(task));
            Some(extended.finalize().to_vec())
        }
    }
}

/// SHA-384 of a domain tag and the task: what TDX takes as MRCONFIGID, and an enclave extends PCR16 with.
pub fn launch_digest(task: TaskId) -> [u8; 48] {
    Sha384::new().chain_update(b"pox-launch-v1\0").chain_update(task.as_bytes()).finalize().into()
}

impl PlatformId {
    /// What vendors call such identities.
    const NAMES: [&'static str; 3] = ["ppid", "chip-id", "module-id"];

    /// What a kind's vendor calls it; `None` for the simulated kinds, which have no platform.
    pub fn name_for(kind: EvidenceKind) -> Option<&'static str> {
        match kind {
            EvidenceKind::Simulated | EvidenceKind::VmSim => None,
            EvidenceKind::Sgx | EvidenceKind::Tdx => Some("ppid"),
            EvidenceKind::Snp => Some("chip-id"),
            EvidenceKind::Nitro => Some("module-id"),
        }
    }
}

impl fmt::Display for PlatformId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:0x{}", self.name, hex::encode(&self.bytes))
    }
}

impl FromStr for PlatformId {
    type Err = BadPlatformId;

    fn from_str(text: &str) -> Result<Self, BadPlatformId> {
        let (name, digits) = text.split_once(":0x").ok_or(BadPlatformId)?;
        let name = Self::NAMES.into_iter().find(|known| *known == name).ok_or(BadPlatformId)?;
        let is_lower = !digits.bytes().any(|digit| digit.is_ascii_uppercase());
        let bytes = hex::decode(digits).ok().filter(|_| is_lower).ok_or(BadPlatformId)?;
        match bytes.len() {
            1..=MAX_PLATFORM_ID_BYTES => Ok(Self { name, bytes }),
            _ => Err(BadPlatformId),
        }
    }
}

impl serde::Serialize for PlatformId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
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

fn in_hex<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("0x{}", hex::encode(bytes)))
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
    /// Every status, the best first.
    pub const ALL: [Self; 7] = [
        Self::UpToDate,
        Self::SwHardeningNeeded,
        Self::ConfigurationNeeded,
        Self::ConfigurationAndSwHardeningNeeded,
        Self::OutOfDate,
        Self::OutOfDateConfigurationNeeded,
        Self::Revoked,
    ];

    /// Whether the platform's firmware is superseded.
    pub fn is_superseded(self) -> bool {
        self >= Self::OutOfDate
    }

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

impl PlatformTrait {
    /// The name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smt => "smt",
            Self::DynamicPlatform => "dynamic-platform",
            Self::CachedKeys => "cached-keys",
            Self::Milan => "milan",
            Self::Genoa => "genoa",
            Self::Turin => "turin",
            Self::OperatorKey => "operator-key",
            Self::MaskedChipId => "masked-chip-id",
            Self::AliasChecked => "alias-checked",
            Self::CiphertextHidden => "ciphertext-hidden",
            Self::RevocationUnchecked => "revocation-unchecked",
        }
    }
}

impl fmt::Display for PlatformTrait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_have_one_text() {
        for text in ["ppid:0x00ff", "chip-id:0x01", "module-id:0x692d30"] {
            assert_eq!(text.parse::<PlatformId>().unwrap().to_string(), text);
        }
        let long = format!("chip-id:0x{}", "00".repeat(65));
        for text in ["", "ppid:", "ppid:0x", "ppid:0xFF", "ppid:0xf", "ppid:ff", "serial:0x00", &long] {
            assert_eq!(text.parse::<PlatformId>(), Err(BadPlatformId), "{text}");
        }
    }

    #[test]
    fn names_are_those_of_the_json() {
        for status in TcbStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.name());
        }
        let traits = [
            PlatformTrait::Smt,
            PlatformTrait::DynamicPlatform,
            PlatformTrait::CachedKeys,
            PlatformTrait::Milan,
            PlatformTrait::Genoa,
            PlatformTrait::Turin,
            PlatformTrait::OperatorKey,
            PlatformTrait::MaskedChipId,
            PlatformTrait::AliasChecked,
            PlatformTrait::CiphertextHidden,
            PlatformTrait::RevocationUnchecked,
        ];
        for name in traits {
            assert_eq!(serde_json::to_value(name).unwrap(), name.name());
        }
    }

    #[test]
    fn a_measurement_leaves_no_room_between_registers() {
        let of = |registers: &[(&str, &[u8])]| measurement(EvidenceKind::Tdx, registers.iter().copied());
        let whole = of(&[("MRTD", &[1, 2]), ("RTMR1", &[3])]);
        assert_ne!(whole, of(&[("MRTD", &[1]), ("RTMR1", &[2, 3])]));
        assert_ne!(whole, of(&[("RTMR1", &[3]), ("MRTD", &[1, 2])]));
        // One value that reads as the next register, and a name that goes on in its value: the same bytes one after another.
        assert_ne!(whole, of(&[("MRTD", b"\x01\x02RTMR1\x03")]));
        assert_ne!(whole, of(&[("MRT", b"D\x01\x02"), ("RTMR1", &[3])]));
        assert_ne!(whole, measurement(EvidenceKind::Snp, [("MRTD", [1u8, 2].as_slice()), ("RTMR1", &[3])]));
    }
}
