//! OpenTimestamps: a tree of operations from a file's hash to what calendars and Bitcoin blocks attest.

mod bitcoin;
mod codec;
mod verify;

pub use bitcoin::{BadBlock, BitcoinBlock};
pub use codec::OtsError;
pub use verify::{Attested, OtsRejection};

use super::FileHash;

/// Most bytes of a timestamp file; those of calendars have a few thousand.
pub const MAX_OTS_BYTES: usize = 64 * 1024;

/// A detached timestamp file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ots {
    /// SHA-256 of the file that it is about.
    pub file: FileHash,
    /// What is attested of it.
    pub stamp: Stamp,
}

/// What is attested of one message, and of what operations make of it. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Attestations of this very message.
    pub attestations: Vec<Attestation>,
    /// Operations on it, and what is attested of their results.
    pub branches: Vec<(Operation, Stamp)>,
}

/// Turns one message into another, which commits to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// SHA-1: read, never followed.
    Sha1,
    /// RIPEMD-160: read, never followed.
    Ripemd160,
    /// SHA-256.
    Sha256,
    /// keccak256.
    Keccak256,
    /// The message, then these bytes.
    Append(Vec<u8>),
    /// These bytes, then the message.
    Prepend(Vec<u8>),
    /// The bytes from the last to the first.
    Reverse,
    /// In hexadecimal.
    Hexlify,
}

/// Somebody's word that a message existed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attestation {
    /// The message is the root of the transactions of a Bitcoin block.
    Bitcoin {
        /// The block.
        height: u64,
    },
    /// A calendar has promised to put it into one.
    Pending {
        /// The calendar.
        uri: String,
    },
    /// Of a kind that this version does not know.
    Unknown {
        /// Its kind.
        tag: [u8; 8],
        /// Its content.
        payload: Vec<u8>,
    },
}

impl Ots {
    /// A file's timestamp before anybody has attested anything: what is submitted to calendars is the SHA-256 of the file's hash
    /// and a nonce, so that they learn nothing of the file.
    pub fn begin(file: FileHash, nonce: [u8; 16]) -> Self {
        let submitted = (Operation::Sha256, Stamp::default());
        let with_nonce = Stamp { attestations: Vec::new(), branches: vec![submitted] };
        let branches = vec![(Operation::Append(nonce.to_vec()), with_nonce)];
        Self { file, stamp: Stamp { attestations: Vec::new(), branches } }
    }

    /// Adds what a calendar says of a message that is somewhere in the tree; whether it was, and the whole still is a file that
    /// can be read again. If not, nothing is added.
    pub fn merge(&mut self, message: &[u8], said: &Stamp) -> bool {
        let mut with = self.clone();
        let is_there = with.stamp.merge_at(self.file.0.as_slice(), message, said);
        let fits = is_there && Self::parse(&with.to_bytes()).is_ok();
        if fits {
            *self = with;
        }
        fits
    }
}

impl Stamp {
    fn merge_at(&mut self, at: &[u8], message: &[u8], said: &Self) -> bool {
        if at == message {
            self.merge(said);
            return true;
        }
        let mut found = false;
        for (operation, branch) in &mut self.branches {
            if let Some(result) = operation.apply(at) {
                found |= branch.merge_at(&result, message, said);
            }
        }
        found
    }

    fn merge(&mut self, said: &Self) {
        for attestation in &said.attestations {
            if !self.attestations.contains(attestation) {
                self.attestations.push(attestation.clone());
            }
        }
        for (operation, branch) in &said.branches {
            match self.branches.iter_mut().find(|(known, _)| known == operation) {
                Some((_, known)) => known.merge(branch),
                None => self.branches.push((operation.clone(), branch.clone())),
            }
        }
    }
}
