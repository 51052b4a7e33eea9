//! TDX and SNP guests: Linux's `configfs-tsm` (Documentation/ABI/testing/configfs-tsm).

use super::certificates::certificates;
use super::error::AttestError;
use super::files::{read, read_line, read_number, write};
use super::{Attester, Patience, Quote};
use pox_core::endorsement::Endorsement;
use pox_core::evidence::{EvidenceKind, MAX_QUOTE_BYTES};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The report interface of a guest's kernel.
///
/// Every quote has an entry of its own, with a name that nobody can guess, which is removed however it ends.
#[derive(Debug)]
pub struct Tsm {
    reports: PathBuf,
    kind: EvidenceKind,
    patience: Patience,
}

impl Tsm {
    /// Asks which TEE's driver stands behind the interface at `root`; `None` if none does: a kernel that has the interface
    /// need not have a TEE.
    ///
    /// # Errors
    /// The driver is unknown, or the interface fails.
    pub fn detect(root: &Path, patience: Patience) -> Result<Option<Self>, AttestError> {
        let reports = root.join("report");
        if !reports.is_dir() {
            return Ok(None);
        }
        let found = patience.attempt(|| match Entry::create(&reports) {
            Err(AttestError::Io { source, .. }) if source.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            Err(error) => Err(error),
            Ok(entry) => entry.kind().map(Some),
        })?;
        Ok(found.map(|kind| Self { reports, kind, patience }))
    }

    fn quote_once(&self, report_data: &[u8; 64]) -> Result<Quote, AttestError> {
        let entry = Entry::create(&self.reports)?;
        // The driver could have been replaced since it was asked.
        let kind = entry.kind()?;
        if kind != self.kind {
            return Err(AttestError::Malformed("provider"));
        }
        let before = entry.generation()?;
        let mut written = 1;
        if kind == EvidenceKind::Snp {
            let floor = read_number(&entry.file("privlevel_floor"), "privlevel_floor")?;
            if floor > PRIVILEGE_LEVEL {
                return Err(AttestError::PrivilegeLevel(floor));
            }
            write(&entry.file("privlevel"), "privlevel", PRIVILEGE_LEVEL.to_string().as_bytes())?;
            written += 1;
        }
        write(&entry.file("inblob"), "inblob", report_data)?;
        let quote = entry.quote(kind);
        // A write that failed when its file was closed, or another's that came in between, shows here and nowhere else; either
        // may also be why there is no quote.
        if entry.generation()? != before.wrapping_add(written) {
            return Err(AttestError::Overtaken);
        }
        quote
    }
}

impl Attester for Tsm {
    fn kind(&self) -> EvidenceKind {
        self.kind
    }

    fn quote(&self, report_data: &[u8; 64]) -> Result<Quote, AttestError> {
        self.patience.attempt(|| self.quote_once(report_data))
    }
}

/// One report's folder. Dropping it removes it.
struct Entry(PathBuf);

impl Entry {
    fn create(reports: &Path) -> Result<Self, AttestError> {
        let mut name = [0; 16];
        getrandom::fill(&mut name).map_err(|error| AttestError::Randomness(io::Error::other(error)))?;
        let folder = reports.join(format!("pox-{}", hex::encode(name)));
        fs::create_dir(&folder).map_err(AttestError::io("a new report"))?;
        Ok(Self(folder))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn kind(&self) -> Result<EvidenceKind, AttestError> {
        let provider = read_line(&self.file("provider"), "provider")?;
        match provider.as_str() {
            "tdx_guest" => Ok(EvidenceKind::Tdx),
            "sev_guest" => Ok(EvidenceKind::Snp),
            _ => Err(AttestError::UnknownProvider(provider.escape_default().to_string())),
        }
    }

    fn generation(&self) -> Result<u64, AttestError> {
        read_number(&self.file("generation"), "generation")
    }

    fn quote(&self, kind: EvidenceKind) -> Result<Quote, AttestError> {
        let quote = read(&self.file("outblob"), "outblob", MAX_QUOTE_BYTES)?;
        // A host without a quoting service may answer with nothing, which the kernel hands on.
        if quote.is_empty() {
            return Err(AttestError::Malformed("outblob"));
        }
        let endorsements = if kind == EvidenceKind::Snp { self.certificates()? } else { Vec::new() };
        Ok(Quote { kind, quote, endorsements })
    }

    /// What the host gives beside a report; a host that gives nonsense gives nothing, and so does a kernel without the file.
    fn certificates(&self) -> Result<Vec<Endorsement>, AttestError> {
        match read(&self.file("auxblob"), "auxblob", MAX_CERTIFICATES_BYTES) {
            Ok(table) => Ok(certificates(&table)),
            Err(AttestError::TooLarge { .. }) => Ok(Vec::new()),
            Err(AttestError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // An entry that stays costs the guest's kernel some memory until the guest ends, which it does after one task.
        let _ = fs::remove_dir(&self.0);
    }
}

/// The one level that verifiers accept: the most privileged.
const PRIVILEGE_LEVEL: u64 = 0;
/// The kernel's own bound has grown from 16 KiB on; no host has more than a few certificates to give.
const MAX_CERTIFICATES_BYTES: usize = 64 * 1024;
