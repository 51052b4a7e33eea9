//! AMD SEV-SNP: the launch digest of a direct kernel boot under QEMU with `kernel-hashes=on` (spec §15.2).
//!
//! The secure processor hashes each page that the host adds before the start: firmware, the ranges that the firmware's metadata
//! asks for (the page with the hashes of kernel, initramfs and command line among them), then the first state of each virtual
//! processor. So the digest depends on how many there are and of which type. It does **not** cover what the firmware takes from the
//! host after the start, ACPI tables among it.

use super::firmware::{Firmware, FirmwareError, Guid, MAX_SECTION_MEMORY, PAGE, guid};
use super::{Digest384, FileDigests, array, sha256};
use alloy_primitives::B256;
use core::fmt;

/// Most virtual processors of one guest: what KVM gives an SNP guest at most.
pub const MAX_VCPUS: u16 = 512;

/// A machine shape, as far as the launch digest depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    vcpus: u16,
    cpu: CpuSignature,
    features: GuestFeatures,
}

/// CPUID Fn0000_0001 EAX of a processor type: family, model and stepping (AMD, CPUID Specification 25481).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuSignature(pub u32);

/// The SEV features of the guest (AMD64 Architecture Programmer's Manual 2, `SEV_FEATURES`): 1 is SNP alone, and some versions
/// of Linux add 0x20, debug swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestFeatures(pub u64);

/// A machine shape that no host can launch as an SNP guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMachine {
    /// None, or too many processors.
    #[error("{0} virtual processors; 1 to {MAX_VCPUS} are allowed")]
    Vcpus(u16),
    /// Without the bit that makes it an SNP guest.
    #[error("the guest features {0:#x} are not those of an SNP guest")]
    Features(u64),
}

/// What the boot needs the secure processor to have measured of the guest's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelHashes {
    /// SHA-256 of the kernel's file.
    pub kernel: B256,
    /// SHA-256 of the initramfs.
    pub initramfs: B256,
    /// SHA-256 of the command line and a final NUL.
    pub command_line: B256,
}

/// Firmware that starts nothing but what is hashed in a measured page (edk2, `OvmfPkg/AmdSev`).
#[derive(Debug, Clone)]
pub struct SnpFirmware<'a> {
    firmware: Firmware<'a>,
    sections: Vec<Section>,
    /// Where the table of hashes stands in its page.
    hashes: usize,
    /// Where processors other than the first begin.
    reset: u32,
}

impl Machine {
    /// A machine with so many virtual processors of a type.
    ///
    /// # Errors
    /// Numbers that no such guest has.
    pub fn new(vcpus: u16, cpu: CpuSignature, features: GuestFeatures) -> Result<Self, BadMachine> {
        if vcpus == 0 || vcpus > MAX_VCPUS {
            return Err(BadMachine::Vcpus(vcpus));
        }
        if features.0 & 1 == 0 {
            return Err(BadMachine::Features(features.0));
        }
        Ok(Self { vcpus, cpu, features })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vcpus, cpu, features } = self;
        write!(f, "{vcpus} vCPU of type {cpu}, guest features {:#x}", features.0)
    }
}

