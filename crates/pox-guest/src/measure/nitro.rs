//! AWS Nitro Enclaves: the enclave image file (EIF), version 4, and PCR0 to PCR2 of it (spec §15.4).
//!
//! The format is defined by the code of AWS's `aws-nitro-enclaves-image-format`; all numbers are big-endian. The image's
//! checksum protects nothing: what counts are the PCRs, which the hypervisor measures of the sections.

use super::{Digest384, Files, MeasureError, array, check_size};
use sha2::{Digest, Sha384};

/// Most ramdisks that are read or written: the guest has one, and at most one over it.
pub const MAX_RAMDISKS: usize = 2;
/// Most bytes of the metadata section.
pub const MAX_METADATA_BYTES: usize = 64 << 10;

/// An enclave image for x86-64, not signed. Equal images have equal bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eif<'a> {
    /// The kernel, a bzImage.
    pub kernel: &'a [u8],
    /// The command line, without a final NUL.
    pub command_line: &'a [u8],
    /// JSON that tools show; no PCR covers it.
    pub metadata: Vec<u8>,
    /// The initramfs, and what is unpacked over it; one or two.
    pub ramdisks: Vec<&'a [u8]>,
    /// Memory that an enclave gets if its launcher says nothing, bytes.
    pub default_memory: u64,
    /// Processors that an enclave gets if its launcher says nothing.
    pub default_cpus: u64,
}

/// The registers that the hypervisor fills from an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pcrs {
    /// The whole image: kernel, command line, ramdisks.
    pub pcr0: Digest384,
    /// Kernel, command line and first ramdisk.
    pub pcr1: Digest384,
    /// The further ramdisks.
    pub pcr2: Digest384,
}

/// Bytes are no enclave image that this version writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EifError {
    /// Another magic, version, architecture or number of sections, or nonzero filling.
    #[error("the header is none of an unsigned x86-64 image of version {VERSION} with one or two ramdisks")]
    Header,
    /// A section of another type, place or size than the header says or the order demands.
    #[error("section {0} is not where, what or as long as it has to be")]
    Section(usize),
    /// Too much of something.
    #[error("the {0} is empty or too large")]
    Size(&'static str),
    /// Bytes behind the last section.
    #[error("there are bytes behind the last section")]
    Trailing,
    /// The checksum is another one.
    #[error("the checksum is {stated:#010x} in the header and {computed:#010x} of the bytes")]
    Checksum {
        /// In the header.
        stated: u32,
        /// Of the bytes.
        computed: u32,
    },
}

impl<'a> Eif<'a> {
    /// The image of a guest; `over` is a second ramdisk, unpacked over the initramfs.
    ///
    /// # Errors
    /// Files out of bounds.
    pub fn new(
        files: &Files<'a>,
        over: Option<&'a [u8]>,
        metadata: &Metadata<'_>,
    ) -> Result<Self, MeasureError> {
        files.check()?;
        if let Some(over) = over {
            check_size("second ramdisk", over, super::MAX_RAMDISK_BYTES)?;
        }
        Ok(Self {
            kernel: files.kernel,
            command_line: files.command_line.as_bytes(),
            metadata: metadata.to_json(),
            ramdisks: [files.initramfs].into_iter().chain(over).collect(),
            default_memory: DEFAULT_MEMORY,
            default_cpus: DEFAULT_CPUS,
        })
    }

