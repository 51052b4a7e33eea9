//! Time anchors beside the chain (spec §17): statements of others that a proof file existed, over its SHA-256.
//!
//! An anchor is a detached file. It adds a time to what a verdict tells, and changes no grade: it says that these bytes were
//! there, not that they are right. Nothing here reads a clock or asks anybody; certificates, block headers and the auditor's
//! time are arguments.

pub mod ots;
pub mod rfc3161;

use alloy_primitives::B256;
use pox_core::UnixTime;
use sha2::{Digest as _, Sha256};

/// SHA-256 of a proof file, which is what anchors are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct FileHash(pub B256);

impl FileHash {
    /// The hash of a file's bytes.
    pub fn of(file: &[u8]) -> Self {
        Self(B256::from(<[u8; 32]>::from(Sha256::digest(file))))
    }
}

/// What a verified anchor says: the file existed, and by whose word.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TimeAnchor {
    /// The file existed not after this time.
    pub not_after: UnixTime,
    /// Who says so.
    pub witness: Witness,
}

/// Who says that a file existed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Witness {
    /// A time-stamping authority, under a root that the auditor trusts.
    Authority {
        /// Its name, as its certificate has it.
        name: String,
        /// The trusted certificate that it leads to.
        root: String,
        /// The time that it states; `not_after` adds its accuracy.
        stated: UnixTime,
        /// The serial number that it gave, hexadecimal.
        serial: String,
        /// The policy that it names.
        policy: String,
        /// When the first certificate of the chain ends. Later, only who had the stamp before can rely on it.
        in_force_until: UnixTime,
    },
    /// The Bitcoin block chain, as far as the auditor's word for the block goes.
    Bitcoin {
        /// The block.
        height: u64,
        /// Its time, which can be two hours ahead; `not_after` adds them.
        stated: UnixTime,
        /// Its hash, where its header was given.
        hash: Option<B256>,
    },
}