impl CpuSignature {
    /// QEMU's `EPYC-Genoa`.
    pub const GENOA: Self = Self::of(25, 17, 0);
    /// QEMU's `EPYC-Turin`.
    pub const TURIN: Self = Self::of(26, 0, 0);
    /// The types that QEMU has names for, without their versions, which don't differ.
    pub const NAMED: [(&'static str, Self); 5] = [
        ("EPYC", Self::of(23, 1, 2)),
        ("EPYC-Rome", Self::of(23, 49, 0)),
        ("EPYC-Milan", Self::of(25, 1, 1)),
        ("EPYC-Genoa", Self::GENOA),
        ("EPYC-Turin", Self::TURIN),
    ];

    /// The signature of a family (15 or above), model and stepping.
    pub const fn of(family: u8, model: u8, stepping: u8) -> Self {
        let extended = family.saturating_sub(15) as u32;
        let (model, stepping) = (model as u32, stepping as u32);
        Self(extended << 20 | (model >> 4) << 16 | 15 << 8 | (model & 15) << 4 | stepping & 15)
    }

    /// The signature of a type by QEMU's name, its version left out or not: `EPYC-Genoa`, `EPYC-v4`.
    pub fn named(name: &str) -> Option<Self> {
        let version = |tail: &str| tail.len() > 1 && tail[1..].bytes().all(|byte| byte.is_ascii_digit());
        let base = match name.rsplit_once('-') {
            Some((base, tail)) if tail.starts_with('v') && version(tail) => base,
            _ => name,
        };
        Self::NAMED.iter().find(|(known, _)| *known == base).map(|(_, signature)| *signature)
    }
}

impl fmt::Display for CpuSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMED.iter().find(|(_, signature)| signature == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{:#010x}", self.0),
        }
    }
}

/// One range of memory that the metadata has the host add.
#[derive(Debug, Clone, Copy)]
struct Section {
    address: u64,
    bytes: u64,
    page: PageType,
}

/// How the secure processor takes a page: `PAGE_TYPE` of SNP_LAUNCH_UPDATE (AMD, SEV-SNP Firmware ABI Specification 56860).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageType {
    Normal = 1,
    Vmsa = 2,
    Zero = 3,
    Secrets = 5,
    Cpuid = 6,
}

impl<'a> SnpFirmware<'a> {
    /// Parses the firmware's SEV metadata.
    ///
    /// # Errors
    /// No such firmware, or one that measures nothing of the guest's files: it would start any kernel.
    pub fn parse(file: &'a [u8]) -> Result<Self, FirmwareError> {
        let firmware = Firmware::parse(file)?;
        let raw = firmware.sections::<12>(&METADATA, b"ASEV", TABLE)?;
        let sections: Result<Vec<Section>, _> =
            (0..).zip(&raw).map(|(i, raw)| Section::parse(i, raw)).collect();
        let sections = sections?;
        if sections.iter().map(|section| section.bytes).sum::<u64>() > MAX_SECTION_MEMORY {
            return Err(FirmwareError::Metadata(TABLE));
        }
        let table = u64::from(firmware.number(&HASHES).unwrap_or(0));
        let mut pages = sections.iter().filter(|section| section.page == PageType::Normal);
        let (Some(page), None) = (pages.next(), pages.next()) else {
            return Err(FirmwareError::NoKernelHashes);
        };
        let hashes = table.checked_sub(page.address).and_then(|offset| usize::try_from(offset).ok());
        let hashes =
            hashes.filter(|start| *start <= PAGE - HASH_TABLE_BYTES).ok_or(FirmwareError::NoKernelHashes)?;
        let reset = firmware.number(&RESET).ok_or(FirmwareError::NoEntry("SEV-ES reset block"))?;
        Ok(Self { firmware, sections, hashes, reset })
    }

    /// The launch digest, which reports hold as `MEASUREMENT`.
    pub fn launch_digest(&self, hashes: &KernelHashes, machine: &Machine) -> Digest384 {
        let mut launch = Launch(Digest384::ZERO);
        for (page, address) in self.firmware.bytes().chunks(PAGE).zip((self.firmware.base()..).step_by(PAGE))
        {
            launch.add(PageType::Normal, address, Digest384::of(&[page]));
        }
        for section in &self.sections {
            let content = match section.page {
                PageType::Normal => Digest384::of(&[&self.hashes_page(hashes)]),
                _ => Digest384::ZERO,
            };
            for address in (section.address..section.address + section.bytes).step_by(PAGE) {
                launch.add(section.page, address, content);
            }
        }
        for number in 0..machine.vcpus {
            let start = if number == 0 { FIRST_RESET } else { self.reset };
            launch.add(PageType::Vmsa, VMSA_ADDRESS, Digest384::of(&[&save_area(start, machine)]));
        }
        launch.0
    }

