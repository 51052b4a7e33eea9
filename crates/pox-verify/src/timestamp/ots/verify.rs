//! From a file's hash to what is attested, and from that to a block that the auditor knows.

use super::bitcoin::{BitcoinBlock, CLOCK_SECONDS};
use super::codec::MAX_MESSAGE;
use super::{Attestation, Operation, Ots, OtsError, Stamp};
use crate::timestamp::{FileHash, TimeAnchor, Witness};
use crate::verified::Verified;
use alloy_primitives::keccak256;
use pox_core::UnixTime;
use sha2::{Digest as _, Sha256};

/// A timestamp file does not show when the proof existed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "rejection")]
pub enum OtsRejection {
    /// Not a timestamp file.
    #[error("not a timestamp file: {fault}")]
    Malformed {
        /// What is wrong with it.
        fault: String,
    },
    /// It is about another file.
    #[error("the timestamp is about another file")]
    OtherFile,
    /// No block has it yet.
    #[error("no Bitcoin block attests it yet; pending at {}", .calendars.join(", "))]
    Pending {
        /// Who promised to see to it.
        calendars: Vec<String>,
    },
    /// Blocks attest it, and none of them is known.
    #[error("Bitcoin block {} attests it, and was not given", heights(.blocks))]
    UnknownBlock {
        /// Their heights.
        blocks: Vec<u64>,
    },
    /// The block that it names has another root.
    #[error("Bitcoin block {height} does not contain it")]
    NotInBlock {
        /// The block.
        height: u64,
    },
    /// Nothing in it is of a kind that this version knows.
    #[error("nothing in it is an attestation that this version can follow")]
    Nothing,
}

/// An attestation, and the message that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested<'a> {
    /// What is attested.
    pub attestation: &'a Attestation,
    /// Of what.
    pub message: Vec<u8>,
}

impl Ots {
    /// Every attestation that can be followed from the file's hash.
    pub fn attested(&self) -> Vec<Attested<'_>> {
        let mut found = Vec::new();
        self.stamp.collect(self.file.0.as_slice(), &mut found);
        found
    }

    /// The message that calendars are asked to attest, if nothing is attested yet: the end of the first branch.
    pub fn submission(&self) -> Vec<u8> {
        let (mut stamp, mut message) = (&self.stamp, self.file.0.to_vec());
        while let Some((operation, branch)) = stamp.branches.first() {
            let Some(result) = operation.apply(&message) else { break };
            (stamp, message) = (branch, result);
        }
        message
    }

    /// Checks a timestamp file against the file that it is to be about and the blocks that the auditor knows.
    ///
    /// What is established: the earliest known block that it names commits to the file. That the blocks are Bitcoin's is the
    /// auditor's word.
    ///
    /// # Errors
    /// The first thing that it lacks.
    pub fn verify(
        bytes: &[u8],
        file: FileHash,
        blocks: &[BitcoinBlock],
    ) -> Result<Verified<TimeAnchor>, OtsRejection> {
        let ots = Self::parse(bytes)?;
        if ots.file != file {
            return Err(OtsRejection::OtherFile);
        }
        let (mut named, mut calendars, mut first) = (Vec::new(), Vec::new(), None);
        for Attested { attestation, message } in ots.attested() {
            match attestation {
                Attestation::Bitcoin { height } => {
                    named.push(*height);
                    let Some(block) = blocks.iter().find(|block| block.height() == *height) else { continue };
                    if message != block.merkle_root().0 {
                        return Err(OtsRejection::NotInBlock { height: *height });
                    }
                    first = first.filter(|first: &&BitcoinBlock| first.height() <= *height).or(Some(block));
                }
                Attestation::Pending { uri } => calendars.push(uri.clone()),
                Attestation::Unknown { .. } => {}
            }
        }
        named.sort_unstable();
        named.dedup();
        match (first, named.is_empty(), calendars.is_empty()) {
            (Some(block), ..) => Ok(Verified::by_check(TimeAnchor {
                not_after: UnixTime(block.time().0.saturating_add(CLOCK_SECONDS)),
                witness: Witness::Bitcoin {
                    height: block.height(),
                    stated: block.time(),
                    hash: block.hash(),
                },
            })),
            (None, false, _) => Err(OtsRejection::UnknownBlock { blocks: named }),
            (None, true, false) => Err(OtsRejection::Pending { calendars }),
            (None, true, true) => Err(OtsRejection::Nothing),
        }
    }
}

impl Stamp {
    fn collect<'a>(&'a self, message: &[u8], found: &mut Vec<Attested<'a>>) {
        for attestation in &self.attestations {
            found.push(Attested { attestation, message: message.to_vec() });
        }
        for (operation, branch) in &self.branches {
            if let Some(result) = operation.apply(message) {
                branch.collect(&result, found);
            }
        }
    }
}

impl Operation {
    /// What it makes of a message; `None` where that is too long, or the operation binds to its argument too weakly: whoever can
    /// make two messages with one SHA-1 can have the one attested and show the other.
    pub(super) fn apply(&self, message: &[u8]) -> Option<Vec<u8>> {
        let result = match self {
            Self::Sha1 | Self::Ripemd160 => return None,
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Keccak256 => keccak256(message).to_vec(),
            Self::Append(bytes) => [message, bytes].concat(),
            Self::Prepend(bytes) => [bytes, message].concat(),
            Self::Reverse => message.iter().rev().copied().collect(),
            Self::Hexlify => hex::encode(message).into_bytes(),
        };
        (result.len() <= MAX_MESSAGE).then_some(result)
    }
}

impl From<OtsError> for OtsRejection {
    fn from(error: OtsError) -> Self {
        Self::Malformed { fault: error.to_string() }
    }
}

fn heights(blocks: &[u64]) -> String {
    blocks.iter().map(u64::to_string).collect::<Vec<_>>().join(" or ")
}
