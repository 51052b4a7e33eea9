//! One X.509 certificate: what its bytes say, as far as a chain of these depends on it.

use super::ecdsa::Held;
use super::rejection::CertificateFault;
use p384::PublicKey;
use p384::ecdsa::Signature;
use pox_core::UnixTime;
use sha2::{Digest, Sha384};
use x509_cert::TbsCertificate;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::{BitStringRef, ObjectIdentifier};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Reader, SliceReader};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;

/// A certificate with a P-384 key.
pub(super) struct Certificate {
    pub(super) serial: SerialNumber,
    pub(super) subject: Name,
    pub(super) key: PublicKey,
    issuer: Name,
    from: UnixTime,
    until: UnixTime,
    constraints: Option<BasicConstraints>,
    usage: Option<KeyUsage>,
    signed: Signed,
}

/// Something that is signed as certificates and revocation lists are: content, algorithm, signature.
pub(super) struct Signed {
    digest: [u8; 48],
    signature: Signature,
}

/// Takes apart what is signed; the content is returned with it.
pub(super) fn signed(der: &[u8]) -> Result<(&[u8], AlgorithmIdentifierOwned, Signed), SignedFault> {
    let mut reader = SliceReader::new(der)?;
    let (content, algorithm, signature) = reader.sequence(|reader| {
        let content = reader.tlv_bytes()?;
        Ok((content, AlgorithmIdentifierOwned::decode(reader)?, BitStringRef::decode(reader)?))
    })?;
    reader.finish(())?;
    if algorithm.oid != ECDSA_WITH_SHA384 || algorithm.parameters.is_some() {
        return Err(SignedFault::Algorithm);
    }
    let signature = signature.as_bytes().ok_or(SignedFault::Malformed)?;
    let signature = Signature::from_der(signature).map_err(|_| SignedFault::Malformed)?;
    Ok((content, algorithm, Signed { digest: Sha384::digest(content).into(), signature }))
}

/// What is wrong with something that is signed.
pub(super) enum SignedFault {
    Malformed,
    Algorithm,
}

impl Signed {
    pub(super) fn is_by(&self, key: &PublicKey, held: &Held) -> bool {
        held.signed(key, self.digest, &self.signature)
    }
}

impl Certificate {
    /// Reads a certificate; says nothing about whether it holds.
    pub(super) fn parse(der: &[u8]) -> Result<Self, CertificateFault> {
        let (content, algorithm, signed) = signed(der)?;
        let content = TbsCertificate::from_der(content)?;
        if content.version != Version::V3 {
            return Err(CertificateFault::Malformed);
        }
        if content.signature != algorithm {
            return Err(CertificateFault::Algorithm);
        }
        let constraints = content.get::<BasicConstraints>()?.map(|(_, constraints)| constraints);
        let usage = content.get::<KeyUsage>()?.map(|(_, usage)| usage);
        let extensions = content.extensions.as_deref().unwrap_or_default();
        if extensions.iter().any(|extension| extension.critical && !KNOWN.contains(&extension.extn_id)) {
            return Err(CertificateFault::CriticalExtension);
        }
        let key = &content.subject_public_key_info;
        let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.decode_as().ok());
        if key.algorithm.oid != ELLIPTIC_CURVE || curve != Some(P384) {
            return Err(CertificateFault::Key);
        }
        let key = key.subject_public_key.as_bytes().ok_or(CertificateFault::Malformed)?;
        Ok(Self {
            key: PublicKey::from_sec1_bytes(key).map_err(|_| CertificateFault::Key)?,
            from: UnixTime(content.validity.not_before.to_unix_duration().as_secs()),
            until: UnixTime(content.validity.not_after.to_unix_duration().as_secs()),
            serial: content.serial_number,
            subject: content.subject,
            issuer: content.issuer,
            constraints,
            usage,
            signed,
        })
    }

    /// Checks that it was valid.
    pub(super) fn check_time(&self, time: UnixTime) -> Result<(), CertificateFault> {
        if time < self.from {
            Err(CertificateFault::NotYetValid(self.from))
        } else if time > self.until {
            Err(CertificateFault::Expired(self.until))
        } else {
            Ok(())
        }
    }

    /// Checks that another issued it; the other has to be checked by itself.
    pub(super) fn check_issuer(&self, issuer: &Self, held: &Held) -> Result<(), CertificateFault> {
        if self.issuer != issuer.subject {
            Err(CertificateFault::Issuer)
        } else if self.signed.is_by(&issuer.key, held) {
            Ok(())
        } else {
            Err(CertificateFault::Signature)
        }
    }

    /// Checks that it may issue certificates, with this many authorities between it and the last certificate.
    pub(super) fn check_authority(&self, below: usize) -> Result<(), CertificateFault> {
        let constraints = self.constraints.as_ref().filter(|constraints| constraints.ca);
        let constraints = constraints.ok_or(CertificateFault::NotAuthority)?;
        if !self.usage.is_some_and(|usage| usage.key_cert_sign()) {
            return Err(CertificateFault::NotAuthority);
        }
        match constraints.path_len_constraint {
            Some(most) if below > usize::from(most) => Err(CertificateFault::PathLength),
            _ => Ok(()),
        }
    }

    /// Checks that it is no authority, and may sign.
    pub(super) fn check_signer(&self) -> Result<(), CertificateFault> {
        let is_authority = self.constraints.as_ref().is_some_and(|constraints| constraints.ca);
        if is_authority || !self.usage.is_some_and(|usage| usage.digital_signature()) {
            return Err(CertificateFault::NotSigner);
        }
        Ok(())
    }

    /// Whether it may sign revocation lists.
    pub(super) fn signs_crls(&self) -> bool {
        self.usage.is_some_and(|usage| usage.crl_sign())
    }
}

impl From<x509_cert::der::Error> for SignedFault {
    fn from(_: x509_cert::der::Error) -> Self {
        Self::Malformed
    }
}

impl From<x509_cert::der::Error> for CertificateFault {
    fn from(_: x509_cert::der::Error) -> Self {
        Self::Malformed
    }
}

impl From<SignedFault> for CertificateFault {
    fn from(fault: SignedFault) -> Self {
        match fault {
            SignedFault::Malformed => Self::Malformed,
            SignedFault::Algorithm => Self::Algorithm,
        }
    }
}

/// Extensions that are looked at; any other must not be critical.
const KNOWN: [ObjectIdentifier; 2] = [BasicConstraints::OID, KeyUsage::OID];
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ELLIPTIC_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
