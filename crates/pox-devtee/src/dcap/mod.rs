//! Intel: SGX and TDX quotes with DCAP collateral.
//!
//! [`Vendor`] stands where Intel does: a root, a CA for platforms, a signer for tables, one platform and its quoting enclave. What
//! it makes has the real formats to the byte. Every field can be set, so that a test can make each thing wrong by itself.

mod collateral;
mod der;
mod quote;

pub use collateral::{Collateral, Level, ModuleIdentity, QeStatement, Revoked, Statements};
pub use quote::{Certification, Enclave, Quoting, Td, TdForm};

use crate::Seed;
use der::{Certificate, Extension};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};

/// Which TEE a collateral is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tee {
    /// SGX enclaves.
    Sgx,
    /// Trust domains.
    Tdx,
}

/// From when until when something holds, Unix seconds, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First second.
    pub from: u64,
    /// Last second.
    pub until: u64,
}

/// Who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The root: CAs, the table signer, its revocation list.
    Root,
    /// The CA of platforms: their certificates, its revocation list.
    PlatformCa,
    /// TCB info and the quoting enclave's identity.
    Tables,
    /// The platform: the quoting enclave's report.
    Platform,
    /// The quoting enclave: quotes.
    Attestation,
}

/// What is true of the one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// Its identity.
    pub ppid: [u8; 16],
    /// Its family.
    pub fmspc: [u8; 6],
    /// Its provisioning certification enclave.
    pub pce_id: [u8; 2],
    /// Security version of that enclave.
    pub pce_svn: u16,
    /// Security versions of its microcode and firmware.
    pub cpu_svn: [u8; 16],
    /// Two threads share a core.
    pub smt: bool,
    /// Packages can be added.
    pub dynamic: bool,
    /// Intel keeps its keys.
    pub cached_keys: bool,
}

/// A development stand-in for Intel. **Whatever it signs protects nothing.**
#[derive(Debug, Clone)]
pub struct Vendor {
    seed: Seed,
    /// The machine that its quotes come from.
    pub platform: Platform,
    /// When the CAs' and signers' certificates hold.
    pub certificates: Validity,
    /// When the platform's certificate holds.
    pub platform_certificate: Validity,
}

impl Vendor {
    /// The vendor of a seed, with a machine as clouds have them and certificates from 2020 until 2049.
    pub fn new(seed: Seed) -> Self {
        let decades = Validity { from: 1_577_836_800, until: 2_493_072_000 };
        let platform = Platform {
            ppid: first(&seed.derive("dcap ppid")),
            fmspc: [0x00, 0x50, 0x6f, 0x00, 0x00, 0x00],
            pce_id: [0, 0],
            pce_svn: 13,
            cpu_svn: [7, 7, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0],
            smt: true,
            dynamic: true,
            cached_keys: true,
        };
        Self { seed, platform, certificates: decades, platform_certificate: decades }
    }

    /// The root certificate, DER: what a verifier is given in Intel's place.
    pub fn root(&self) -> Vec<u8> {
        self.certificate(Signer::Root, Signer::Root, &[Extension::Ca { below: 1 }])
    }

    /// The certificate that tables are signed with, DER.
    pub fn table_signer(&self) -> Vec<u8> {
        self.certificate(Signer::Tables, Signer::Root, &[Extension::EndEntity])
    }

    /// The platform's certificate and its issuers, DER, leaf first.
    pub fn pck_chain(&self) -> Vec<Vec<u8>> {
        let sgx = Extension::Sgx(&self.platform);
        let leaf = self.certificate(Signer::Platform, Signer::PlatformCa, &[Extension::EndEntity, sgx]);
        let ca = self.certificate(Signer::PlatformCa, Signer::Root, &[Extension::Ca { below: 0 }]);
        vec![leaf, ca, self.root()]
    }

    /// Signs bytes as anyone in the chain would: r and s.
    pub fn sign(&self, signer: Signer, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.key(signer).sign(message);
        signature.to_bytes().into()
    }

    /// A public key, x and y.
    pub fn public_key(&self, signer: Signer) -> [u8; 64] {
        let point = self.key(signer).verifying_key().to_encoded_point(false);
        let mut key = [0; 64];
        key.copy_from_slice(&point.as_bytes()[1..]);
        key
    }

    /// The serial number of a signer's certificate.
    pub fn serial(&self, signer: Signer) -> [u8; 20] {
        let mut serial: [u8; 20] = first(&self.seed.derive(&format!("dcap serial of {signer:?}")));
        // Positive, and as long as it looks.
        serial[0] = serial[0] & 0x3f | 0x40;
        serial
    }

    fn key(&self, signer: Signer) -> SigningKey {
        SigningKey::from_slice(&self.seed.derive(&format!("dcap key of {signer:?}")))
            .expect("all but one in 2^32 hashes are P-256 keys")
    }

    fn certificate(&self, subject: Signer, issuer: Signer, extensions: &[Extension<'_>]) -> Vec<u8> {
        let certificate = Certificate {
            serial: self.serial(subject),
            issuer: name(issuer),
            subject: name(subject),
            validity: match subject {
                Signer::Platform => self.platform_certificate,
                _ => self.certificates,
            },
            key: self.public_key(subject),
            extensions,
        };
        der::signed(&certificate.body(), |body| self.sign_der(issuer, body))
    }

    fn sign_der(&self, signer: Signer, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.key(signer).sign(message);
        signature.to_der().as_bytes().to_vec()
    }
}

/// The names that Intel's certificates have, with "development" in each.
fn name(signer: Signer) -> &'static str {
    match signer {
        Signer::Root => "PoX development SGX Root CA",
        Signer::PlatformCa => "PoX development SGX PCK Platform CA",
        Signer::Tables => "PoX development SGX TCB Signing",
        Signer::Platform => "PoX development SGX PCK Certificate",
        Signer::Attestation => "PoX development attestation key",
    }
}

fn first<const N: usize>(bytes: &[u8; 32]) -> [u8; N] {
    core::array::from_fn(|at| bytes[at])
}
