//! What a TEE signs, and the claims that are bound into it (spec §8).

use crate::codec::{CodecError, from_canonical, to_canonical};
use crate::id::{ReceiptId, TaskId};
use crate::record::Kinds;
use crate::signature::Signature;
use alloy_primitives::{Address, B256};
use k256::ecdsa::SigningKey;
use sha2::{Digest, Sha256, Sha512};

/// Most bytes of a quote, report or document: padded DCAP quotes have 8,000.
pub const MAX_QUOTE_BYTES: usize = 16 * 1024;
/// Bytes of an enclave's recipient: an X-Wing public key (ML-KEM-768 and X25519).
pub const RECIPIENT_BYTES: usize = 1216;
/// Most bytes of one evidence.
pub const MAX_EVIDENCE_BYTES: usize = MAX_QUOTE_BYTES + RECIPIENT_BYTES + 512;

/// Which TEE, real or simulated, signs the evidence (spec §8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum EvidenceKind {
    /// No hardware: a child process, signed by a root that anyone can use.
    Simulated = 0,
    /// No hardware: the guest image under plain emulation, signed by the same kind of root.
    VmSim = 1,
    /// Intel SGX.
    Sgx = 2,
    /// Intel TDX.
    Tdx = 3,
    /// AMD SEV-SNP.
    Snp = 4,
    /// AWS Nitro Enclaves.
    Nitro = 5,
}

/// What an evidence vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Purpose {
    /// The enclave's keys.
    Key = 0,
    /// The receipt.
    Result = 1,
}

/// What the evidence is bound to; `report_data` is the hash of exactly these (spec §8.2).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Claims {
    /// What the evidence vouches for.
    #[n(0)]
    pub purpose: Purpose,
    /// The task.
    #[n(1)]
    pub task: TaskId,
    /// The enclave's account, whose key signs the receipt.
    #[cbor(n(2), with = "crate::bytes::address")]
    pub enclave: Address,
    /// SHA-256 of the enclave's recipient, to which the secret is sealed.
    #[cbor(n(3), with = "crate::bytes::word")]
    pub recipient: B256,
    /// A recent block's number: the evidence is not older.
    #[n(4)]
    pub block_number: u64,
    /// That block's hash.
    #[cbor(n(5), with = "crate::bytes::word")]
    pub block_hash: B256,
    /// SHA-256 of the key evidence, for a result; zero for a key.
    #[cbor(n(6), with = "crate::bytes::word")]
    pub previous: B256,
    /// The receipt, for a result; zero for a key.
    #[n(7)]
    pub receipt: ReceiptId,
    /// The processor that launched the enclave: no other can match with it.
    #[cbor(n(8), with = "crate::bytes::address")]
    pub processor: Address,
}

/// Claims and what a TEE signed over them (spec §8.4).
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Evidence {
    /// Which TEE.
    #[n(0)]
    pub kind: EvidenceKind,
    /// What it is bound to.
    #[n(1)]
    pub claims: Claims,
    /// What the TEE signed, in its vendor's format.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub quote: Vec<u8>,
    /// The enclave's recipient, in a key evidence; empty in a result evidence.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub recipient: Vec<u8>,
}

/// What the simulated vendor signs, in place of a quote (spec §8.4.1). It protects nothing.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct SimulatedQuote {
    /// SHA-256 of the runtime's program file.
    #[cbor(n(0), with = "crate::bytes::word")]
    pub measurement: B256,
    /// The 64 bytes that a TEE would take.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub report_data: Vec<u8>,
    /// The simulated vendor root's signature.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub signature: Vec<u8>,
}

impl EvidenceKind {
    /// Every kind, in the order of its code.
    pub const ALL: [Self; 6] = [Self::Simulated, Self::VmSim, Self::Sgx, Self::Tdx, Self::Snp, Self::Nitro];

    /// Whether no hardware protects such an enclave.
    pub fn is_simulated(self) -> bool {
        matches!(self, Self::Simulated | Self::VmSim)
    }

    /// The set of this kind alone.
    pub fn bit(self) -> Kinds {
        Kinds(1 << self as u8)
    }

    /// The name in policies, tasks and outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Simulated => "simulated",
            Self::VmSim => "vm-sim",
            Self::Sgx => "sgx",
            Self::Tdx => "tdx",
            Self::Snp => "snp",
            Self::Nitro => "nitro",
        }
    }
}

impl core::fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl Kinds {
    /// The kinds in the set that this version knows.
    pub fn iter(self) -> impl Iterator<Item = EvidenceKind> {
        EvidenceKind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }

    /// Whether a kind is in the set.
    pub fn contains(self, kind: EvidenceKind) -> bool {
        self.0 & kind.bit().0 != 0
    }
}

impl FromIterator<EvidenceKind> for Kinds {
    fn from_iter<I: IntoIterator<Item = EvidenceKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | kind.bit().0))
    }
}

impl Claims {
    /// The 64 bytes that the TEE signs: SHA-512 of a domain tag and the canonical claims.
    pub fn report_data(&self) -> [u8; 64] {
        Sha512::new().chain_update(b"pox-evidence-v1\0").chain_update(to_canonical(self)).finalize().into()
    }
}

impl Evidence {
    /// The canonical encoding, as it travels in `matchTask`.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(self)
    }

    /// Parses the canonical encoding; says nothing about who signed it.
    ///
    /// # Errors
    /// Oversized, malformed or not canonical bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        from_canonical(bytes, MAX_EVIDENCE_BYTES)
    }
}

impl SimulatedQuote {
    /// Signs as the simulated vendor. Anyone can: the key is derived from a published sentence, so that nobody takes it for a
    /// secret.
    pub fn sign(measurement: B256, report_data: &[u8; 64]) -> Self {
        let secret =
            Sha256::digest(b"pox simulated vendor root: anyone can sign with this key, it protects nothing");
        let root = SigningKey::from_slice(&secret).expect("this digest is a valid scalar");
        let signature = Signature::sign(&root, Self::digest(measurement, report_data)).to_bytes().to_vec();
        Self { measurement, report_data: report_data.to_vec(), signature }
    }

    /// What the simulated vendor root signs.
    pub fn digest(measurement: B256, report_data: &[u8; 64]) -> B256 {
        let tag = b"pox-simulated-quote-v1\0";
        let hash =
            Sha256::new().chain_update(tag).chain_update(measurement).chain_update(report_data).finalize();
        B256::from(<[u8; 32]>::from(hash))
    }

    /// The canonical encoding, as it stands in an evidence.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical(self)
    }

    /// Parses the canonical encoding.
    ///
    /// # Errors
    /// Oversized, malformed or not canonical bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CodecError> {
        from_canonical(bytes, MAX_QUOTE_BYTES)
    }
}

/// SHA-256 as a word, the hash that claims use for evidence and recipients.
pub fn sha256(bytes: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(bytes)))
}

macro_rules! codes {
    ($type:ty, $all:expr) => {
        impl<C> minicbor::Encode<C> for $type {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.u8(*self as u8)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $type {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                let position = d.position();
                let code = d.u8()?;
                let known = $all.into_iter().find(|known: &$type| *known as u8 == code);
                known.ok_or_else(|| minicbor::decode::Error::message("unknown code").at(position))
            }
        }
    };
}

codes!(EvidenceKind, EvidenceKind::ALL);
codes!(Purpose, [Purpose::Key, Purpose::Result]);
