//! The Linux kernel's file as virtual firmware sees it: an EFI program, and a bzImage with a setup header.

use super::{Digest384, array};
use sha2::{Digest, Sha384};

/// Most sections of an EFI program, as the PE format's documentation has it for images.
const MAX_SECTIONS: usize = 96;

/// A file is no kernel that a TEE's firmware measures as predicted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// Its headers are no EFI program's, or point outside of the file.
    #[error("the kernel is no EFI program: its {0} is malformed or outside of the file")]
    Pe(&'static str),
    /// Tools disagree on what its digest covers.
    #[error(
        "the kernel has {0} bytes, no multiple of 8: what its digest covers would depend on who measures"
    )]
    Unaligned(usize),
    /// No setup header, or one that is too old for a boot as promised.
    #[error("the kernel has no setup header of Linux boot protocol 2.12 or later")]
    Setup,
    /// Command line and initramfs would be measured by nobody.
    #[error("the kernel's EFI stub can't measure command line and initramfs on TDX; Linux 6.9 and later can")]
    MeasuresNothing,
    /// There is no room for the initramfs below 4 GiB.
    #[error("the initramfs does not fit into the memory of the machine")]
    NoRoom,
    /// QEMU would translate it into the kernel's header.
    #[error("the command line has a vga parameter, which hosts rewrite into the kernel")]
    VideoMode,
}

/// The digest that firmware measures of an EFI program: SHA-384 over headers and sections without checksum and signatures
/// (Microsoft's Authenticode, as "PE/COFF image measurement" of the TCG PC Client firmware profile has it).
///
/// # Errors
/// Files that are no such program, or that tools measure in different ways.
pub fn authenticode(file: &[u8]) -> Result<Digest384, KernelError> {
    if !file.len().is_multiple_of(8) {
        return Err(KernelError::Unaligned(file.len()));
    }
    let headers = Headers::parse(file)?;
    let mut hash = Sha384::new();
    let mut cover = |from: usize, to: usize, what| {
        file.get(from..to).map(|bytes| hash.update(bytes)).ok_or(KernelError::Pe(what))
    };
    cover(0, headers.checksum, "header")?;
    let after_checksum = headers.checksum + 4;
    match headers.signatures {
        Some((entry, _)) => {
            cover(after_checksum, entry, "header")?;
            cover(entry + 8, headers.size, "header")?;
        }
        None => cover(after_checksum, headers.size, "header")?,
    }
    let mut covered = headers.size;
    for (start, length) in headers.sections {
        cover(start, start.saturating_add(length), "section")?;
        covered = covered.saturating_add(length);
    }
    // What stands behind the sections is covered up to the signatures at the end.
    let signatures = headers.signatures.map_or(0, |(_, length)| length);
    if file.len() > covered {
        let end = file.len().checked_sub(signatures).ok_or(KernelError::Pe("signature table"))?;
        cover(covered, end, "signature table")?;
    }
    Ok(Digest384(hash.finalize().into()))
}

/// Whether the kernel's EFI stub knows the protocol by which firmware extends the registers of confidential machines: without
/// it, nobody measures command line and initramfs on TDX.
///
/// Looks for the protocol's GUID, which compilers place whole, in halves or in quarters between instructions.
pub fn knows_cc_measurement(file: &[u8]) -> bool {
    CC_MEASUREMENT_PROTOCOL.chunks(4).all(|part| file.windows(4).any(|window| window == part))
}

/// The kernel after QEMU before version 10.2 has written its setup header, as it did for TDX: where it would place command line
/// and initramfs, which depends on the machine's memory (bytes) and the initramfs's size.
///
/// # Errors
/// No such kernel, no room, or a `vga` parameter, which would be written as well.
pub fn with_loader_header(
    file: &[u8],
    initramfs_bytes: usize,
    command_line: &str,
    memory: u64,
) -> Result<Vec<u8>, KernelError> {
    let field = |at| array::<2>(file, at).map(u16::from_le_bytes);
    let word = |at| array::<4>(file, at).map(u32::from_le_bytes);
    let flags = array::<1>(file, LOAD_FLAGS).ok_or(KernelError::Setup)?[0];
    let loads_above = field(EXTENDED_LOAD_FLAGS).is_some_and(|flags| flags & CAN_BE_LOADED_ABOVE_4G != 0);
    if word(SIGNATURE) != Some(HDRS) || field(PROTOCOL) < Some(0x20c) || flags & LOADED_HIGH == 0 {
        return Err(KernelError::Setup);
    }
    if command_line.contains("vga=") {
        return Err(KernelError::VideoMode);
    }
    let top = if loads_above { u32::MAX } else { word(INITRD_MAX).ok_or(KernelError::Setup)? };
    let below_4g = memory.min(if memory >= LARGE_MEMORY { 2 << 30 } else { LARGE_MEMORY });
    let room = below_4g.checked_sub(ACPI_BYTES + 1).ok_or(KernelError::NoRoom)?;
    let room = room.min(u64::from(top));
    let initramfs = initramfs_bytes as u64;
    if initramfs >= room {
        return Err(KernelError::NoRoom);
    }
    let address = ((room - initramfs) & !0xfff) as u32;
    let mut written = file.to_vec();
    for (at, bytes) in [
        (LOADER, &[0xb0][..]),
        (LOAD_FLAGS, &[flags | CAN_USE_HEAP]),
        (INITRD_ADDRESS, &address.to_le_bytes()),
        (INITRD_SIZE, &(initramfs as u32).to_le_bytes()),
        (HEAP_END, &0xfe00_u16.to_le_bytes()),
        (COMMAND_LINE, &0x2_0000_u32.to_le_bytes()),
    ] {
        written.get_mut(at..at + bytes.len()).ok_or(KernelError::Setup)?.copy_from_slice(bytes);
    }
    Ok(written)
}

