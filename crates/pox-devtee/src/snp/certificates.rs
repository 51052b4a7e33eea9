//! Certificates and revocation lists in AMD's form.

use super::keys::RootKey;
use super::{Line, Signer, Tcb, Validity, Vendor};
use core::time::Duration;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::crl::{RevokedCert, TbsCertList};
use x509_cert::der::asn1::{
    Any, BitString, Ia5StringRef, ObjectIdentifier, OctetString, SetOfVec, Utf8StringRef,
};
use x509_cert::der::asn1::{GeneralizedTime, UtcTime};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, EncodePublicKey};
use x509_cert::time::Time;

/// What a root's or an intermediate's certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaCertificate {
    /// When it is valid.
    pub validity: Validity,
    /// Its serial number, big-endian.
    pub serial: Vec<u8>,
    /// Whether it says that it is an authority's.
    pub authority: bool,
}

/// What the certificate of a key that signs reports says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VekCertificate {
    /// Whose key it is.
    pub signer: Signer,
    /// Whose intermediate issues it; genuine ones have the same.
    pub issuer: Signer,
    /// The chip.
    pub chip: [u8; 64],
    /// How it names the chip.
    pub hardware_id: HardwareId,
    /// The firmware that the key depends on.
    pub tcb: Tcb,
    /// The firmware that it says the key depends on; genuine ones have the same.
    pub stated_tcb: Tcb,
    /// When it is valid.
    pub validity: Validity,
    /// Its serial number, big-endian; every genuine VCEK has zero.
    pub serial: Vec<u8>,
    /// Whether it says that it is an authority's.
    pub authority: bool,
    /// More extensions: identifier, whether critical, content.
    pub extensions: Vec<(&'static str, bool, Vec<u8>)>,
}

/// How a certificate names a chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HardwareId {
    /// As bare bytes: older certificates.
    Bare,
    /// As an octet string: newer ones.
    OctetString,
    /// Not at all: VLEKs.
    Absent,
}

/// What a revocation list says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList {
    /// When it is valid.
    pub validity: Validity,
    /// Serial numbers, big-endian.
    pub revoked: Vec<Vec<u8>>,
    /// Whether it has a critical extension, as a list that is not complete has.
    pub partial: bool,
}

impl VekCertificate {
    /// A genuine chip's.
    pub fn vcek(chip: [u8; 64], tcb: Tcb) -> Self {
        Self {
            signer: Signer::Vcek,
            issuer: Signer::Vcek,
            chip,
            hardware_id: HardwareId::OctetString,
            tcb,
            stated_tcb: tcb,
            validity: SEVEN_YEARS,
            serial: vec![0],
            authority: false,
            extensions: Vec::new(),
        }
    }

    /// A genuine operator's.
    pub fn vlek(tcb: Tcb) -> Self {
        Self {
            signer: Signer::Vlek,
            issuer: Signer::Vlek,
            hardware_id: HardwareId::Absent,
            serial: vec![0x5e, 0xed, 0x01],
            ..Self::vcek([0; 64], tcb)
        }
    }
}

impl Default for CaCertificate {
    fn default() -> Self {
        Self { validity: TWENTY_FIVE_YEARS, serial: vec![1, 0, 1], authority: true }
    }
}

impl Default for RevocationList {
    fn default() -> Self {
        Self { validity: SEVEN_YEARS, revoked: Vec::new(), partial: false }
    }
}

impl Vendor {
    /// The root's certificate, signed by itself.
    pub fn root_certificate(&self, template: &CaCertificate) -> Vec<u8> {
        let usages = KeyUsages::KeyCertSign | KeyUsages::CRLSign;
        let tbs = self.ca(template, self.root_name(), &self.root, KeyUsage(usages));
        signed(&tbs, &self.root)
    }

    /// The certificate of the ASK or the ASVK.
    pub fn intermediate_certificate(&self, of: Signer, template: &CaCertificate) -> Vec<u8> {
        let key = self.intermediate_key(of);
        let tbs = self.ca(template, self.intermediate_name(of), key, KeyUsage(KeyUsages::KeyCertSign.into()));
        signed(&tbs, &self.root)
    }

