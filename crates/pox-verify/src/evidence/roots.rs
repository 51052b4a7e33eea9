//! The vendors' roots, to which genuine evidence leads.

/// The root certificates of one verification, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorRoots {
    /// Intel SGX Root CA.
    pub intel: Vec<u8>,
    /// AMD root keys (ARK), one for each product line.
    pub amd: Vec<Vec<u8>>,
    /// AWS Nitro Enclaves Root-G1.
    pub aws: Vec<u8>,
    /// Whose roots these are.
    pub standing: RootStanding,
}

/// Whose roots they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootStanding {
    /// The vendors'.
    Vendor,
    /// A development vendor's, which anyone can sign with: whatever leads to them is `simulated` at best.
    Development,
}
