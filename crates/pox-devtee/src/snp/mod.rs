//! AMD: SEV-SNP reports with their certificate chains and revocation lists.
//!
//! A [`Vendor`] is one product line's root with its intermediates. It certifies keys of chips and operators, lists what is revoked,
//! and signs reports with those keys. Every template has a genuine form to start from, and fields to make it wrong with.

mod certificates;
mod keys;
mod report;

pub use certificates::{CaCertificate, HardwareId, RevocationList, VekCertificate};
pub use report::{REPORT_BYTES, Report};

use crate::Seed;
use keys::RootKey;
use p384::ecdsa::SigningKey;

/// A product line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004.
    Genoa,
    /// EPYC 9005.
    Turin,
}

/// Whose key signs reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The chip's.
    Vcek,
    /// The cloud operator's.
    Vlek,
}

/// Versions of firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcb {
    /// First mutable code; Turin only.
    pub fmc: u8,
    /// Boot loader.
    pub bootloader: u8,
    /// Operating system of the security processor.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Microcode.
    pub microcode: u8,
}

/// A span of time, Unix seconds, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub from: u64,
    /// Last second.
    pub until: u64,
}

/// A root of one product line, and the two intermediates below it.
#[derive(Debug, Clone)]
pub struct Vendor {
    seed: Seed,
    line: Line,
    root: RootKey,
    ask: RootKey,
    asvk: RootKey,
}

/// What a verifier needs beside a report, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endorsements {
    /// VCEK or VLEK certificate.
    pub vek: Vec<u8>,
    /// ASK or ASVK certificate.
    pub ask: Vec<u8>,
    /// The root's revocation list.
    pub crl: Vec<u8>,
}

impl Vendor {
    /// The vendor of a seed for one product line.
    pub fn new(seed: &Seed, line: Line) -> Self {
        let key = |role| RootKey::derive(seed, &format!("amd {role} {}", line.name()));
        Self { seed: *seed, line, root: key("ark"), ask: key("ask"), asvk: key("asvk") }
    }

    /// Its product line.
    pub fn line(&self) -> Line {
        self.line
    }

    /// The genuine root certificate, which a verifier pins.
    pub fn ark(&self) -> Vec<u8> {
        self.root_certificate(&CaCertificate::default())
    }

    /// Everything genuine for one key.
    pub fn endorsements(&self, vek: &VekCertificate) -> Endorsements {
        Endorsements {
            vek: self.vek_certificate(vek),
            ask: self.intermediate_certificate(vek.signer, &CaCertificate::default()),
            crl: self.revocation_list(&RevocationList::default()),
        }
    }

    /// Signs a report with the key of a chip, or of the operator, at one TCB version; 1,184 bytes.
    pub fn sign(&self, report: &Report, signer: Signer, chip: &[u8; 64], tcb: Tcb) -> Vec<u8> {
        report.signed(&self.report_key(signer, chip, tcb))
    }

    fn report_key(&self, signer: Signer, chip: &[u8; 64], tcb: Tcb) -> SigningKey {
        let tcb = u64::from_be_bytes(tcb.bytes(self.line));
        let of = match signer {
            Signer::Vcek => format!("vcek {:02x?}", chip),
            Signer::Vlek => "vlek".to_owned(),
        };
        keys::report_key(&self.seed, &format!("amd {of} {} {tcb:016x}", self.line.name()))
    }
}

impl Line {
    /// The name in AMD's certificates.
    pub fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// Combined family and model of a processor of the line, and a stepping.
    pub fn cpu(self) -> [u8; 3] {
        match self {
            Self::Milan => [0x19, 0x01, 0x01],
            Self::Genoa => [0x19, 0x11, 0x01],
            Self::Turin => [0x1a, 0x02, 0x01],
        }
    }

    /// A chip's id, made from a label: 64 bytes, or 8 and zeros for Turin.
    pub fn chip(self, seed: &Seed, label: &str) -> [u8; 64] {
        let mut chip = [0; 64];
        let (first, second) = chip.split_at_mut(32);
        first.copy_from_slice(&seed.derive(&format!("amd chip {label} 0")));
        second.copy_from_slice(&seed.derive(&format!("amd chip {label} 1")));
        if self == Self::Turin {
            chip.iter_mut().skip(8).for_each(|byte| *byte = 0);
        }
        chip
    }
}

impl Signer {
    /// The name in AMD's certificates.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
        }
    }
}

impl Tcb {
    /// The eight bytes, as a line has them.
    pub fn bytes(self, line: Line) -> [u8; 8] {
        let Self { fmc, bootloader, tee, snp, microcode } = self;
        match line {
            Line::Milan | Line::Genoa => [bootloader, tee, 0, 0, 0, 0, snp, microcode],
            Line::Turin => [fmc, bootloader, tee, snp, 0, 0, 0, microcode],
        }
    }
}

impl Default for Tcb {
    fn default() -> Self {
        Self { fmc: 1, bootloader: 4, tee: 1, snp: 21, microcode: 213 }
    }
}
