//! Development vendors: evidence of every TEE kind's real format, signed by keys that a seed gives. **It protects nothing.**
//!
//! Each module is one vendor: its root, what leads from it to a quote, and the collateral beside it. The production verifier
//! judges what they sign with nothing but the root swapped, and grades it `simulated`.
//!
//! `tsm`, `gramine` and `nsm` stand in for the kernel interfaces that give evidence to a program: files that behave as the real
//! ones do, errors and races included, mounted wherever a test wants them. What they sign with is a closure.

mod calls;
pub mod dcap;
pub mod gramine;
pub mod nitro;
pub mod nsm;
pub mod snp;
pub mod tsm;

use sha2::{Digest, Sha256};

/// What all keys and serial numbers of a development vendor are derived from; the same seed gives the same vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// 32 bytes for one use, different for each label.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        Sha256::new()
            .chain_update(b"pox-devtee-v1\0")
            .chain_update(self.0)
            .chain_update(label.as_bytes())
            .finalize()
            .into()
    }
}
