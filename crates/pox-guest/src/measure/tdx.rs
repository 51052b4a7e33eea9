//! Intel TDX: MRTD of the virtual firmware, RTMR1 and RTMR2 of a direct kernel boot (spec §15.3).
//!
//! RTMR0 is not predicted: the firmware extends into it what the host chose (memory map, ACPI tables, boot variables), so it
//! differs with every machine shape. A log ([`super::event_log`]) replays to it. So the registers here do **not** establish that
//! the ACPI tables, which have code, are honest ones. RTMR3 is the guest's own, and stays zero in ours.

use super::firmware::{Firmware, FirmwareError, Guid, MAX_SECTION_MEMORY, PAGE, guid};
use super::kernel::{self, KernelError};
use super::{Digest384, Files, MeasureError, array};
use core::fmt;
use sha2::{Digest, Sha384};

/// The argument by which the firmware tells the kernel's EFI stub of the initramfs.
pub const INITRD_ARGUMENT: &str = "initrd=initrd";

/// What the host's software does in its own way; the default is QEMU 10.2 or later, Linux 6.16 or later, and edk2 of 2026.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Host {
    /// In which order the hypervisor adds pages and measures them.
    pub pages: PageOrder,
    /// What the VMM does to the kernel's setup header.
    pub header: SetupHeader,
    /// Where the firmware puts [`INITRD_ARGUMENT`].
    pub argument: InitrdArgument,
}

/// The order of adding the firmware's pages and extending MRTD with what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PageOrder {
    /// Each page is added, then measured: Linux since 6.16.
    #[default]
    PageByPage,
    /// All pages of a section are added, then measured: patched kernels before.
    SectionBySection,
}

/// What the VMM does to the kernel's setup header before the firmware measures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SetupHeader {
    /// Nothing: QEMU since 10.2, and any with firmware that asks for the kernel's file.
    #[default]
    AsBuilt,
    /// It writes loader and addresses into it: QEMU before 10.2.
    Written {
        /// The machine's memory, bytes.
        memory: u64,
    },
}

/// Where the firmware puts its own argument on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InitrdArgument {
    /// Before the given ones: edk2 of 2026.
    #[default]
    First,
    /// After them: edk2 up to 2025.02 at least.
    Last,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = match self.pages {
            PageOrder::PageByPage => "page by page",
            PageOrder::SectionBySection => "section by section",
        };
        let argument = match self.argument {
            InitrdArgument::First => "first",
            InitrdArgument::Last => "last",
        };
        match self.header {
            SetupHeader::AsBuilt => write!(f, "{pages}, kernel as built, {INITRD_ARGUMENT} {argument}"),
            SetupHeader::Written { memory } => {
                write!(f, "{pages}, kernel header for {memory} bytes, {INITRD_ARGUMENT} {argument}")
            }
        }
    }
}

/// Virtual firmware for trust domains, its sections checked (Intel, TDX Virtual Firmware Design Guide §11).
#[derive(Debug, Clone)]
pub struct Tdvf<'a> {
    firmware: Firmware<'a>,
    sections: Vec<Section>,
}

/// One range of the trust domain's first memory.
#[derive(Debug, Clone, Copy)]
struct Section {
    /// Where it begins in the file, for a measured one.
    file: usize,
    address: u64,
    pages: u64,
    measured: bool,
}

/// The registers that a policy pins, in the spec's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registers {
    /// The firmware.
    pub mrtd: Digest384,
    /// The kernel.
    pub rtmr1: Digest384,
    /// Command line and initramfs.
    pub rtmr2: Digest384,
}

impl Registers {
    /// Computes them of the guest's files, the firmware's file and the host's ways.
    ///
    /// # Errors
    /// Files that are no guest, firmware that is none, a kernel whose EFI stub would not measure the rest.
    pub fn of(files: &Files<'_>, firmware: &[u8], host: Host) -> Result<Self, MeasureError> {
        files.check()?;
        let mrtd = Tdvf::parse(firmware)?.mrtd(host.pages);
        if !kernel::knows_cc_measurement(files.kernel) {
            return Err(KernelError::MeasuresNothing.into());
        }
        let kernel = match host.header {
            SetupHeader::AsBuilt => kernel::authenticode(files.kernel)?,
            SetupHeader::Written { memory } => {
                let initramfs = files.initramfs.len();
                let written =
                    kernel::with_loader_header(files.kernel, initramfs, files.command_line, memory)?;
                kernel::authenticode(&written)?
            }
        };
        let options = load_options(files.command_line, host.argument);
        let rtmr2 = rtmr2(Digest384::of(&[&options]), Digest384::of(&[files.initramfs]));
        Ok(Self { mrtd, rtmr1: rtmr1(kernel), rtmr2 })
    }
}

/// RTMR1 after a direct boot of the kernel with this digest: the firmware's events of PCR 2 to 6.
pub fn rtmr1(kernel: Digest384) -> Digest384 {
    let events = [
        b"Calling EFI Application from Boot Option".as_slice(),
        &[0; 4], // the separator
        b"Exit Boot Services Invocation",
        b"Exit Boot Services Returned with Success",
    ];
    Digest384::replay([kernel].into_iter().chain(events.map(|event| Digest384::of(&[event]))))
}

/// RTMR2 after the kernel's EFI stub has measured the load options and the initramfs: the events of PCR 8 to 15.
pub fn rtmr2(load_options: Digest384, initramfs: Digest384) -> Digest384 {
    Digest384::replay([load_options, initramfs])
}