    /// The file's bytes: header, kernel, command line, metadata, ramdisks.
    pub fn to_bytes(&self) -> Vec<u8> {
        let sections = self.sections();
        let mut offset = HEADER_BYTES;
        let mut offsets = [0; MAX_SECTIONS];
        let mut sizes = [0; MAX_SECTIONS];
        for ((_, content), (at, size)) in sections.iter().zip(offsets.iter_mut().zip(&mut sizes)) {
            (*at, *size) = (offset as u64, content.len() as u64);
            offset += SECTION_HEADER_BYTES + content.len();
        }
        let mut file = Vec::with_capacity(offset);
        file.extend(MAGIC);
        file.extend(VERSION.to_be_bytes());
        file.extend([0; 2]); // flags: x86-64
        file.extend(self.default_memory.to_be_bytes());
        file.extend(self.default_cpus.to_be_bytes());
        file.extend([0; 2]); // reserved
        file.extend((sections.len() as u16).to_be_bytes());
        file.extend(offsets.iter().chain(&sizes).flat_map(|number| number.to_be_bytes()));
        file.extend([0; 8]); // unused, and the checksum's place
        for (kind, content) in &sections {
            file.extend(kind.to_be_bytes());
            file.extend([0; 2]); // flags
            file.extend((content.len() as u64).to_be_bytes());
            file.extend(*content);
        }
        let checksum = checksum(&file);
        file[CHECKSUM..HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
        file
    }

    /// Reads an image as [`Eif::to_bytes`] writes them; copies nothing but the metadata.
    ///
    /// # Errors
    /// Bytes that are no such image, signed ones and those of another order of sections among them.
    pub fn parse(file: &'a [u8]) -> Result<Self, EifError> {
        let short = |at| array(file, at).map(u16::from_be_bytes).ok_or(EifError::Header);
        let long = |at| array(file, at).map(u64::from_be_bytes).ok_or(EifError::Header);
        let count = usize::from(short(26)?);
        let filled = (short(6)?, short(24)?, array::<4>(file, CHECKSUM - 4)) != (0, 0, Some([0; 4]));
        if !file.starts_with(&MAGIC) || short(4)? != VERSION || filled {
            return Err(EifError::Header);
        }
        if count <= FIXED_SECTIONS.len() || count > FIXED_SECTIONS.len() + MAX_RAMDISKS {
            return Err(EifError::Header);
        }
        let mut contents = Vec::with_capacity(count);
        let mut next = HEADER_BYTES;
        for index in 0..MAX_SECTIONS {
            let (offset, size) = (long(28 + index * 8)?, long(28 + (MAX_SECTIONS + index) * 8)?);
            if index < count {
                let content = section(file, index, next, offset, size).ok_or(EifError::Section(index))?;
                next += SECTION_HEADER_BYTES + content.len();
                contents.push(content);
            } else if (offset, size) != (0, 0) {
                return Err(EifError::Header);
            }
        }
        if next != file.len() {
            return Err(EifError::Trailing);
        }
        let stated = array(file, CHECKSUM).map_or(0, u32::from_be_bytes);
        let computed = checksum(file);
        if stated != computed {
            return Err(EifError::Checksum { stated, computed });
        }
        let ramdisks = contents.split_off(FIXED_SECTIONS.len());
        let image = Self {
            kernel: contents[0],
            command_line: contents[1],
            metadata: contents[2].to_vec(),
            ramdisks,
            default_memory: long(8)?,
            default_cpus: long(16)?,
        };
        image.check()?;
        Ok(image)
    }

    /// The registers of an enclave that is launched from this image: each is one extension, from zero, with SHA-384 of the
    /// sections that it covers.
    pub fn pcrs(&self) -> Pcrs {
        let (first, further) = self.ramdisks.split_at(1.min(self.ramdisks.len()));
        let mut boot = Sha384::new_with_prefix(self.kernel).chain_update(self.command_line);
        first.iter().for_each(|ramdisk| boot.update(ramdisk));
        let mut image = boot.clone();
        further.iter().for_each(|ramdisk| image.update(ramdisk));
        let extended = |hash: Sha384| Digest384::ZERO.extend(Digest384(hash.finalize().into()));
        Pcrs {
            pcr0: extended(image),
            pcr1: extended(boot),
            pcr2: Digest384::ZERO.extend(Digest384::of(further)),
        }
    }

    fn sections(&self) -> Vec<(u16, &[u8])> {
        let fixed = FIXED_SECTIONS.into_iter().zip([self.kernel, self.command_line, &self.metadata]);
        fixed.chain(self.ramdisks.iter().map(|ramdisk| (RAMDISK, *ramdisk))).collect()
    }

    fn check(&self) -> Result<(), EifError> {
        let within = |name, bytes: &[u8], most| {
            if bytes.is_empty() || bytes.len() > most { Err(EifError::Size(name)) } else { Ok(()) }
        };
        within("kernel", self.kernel, super::MAX_KERNEL_BYTES)?;
        within("command line", self.command_line, super::MAX_COMMAND_LINE_BYTES)?;
        within("metadata", &self.metadata, MAX_METADATA_BYTES)?;
        self.ramdisks.iter().try_for_each(|ramdisk| within("ramdisk", ramdisk, super::MAX_RAMDISK_BYTES))
    }
}

/// What the metadata section tells tools of an image; of no consequence for what is launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metadata<'a> {
    /// The image's name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The kernel's version.
    pub kernel: &'a str,
}

