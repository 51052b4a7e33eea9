//! SGX: Gramine's `/dev/attestation` (its manual, "Low-level /dev/attestation interface").

use super::error::AttestError;
use super::files::{read, read_line, write};
use super::{Attester, Quote};
use pox_core::evidence::{EvidenceKind, MAX_QUOTE_BYTES};
use std::path::{Path, PathBuf};

/// The library OS that this program runs on.
///
/// Its files are the process's own: no other process can get in between, and the runtime has one thread that asks.
#[derive(Debug)]
pub struct Gramine {
    folder: PathBuf,
}

impl Gramine {
    /// Asks whether this program runs in SGX; `None` if not: Gramine without SGX has the folder, but not this file.
    ///
    /// # Errors
    /// It does, but without DCAP.
    pub fn detect(folder: &Path) -> Result<Option<Self>, AttestError> {
        let file = folder.join("attestation_type");
        if !file.try_exists().map_err(AttestError::io("attestation_type"))? {
            return Ok(None);
        }
        let attestation_type = read_line(&file, "attestation_type")?;
        if attestation_type != "dcap" {
            return Err(AttestError::NotDcap(attestation_type.escape_default().to_string()));
        }
        Ok(Some(Self { folder: folder.to_owned() }))
    }
}

impl Attester for Gramine {
    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Sgx
    }

    fn quote(&self, report_data: &[u8; 64]) -> Result<Quote, AttestError> {
        write(&self.folder.join("user_report_data"), "user_report_data", report_data)?;
        let quote = read(&self.folder.join("quote"), "quote", MAX_QUOTE_BYTES)?;
        if quote.is_empty() {
            return Err(AttestError::Malformed("quote"));
        }
        Ok(Quote { kind: self.kind(), quote, endorsements: Vec::new() })
    }
}
