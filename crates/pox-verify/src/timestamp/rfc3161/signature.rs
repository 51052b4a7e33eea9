//! The signature algorithms of authorities: RSA (PKCS #1 v1.5 and PSS) and ECDSA, with SHA-2.

use super::rejection::{Link, TsaRejection, malformed};
use super::signed::{Der, object, sha256};
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, Pss, RsaPublicKey};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_cert::der::Tag;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::referenced::OwnedToRef;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// A hash algorithm that is not broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// A public key of a kind that can be checked with.
#[derive(Debug, Clone)]
pub(super) enum Key {
    Rsa(Box<RsaPublicKey>),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    /// Of a kind that is not known here: it signs nothing.
    Unknown,
}

/// How something is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Pkcs1(Hash),
    Pss(Hash, usize),
    Ecdsa(Hash),
}

impl Hash {
    /// The algorithm of these fields.
    pub(super) fn of(algorithm: &mut Der<'_>) -> Result<Self, TsaRejection> {
        let oid = object(algorithm.next(Tag::ObjectIdentifier)?, Link::Signer)?;
        if algorithm.maybe(Tag::Null)?.is_some_and(|null| !null.is_empty()) {
            return Err(malformed(Link::Signer, "an algorithm has odd parameters"));
        }
        algorithm.end()?;
        match oid {
            SHA256 => Ok(Self::Sha256),
            SHA384 => Ok(Self::Sha384),
            SHA512 => Ok(Self::Sha512),
            other => Err(TsaRejection::Algorithm { oid: other.to_string() }),
        }
    }

    pub(super) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => sha256(bytes),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

impl Scheme {
    /// How a signer signs, by an algorithm that may leave the hash to the digest algorithm beside it.
    pub(super) fn of_signer(algorithm: &mut Der<'_>, hash: Hash) -> Result<Self, TsaRejection> {
        let scheme = Self::read(algorithm, Some(hash))?;
        if scheme.hash() == hash {
            Ok(scheme)
        } else {
            Err(malformed(Link::Signer, "it names two hash algorithms"))
        }
    }

    /// How a certificate is signed.
    pub(super) fn of_certificate(algorithm: &mut Der<'_>) -> Result<Self, TsaRejection> {
        Self::read(algorithm, None)
    }

    fn read(algorithm: &mut Der<'_>, beside: Option<Hash>) -> Result<Self, TsaRejection> {
        let oid = object(algorithm.next(Tag::ObjectIdentifier)?, Link::Signer)?;
        let scheme = match (oid, beside) {
            (RSA, Some(hash)) => Self::Pkcs1(hash),
            (SHA256_RSA, _) => Self::Pkcs1(Hash::Sha256),
            (SHA384_RSA, _) => Self::Pkcs1(Hash::Sha384),
            (SHA512_RSA, _) => Self::Pkcs1(Hash::Sha512),
            (ECDSA_SHA256, _) => Self::Ecdsa(Hash::Sha256),
            (ECDSA_SHA384, _) => Self::Ecdsa(Hash::Sha384),
            (ECDSA_SHA512, _) => Self::Ecdsa(Hash::Sha512),
            (PSS, _) => {
                let scheme = pss(&mut algorithm.inner(Tag::Sequence)?)?;
                algorithm.end()?;
                return Ok(scheme);
            }
            (other, _) => return Err(TsaRejection::Algorithm { oid: other.to_string() }),
        };
        algorithm.maybe(Tag::Null)?;
        algorithm.end()?;
        Ok(scheme)
    }

    fn hash(self) -> Hash {
        match self {
            Self::Pkcs1(hash) | Self::Pss(hash, _) | Self::Ecdsa(hash) => hash,
        }
    }

    /// Checks a signature.
    pub(super) fn check(self, key: &Key, message: &[u8], signature: &[u8]) -> Result<(), TsaRejection> {
        let digest = self.hash().digest(message);
        let holds = match (key, self) {
            (Key::Rsa(key), Self::Pkcs1(hash)) => key.verify(pkcs1(hash), &digest, signature).is_ok(),
            (Key::Rsa(key), Self::Pss(hash, salt)) => {
                key.verify(pss_of(hash, salt), &digest, signature).is_ok()
            }
            (Key::P256(key), Self::Ecdsa(_)) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok()),
            (Key::P384(key), Self::Ecdsa(_)) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok()),
            _ => false,
        };
        if holds { Ok(()) } else { Err(TsaRejection::Signature) }
    }
}

impl Key {
    /// A certificate's key.
    pub(super) fn of(info: &SubjectPublicKeyInfoOwned) -> Self {
        let info = info.owned_to_ref();
        if info.algorithm.oid == RSA {
            let sizes = MIN_RSA_BYTES..=MAX_RSA_BYTES;
            return RsaPublicKey::try_from(info)
                .ok()
                .filter(|key| sizes.contains(&key.size()))
                .map_or(Self::Unknown, |key| Self::Rsa(Box::new(key)));
        }
        let point = info.subject_public_key.as_bytes().unwrap_or_default();
        match info.algorithm.oids().ok() {
            Some((EC, Some(P256))) => {
                p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_or(Self::Unknown, Self::P256)
            }
            Some((EC, Some(P384))) => {
                p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map_or(Self::Unknown, Self::P384)
            }
            _ => Self::Unknown,
        }
    }
}

fn pkcs1(hash: Hash) -> Pkcs1v15Sign {
    match hash {
        Hash::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
        Hash::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
        Hash::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
    }
}

fn pss_of(hash: Hash, salt: usize) -> Pss {
    match hash {
        Hash::Sha256 => Pss::new_with_salt::<Sha256>(salt),
        Hash::Sha384 => Pss::new_with_salt::<Sha384>(salt),
        Hash::Sha512 => Pss::new_with_salt::<Sha512>(salt),
    }
}

/// RSASSA-PSS with one hash for both of its uses (RFC 8017, appendix A.2.3). Its defaults are SHA-1's, so nothing may be left out
/// but the trailer.
fn pss(parameters: &mut Der<'_>) -> Result<Scheme, TsaRejection> {
    let odd = || TsaRejection::Algorithm { oid: PSS.to_string() };
    let hash = parameters.maybe_context(0)?.ok_or_else(odd)?;
    let hash = Hash::of(&mut Der::sequence(hash, Link::Signer)?)?;
    let mask = parameters.maybe_context(1)?.ok_or_else(odd)?;
    let mut mask = Der::sequence(mask, Link::Signer)?;
    if object(mask.next(Tag::ObjectIdentifier)?, Link::Signer)? != MGF1
        || Hash::of(&mut mask.inner(Tag::Sequence)?)? != hash
    {
        return Err(odd());
    }
    let salt = parameters.maybe_context(2)?.ok_or_else(odd)?;
    let mut salt = Der::content(salt, Link::Signer);
    let salt = match salt.next(Tag::Integer)? {
        [length] if *length < 0x80 => usize::from(*length),
        _ => return Err(odd()),
    };
    if parameters.maybe_context(3)?.is_some_and(|trailer| trailer != [0x02, 0x01, 0x01]) {
        return Err(odd());
    }
    parameters.end()?;
    Ok(Scheme::Pss(hash, salt))
}

/// 2,048 bits: below it, keys have been broken or nearly so.
const MIN_RSA_BYTES: usize = 256;
const MAX_RSA_BYTES: usize = 1024;

const SHA256: ObjectIdentifier = super::signed::SHA256;
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const SHA256_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const SHA384_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const SHA512_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
