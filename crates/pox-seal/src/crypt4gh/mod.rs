//! Crypt4GH 1.0, the GA4GH standard for genomic data at rest (hts-specs, `crypt4gh.tex`).
//!
//! A file is a header of packets, each encrypted for one reader (X25519, BLAKE2b, ChaCha20-Poly1305), and a body of 64 KiB
//! segments, each with a random nonce of its own. [`Header`] reads, opens, writes and re-keys headers; [`seal_file`],
//! [`open_file`] and [`check_file`] work on bodies on all cores, hashing in the same pass.
//!
//! The format binds no segment to its place: whoever can write to a file may drop, repeat and swap segments unnoticed, cut the
//! file between two, and replace the header's packets by others of their own. A [`Blake3Digest`](crate::Blake3Digest) of the
//! file and a [commitment](ContentKeys::commitment) to its keys repair that; without them nothing here detects it.

mod body;
mod edits;
mod file;
mod header;
mod key_file;
mod keys;
mod packet;

pub(crate) use body::{Body, BodyStream};
pub use body::{MAX_SEALED_SEGMENT, SEGMENT, sealed_body_len};
pub use edits::{BadEdits, EditList, MAX_EDITS};
pub use file::{CheckedFile, SealedFile, check_file, open_file, rekey_file, seal_file};
pub use header::{Description, Header, MAX_HEADER, MAX_PACKET, MAX_PACKETS, Told};
pub use key_file::{BadKeyFile, LockedKey, MAX_KEY_FILE, SecretKey};
pub use keys::{ContentKeys, DataKey, Identity, MAX_DATA_KEYS, Recipient};
#[doc(hidden)]
pub use packet::decode as decode_packet;

use crate::random::NoRandomness;
use std::io;

/// A Crypt4GH file can't be made, opened or re-keyed.
#[derive(Debug, thiserror::Error)]
pub enum Crypt4ghError {
    /// The header is malformed: whoever sealed or stored the file did it.
    #[error("Crypt4GH header: {0}")]
    Header(#[from] HeaderError),
    /// No packet with a data key opens with any of the keys.
    #[error("none of the keys opens this file")]
    NoMatch,
    /// The body is damaged.
    #[error("Crypt4GH body: {0}")]
    Body(#[from] BodyError),
    /// A recipient's key is a point of low order: everybody would know what is shared with it.
    #[error("a recipient's key is no usable point")]
    BadRecipient,
    /// No randomness for keys and nonces.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The content has more bytes than the caller allows.
    #[error("the content is larger than allowed")]
    TooLarge,
    /// Reading failed.
    #[error(transparent)]
    Io(io::Error),
    /// Writing failed.
    #[error("writing: {0}")]
    Write(#[source] io::Error),
}

/// A header is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The file doesn't begin as Crypt4GH files do.
    #[error("no Crypt4GH file")]
    Magic,
    /// A version that isn't 1.
    #[error("version {0} of the format, of which only 1 is known")]
    Version(u32),
    /// The file ends within its header.
    #[error("the file ends too early")]
    Truncated,
    /// No packet, or more packets, or more bytes, than [`MAX_PACKETS`], [`MAX_PACKET`] and [`MAX_HEADER`] allow.
    #[error("no packets, or too many, or too large")]
    Bounds,
    /// A packet that was opened has less in it than its type asks for.
    #[error("a packet ends too early")]
    Packet,
    /// A packet of a type that isn't known.
    #[error("a packet of the unknown type {0}")]
    PacketType(u32),
    /// The body is encrypted by a method that isn't known here; 1 is `chacha20_ietf_poly1305_with_AEAD`, of later drafts.
    #[error("the body is encrypted by method {0}, of which only 0 is known")]
    Method(u32),
    /// More than one edit list for one reader.
    #[error("two edit lists")]
    EditLists,
    /// More data keys than [`MAX_DATA_KEYS`].
    #[error("too many data keys")]
    DataKeys,
    /// An edit list is out of its bounds.
    #[error(transparent)]
    Edits(#[from] BadEdits),
}

/// A body is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A segment isn't authentic under any of the keys.
    #[error("segment {0} isn't authentic")]
    Segment(u64),
    /// The last segment is shorter than its nonce and tag.
    #[error("the last segment was cut")]
    Truncated,
}
