//! An account: a key that signs transactions and releases.

use alloy_primitives::{Address, B256, U256};
use k256::ecdsa::SigningKey;
use pox_core::signature::{Signature, address_of};

/// A secp256k1 key and the account that it speaks for. Its memory is wiped when it is dropped; its text is the address.
pub struct Account {
    key: SigningKey,
    address: Address,
}

/// 32 bytes that are no private key.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("not a secp256k1 private key")]
pub struct BadKey;

impl Account {
    /// Takes a key over.
    pub fn new(key: SigningKey) -> Self {
        let address = address_of(key.verifying_key());
        Self { key, address }
    }

    /// Reads a private key, big-endian. The caller wipes its copy.
    ///
    /// # Errors
    /// Zero, or not below the group's order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, BadKey> {
        SigningKey::from_slice(bytes).map(Self::new).map_err(|_| BadKey)
    }

    /// The account's address.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs a digest, such as that of a release.
    pub fn sign(&self, digest: B256) -> Signature {
        Signature::sign(&self.key, digest)
    }

    /// The address of the contract that a creating transaction of this nonce makes.
    pub fn creates(&self, nonce: u64) -> Address {
        self.address.create(nonce)
    }

    /// The signature of a transaction's digest.
    pub(crate) fn sign_transaction(&self, digest: B256) -> alloy_primitives::Signature {
        let bytes = self.sign(digest).to_bytes();
        let (r, s) = (U256::from_be_slice(&bytes[..32]), U256::from_be_slice(&bytes[32..64]));
        alloy_primitives::Signature::new(r, s, bytes[64] == 28)
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({})", self.address)
    }
}
