//! What the tests of SEV-SNP share: recorded evidence, and a development vendor's.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read recorded files; each uses a part"
)]

use pox_core::UnixTime;
use pox_core::receipt::Endorsement;
use pox_devtee::Seed;
use pox_devtee::snp::{CaCertificate, Line, Report, RevocationList, Signer, Tcb, VekCertificate, Vendor};
use pox_verify::evidence::launch::Launch;
use pox_verify::evidence::roots::{RootStanding, VendorRoots};
use pox_verify::evidence::snp::{SnpRejection, appraise};
use std::path::Path;
use std::sync::OnceLock;

/// Kinds of endorsements.
pub(crate) const VEK: u16 = 2;
pub(crate) const ASK: u16 = 3;
pub(crate) const CRL: u16 = 4;

/// Within the time of everything that the development vendor signs.
pub(crate) const NOW: UnixTime = UnixTime(1_767_225_600);

pub(crate) const LINES: [Line; 3] = [Line::Milan, Line::Genoa, Line::Turin];

/// A recorded file.
pub(crate) fn recorded(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/snp").join(name)).unwrap()
}

pub(crate) fn endorsement(kind: u16, content: Vec<u8>) -> Endorsement {
    Endorsement { kind, content }
}

pub(crate) fn roots(amd: Vec<Vec<u8>>) -> VendorRoots {
    VendorRoots { intel: Vec::new(), amd, aws: Vec::new(), standing: RootStanding::Development }
}

/// AMD's three.
pub(crate) fn recorded_roots() -> VendorRoots {
    roots(["milan", "genoa", "turin"].map(|line| recorded(&format!("{line}-ark.der"))).to_vec())
}

/// The development vendor of a line.
pub(crate) fn vendor(line: Line) -> &'static Vendor {
    static VENDORS: OnceLock<[Vendor; 3]> = OnceLock::new();
    &VENDORS.get_or_init(|| LINES.map(|line| Vendor::new(&SEED, line)))[line as usize]
}

/// A report with all that leads to it, each to be made wrong.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) line: Line,
    pub(crate) signer: Signer,
    pub(crate) report: Report,
    pub(crate) vek: VekCertificate,
    pub(crate) ark: CaCertificate,
    pub(crate) ask: CaCertificate,
    pub(crate) crl: RevocationList,
    pub(crate) at: UnixTime,
}

/// The bytes of a case.
#[derive(Clone)]
pub(crate) struct Evidence {
    pub(crate) quote: Vec<u8>,
    pub(crate) endorsements: Vec<Endorsement>,
    pub(crate) roots: VendorRoots,
    pub(crate) at: UnixTime,
}

impl Case {
    /// Nothing wrong with it.
    pub(crate) fn genuine(line: Line, signer: Signer, version: u32) -> Self {
        let chip = line.chip(&SEED, "one");
        let tcb = Tcb::default();
        let (vek, shown) = match signer {
            Signer::Vcek => (VekCertificate::vcek(chip, tcb), chip),
            Signer::Vlek => (VekCertificate::vlek(tcb), [0; 64]),
        };
        Self {
            line,
            signer,
            report: Report::genuine(line, signer, version, shown, tcb),
            vek,
            ark: CaCertificate::default(),
            ask: CaCertificate { serial: vec![1, 0, 2], ..CaCertificate::default() },
            crl: RevocationList::default(),
            at: NOW,
        }
    }

    /// A report of version 3 by a Genoa chip's own key.
    pub(crate) fn genoa() -> Self {
        Self::genuine(Line::Genoa, Signer::Vcek, 3)
    }

    pub(crate) fn build(&self) -> Evidence {
        self.build_by(vendor(self.line))
    }

    pub(crate) fn build_by(&self, vendor: &Vendor) -> Evidence {
        Evidence {
            quote: vendor.sign(&self.report, self.signer, &self.vek.chip, self.vek.tcb),
            endorsements: vec![
                endorsement(VEK, vendor.vek_certificate(&self.vek)),
                endorsement(ASK, vendor.intermediate_certificate(self.vek.issuer, &self.ask)),
                endorsement(CRL, vendor.revocation_list(&self.crl)),
            ],
            roots: roots(vec![vendor.root_certificate(&self.ark)]),
            at: self.at,
        }
    }
}

impl Evidence {
    pub(crate) fn appraise(&self) -> Result<Launch, SnpRejection> {
        appraise(&self.quote, &self.endorsements, &self.roots, self.at)
    }
}

pub(crate) const SEED: Seed = Seed([0xa3; 32]);
