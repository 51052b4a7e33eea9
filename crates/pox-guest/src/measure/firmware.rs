//! Virtual firmware in OVMF's layout: a table of entries, each named by a GUID, that ends 32 bytes before the end of the file.

use super::array;

/// Most bytes of a firmware file: QEMU's own default bound is half of it.
pub const MAX_FIRMWARE_BYTES: usize = 16 << 20;
/// Bytes of one page.
pub(crate) const PAGE: usize = 4096;
/// Most sections of one metadata table: several times what any firmware has.
pub(crate) const MAX_SECTIONS: usize = 32;
/// Most memory that the sections of one table may span: each page costs a hash.
pub(crate) const MAX_SECTION_MEMORY: u64 = 64 << 20;

/// A file is no firmware for this kind of TEE.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FirmwareError {
    /// Empty, too large, or no whole number of pages.
    #[error("the firmware has {0} bytes; whole pages up to {MAX_FIRMWARE_BYTES} bytes are allowed")]
    Size(usize),
    /// The end of the file has no OVMF table.
    #[error("the firmware has no OVMF table of entries")]
    NoTable,
    /// The table can't be walked.
    #[error("the firmware's table of entries is malformed")]
    Table,
    /// An entry that this kind needs is not there.
    #[error("the firmware has no {0}: it is no build for this kind of TEE")]
    NoEntry(&'static str),
    /// The metadata table points outside of the file, or has another version or form.
    #[error("the firmware's {0} is malformed")]
    Metadata(&'static str),
    /// A section is unaligned, too large, or not in the file.
    #[error("the firmware's {table} has a malformed section {index}")]
    Section {
        /// Which table.
        table: &'static str,
        /// Which of its sections.
        index: usize,
    },
    /// A section of a type or with attributes that hosts treat in their own ways.
    #[error(
        "the firmware's {table} has section {index} of a type or with attributes that can't be predicted"
    )]
    UnknownSection {
        /// Which table.
        table: &'static str,
        /// Which of its sections.
        index: usize,
    },
    /// It would start any kernel: nothing of kernel, initramfs and command line would be measured.
    #[error("the firmware does not check kernel, initramfs and command line against measured hashes")]
    NoKernelHashes,
}

/// A firmware file with its table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Firmware<'a> {
    bytes: &'a [u8],
    table: &'a [u8],
}

/// A GUID in the order of its bytes in files.
pub(crate) type Guid = [u8; 16];

impl<'a> Firmware<'a> {
    /// Finds the table; its entries are checked to be walkable, and nothing else of the file is.
    ///
    /// # Errors
    /// No such file.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, FirmwareError> {
        if bytes.is_empty() || bytes.len() > MAX_FIRMWARE_BYTES || !bytes.len().is_multiple_of(PAGE) {
            return Err(FirmwareError::Size(bytes.len()));
        }
        let end = bytes.len() - AFTER_TABLE;
        let footer = end - ENTRY_HEADER;
        if array(bytes, footer + 2) != Some(TABLE_FOOTER) {
            return Err(FirmwareError::NoTable);
        }
        let length = array(bytes, footer).map_or(0, |length| usize::from(u16::from_le_bytes(length)));
        let table = end.checked_sub(length).and_then(|start| bytes.get(start..footer));
        let firmware = Self { bytes, table: table.ok_or(FirmwareError::Table)? };
        let mut walked = 0;
        for entry in firmware.entries() {
            walked += entry?.1.len() + ENTRY_HEADER;
        }
        if walked == firmware.table.len() { Ok(firmware) } else { Err(FirmwareError::Table) }
    }

    /// The whole file.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where the file begins in the guest's memory: it ends at 4 GiB.
    pub(crate) fn base(&self) -> u64 {
        (4 << 30) - self.bytes.len() as u64
    }

    /// The first number of an entry, and none if there is no such entry.
    pub(crate) fn number(&self, guid: &Guid) -> Option<u32> {
        let (_, content) = self.entries().flatten().find(|(name, _)| name == guid)?;
        array(content, 0).map(u32::from_le_bytes)
    }

    /// The bytes from where an entry points to, which counts from the end of the file.
    pub(crate) fn pointed(&self, guid: &Guid, table: &'static str) -> Result<&'a [u8], FirmwareError> {
        let back = self.number(guid).ok_or(FirmwareError::NoEntry(table))?;
        let start = usize::try_from(back).ok().and_then(|back| self.bytes.len().checked_sub(back));
        start.and_then(|start| self.bytes.get(start..)).ok_or(FirmwareError::Metadata(table))
    }

    /// The sections of a metadata table, `N` bytes each, behind its signature, length, version (1) and their count.
    pub(crate) fn sections<const N: usize>(
        &self,
        guid: &Guid,
        signature: &[u8; 4],
        table: &'static str,
    ) -> Result<Vec<[u8; N]>, FirmwareError> {
        let bytes = self.pointed(guid, table)?;
        let number = |at| array(bytes, at).map(u32::from_le_bytes);
        let count = number(12).and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
        if array(bytes, 0).as_ref() != Some(signature) || number(8) != Some(1) || count > MAX_SECTIONS {
            return Err(FirmwareError::Metadata(table));
        }
        if number(4).and_then(|length| usize::try_from(length).ok()) != Some(16 + count * N) {
            return Err(FirmwareError::Metadata(table));
        }
        (0..count).map(|index| array(bytes, 16 + index * N).ok_or(FirmwareError::Metadata(table))).collect()
    }

    /// The entries from the last to the first: each stands before its length and name.
    fn entries(&self) -> impl Iterator<Item = Result<(Guid, &'a [u8]), FirmwareError>> + use<'a> {
        let mut rest = self.table;
        core::iter::from_fn(move || {
            let header = rest.len().checked_sub(ENTRY_HEADER)?;
            let length = usize::from(u16::from_le_bytes(array(rest, header)?));
            let guid: Guid = array(rest, header + 2)?;
            let Some(start) = rest.len().checked_sub(length).filter(|start| *start <= header) else {
                rest = &[];
                return Some(Err(FirmwareError::Table));
            };
            let content = rest.get(start..header)?;
            rest = rest.get(..start)?;
            Some(Ok((guid, content)))
        })
    }
}

/// A GUID from its usual text's groups.
pub(crate) const fn guid(a: u32, b: u16, c: u16, d: [u8; 8]) -> Guid {
    let (a, b, c) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// The reset vector stands behind the table.
const AFTER_TABLE: usize = 32;
/// Length and GUID behind each entry's content.
const ENTRY_HEADER: usize = 2 + 16;
const TABLE_FOOTER: Guid =
    guid(0x96b5_82de, 0x1fb2, 0x45f7, [0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d]);
