//! No TEE.

use super::error::AttestError;
use super::{Attester, Quote};
use pox_core::B256;
use pox_core::evidence::{EvidenceKind, SimulatedQuote};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;

/// The stand-in where there is no TEE. **It protects nothing**: its signing key is public (spec §8.4.1).
#[derive(Debug)]
pub struct Simulated {
    measurement: B256,
}

impl Simulated {
    /// Measures the program that runs now.
    ///
    /// # Errors
    /// The program's file can't be read.
    pub fn of_this_program() -> io::Result<Self> {
        let mut hasher = Sha256::new();
        io::copy(&mut File::open("/proc/self/exe")?, &mut hasher)?;
        Ok(Self { measurement: B256::from(<[u8; 32]>::from(hasher.finalize())) })
    }
}

impl Attester for Simulated {
    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Simulated
    }

    fn quote(&self, report_data: &[u8; 64]) -> Result<Quote, AttestError> {
        let quote = SimulatedQuote::sign(self.measurement, report_data).to_bytes();
        Ok(Quote { kind: self.kind(), quote, endorsements: Vec::new() })
    }
}