/// What the firmware hands to the EFI stub, which measures it: the arguments in UTF-16 with a final NUL.
pub fn load_options(command_line: &str, argument: InitrdArgument) -> Vec<u8> {
    let text = match argument {
        InitrdArgument::First => format!("{INITRD_ARGUMENT} {command_line}\0"),
        InitrdArgument::Last => format!("{command_line} {INITRD_ARGUMENT}\0"),
    };
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

impl<'a> Tdvf<'a> {
    /// Parses the firmware's TDX metadata.
    ///
    /// # Errors
    /// No such firmware, or sections that QEMU would refuse or hosts add in their own ways.
    pub fn parse(file: &'a [u8]) -> Result<Self, FirmwareError> {
        let firmware = Firmware::parse(file)?;
        let raw = firmware.sections::<32>(&METADATA, b"TDVF", TABLE)?;
        let sections: Result<Vec<Section>, _> =
            (0..).zip(&raw).map(|(i, raw)| Section::parse(i, raw, file)).collect();
        let sections = sections?;
        let pages: u64 = sections.iter().map(|section| section.pages).sum();
        if pages > MAX_SECTION_MEMORY / PAGE as u64 {
            return Err(FirmwareError::Metadata(TABLE));
        }
        // The first instruction is in the last bytes below 4 GiB; code that isn't measured is the host's.
        if !sections.iter().any(|section| section.measured && section.end() == 1 << 32) {
            return Err(FirmwareError::Metadata(TABLE));
        }
        Ok(Self { firmware, sections })
    }

    /// MRTD: SHA-384 over one 128-byte record for each page added, and one with 256 bytes of memory for each such part that is
    /// measured (Intel TDX Module Base Architecture Specification, "TD measurement").
    pub fn mrtd(&self, order: PageOrder) -> Digest384 {
        let mut hash = Sha384::new();
        for section in &self.sections {
            match order {
                PageOrder::PageByPage => (0..section.pages).for_each(|page| {
                    section.add(&mut hash, page);
                    section.measure(&mut hash, page, self.firmware.bytes());
                }),
                PageOrder::SectionBySection => {
                    (0..section.pages).for_each(|page| section.add(&mut hash, page));
                    (0..section.pages)
                        .for_each(|page| section.measure(&mut hash, page, self.firmware.bytes()));
                }
            }
        }
        Digest384(hash.finalize().into())
    }
}

impl Section {
    fn parse(index: usize, raw: &[u8; 32], file: &[u8]) -> Result<Self, FirmwareError> {
        let bad = FirmwareError::Section { table: TABLE, index };
        let word = |at| array(raw, at).map_or(0, u32::from_le_bytes);
        let long = |at| array(raw, at).map_or(0, u64::from_le_bytes);
        let (start, length) = (word(0) as usize, word(4) as usize);
        let (address, bytes, kind, attributes) = (long(8), long(16), word(24), word(28));
        let page = PAGE as u64;
        let fits =
            address.checked_add(bytes).is_some_and(|end| end <= 1 << 32) && bytes <= MAX_SECTION_MEMORY;
        if !address.is_multiple_of(page) || !bytes.is_multiple_of(page) || !fits {
            return Err(bad);
        }
        let measured = match (kind, attributes) {
            (BOOT_VOLUME | CONFIGURATION_VOLUME, EXTEND) => true,
            (CONFIGURATION_VOLUME, 0) => false,
            (HOB | TEMPORARY, 0) => false,
            _ => return Err(FirmwareError::UnknownSection { table: TABLE, index }),
        };
        let from_file = matches!(kind, BOOT_VOLUME | CONFIGURATION_VOLUME);
        let in_file = start.checked_add(length).is_some_and(|end| end <= file.len());
        // A section that is shorter in the file than in memory would be filled up by the host.
        if from_file != (length != 0) || (from_file && (!in_file || length as u64 != bytes)) {
            return Err(bad);
        }
        Ok(Self { file: start, address, pages: bytes / page, measured })
    }

    fn end(&self) -> u64 {
        self.address + self.pages * PAGE as u64
    }

    /// What the TDX module hashes for TDH.MEM.PAGE.ADD.
    fn add(&self, hash: &mut Sha384, page: u64) {
        hash.update(record(b"MEM.PAGE.ADD", self.address + page * PAGE as u64));
    }

    /// What it hashes for TDH.MR.EXTEND of each part of the page.
    fn measure(&self, hash: &mut Sha384, page: u64, file: &[u8]) {
        if !self.measured {
            return;
        }
        let start = self.file + page as usize * PAGE;
        let content = file.get(start..start + PAGE).expect("a section's bytes are in the file");
        let address = self.address + page * PAGE as u64;
        for (part, address) in content.chunks(EXTEND_BYTES).zip((address..).step_by(EXTEND_BYTES)) {
            hash.update(record(b"MR.EXTEND", address));
            hash.update(part);
        }
    }
}

/// A 128-byte record: the operation's name, zeros up to byte 16, the address, zeros.
fn record(operation: &[u8], address: u64) -> [u8; 128] {
    let mut record = [0; 128];
    record[..operation.len()].copy_from_slice(operation);
    record[16..24].copy_from_slice(&address.to_le_bytes());
    record
}

const TABLE: &str = "TDX metadata";
const METADATA: Guid = guid(0xe47a_6535, 0x984a, 0x4798, [0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2]);
/// Bytes that one TDH.MR.EXTEND covers.
const EXTEND_BYTES: usize = 256;
/// The attribute of sections whose content is measured.
const EXTEND: u32 = 1;

// Types of sections.
const BOOT_VOLUME: u32 = 0;
const CONFIGURATION_VOLUME: u32 = 1;
const HOB: u32 = 2;
const TEMPORARY: u32 = 3;
