//! secp256k1 signatures in the one form that the spec allows: 65 bytes, `v` 27 or 28, low `s` (spec §2).

use alloy_primitives::{Address, B256, keccak256};
use k256::ecdsa::{RecoveryId, Signature as EcdsaSignature, SigningKey, VerifyingKey};

/// The signature is malformed, not in canonical form, or recovers to no key.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("not a canonical secp256k1 signature")]
pub struct BadSignature;

/// 65 bytes, `r ‖ s ‖ v`, checked for form but not for the signer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature {
    inner: EcdsaSignature,
    recovery: RecoveryId,
}

impl Signature {
    /// Signs a digest; deterministic (RFC 6979), low `s`.
    pub fn sign(key: &SigningKey, digest: B256) -> Self {
        let (inner, recovery) =
            key.sign_prehash_recoverable(digest.as_slice()).expect("a 32-byte digest can be signed");
        Self { inner, recovery }
    }

    /// Parses the wire form.
    ///
    /// # Errors
    /// Another length, `v` other than 27 or 28, `r` or `s` zero or too large, `s` in the upper half.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadSignature> {
        let (rs, v) = match bytes {
            [rs @ .., v @ (27 | 28)] if rs.len() == 64 => (rs, *v),
            _ => return Err(BadSignature),
        };
        let inner = EcdsaSignature::from_slice(rs).map_err(|_| BadSignature)?;
        if inner.normalize_s().is_some() {
            return Err(BadSignature);
        }
        Ok(Self { inner, recovery: RecoveryId::new(v == 28, false) })
    }

    /// The wire form.
    pub fn to_bytes(&self) -> [u8; 65] {
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&self.inner.to_bytes());
        bytes[64] = 27 + u8::from(self.recovery.is_y_odd());
        bytes
    }

    /// The account whose key signed the digest.
    ///
    /// # Errors
    /// No key gives this signature.
    pub fn signer(&self, digest: B256) -> Result<Address, BadSignature> {
        VerifyingKey::recover_from_prehash(digest.as_slice(), &self.inner, self.recovery)
            .map(|key| address_of(&key))
            .map_err(|_| BadSignature)
    }
}

/// The account address of a public key: the last 20 bytes of the keccak256 of its point.
pub fn address_of(key: &VerifyingKey) -> Address {
    let point = key.to_encoded_point(false);
    Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_slice(&[7; 32]).unwrap()
    }

    #[test]
    fn signs_and_recovers() {
        let digest = keccak256(b"digest");
        let bytes = Signature::sign(&key(), digest).to_bytes();
        let parsed = Signature::parse(&bytes).unwrap();
        assert_eq!(parsed.signer(digest), Ok(address_of(key().verifying_key())));
        assert_ne!(parsed.signer(keccak256(b"another")), Ok(address_of(key().verifying_key())));
    }

    #[test]
    fn refuses_other_forms() {
        let bytes = Signature::sign(&key(), keccak256(b"digest")).to_bytes();
        assert_eq!(Signature::parse(&bytes[..64]), Err(BadSignature));
        assert_eq!(Signature::parse(&[0; 65]), Err(BadSignature));
        for v in [0, 1, 26, 29, 255] {
            let mut other = bytes;
            other[64] = v;
            assert_eq!(Signature::parse(&other), Err(BadSignature), "v = {v}");
        }
        let mut high = bytes;
        let s = k256::NonZeroScalar::try_from(&bytes[32..64]).unwrap();
        high[32..64].copy_from_slice(&(-s).to_bytes());
        high[64] = 27 + (28 - bytes[64]);
        assert_eq!(Signature::parse(&high), Err(BadSignature));
    }
}