/// Where the parts of an EFI program are, in bytes from the beginning of its file.
struct Headers {
    checksum: usize,
    /// Place of the directory's entry for signatures, and their length; `None` if the directory has no such entry.
    signatures: Option<(usize, usize)>,
    size: usize,
    /// Start and length of each section that is in the file, by start.
    sections: Vec<(usize, usize)>,
}

impl Headers {
    fn parse(file: &[u8]) -> Result<Self, KernelError> {
        let short = |at| array(file, at).map(u16::from_le_bytes);
        let word = |at| array(file, at).map(|bytes| u32::from_le_bytes(bytes) as usize);
        let bad = KernelError::Pe;
        let start = word(0x3c).filter(|_| file.starts_with(b"MZ")).ok_or(bad("DOS header"))?;
        if start > file.len() || array(file, start) != Some(*b"PE\0\0") {
            return Err(bad("PE header"));
        }
        let count = short(start + 6).map(usize::from).ok_or(bad("PE header"))?;
        let optional = start + 24;
        let optional_bytes = short(start + 20).map(usize::from).ok_or(bad("PE header"))?;
        let directory = match short(optional) {
            Some(0x10b) => optional + 96,
            Some(0x20b) => optional + 112,
            _ => return Err(bad("optional header")),
        };
        let size = word(optional + 60).ok_or(bad("optional header"))?;
        let entries = word(directory - 4).ok_or(bad("optional header"))?;
        let entry = directory + SIGNATURES_ENTRY * 8;
        let signatures = (entries > SIGNATURES_ENTRY).then(|| word(entry + 4).map(|length| (entry, length)));
        let signatures = signatures.map(|found| found.ok_or(bad("data directory"))).transpose()?;
        if count > MAX_SECTIONS {
            return Err(bad("number of sections"));
        }
        let table = optional + optional_bytes;
        let mut sections = Vec::with_capacity(count);
        for header in (0..count).map(|index| table + index * 40) {
            let length = word(header + 16).ok_or(bad("section table"))?;
            let start = word(header + 20).ok_or(bad("section table"))?;
            if length != 0 {
                sections.push((start, length));
            }
        }
        sections.sort_by_key(|(start, _)| *start);
        Ok(Self { checksum: optional + 64, signatures, size, sections })
    }
}

/// The entry of the data directory that tells where signatures are.
const SIGNATURES_ENTRY: usize = 4;
/// `EFI_CC_MEASUREMENT_PROTOCOL_GUID`, UEFI specification 2.10 §38.2.
const CC_MEASUREMENT_PROTOCOL: [u8; 16] =
    super::firmware::guid(0x9675_1a3d, 0x72f4, 0x41a6, [0xa7, 0x94, 0xed, 0x5d, 0x0e, 0x67, 0xae, 0x6b]);

// Fields of the setup header: Linux, Documentation/arch/x86/boot.rst.
const SIGNATURE: usize = 0x202;
const HDRS: u32 = u32::from_le_bytes(*b"HdrS");
const PROTOCOL: usize = 0x206;
const LOADER: usize = 0x210;
const LOAD_FLAGS: usize = 0x211;
const LOADED_HIGH: u8 = 0x01;
const CAN_USE_HEAP: u8 = 0x80;
const INITRD_ADDRESS: usize = 0x218;
const INITRD_SIZE: usize = 0x21c;
const HEAP_END: usize = 0x224;
const COMMAND_LINE: usize = 0x228;
const INITRD_MAX: usize = 0x22c;
const EXTENDED_LOAD_FLAGS: usize = 0x236;
const CAN_BE_LOADED_ABOVE_4G: u16 = 0x02;

/// From this much memory on, a q35 machine has 2 GiB of it below 4 GiB; with less, all up to this.
const LARGE_MEMORY: u64 = 0xb000_0000;
/// What a q35 machine keeps for ACPI tables at the end of low memory.
const ACPI_BYTES: u64 = 0x2_8000;