    /// The page that QEMU fills with the hashes, each behind its GUID and length.
    fn hashes_page(&self, hashes: &KernelHashes) -> [u8; PAGE] {
        let mut table = Vec::with_capacity(HASH_TABLE_BYTES);
        table.extend(HASH_TABLE);
        table.extend((HASH_TABLE_BYTES as u16 - PADDING).to_le_bytes());
        for (name, hash) in [
            (COMMAND_LINE_HASH, hashes.command_line),
            (INITRAMFS_HASH, hashes.initramfs),
            (KERNEL_HASH, hashes.kernel),
        ] {
            table.extend(name);
            table.extend((HASH_ENTRY_BYTES as u16).to_le_bytes());
            table.extend(hash);
        }
        let mut page = [0; PAGE];
        page[self.hashes..self.hashes + table.len()].copy_from_slice(&table);
        page
    }
}

impl KernelHashes {
    /// The hashes of the guest's files; that of the command line is another one here.
    pub fn of(command_line: &str, files: &FileDigests) -> Self {
        let terminated = [command_line.as_bytes(), &[0]].concat();
        Self { kernel: files.kernel, initramfs: files.initramfs, command_line: sha256(&terminated) }
    }
}

impl Section {
    fn parse(index: usize, raw: &[u8; 12]) -> Result<Self, FirmwareError> {
        let number = |at| array(raw, at).map_or(0, u32::from_le_bytes);
        let (address, bytes, kind) = (u64::from(number(0)), u64::from(number(4)), number(8));
        let one_page = bytes == PAGE as u64;
        let page = match kind {
            SECTION_MEMORY | SECTION_CALLING_AREA => PageType::Zero,
            SECTION_SECRETS if one_page => PageType::Secrets,
            SECTION_CPUID if one_page => PageType::Cpuid,
            SECTION_HASHES if one_page => PageType::Normal,
            SECTION_SECRETS | SECTION_CPUID | SECTION_HASHES => {
                return Err(FirmwareError::Section { table: TABLE, index });
            }
            _ => return Err(FirmwareError::UnknownSection { table: TABLE, index }),
        };
        if !address.is_multiple_of(PAGE as u64) || !bytes.is_multiple_of(PAGE as u64) {
            return Err(FirmwareError::Section { table: TABLE, index });
        }
        Ok(Self { address, bytes, page })
    }
}

/// The launch digest so far.
struct Launch(Digest384);

impl Launch {
    /// Hashes a `PAGE_INFO` (SEV-SNP Firmware ABI Specification, SNP_LAUNCH_UPDATE): digest so far, digest of the content, length,
    /// type, no IMI, no permissions for other VMPLs, guest address.
    fn add(&mut self, page: PageType, address: u64, content: Digest384) {
        let tail =
            [&0x70_u16.to_le_bytes()[..], &[page as u8, 0, 0, 0, 0, 0], &address.to_le_bytes()].concat();
        self.0 = Digest384::of(&[&self.0.0, &content.0, &tail]);
    }
}

