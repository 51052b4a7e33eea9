//! No TEE.

use super::error::AttestError;
use super::{Attester, Quote};
use k256::ecdsa::SigningKey;
use pox_core::B256;
use pox_core::evidence::{EvidenceKind, SimulatedQuote};
use pox_core::signature::Signature;
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
        let digest = SimulatedQuote::digest(self.measurement, report_data);
        let signature = Signature::sign(&simulated_vendor_root(), digest).to_bytes().to_vec();
        let quote =
            SimulatedQuote { measurement: self.measurement, report_data: report_data.to_vec(), signature };
        Ok(Quote { kind: self.kind(), quote: quote.to_bytes(), endorsements: Vec::new() })
    }
}

/// The simulated vendor root: derived from a published sentence, so that nobody takes it for a secret.
fn simulated_vendor_root() -> SigningKey {
    let secret =
        Sha256::digest(b"pox simulated vendor root: anyone can sign with this key, it protects nothing");
    SigningKey::from_slice(&secret).expect("this digest is a valid scalar")
}
