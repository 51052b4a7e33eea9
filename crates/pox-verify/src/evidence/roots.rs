//! The vendors' roots, to which genuine evidence leads.

use pox_core::evidence::EvidenceKind;

/// Intel SGX Root CA; `roots/README.md` says where these come from.
const INTEL: &[u8] = include_bytes!("../../roots/intel-sgx-root-ca.der");
/// AMD's root keys, one for each product line.
const AMD: [&[u8]; 3] = [
    include_bytes!("../../roots/amd-ark-milan.der"),
    include_bytes!("../../roots/amd-ark-genoa.der"),
    include_bytes!("../../roots/amd-ark-turin.der"),
];
/// AWS Nitro Enclaves Root-G1.
const AWS: &[u8] = include_bytes!("../../roots/aws-nitro-enclaves-root-g1.der");

/// The root certificates of one verification, DER.
///
/// Others than the pinned ones can be built with the feature `development-roots` only.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(any(test, feature = "development-roots")), non_exhaustive)]
pub struct VendorRoots {
    /// Intel SGX Root CA.
    pub intel: Vec<u8>,
    /// AMD root keys (ARK), one for each product line.
    pub amd: Vec<Vec<u8>>,
    /// AWS Nitro Enclaves Root-G1.
    pub aws: Vec<u8>,
    /// Whose roots these are said to be; [`VendorRoots::standing_for`] believes it only of the pinned ones.
    pub standing: RootStanding,
}

/// Whose roots they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootStanding {
    /// The vendors'.
    Vendor,
    /// A development vendor's, which anyone can sign with: whatever leads to them is `simulated` at best.
    Development,
}

impl VendorRoots {
    /// The vendors' own roots, which come with this crate.
    pub fn pinned() -> Self {
        Self {
            intel: INTEL.to_vec(),
            amd: AMD.map(<[u8]>::to_vec).into(),
            aws: AWS.to_vec(),
            standing: RootStanding::Vendor,
        }
    }

    /// Whose root evidence of a kind leads to: the vendor's only if every root for the kind is a pinned one, whatever is said.
    pub fn standing_for(&self, kind: EvidenceKind) -> RootStanding {
        let is_pinned = match kind {
            EvidenceKind::Simulated | EvidenceKind::VmSim => false,
            EvidenceKind::Sgx | EvidenceKind::Tdx => self.intel == INTEL,
            EvidenceKind::Snp => self.amd.iter().all(|root| AMD.contains(&root.as_slice())),
            EvidenceKind::Nitro => self.aws == AWS,
        };
        if is_pinned { self.standing } else { RootStanding::Development }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn pinned_roots_are_those_of_the_table() {
        let table = include_str!("../../roots/README.md");
        let roots = VendorRoots::pinned();
        let all: Vec<&[u8]> =
            [&roots.intel, &roots.aws].into_iter().chain(&roots.amd).map(Vec::as_slice).collect();
        for root in &all {
            let digest = format!("`{}`", hex::encode(Sha256::digest(root)));
            assert_eq!(table.matches(&digest).count(), 1, "{digest}");
        }
        assert_eq!(table.lines().filter(|line| line.starts_with("| `")).count(), all.len());
    }

    #[test]
    fn a_foreign_root_is_never_a_vendor_s() {
        let pinned = VendorRoots::pinned();
        let hardware = EvidenceKind::ALL.into_iter().filter(|kind| !kind.is_simulated());
        for kind in hardware {
            assert_eq!(pinned.standing_for(kind), RootStanding::Vendor);
            let mut foreign = pinned.clone();
            match kind {
                EvidenceKind::Sgx | EvidenceKind::Tdx => foreign.intel[100] ^= 1,
                EvidenceKind::Snp => foreign.amd.push(vec![1]),
                _ => foreign.aws[100] ^= 1,
            }
            assert_eq!(foreign.standing_for(kind), RootStanding::Development, "{kind}");
        }
        assert_eq!(pinned.standing_for(EvidenceKind::VmSim), RootStanding::Development);
    }
}
