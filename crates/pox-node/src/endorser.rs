//! Who gets what vouches for an enclave's quotes besides themselves: collateral, certificates, revocation lists.

use pox_core::endorsement::Endorsement;
use pox_core::evidence::EvidenceKind;

/// Asks a TEE's vendor, or a cache of what the vendor said.
///
/// Nobody has to believe it: endorsements are signed by the vendor, and whoever verifies the evidence judges them. An endorser that
/// gives none, or wrong ones, costs its own processor the grade of the proof.
pub trait Endorser: Send + Sync {
    /// Endorsements of the quotes of one enclave: first that of its key, then that of its result. Blocks for as long as it takes;
    /// the enclave waits, and the task's deadline runs.
    ///
    /// # Errors
    /// Why there are none, as a sentence for the operator. The task goes on without.
    fn endorse(&self, kind: EvidenceKind, quotes: &[Vec<u8>]) -> Result<Vec<Endorsement>, String>;
}

/// Endorses nothing: for simulated kinds, and where proofs are completed by others.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEndorsements;

impl Endorser for NoEndorsements {
    fn endorse(&self, _: EvidenceKind, _: &[Vec<u8>]) -> Result<Vec<Endorsement>, String> {
        Ok(Vec::new())
    }
}
