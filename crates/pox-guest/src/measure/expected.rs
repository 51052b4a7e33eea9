//! What a verifier is to expect of the guest's files, for each kind and machine shape.

use super::nitro::{Eif, Metadata};
use super::snp::{KernelHashes, Machine, SnpFirmware};
use super::{Digest384, Files, MeasureError, sha256, tdx};
use alloy_primitives::B256;
use pox_core::evidence::EvidenceKind;
use pox_verify::Measurement;
use pox_verify::evidence::launch::measurement;
use sha2::{Digest, Sha256};

/// One way of launching the guest: all that its measurement depends on beside the files.
#[derive(Debug, Clone, Copy)]
pub enum Shape<'a> {
    /// Plain emulation.
    VmSim,
    /// A trust domain.
    Tdx {
        /// The firmware's file.
        firmware: &'a [u8],
        /// What the host's software does in its own way.
        host: tdx::Host,
    },
    /// An SNP guest.
    Snp {
        /// The firmware's file.
        firmware: &'a [u8],
        /// The machine.
        machine: Machine,
    },
    /// A Nitro enclave.
    Nitro {
        /// A second ramdisk, unpacked over the initramfs.
        over: Option<&'a [u8]>,
    },
}

/// The expected measurements of one guest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Expected {
    /// What was measured.
    pub files: FileDigests,
    /// What each launch gives, in the order of the shapes.
    pub launches: Vec<ExpectedLaunch>,
}

/// SHA-256 of the guest's files: who has other files has another guest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigests {
    /// Of the kernel.
    pub kernel: B256,
    /// Of the initramfs.
    pub initramfs: B256,
    /// Of the command line, without a final NUL.
    pub command_line: B256,
}

/// What one kind of TEE has in its registers after one way of launching the guest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ExpectedLaunch {
    /// Which TEE.
    pub kind: EvidenceKind,
    /// The shape, for people.
    pub shape: String,
    /// SHA-256 of the firmware, where there is one.
    pub firmware: Option<B256>,
    /// The registers that the measurement is made of, under the verifier's names; none for a kind whose quote has it as it is.
    pub registers: Vec<ExpectedRegister>,
    /// What policies and releases list.
    pub measurement: Measurement,
}

/// A register and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct ExpectedRegister {
    /// The vendor's name for it.
    pub name: &'static str,
    /// What it holds after the launch.
    #[serde(serialize_with = "as_text")]
    pub value: Digest384,
}

impl Expected {
    /// Computes them.
    ///
    /// # Errors
    /// Files that are no guest, or a shape that can't be predicted or measures too little.
    pub fn of(files: &Files<'_>, shapes: &[Shape<'_>]) -> Result<Self, MeasureError> {
        files.check()?;
        let digests = FileDigests::of(files);
        let launches: Result<_, _> = shapes.iter().map(|shape| shape.expect(files, &digests)).collect();
        Ok(Self { files: digests, launches: launches? })
    }
}

impl FileDigests {
    /// The digests of a guest's files.
    pub fn of(files: &Files<'_>) -> Self {
        Self {
            kernel: sha256(files.kernel),
            initramfs: sha256(files.initramfs),
            command_line: sha256(files.command_line.as_bytes()),
        }
    }

    /// The measurement of the simulated VM kind (spec §15.1).
    pub fn vm_sim(&self) -> Measurement {
        let hash = Sha256::new_with_prefix(b"pox-vm-sim-v1\0");
        let hash =
            hash.chain_update(self.kernel).chain_update(self.initramfs).chain_update(self.command_line);
        Measurement(B256::from(<[u8; 32]>::from(hash.finalize())))
    }
}

impl Shape<'_> {
    /// The kind of TEE that launches so.
    pub fn kind(&self) -> EvidenceKind {
        match self {
            Self::VmSim => EvidenceKind::VmSim,
            Self::Tdx { .. } => EvidenceKind::Tdx,
            Self::Snp { .. } => EvidenceKind::Snp,
            Self::Nitro { .. } => EvidenceKind::Nitro,
        }
    }

    fn expect(&self, files: &Files<'_>, digests: &FileDigests) -> Result<ExpectedLaunch, MeasureError> {
        let registers = self.registers(files, digests)?;
        let kind = self.kind();
        let measurement = match self {
            Self::VmSim => digests.vm_sim(),
            _ => measurement(kind, registers.iter().map(|register| (register.name, &register.value.0[..]))),
        };
        Ok(ExpectedLaunch {
            kind,
            shape: self.text(),
            firmware: self.firmware().map(sha256),
            registers,
            measurement,
        })
    }

    fn registers(
        &self,
        files: &Files<'_>,
        digests: &FileDigests,
    ) -> Result<Vec<ExpectedRegister>, MeasureError> {
        let named = |values: &[(&'static str, Digest384)]| {
            values.iter().map(|(name, value)| ExpectedRegister { name, value: *value }).collect()
        };
        Ok(match self {
            Self::VmSim => Vec::new(),
            Self::Tdx { firmware, host } => {
                let tdx::Registers { mrtd, rtmr1, rtmr2 } = tdx::Registers::of(files, firmware, *host)?;
                named(&[("MRTD", mrtd), ("RTMR1", rtmr1), ("RTMR2", rtmr2)])
            }
            Self::Snp { firmware, machine } => {
                let hashes = KernelHashes::of(files.command_line, digests);
                named(&[("MEASUREMENT", SnpFirmware::parse(firmware)?.launch_digest(&hashes, machine))])
            }
            Self::Nitro { over } => {
                let pcrs = Eif::new(files, *over, &Metadata::default())?.pcrs();
                named(&[("PCR0", pcrs.pcr0), ("PCR1", pcrs.pcr1), ("PCR2", pcrs.pcr2)])
            }
        })
    }

    fn firmware(&self) -> Option<&[u8]> {
        match self {
            Self::Tdx { firmware, .. } | Self::Snp { firmware, .. } => Some(firmware),
            Self::VmSim | Self::Nitro { .. } => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::VmSim => "any machine".to_owned(),
            Self::Tdx { host, .. } => host.to_string(),
            Self::Snp { machine, .. } => machine.to_string(),
            Self::Nitro { over: None } => "one ramdisk".to_owned(),
            Self::Nitro { over: Some(_) } => "two ramdisks".to_owned(),
        }
    }
}

fn as_text<S: serde::Serializer>(value: &Digest384, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("0x{value}"))
}
