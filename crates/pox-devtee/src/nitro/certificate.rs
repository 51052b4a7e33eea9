//! Certificates and revocation lists, from what they are to say to DER.

use p384::ecdsa::signature::Signer;
use p384::ecdsa::{DerSignature, SigningKey};
use sha2::{Digest, Sha256};
use std::str::FromStr;
use std::time::Duration;
use x509_cert::TbsCertificate;
use x509_cert::certificate::{Certificate, Version};
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::der::asn1::{
    Any, BitString, GeneralizedTime, Ia5String, ObjectIdentifier, OctetString, UtcTime,
};
use x509_cert::der::flagset::FlagSet;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Encode, Error};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, CrlDistributionPoints, KeyUsage, KeyUsages,
    SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

/// What one certificate of a chain says, and the key that it certifies.
#[derive(Debug, Clone)]
pub struct Link {
    /// Its name, the most special part first: `CN=…,OU=…`.
    pub subject: String,
    /// Its serial number, big-endian, not above 20 bytes.
    pub serial: Vec<u8>,
    /// First second.
    pub not_before: u64,
    /// Last second.
    pub not_after: u64,
    /// Whether it may issue others.
    pub role: Role,
    /// What its key is for; without any there is no such extension.
    pub usage: FlagSet<KeyUsages>,
    /// Where its issuer's revocation list is.
    pub crl: Option<String>,
    /// What else it has.
    pub extensions: Vec<Extension>,
    /// Its key.
    pub key: SigningKey,
}

/// Whether a certificate may issue others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It may, with so many authorities below it.
    Authority {
        /// `None`: any number.
        path_len: Option<u8>,
    },
    /// It may not.
    Signer,
}

/// What a revocation list says.
#[derive(Debug, Clone)]
pub struct Crl {
    /// Who issues and signs it.
    pub issuer: Link,
    /// First second.
    pub this_update: u64,
    /// Last second.
    pub next_update: Option<u64>,
    /// Serial numbers of what is revoked.
    pub revoked: Vec<Vec<u8>>,
    /// What else the list has.
    pub extensions: Vec<Extension>,
    /// What else each entry has.
    pub entry_extensions: Vec<Extension>,
}

impl Link {
    /// The certificate, DER, signed with its issuer's key.
    pub fn certificate(&self, issuer: &Self) -> Vec<u8> {
        self.try_certificate(issuer).expect("a name, a serial number and times that DER can hold")
    }

    fn try_certificate(&self, issuer: &Self) -> Result<Vec<u8>, Error> {
        let content = TbsCertificate {
            version: Version::V3,
            serial_number: SerialNumber::new(&self.serial)?,
            signature: algorithm(),
            issuer: Name::from_str(&issuer.subject)?,
            validity: Validity { not_before: time(self.not_before)?, not_after: time(self.not_after)? },
            subject: Name::from_str(&self.subject)?,
            subject_public_key_info: self.public_key()?,
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(self.all_extensions(issuer)?),
        };
        let signature = sign(&issuer.key, &content.to_der()?)?;
        Certificate { tbs_certificate: content, signature_algorithm: algorithm(), signature }.to_der()
    }

    fn all_extensions(&self, issuer: &Self) -> Result<Vec<Extension>, Error> {
        let constraints = match self.role {
            Role::Authority { path_len } => BasicConstraints { ca: true, path_len_constraint: path_len },
            Role::Signer => BasicConstraints { ca: false, path_len_constraint: None },
        };
        let mut extensions = vec![extension(true, &constraints)?];
        if !self.usage.is_empty() {
            extensions.push(extension(self.role != Role::Signer, &KeyUsage(self.usage))?);
        }
        if self.role != Role::Signer {
            extensions.push(extension(false, &SubjectKeyIdentifier(self.key_id()?))?);
            let of_issuer = AuthorityKeyIdentifier {
                key_identifier: Some(issuer.key_id()?),
                authority_cert_issuer: None,
                authority_cert_serial_number: None,
            };
            extensions.push(extension(false, &of_issuer)?);
        }
        if let Some(location) = &self.crl {
            let name = GeneralName::UniformResourceIdentifier(Ia5String::new(location)?);
            let point = DistributionPoint {
                distribution_point: Some(DistributionPointName::FullName(vec![name])),
                reasons: None,
                crl_issuer: None,
            };
            extensions.push(extension(false, &CrlDistributionPoints(vec![point]))?);
        }
        extensions.extend(self.extensions.iter().cloned());
        Ok(extensions)
    }

    fn public_key(&self) -> Result<SubjectPublicKeyInfoOwned, Error> {
        let point = self.key.verifying_key().to_encoded_point(false);
        Ok(SubjectPublicKeyInfoOwned {
            algorithm: AlgorithmIdentifierOwned {
                oid: ELLIPTIC_CURVE,
                parameters: Some(Any::encode_from(&P384)?),
            },
            subject_public_key: BitString::from_bytes(point.as_bytes())?,
        })
    }

    fn key_id(&self) -> Result<OctetString, Error> {
        let point = self.key.verifying_key().to_encoded_point(false);
        OctetString::new(&Sha256::digest(point.as_bytes())[..20])
    }
}

impl Crl {
    /// The list, DER, signed with its issuer's key.
    pub fn der(&self) -> Vec<u8> {
        self.try_der().expect("a name, serial numbers and times that DER can hold")
    }

    fn try_der(&self) -> Result<Vec<u8>, Error> {
        let entry = |serial: &Vec<u8>| {
            Ok(RevokedCert {
                serial_number: SerialNumber::new(serial)?,
                revocation_date: time(self.this_update)?,
                crl_entry_extensions: present(&self.entry_extensions),
            })
        };
        let entries = self.revoked.iter().map(entry).collect::<Result<Vec<_>, Error>>()?;
        let content = TbsCertList {
            version: Version::V2,
            signature: algorithm(),
            issuer: Name::from_str(&self.issuer.subject)?,
            this_update: time(self.this_update)?,
            next_update: self.next_update.map(time).transpose()?,
            revoked_certificates: present(&entries),
            crl_extensions: present(&self.extensions),
        };
        let signature = sign(&self.issuer.key, &content.to_der()?)?;
        CertificateList { tbs_cert_list: content, signature_algorithm: algorithm(), signature }.to_der()
    }
}

fn present<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn extension<T: Encode + AssociatedOid>(critical: bool, content: &T) -> Result<Extension, Error> {
    Ok(Extension { extn_id: T::OID, critical, extn_value: OctetString::new(content.to_der()?)? })
}

fn sign(key: &SigningKey, content: &[u8]) -> Result<BitString, Error> {
    let signature: DerSignature = key.sign(content);
    BitString::from_bytes(signature.as_bytes())
}

fn algorithm() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA384, parameters: None }
}

/// As RFC 5280 §4.1.2.5 has it: two digits for the year until 2049.
fn time(seconds: u64) -> Result<Time, Error> {
    let since = Duration::from_secs(seconds);
    Ok(match UtcTime::from_unix_duration(since) {
        Ok(time) => Time::UtcTime(time),
        Err(_) => Time::GeneralTime(GeneralizedTime::from_unix_duration(since)?),
    })
}

const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ELLIPTIC_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