impl Metadata<'_> {
    /// JSON with the keys and the order of AWS's builder. The time of the build is always the same, so that the bytes are.
    fn to_json(self) -> Vec<u8> {
        let Self { name, version, kernel } = self;
        let metadata = MetadataJson {
            name,
            version,
            build: BuildJson {
                time: BUILD_TIME,
                tool: "pox",
                tool_version: version,
                system: "Linux",
                kernel,
            },
            docker: serde_json::Map::new(),
            custom: serde_json::Map::new(),
        };
        serde_json::to_vec(&metadata).expect("texts always serialise")
    }
}

#[derive(serde::Serialize)]
struct MetadataJson<'a> {
    #[serde(rename = "ImageName")]
    name: &'a str,
    #[serde(rename = "ImageVersion")]
    version: &'a str,
    #[serde(rename = "BuildMetadata")]
    build: BuildJson<'a>,
    #[serde(rename = "DockerInfo")]
    docker: serde_json::Map<String, serde_json::Value>,
    #[serde(rename = "CustomMetadata")]
    custom: serde_json::Map<String, serde_json::Value>,
}

#[derive(serde::Serialize)]
struct BuildJson<'a> {
    #[serde(rename = "BuildTime")]
    time: &'a str,
    #[serde(rename = "BuildTool")]
    tool: &'a str,
    #[serde(rename = "BuildToolVersion")]
    tool_version: &'a str,
    #[serde(rename = "OperatingSystem")]
    system: &'a str,
    #[serde(rename = "KernelVersion")]
    kernel: &'a str,
}

/// The content of a section if it stands where the one before it ends, and its header says the same as the file's.
fn section(file: &[u8], index: usize, next: usize, offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok().filter(|start| *start == next)?;
    let kind = FIXED_SECTIONS.get(index).copied().unwrap_or(RAMDISK);
    let header = [&kind.to_be_bytes()[..], &[0; 2], &size.to_be_bytes()].concat();
    let rest = file.get(start..)?.strip_prefix(header.as_slice())?;
    rest.get(..usize::try_from(size).ok()?)
}

/// CRC-32 (IEEE 802.3) over everything but its own place.
fn checksum(file: &[u8]) -> u32 {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&file[..CHECKSUM]);
    checksum.update(&file[HEADER_BYTES..]);
    checksum.finalize()
}

/// What the metadata says instead of the time of the build.
const BUILD_TIME: &str = "1970-01-01T00:00:00+00:00";
const MAGIC: [u8; 4] = *b".eif";
const VERSION: u16 = 4;
/// Places for sections in the header.
const MAX_SECTIONS: usize = 32;
/// Magic, two short numbers, two long ones, two short ones, offsets and sizes, unused, checksum.
const HEADER_BYTES: usize = 4 + 4 + 16 + 4 + 2 * 8 * MAX_SECTIONS + 8;
const CHECKSUM: usize = HEADER_BYTES - 4;
/// Type, flags, size.
const SECTION_HEADER_BYTES: usize = 2 + 2 + 8;
/// Kernel, command line, metadata: always there, in this order.
const FIXED_SECTIONS: [u16; 3] = [1, 2, 5];
const RAMDISK: u16 = 3;
/// What AWS's builder writes: 1 GiB and two processors.
const DEFAULT_MEMORY: u64 = 1 << 30;
const DEFAULT_CPUS: u64 = 2;
