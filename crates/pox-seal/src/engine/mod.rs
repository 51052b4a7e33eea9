//! The engine: seals and opens files of independent 64 KiB chunks on all cores, with BLAKE3 in the same pass.
//!
//! A file is cut into *segments* of up to 64 chunks. A worker reads a segment at its own offset straight into the places
//! where its chunks are sealed, seals (or opens) and hashes it chunk by chunk while it is in the core's cache, and writes
//! it at its own offset. Only what is small goes through one thread, in order: chaining values, and whatever the caller
//! keeps account of. Memory is a constant that doesn't grow with the number of cores ([`Team`]).
//!
//! It knows chunks and nothing of formats: a `Cipher` says where the text lies in a chunk and what sealing means.

mod file;
mod pipeline;
mod segment;
mod tree_hash;

pub(crate) use file::{OpenFile, OpenedSegment, SealFile, SealedSegment, read_at, read_full, write_at};
pub(crate) use pipeline::{MAX_CHUNKS, run};
pub use pipeline::{MAX_WORKERS, Team};
pub(crate) use segment::Segment;
pub(crate) use tree_hash::{Piece, PieceHasher, TreeHash};

/// Plaintext bytes in every chunk but the last.
pub const CHUNK: usize = 64 * 1024;

/// Where a chunk stands in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Position {
    Inner,
    Last,
}

impl Position {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Inner => Self::Last,
            Self::Last => Self::Inner,
        }
    }
}

/// Seals and opens single chunks in place, in any order.
pub(crate) trait Cipher: Sync {
    /// Bytes before a chunk's text.
    const HEAD: usize;
    /// Bytes after it.
    const TAIL: usize;
    /// Bytes of a whole sealed chunk.
    const STRIDE: usize = Self::HEAD + CHUNK + Self::TAIL;

    /// Seals the text in a slot, which has room for what is added.
    fn seal(&self, chunk: u64, position: Position, slot: &mut [u8]);

    /// Opens a slot; false if it isn't authentic at this place. Then what is in the slot is of no use to anybody.
    #[must_use]
    fn open(&self, chunk: u64, position: Position, slot: &mut [u8]) -> bool;
}