    /// The certificate of a key that signs reports.
    pub fn vek_certificate(&self, template: &VekCertificate) -> Vec<u8> {
        let key = self.report_key(template.signer, &template.chip, template.tcb);
        let key = p384::PublicKey::from(key.verifying_key())
            .to_public_key_der()
            .expect("a point of P-384 has a DER form");
        let tbs = TbsCertificate {
            version: Version::V3,
            serial_number: serial(&template.serial),
            signature: algorithm(),
            issuer: self.intermediate_name(template.issuer),
            validity: validity(template.validity),
            subject: self.name(&format!("SEV-{}", template.signer.name())),
            subject_public_key_info: decoded(key.as_bytes()),
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(self.vek_extensions(template)),
        };
        signed(&tbs, self.intermediate_key(template.issuer))
    }

    /// A revocation list of the root.
    pub fn revocation_list(&self, template: &RevocationList) -> Vec<u8> {
        let revoked: Vec<RevokedCert> = template
            .revoked
            .iter()
            .map(|number| RevokedCert {
                serial_number: serial(number),
                revocation_date: time(template.validity.from),
                crl_entry_extensions: None,
            })
            .collect();
        let mut extensions = vec![extension("2.5.29.20", false, encoded(&1_u8))];
        if template.partial {
            extensions.push(extension("2.5.29.28", true, encoded(&Vec::<Any>::new())));
        }
        let tbs = TbsCertList {
            version: Version::V2,
            signature: algorithm(),
            issuer: self.root_name(),
            this_update: time(template.validity.from),
            next_update: Some(time(template.validity.until)),
            revoked_certificates: (!revoked.is_empty()).then_some(revoked),
            crl_extensions: Some(extensions),
        };
        signed(&tbs, &self.root)
    }

    fn ca(&self, template: &CaCertificate, subject: Name, key: &RootKey, usage: KeyUsage) -> TbsCertificate {
        let key = key.public().to_public_key_der().expect("an RSA key has a DER form");
        let constraints = BasicConstraints { ca: template.authority, path_len_constraint: None };
        TbsCertificate {
            version: Version::V3,
            serial_number: serial(&template.serial),
            signature: algorithm(),
            issuer: self.root_name(),
            validity: validity(template.validity),
            subject,
            subject_public_key_info: decoded(key.as_bytes()),
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(vec![
                extension("2.5.29.19", true, encoded(&constraints)),
                extension("2.5.29.15", true, encoded(&usage)),
            ]),
        }
    }

    fn vek_extensions(&self, template: &VekCertificate) -> Vec<Extension> {
        let Tcb { fmc, bootloader, tee, snp, microcode } = template.stated_tcb;
        let product = match template.signer {
            Signer::Vcek => format!("{}-B1", self.line().name()),
            Signer::Vlek => self.line().name().to_owned(),
        };
        let product = Ia5StringRef::new(&product).expect("the name is ASCII");
        let mut extensions = vec![
            extension(&format!("{AMD}.1"), false, encoded(&1_u8)),
            extension(&format!("{AMD}.2"), false, encoded(&product)),
        ];
        let mut parts =
            vec![(1, bootloader), (2, tee), (4, 0), (5, 0), (6, 0), (7, 0), (3, snp), (8, microcode)];
        if self.line() == Line::Turin {
            parts.push((9, fmc));
        }
        for (number, version) in parts {
            extensions.push(extension(&format!("{AMD}.3.{number}"), false, encoded(&version)));
        }
        let id = if self.line() == Line::Turin { &template.chip[..8] } else { &template.chip[..] };
        let id = match template.hardware_id {
            HardwareId::Bare => Some(id.to_vec()),
            HardwareId::OctetString => {
                Some(encoded(&OctetString::new(id).expect("an id has 64 bytes at most")))
            }
            HardwareId::Absent => None,
        };
        extensions.extend(id.map(|id| extension(&format!("{AMD}.4"), false, id)));
        extensions.extend(
            template
                .extensions
                .iter()
                .map(|(id, critical, content)| extension(id, *critical, content.clone())),
        );
        extensions
    }

