//! What is archived beside the evidence (spec §8.5, §8.10).
//!
//! Endorsements come from the host, and vouch for themselves or for nothing: the runtime has no roots and no clock to judge them
//! by. It only keeps an archive from growing without bound, or from holding what no verifier would take.

use pox_core::evidence::EvidenceKind;
use pox_core::receipt::Endorsement;

/// Most endorsements of one archive: twice what the kind that needs most has, for two evidences.
pub const MAX_ENDORSEMENTS: usize = 8;
/// Most bytes of one endorsement: DCAP collateral has 7 to 25 kB, and its revocation lists grow.
pub const MAX_ENDORSEMENT_BYTES: usize = 128 * 1024;
/// Most bytes of all endorsements of one archive: what its other parts leave.
const MAX_BYTES: usize = 192 * 1024;

/// Keeps the endorsements that mean something for this kind of evidence, each once and in their order, as far as they fit.
pub(super) fn select(kind: EvidenceKind, given: Vec<Endorsement>) -> Vec<Endorsement> {
    let (mut kept, mut bytes) = (Vec::<Endorsement>::new(), 0);
    for endorsement in given {
        let length = endorsement.content.len();
        let fits =
            kept.len() < MAX_ENDORSEMENTS && length <= MAX_ENDORSEMENT_BYTES && bytes + length <= MAX_BYTES;
        if fits && meanings(kind).contains(&endorsement.kind) && !kept.contains(&endorsement) {
            bytes += length;
            kept.push(endorsement);
        }
    }
    kept
}

/// The codes of spec §8.5 that an evidence kind can use.
fn meanings(kind: EvidenceKind) -> &'static [u16] {
    match kind {
        EvidenceKind::Simulated | EvidenceKind::VmSim => &[],
        EvidenceKind::Sgx | EvidenceKind::Tdx => &[INTEL_COLLATERAL],
        EvidenceKind::Snp => &[AMD_SIGNER, AMD_INTERMEDIATE, AMD_REVOCATIONS],
        EvidenceKind::Nitro => &[AWS_REVOCATIONS],
    }
}

/// DCAP collateral.
pub(super) const INTEL_COLLATERAL: u16 = 1;
/// A VCEK or VLEK certificate, DER.
pub(super) const AMD_SIGNER: u16 = 2;
/// An ASK or ASVK certificate, DER.
pub(super) const AMD_INTERMEDIATE: u16 = 3;
/// A revocation list of AMD's, DER.
pub(super) const AMD_REVOCATIONS: u16 = 4;
/// A revocation list of AWS's, DER.
pub(super) const AWS_REVOCATIONS: u16 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn endorsement(kind: u16, content: &[u8]) -> Endorsement {
        Endorsement { kind, content: content.to_vec() }
    }

    #[test]
    fn what_means_nothing_for_the_kind_is_left_out() {
        let given: Vec<_> = (0..8).map(|kind| endorsement(kind, b"x")).collect();
        let codes = |kind| -> Vec<u16> { select(kind, given.clone()).iter().map(|kept| kept.kind).collect() };
        assert_eq!(codes(EvidenceKind::Simulated), []);
        assert_eq!(codes(EvidenceKind::VmSim), []);
        assert_eq!(codes(EvidenceKind::Sgx), [1]);
        assert_eq!(codes(EvidenceKind::Tdx), [1]);
        assert_eq!(codes(EvidenceKind::Snp), [2, 3, 4]);
        assert_eq!(codes(EvidenceKind::Nitro), [5]);
    }

    #[test]
    fn each_is_kept_once_and_in_its_order() {
        let given = [endorsement(3, b"b"), endorsement(2, b"a"), endorsement(3, b"b")];
        assert_eq!(select(EvidenceKind::Snp, given.to_vec()), given[..2]);
    }

    #[test]
    fn number_and_size_are_bounded() {
        let many = (0..100).map(|index| endorsement(1, &[index])).collect();
        assert_eq!(select(EvidenceKind::Tdx, many).len(), MAX_ENDORSEMENTS);
        let large = |length| vec![endorsement(1, &vec![1; length]), endorsement(1, &vec![2; length])];
        assert_eq!(select(EvidenceKind::Tdx, large(MAX_BYTES / 2)).len(), 2);
        assert_eq!(select(EvidenceKind::Tdx, large(MAX_BYTES / 2 + 1)).len(), 1);
        assert_eq!(select(EvidenceKind::Tdx, large(MAX_ENDORSEMENT_BYTES + 1)), []);
    }
}
