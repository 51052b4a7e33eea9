//! AMD's certificates, and what its authorities sign (AMD 57230, chapters 2 and 3).

use super::extensions::Extensions;
use super::rejection::{Link, SnpRejection};
use crate::evidence::launch::Window;
use pox_core::UnixTime;
use rsa::pkcs1::RsaPssParams;
use rsa::pss;
use rsa::signature::Verifier;
use rsa::traits::PublicKeyParts;
use sha2::Sha384;
use x509_cert::der::asn1::{BitStringRef, ObjectIdentifier, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Decode, Reader, SliceReader, referenced::OwnedToRef};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::name::Name;
use x509_cert::spki::{AlgorithmIdentifierOwned, AlgorithmIdentifierRef};
use x509_cert::time::Time;
use x509_cert::{TbsCertificate, Version};

/// An authority's key: RSA with 4,096 bits, RSASSA-PSS with SHA-384.
pub(super) type AuthorityKey = pss::VerifyingKey<Sha384>;

/// A certificate, taken apart; nothing in it is believed before its signature holds.
pub(super) struct Certificate<'a> {
    link: Link,
    signed: Signed<'a>,
    fields: TbsCertificate,
    /// Its extensions.
    pub(super) extensions: Extensions,
}

impl<'a> Certificate<'a> {
    /// Takes a certificate apart.
    pub(super) fn parse(link: Link, bytes: &'a [u8]) -> Result<Self, SnpRejection> {
        let signed = Signed::parse(link, bytes, MAX_CERTIFICATE_BYTES)?;
        let mut fields = TbsCertificate::from_der(signed.message)
            .map_err(|_| malformed(link, "its fields are not those of a certificate"))?;
        if fields.version != Version::V3 {
            return Err(malformed(link, "its version is not 3"));
        }
        signed.check_algorithm(&fields.signature)?;
        let extensions = Extensions::new(link, fields.extensions.take().unwrap_or_default())?;
        Ok(Self { link, signed, fields, extensions })
    }

    /// Checks that it is issued and signed by this authority.
    pub(super) fn check_issued_by(&self, issuer: &Authority) -> Result<(), SnpRejection> {
        if self.fields.issuer != issuer.name {
            return Err(SnpRejection::Issuer(self.link));
        }
        self.signed.check_signature(&issuer.key)
    }

    /// Whom it names.
    pub(super) fn subject_name(&self) -> Result<&str, SnpRejection> {
        common_name(&self.fields.subject)
            .ok_or_else(|| malformed(self.link, "its subject has no one common name"))
    }

    /// Whether its issuer has this name.
    pub(super) fn names_issuer(&self, issuer: &Authority) -> bool {
        self.fields.issuer == issuer.name
    }

    /// Its serial number, big-endian.
    pub(super) fn serial(&self) -> &[u8] {
        self.fields.serial_number.as_bytes()
    }

    /// When it is valid.
    pub(super) fn window(&self) -> Window {
        let validity = &self.fields.validity;
        Window { from: unix_time(validity.not_before), until: unix_time(validity.not_after) }
    }

    /// The authority that it is of; it must be allowed to certify.
    pub(super) fn authority(&self) -> Result<Authority, SnpRejection> {
        let constraints: Option<BasicConstraints> = self.extensions.decode(BASIC_CONSTRAINTS)?;
        let usage: Option<KeyUsage> = self.extensions.decode(KEY_USAGE)?;
        let usage = usage.ok_or_else(|| malformed(self.link, "it does not say what its key is for"))?;
        if !constraints.is_some_and(|constraints| constraints.ca) || !usage.key_cert_sign() {
            return Err(malformed(self.link, "it is not of an authority"));
        }
        let key = rsa::RsaPublicKey::try_from(self.fields.subject_public_key_info.owned_to_ref())
            .map_err(|_| malformed(self.link, "its key is not an RSA key"))?;
        if key.size() != RSA_BYTES {
            return Err(malformed(self.link, "its key has not 4096 bits"));
        }
        Ok(Authority {
            name: self.fields.subject.clone(),
            key: AuthorityKey::new(key),
            signs_lists: usage.crl_sign(),
        })
    }