    fn root_name(&self) -> Name {
        self.name(&format!("ARK-{}", self.line().name()))
    }

    fn intermediate_name(&self, of: Signer) -> Name {
        self.name(&match of {
            Signer::Vcek => format!("SEV-{}", self.line().name()),
            Signer::Vlek => format!("SEV-VLEK-{}", self.line().name()),
        })
    }

    fn intermediate_key(&self, of: Signer) -> &RootKey {
        match of {
            Signer::Vcek => &self.ask,
            Signer::Vlek => &self.asvk,
        }
    }

    /// A name that says what it is, and of which seed.
    fn name(&self, common: &str) -> Name {
        let [a, b, c, d, ..] = self.seed.derive("amd name");
        let unit = format!("development {:08x}", u32::from_be_bytes([a, b, c, d]));
        let parts = [("2.5.4.11", unit.as_str()), ("2.5.4.10", "PoX: protects nothing"), ("2.5.4.3", common)];
        RdnSequence(parts.into_iter().map(|(id, text)| name_part(id, text)).collect())
    }
}

fn name_part(id: &str, text: &str) -> RelativeDistinguishedName {
    let value = Utf8StringRef::new(text).expect("the text is short");
    let part = AttributeTypeAndValue { oid: oid(id), value: value.into() };
    RelativeDistinguishedName(SetOfVec::try_from(vec![part]).expect("one part is a set"))
}

fn extension(id: &str, critical: bool, content: Vec<u8>) -> Extension {
    let extn_value = OctetString::new(content).expect("the content is short");
    Extension { extn_id: oid(id), critical, extn_value }
}

fn serial(bytes: &[u8]) -> SerialNumber {
    SerialNumber::new(bytes).expect("a serial number has 20 bytes at most")
}

fn validity(validity: Validity) -> x509_cert::time::Validity {
    x509_cert::time::Validity { not_before: time(validity.from), not_after: time(validity.until) }
}

/// UTCTime until 2049, as RFC 5280 has it.
fn time(seconds: u64) -> Time {
    let since = Duration::from_secs(seconds);
    match UtcTime::from_unix_duration(since) {
        Ok(time) => Time::UtcTime(time),
        Err(_) => {
            Time::GeneralTime(GeneralizedTime::from_unix_duration(since).expect("the year has four digits"))
        }
    }
}

fn oid(id: &str) -> ObjectIdentifier {
    ObjectIdentifier::new(id).expect("the identifiers here are well formed")
}

/// RSASSA-PSS with SHA-384, as AMD writes it: with the trailer field, which DER would leave out.
fn algorithm() -> AlgorithmIdentifierOwned {
    decoded(ALGORITHM)
}

/// What is to be signed, the algorithm, and the signature.
fn signed(message: &impl Encode, key: &RootKey) -> Vec<u8> {
    let message = encoded(message);
    let signature = BitString::from_bytes(&key.sign(&message)).expect("a signature has 512 bytes");
    let parts: [Any; 3] = [decoded(&message), decoded(ALGORITHM), decoded(&encoded(&signature))];
    encoded(&parts.to_vec())
}

fn encoded(value: &impl Encode) -> Vec<u8> {
    value.to_der().expect("what is built here has a DER form")
}

fn decoded<'a, T: Decode<'a>>(bytes: &'a [u8]) -> T {
    T::from_der(bytes).expect("the bytes are a constant, or were encoded just before")
}

/// 2020 to 2045.
const TWENTY_FIVE_YEARS: Validity = Validity { from: 1_577_836_800, until: 2_366_841_600 };

/// 2024 to 2031.
const SEVEN_YEARS: Validity = Validity { from: 1_704_067_200, until: 1_924_991_999 };

/// AMD's arc for these certificates.
const AMD: &str = "1.3.6.1.4.1.3704.1";

const ALGORITHM: &[u8] = &[
    0x30, 0x46, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x39, 0xa0, 0x0f,
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa1, 0x1c,
    0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09,
    0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x30, 0xa3,
    0x03, 0x02, 0x01, 0x01,
];
