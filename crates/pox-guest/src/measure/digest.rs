//! The 48 bytes that measurement registers hold.

use core::fmt;
use core::str::FromStr;
use sha2::{Digest, Sha384};

/// A SHA-384 digest, or the value of a register that such digests were extended into.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest384(pub [u8; 48]);

/// A text is no such digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 96 hexadecimal digits")]
pub struct BadDigest384;

impl Digest384 {
    /// A register at reset.
    pub const ZERO: Self = Self([0; 48]);

    /// SHA-384 of the parts, one after the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha384::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The register after one more digest: SHA-384 of the value before it and the digest.
    pub fn extend(self, digest: Self) -> Self {
        Self::of(&[&self.0, &digest.0])
    }

    /// The register after all of these, from reset.
    pub fn replay(digests: impl IntoIterator<Item = Self>) -> Self {
        digests.into_iter().fold(Self::ZERO, Self::extend)
    }
}

impl fmt::Display for Digest384 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest384 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest384 {
    type Err = BadDigest384;

    /// Reads 96 hexadecimal digits, as vendors' tools print registers.
    fn from_str(text: &str) -> Result<Self, BadDigest384> {
        let mut bytes = [0; 48];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| BadDigest384)?;
        Ok(Self(bytes))
    }
}
