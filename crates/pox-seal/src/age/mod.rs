//! The age v1 file format: C2SP `age.md`.
//!
//! X25519 and the hybrid post-quantum recipients `mlkem768x25519` for both directions, passphrases for opening only.
//! Headers are strict and bounded; payloads are sealed and opened on all cores in constant memory.

mod armor;
mod file;
mod header;
pub(crate) mod hybrid;
mod open;
mod passphrase;
mod payload;
mod seal;
mod stanza;
pub(crate) mod x25519;

pub use armor::{ArmorError, MAX_ARMORED, armor, dearmor};
#[doc(hidden)]
pub use file::measure;
pub use file::{SealedFile, open_file, seal_file};
pub use header::{Header, MAX_HEADER, MAX_STANZAS, SealHeaderError};
pub use open::{Locked, Opener, open_bytes};
pub(crate) use payload::PayloadKey;
pub use payload::{CHUNK, NONCE, SEALED_CHUNK, TAG, chunks_of, sealed_len};
pub use seal::{Sealer, seal_bytes};
pub use stanza::Stanza;

use std::io;

/// A file can't be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum AgeError {
    /// The header is malformed: whoever sealed or stored the file did it.
    #[error("age header: {0}")]
    Header(#[from] HeaderError),
    /// The file is for somebody else.
    #[error("none of the identities opens this file")]
    NoMatch,
    /// The header was changed after it was sealed, or the file key is another file's.
    #[error("the header doesn't belong to the file key")]
    Mac,
    /// The payload is damaged.
    #[error("age payload: {0}")]
    Payload(#[from] PayloadError),
    /// The armor is malformed.
    #[error("age armor: {0}")]
    Armor(#[from] ArmorError),
    /// The message is larger than the caller allows.
    #[error("the sealed message is larger than allowed")]
    TooLarge,
    /// A header can't be made.
    #[error("can't seal: {0}")]
    Seal(#[from] SealHeaderError),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(io::Error),
}

/// Takes an [`AgeError`] back out of the [`io::Error`] that carried it through [`io::Read`].
impl From<io::Error> for AgeError {
    fn from(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Io)
    }
}

impl From<AgeError> for io::Error {
    fn from(error: AgeError) -> Self {
        match error {
            AgeError::Io(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// A header is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The first line isn't age v1's.
    #[error("no age v1 file")]
    Version,
    /// The file ends within the header or the nonce after it.
    #[error("the file ends too early")]
    Truncated,
    /// Over [`MAX_HEADER`] bytes or [`MAX_STANZAS`] stanzas.
    #[error("the header is too large")]
    TooLarge,
    /// A stanza has wrong arguments, lines or lengths.
    #[error("a recipient stanza is malformed")]
    Stanza,
    /// Text isn't canonical base64.
    #[error("base64 that isn't canonical")]
    Base64,
    /// The last line is malformed.
    #[error("the MAC line is malformed")]
    MacLine,
    /// A passphrase stanza isn't alone.
    #[error("a passphrase is mixed with other recipients")]
    Mixed,
    /// The scrypt work factor is malformed or costs too much.
    #[error("the passphrase's work factor is malformed or too high")]
    WorkFactor,
}

/// A payload is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// A chunk isn't authentic: flipped, swapped, repeated or cut.
    #[error("chunk {0} isn't authentic")]
    Chunk(u64),
    /// The file ends before its last chunk.
    #[error("the file was truncated")]
    Truncated,
    /// Bytes follow the last chunk.
    #[error("bytes follow the last chunk")]
    Extended,
    /// The last chunk is empty although others precede it.
    #[error("the last chunk is empty")]
    EmptyChunk,
    /// More chunks than can be counted.
    #[error("the payload is too long")]
    TooLong,
}