    /// The P-384 key that it is of, which must not be an authority's.
    pub(super) fn report_key(&self) -> Result<p384::ecdsa::VerifyingKey, SnpRejection> {
        let constraints: Option<BasicConstraints> = self.extensions.decode(BASIC_CONSTRAINTS)?;
        if constraints.is_some_and(|constraints| constraints.ca) {
            return Err(malformed(self.link, "it is of an authority"));
        }
        let key = self.fields.subject_public_key_info.owned_to_ref();
        if key.algorithm.oids().ok() != Some((EC_PUBLIC_KEY, Some(P384))) {
            return Err(malformed(self.link, "its key is not on P-384"));
        }
        key.subject_public_key
            .as_bytes()
            .and_then(|point| p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok())
            .ok_or_else(|| malformed(self.link, "its key is no point of P-384"))
    }
}

/// Who signs certificates, and lists if it may.
pub(super) struct Authority {
    /// Its whole name.
    pub(super) name: Name,
    /// Its key.
    pub(super) key: AuthorityKey,
    /// Whether it may sign revocation lists.
    pub(super) signs_lists: bool,
}

/// A certificate's or a list's outer form: the bytes that are signed, and the signature of exactly these.
pub(super) struct Signed<'a> {
    link: Link,
    /// What is signed.
    pub(super) message: &'a [u8],
    algorithm: AlgorithmIdentifierRef<'a>,
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Takes the outer form apart, of at most so many bytes.
    pub(super) fn parse(link: Link, bytes: &'a [u8], most: usize) -> Result<Self, SnpRejection> {
        if bytes.len() > most {
            return Err(malformed(link, "it is too large"));
        }
        let parts = SliceReader::new(bytes).and_then(|mut reader| {
            let parts = reader.sequence(|reader| {
                let message = reader.tlv_bytes()?;
                Ok((message, AlgorithmIdentifierRef::decode(reader)?, BitStringRef::decode(reader)?))
            })?;
            reader.finish(parts)
        });
        let (message, algorithm, signature) =
            parts.map_err(|_| malformed(link, "it is not DER of something signed"))?;
        let signature =
            signature.as_bytes().ok_or_else(|| malformed(link, "its signature is not of whole bytes"))?;
        Ok(Self { link, message, algorithm, signature })
    }

    /// Checks that the signature is of the one algorithm, and that what is signed names the same.
    pub(super) fn check_algorithm(&self, inner: &AlgorithmIdentifierOwned) -> Result<(), SnpRejection> {
        if inner.owned_to_ref() != self.algorithm {
            return Err(malformed(self.link, "it names two signature algorithms"));
        }
        if is_pss_sha384(&self.algorithm) {
            Ok(())
        } else {
            Err(malformed(self.link, "its signature algorithm is not RSASSA-PSS with SHA-384"))
        }
    }

    /// Checks the signature.
    pub(super) fn check_signature(&self, key: &AuthorityKey) -> Result<(), SnpRejection> {
        pss::Signature::try_from(self.signature)
            .and_then(|signature| key.verify(self.message, &signature))
            .map_err(|_| SnpRejection::Signature(self.link))
    }
}

/// Whether an algorithm is RSASSA-PSS with SHA-384, MGF1 with SHA-384 and a salt of 48 bytes (RFC 8017, appendix A.2.3).
fn is_pss_sha384(algorithm: &AlgorithmIdentifierRef<'_>) -> bool {
    let parameters =
        algorithm.parameters.and_then(|parameters| parameters.decode_as::<RsaPssParams<'_>>().ok());
    let Some(parameters) = parameters.filter(|_| algorithm.oid == RSASSA_PSS) else {
        return false;
    };
    parameters.hash.oid == SHA384
        && parameters.mask_gen.oid == MGF1
        && parameters.mask_gen.parameters.is_some_and(|hash| hash.oid == SHA384)
        && parameters.salt_len == 48
}

fn common_name(name: &Name) -> Option<&str> {
    let mut names = name.0.iter().flat_map(|part| part.0.iter()).filter(|part| part.oid == COMMON_NAME);
    let value = &names.next().filter(|_| names.next().is_none())?.value;
    let text = Utf8StringRef::try_from(value).map(|text| text.as_str());
    text.or_else(|_| PrintableStringRef::try_from(value).map(|text| text.as_str())).ok()
}

/// A date as seconds; X.509 has none before 1950, and those before 1970 are refused by its parser.
pub(super) fn unix_time(time: Time) -> UnixTime {
    UnixTime(time.to_unix_duration().as_secs())
}

pub(super) fn malformed(link: Link, fault: &'static str) -> SnpRejection {
    SnpRejection::Malformed { link, fault }
}

/// More than any of AMD's has; the largest has 1,700.
const MAX_CERTIFICATE_BYTES: usize = 4096;

const RSA_BYTES: usize = 512;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
pub(super) const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
pub(super) const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
