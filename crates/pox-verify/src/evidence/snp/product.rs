//! Product lines, and how each numbers its firmware.

use core::fmt;

/// A line of EPYC processors, which has a root of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProductLine {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004: Genoa, Bergamo, Siena.
    Genoa,
    /// EPYC 9005.
    Turin,
}

/// The versions of what a chip's endorsement key depends on (AMD 56860, TCB_VERSION).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcbVersion {
    /// First mutable code of the security processor; Turin has a number for it.
    pub fmc: Option<u8>,
    /// Boot loader of the security processor.
    pub bootloader: u8,
    /// Operating system of the security processor.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Lowest patch level of all cores.
    pub microcode: u8,
}

impl ProductLine {
    /// All that this version knows.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// The name in AMD's certificates and services.
    pub fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The line of a processor, by its combined family and model of CPUID; `None` if this version does not know it.
    pub fn of_cpu(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x1f) => Some(Self::Turin),
            _ => None,
        }
    }

    /// The line whose root has this common name.
    pub(super) fn of_root(common_name: &str) -> Option<Self> {
        let name = common_name.strip_prefix("ARK-")?;
        Self::ALL.into_iter().find(|line| line.name() == name)
    }
}

impl fmt::Display for ProductLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TcbVersion {
    /// Reads the eight bytes as a line has them; `None` if a reserved one is not zero.
    pub fn parse(line: ProductLine, bytes: [u8; 8]) -> Option<Self> {
        match (line, bytes) {
            (ProductLine::Milan | ProductLine::Genoa, [bootloader, tee, 0, 0, 0, 0, snp, microcode]) => {
                Some(Self { fmc: None, bootloader, tee, snp, microcode })
            }
            (ProductLine::Turin, [fmc, bootloader, tee, snp, 0, 0, 0, microcode]) => {
                Some(Self { fmc: Some(fmc), bootloader, tee, snp, microcode })
            }
            _ => None,
        }
    }

    /// Each part with its name, in the order of AMD's services.
    pub fn parts(self) -> impl Iterator<Item = (&'static str, u8)> {
        let fmc = self.fmc.map(|version| ("fmc", version));
        fmc.into_iter().chain([
            ("bootloader", self.bootloader),
            ("tee", self.tee),
            ("snp", self.snp),
            ("microcode", self.microcode),
        ])
    }

    /// Whether no part is above the other's.
    pub(super) fn is_at_most(self, other: Self) -> bool {
        self.parts().zip(other.parts()).all(|((_, version), (_, limit))| version <= limit)
    }

    /// The lower of each part.
    pub(super) fn lowest(self, other: Self) -> Self {
        Self {
            fmc: self.fmc.zip(other.fmc).map(|(a, b)| a.min(b)),
            bootloader: self.bootloader.min(other.bootloader),
            tee: self.tee.min(other.tee),
            snp: self.snp.min(other.snp),
            microcode: self.microcode.min(other.microcode),
        }
    }
}

impl fmt::Display for TcbVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, version)) in self.parts().enumerate() {
            write!(f, "{}{name} {version}", if number == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