/// The first state of a virtual processor as KVM and QEMU set it, in the form of a save area (AMD64 Architecture Programmer's
/// Manual 2, table B-4).
fn save_area(start: u32, machine: &Machine) -> [u8; PAGE] {
    let mut area = [0; PAGE];
    let mut set = |at: usize, bytes: &[u8]| area[at..at + bytes.len()].copy_from_slice(bytes);
    let mut segment = |at, selector: u16, attributes: u16, base: u32| {
        set(at, &selector.to_le_bytes());
        set(at + 2, &attributes.to_le_bytes());
        set(at + 4, &0xffff_u32.to_le_bytes());
        set(at + 8, &u64::from(base).to_le_bytes());
    };
    for data in [0x00, 0x20, 0x30, 0x40, 0x50] {
        segment(data, 0, 0x93, 0); // es, ss, ds, fs, gs
    }
    segment(0x10, 0xf000, 0x9b, start & 0xffff_0000); // cs
    segment(0x60, 0, 0, 0); // gdtr
    segment(0x70, 0, 0x82, 0); // ldtr
    segment(0x80, 0, 0, 0); // idtr
    segment(0x90, 0, 0x8b, 0); // tr
    for (at, value) in [
        (0xd0, 0x1000),                     // efer: SVM enable
        (0x148, 0x40),                      // cr4: machine check enable
        (0x158, 0x10),                      // cr0: extension type
        (0x160, 0x400),                     // dr7
        (0x168, 0xffff_0ff0),               // dr6
        (0x170, 0x2),                       // rflags
        (0x178, u64::from(start & 0xffff)), // rip
        (0x268, 0x0007_0406_0007_0406),     // guest PAT
        (0x310, u64::from(machine.cpu.0)),  // rdx: the processor's signature
        (0x3b0, machine.features.0),
        (0x3e8, 0x1), // xcr0
    ] {
        set(at, &u64::to_le_bytes(value));
    }
    set(0x408, &0x1f80_u32.to_le_bytes()); // mxcsr
    set(0x410, &0x37f_u16.to_le_bytes()); // x87 control word
    area
}

const TABLE: &str = "SEV metadata";
const METADATA: Guid = guid(0xdc88_6566, 0x984a, 0x4798, [0xa7, 0x5e, 0x55, 0x85, 0xa7, 0xbf, 0x67, 0xcc]);
/// The entry that says where the table of hashes is.
const HASHES: Guid = guid(0x7255_371f, 0x3a3b, 0x4b04, [0x92, 0x7b, 0x1d, 0xa6, 0xef, 0xa8, 0xd4, 0x54]);
/// The entry that says where further processors begin.
const RESET: Guid = guid(0x00f7_71de, 0x1a7e, 0x4fcb, [0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e]);

// GUIDs of the table of hashes.
const HASH_TABLE: Guid = guid(0x9438_d606, 0x4f22, 0x4cc9, [0xb4, 0x79, 0xa7, 0x93, 0xd4, 0x11, 0xfd, 0x21]);
const KERNEL_HASH: Guid = guid(0x4de7_9437, 0xabd2, 0x427f, [0xb8, 0x35, 0xd5, 0xb1, 0x72, 0xd2, 0x04, 0x5b]);
const INITRAMFS_HASH: Guid =
    guid(0x44ba_f731, 0x3a2f, 0x4bd7, [0x9a, 0xf1, 0x41, 0xe2, 0x91, 0x69, 0x78, 0x1d]);
const COMMAND_LINE_HASH: Guid =
    guid(0x97d0_2dd8, 0xbd20, 0x4c94, [0xaa, 0x78, 0xe7, 0x71, 0x4d, 0x36, 0xab, 0x2a]);
const HASH_ENTRY_BYTES: usize = 16 + 2 + 32;
/// Three entries behind GUID and length, filled up to 16 bytes.
const HASH_TABLE_BYTES: usize = (16 + 2 + 3 * HASH_ENTRY_BYTES).next_multiple_of(16);
const PADDING: u16 = (HASH_TABLE_BYTES - (16 + 2 + 3 * HASH_ENTRY_BYTES)) as u16;

// Types of sections.
const SECTION_MEMORY: u32 = 1;
const SECTION_SECRETS: u32 = 2;
const SECTION_CPUID: u32 = 3;
const SECTION_CALLING_AREA: u32 = 4;
const SECTION_HASHES: u32 = 0x10;

/// Where the first processor begins.
const FIRST_RESET: u32 = 0xffff_fff0;
/// The address that save areas are measured at: all ones, up to the 48th bit, of a page.
const VMSA_ADDRESS: u64 = 0xffff_ffff_f000;
