//! AWS: Nitro attestation documents, with the shapes and the lifetimes that AWS's have.
//!
//! Everything follows from the seed and the times that are given: no clock, no randomness. What a caller changes in a
//! [`Link`], a [`Document`] or a [`Crl`] before it is signed gives evidence that is wrong in that one way.

mod certificate;
mod document;

pub use certificate::{Crl, Link, Role};
pub use document::{Document, Value};

use crate::Seed;
use p384::ecdsa::SigningKey;
use x509_cert::ext::pkix::KeyUsages;

/// A stand-in for AWS. Anyone with the seed signs as it does: it protects nothing.
#[derive(Debug, Clone, Copy)]
pub struct Vendor {
    seed: Seed,
}

/// Root, region, zone, instance and enclave; each certificate is signed with the key of the one before it.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The certificates, from the root on.
    pub links: Vec<Link>,
}

impl Vendor {
    /// The vendor of a seed.
    pub fn new(seed: Seed) -> Self {
        Self { seed }
    }

    /// The root certificate, DER: what a verifier has to take for AWS's.
    pub fn root(&self) -> Vec<u8> {
        let root = self.root_link();
        root.certificate(&root)
    }

    /// The chain of an enclave that is launched at a time, in seconds since 1970.
    pub fn chain(&self, launched: u64) -> Chain {
        let instance = self.name("instance", 17);
        let region = format!("{}.eu-central-1", self.name("region", 16));
        let zone = format!("{}.zonal.eu-central-1", self.name("zone", 16));
        let amazon = "OU=AWS,O=Amazon,C=US";
        let seattle = "L=Seattle,ST=Washington,C=US";
        let all = KeyUsages::DigitalSignature | KeyUsages::KeyCertSign | KeyUsages::CRLSign;
        let links = vec![
            self.root_link(),
            Link {
                subject: format!("CN={region}.{ROOT_NAME},{amazon}"),
                serial: self.serial("region"),
                not_before: launched - 3 * DAY,
                not_after: launched + 17 * DAY,
                role: Role::Authority { path_len: Some(2) },
                usage: all,
                crl: Some("http://crl.invalid/root.crl".to_owned()),
                extensions: Vec::new(),
                key: self.key("region"),
            },
            Link {
                subject: format!("CN={zone}.{ROOT_NAME},{amazon},ST=WA,L=Seattle"),
                serial: self.serial("zone"),
                not_before: launched - DAY,
                not_after: launched + 5 * DAY,
                role: Role::Authority { path_len: Some(1) },
                usage: all,
                crl: Some("http://crl.invalid/region.crl".to_owned()),
                extensions: Vec::new(),
                key: self.key("zone"),
            },
            Link {
                subject: format!("CN=i-{instance}.eu-central-1.{ROOT_NAME},OU=AWS,O=Amazon,{seattle}"),
                serial: self.serial("instance"),
                not_before: launched - DAY / 2,
                not_after: launched + DAY / 2,
                role: Role::Authority { path_len: Some(0) },
                usage: KeyUsages::KeyCertSign.into(),
                crl: None,
                extensions: Vec::new(),
                key: self.key("instance"),
            },
            Link {
                subject: format!("CN={}.eu-central-1.aws,OU=AWS,O=Amazon,{seattle}", self.module_id()),
                serial: self.serial("enclave"),
                not_before: launched - 3,
                not_after: launched + 3 * HOUR,
                role: Role::Signer,
                usage: KeyUsages::DigitalSignature | KeyUsages::NonRepudiation,
                crl: None,
                extensions: Vec::new(),
                key: self.key("enclave"),
            },
        ];
        Chain { links }
    }

    /// What the vendor calls the one enclave that it has: instance and enclave.
    pub fn module_id(&self) -> String {
        format!("i-{}-enc{}", self.name("instance", 17), self.name("enclave", 16))
    }

    fn root_link(&self) -> Link {
        Link {
            subject: format!("CN={ROOT_NAME},OU=AWS,O=Amazon,C=US"),
            serial: self.serial("root"),
            not_before: ROOT_FROM,
            not_after: ROOT_UNTIL,
            role: Role::Authority { path_len: None },
            usage: KeyUsages::DigitalSignature | KeyUsages::KeyCertSign | KeyUsages::CRLSign,
            crl: None,
            extensions: Vec::new(),
            key: self.key("root"),
        }
    }

    fn key(&self, of: &str) -> SigningKey {
        let bytes = [
            &self.seed.derive(&format!("nitro key of {of}, high")),
            &self.seed.derive(&format!("nitro key of {of}, low"))[..16],
        ]
        .concat();
        SigningKey::from_slice(&bytes).expect("all but one of 2^190 of these are below the order")
    }

    fn serial(&self, of: &str) -> Vec<u8> {
        let mut serial = self.seed.derive(&format!("nitro serial of {of}"))[..16].to_vec();
        serial[0] = serial[0] & 0x3f | 0x40;
        serial
    }

    fn name(&self, of: &str, digits: usize) -> String {
        let bytes = self.seed.derive(&format!("nitro name of {of}"));
        bytes
            .iter()
            .map(|byte| char::from(b"0123456789abcdef"[usize::from(byte & 15)]))
            .take(digits)
            .collect()
    }
}

impl Chain {
    /// The certificates, DER, from the root on.
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        let issuers = self.links.first().into_iter().chain(&self.links);
        issuers.zip(&self.links).map(|(issuer, link)| link.certificate(issuer)).collect()
    }

    /// The document of an enclave with these registers and user data, made at a time in milliseconds since 1970.
    pub fn document(
        &self,
        module_id: &str,
        timestamp: u64,
        pcrs: impl IntoIterator<Item = (u8, [u8; 48])>,
        user_data: Option<&[u8]>,
    ) -> Document {
        let mut bundle = self.certificates();
        let certificate = bundle.pop().unwrap_or_default();
        let pcrs = pcrs.into_iter().map(|(index, value)| (u64::from(index), value.to_vec())).collect();
        let bytes = |bytes: Option<&[u8]>| bytes.map_or(Value::Null, |bytes| Value::Bytes(bytes.to_vec()));
        Document::new(vec![
            ("module_id", Value::Text(module_id.to_owned())),
            ("digest", Value::Text("SHA384".to_owned())),
            ("timestamp", Value::Number(timestamp)),
            ("pcrs", Value::Registers(pcrs)),
            ("certificate", Value::Bytes(certificate)),
            ("cabundle", Value::List(bundle)),
            ("public_key", Value::Null),
            ("user_data", bytes(user_data)),
            ("nonce", Value::Null),
        ])
    }

    /// A document, signed with the key of the last certificate.
    pub fn sign(&self, document: &Document) -> Vec<u8> {
        self.links.last().map_or_else(Vec::new, |link| document.sign(&link.key))
    }

    /// The list of what one authority revoked: the certificates at these positions in the chain. It holds for a week.
    pub fn crl(&self, issuer: usize, from: u64, revoked: &[usize]) -> Crl {
        Crl {
            issuer: self.links[issuer].clone(),
            this_update: from,
            next_update: Some(from + 7 * DAY),
            revoked: revoked.iter().map(|position| self.links[*position].serial.clone()).collect(),
            extensions: Vec::new(),
            entry_extensions: Vec::new(),
        }
    }
}

const ROOT_NAME: &str = "aws.nitro-enclaves";
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// As AWS's root: 28 October 2019, and thirty years and an hour later.
const ROOT_FROM: u64 = 1_572_269_285;
const ROOT_UNTIL: u64 = 2_519_044_085;
