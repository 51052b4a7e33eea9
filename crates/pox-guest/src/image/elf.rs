//! As much of 64-bit ELF as tells a static program, and a module's own description, from its bytes.

/// Whether these bytes are a program for x86-64 that needs no dynamic linker.
pub(super) fn is_static_program(bytes: &[u8]) -> bool {
    let Some(header) = Header::parse(bytes) else { return false };
    let interpreter = header.program_headers().any(|kind| kind == INTERPRETER);
    matches!(header.kind, EXECUTABLE | SHARED) && header.programs.count > 0 && !interpreter
}

/// The content of a relocatable file's section.
pub(super) fn section<'a>(bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let header = Header::parse(bytes)?;
    if header.kind != RELOCATABLE {
        return None;
    }
    let names = header.section(header.names)?;
    let of_name = |index: &usize| {
        let start = word(header.sections.entry(bytes, *index)?, 0)?;
        let text = names.get(start as usize..)?;
        text.split(|byte| *byte == 0).next()
    };
    let index = (0..header.sections.count).find(|index| of_name(index) == Some(name.as_bytes()))?;
    header.section(index)
}

struct Header<'a> {
    bytes: &'a [u8],
    kind: u16,
    programs: Table,
    sections: Table,
    /// The section that holds the sections' names.
    names: usize,
}

struct Table {
    offset: usize,
    size: usize,
    count: usize,
}

impl Table {
    fn entry<'a>(&self, bytes: &'a [u8], index: usize) -> Option<&'a [u8]> {
        let start = self.offset.checked_add(self.size.checked_mul(index)?)?;
        bytes.get(start..start.checked_add(self.size)?)
    }
}

impl<'a> Header<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        // 64-bit, little-endian, current version.
        if !bytes.starts_with(b"\x7fELF\x02\x01\x01") || half(bytes, 18)? != X86_64 {
            return None;
        }
        let table = |offset, size, count| {
            Some(Table {
                offset: usize::try_from(long(bytes, offset)?).ok()?,
                size: half(bytes, size)?.into(),
                count: half(bytes, count)?.into(),
            })
        };
        Some(Self {
            bytes,
            kind: half(bytes, 16)?,
            programs: table(32, 54, 56)?,
            sections: table(40, 58, 60)?,
            names: half(bytes, 62)?.into(),
        })
    }

    fn program_headers(&self) -> impl Iterator<Item = u32> {
        (0..self.programs.count).filter_map(|index| word(self.programs.entry(self.bytes, index)?, 0))
    }

    fn section(&self, index: usize) -> Option<&'a [u8]> {
        let entry = self.sections.entry(self.bytes, index)?;
        let start = usize::try_from(long(entry, 24)?).ok()?;
        let size = usize::try_from(long(entry, 32)?).ok()?;
        self.bytes.get(start..start.checked_add(size)?)
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

const RELOCATABLE: u16 = 1;
const EXECUTABLE: u16 = 2;
/// Also position-independent programs.
const SHARED: u16 = 3;
const X86_64: u16 = 62;
const INTERPRETER: u32 = 3;
