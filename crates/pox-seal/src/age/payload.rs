//! The payload's cipher and its geometry: 64 KiB chunks, each sealed on its own, so that any core takes any chunk.

use super::PayloadError;
use crate::cipher::AeadKey;
pub use crate::engine::CHUNK;
use crate::engine::{Cipher, Position};
use crate::kdf;
use crate::keys::FileKey;
use crate::memory::Kept;
use rayon::prelude::*;
use std::ops::{Deref, DerefMut, Range};
use zeroize::Zeroize;

/// Bytes that sealing adds to a chunk.
pub const TAG: usize = 16;

/// Ciphertext bytes of every chunk but the last.
pub const SEALED_CHUNK: usize = CHUNK + TAG;

/// Length of the nonce between header and first chunk.
pub const NONCE: usize = 16;

/// Chunks that are sealed or opened at a time: 4 MiB keep several cores busy and stay a constant.
pub(crate) const BATCH: usize = 64;

/// Ciphertext length of a plaintext: a payload has at least one chunk, and no empty one unless it is the only one.
pub fn sealed_len(plaintext: u64) -> u64 {
    plaintext + plaintext.div_ceil(CHUNK as u64).max(1) * TAG as u64
}

/// The chunks that hold a range of plaintext, which must not be empty.
pub fn chunks_of(plaintext: Range<u64>) -> Range<u64> {
    plaintext.start / CHUNK as u64..plaintext.end.div_ceil(CHUNK as u64)
}

/// One batch of chunks in memory, and one byte more to see whether another follows. Wiped when dropped.
pub(crate) struct Slots {
    bytes: Box<[u8]>,
    /// How far it was ever filled, so that small messages don't pay for wiping it all.
    touched: usize,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; BATCH * SEALED_CHUNK + 1].into_boxed_slice(), touched: 0 }
    }

    /// Notes that the first `end` bytes were used.
    pub(crate) fn touch(&mut self, end: usize) {
        self.touched = self.touched.max(end.min(self.bytes.len()));
    }
}

impl Deref for Slots {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Slots {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.bytes[..self.touched].zeroize();
    }
}

/// The key of one payload.
pub(crate) struct PayloadKey(Kept<AeadKey>);

impl PayloadKey {
    pub(crate) fn new(file_key: &FileKey, nonce: &[u8; NONCE]) -> Self {
        Self(Kept::new(AeadKey::new(&kdf::hkdf(file_key.0.as_ref(), nonce, b"payload"))))
    }

    /// Seals chunks in place. Each slot of [`SEALED_CHUNK`] bytes ends with room for its tag; only the last may be
    /// shorter.
    pub(crate) fn seal_all(&self, first: u64, last: Position, slots: &mut [u8]) -> Result<(), PayloadError> {
        let count = slots.len().div_ceil(SEALED_CHUNK);
        first.checked_add(count as u64).ok_or(PayloadError::TooLong)?;
        slots.par_chunks_mut(SEALED_CHUNK).enumerate().for_each(|(index, slot)| {
            let position = if index + 1 == count { last } else { Position::Inner };
            self.seal(first + index as u64, position, slot);
        });
        Ok(())
    }

    /// Opens chunks in place, and says how many of them are good, counted from the first.
    ///
    /// A chunk that is good but was sealed for the other [`Position`] counts as good, and ends the count: it is
    /// followed by an error of its own, since the file was cut or extended there.
    pub(crate) fn open_all(
        &self,
        first: u64,
        last: Position,
        slots: &mut [u8],
    ) -> (usize, Option<PayloadError>) {
        let count = slots.len().div_ceil(SEALED_CHUNK);
        let verdicts: Vec<Verdict> = slots
            .par_chunks_mut(SEALED_CHUNK)
            .enumerate()
            .map_init(Vec::new, |spare, (index, slot)| {
                let position = if index + 1 == count { last } else { Position::Inner };
                self.open_one(first + index as u64, position, slot, spare)
            })
            .collect();
        match verdicts.iter().position(|verdict| *verdict != Verdict::Good) {
            None => (count, None),
            Some(bad) => match verdicts[bad] {
                Verdict::Misplaced(position) => {
                    let error = match position {
                        Position::Inner => PayloadError::Extended,
                        Position::Last => PayloadError::Truncated,
                    };
                    (bad + 1, Some(error))
                }
                _ => (bad, Some(PayloadError::Chunk(first + bad as u64))),
            },
        }
    }

    /// What can't be authenticated is lost, so a copy is kept for the second look at the position.
    fn open_one(&self, index: u64, position: Position, slot: &mut [u8], spare: &mut Vec<u8>) -> Verdict {
        let full = slot.len() == SEALED_CHUNK;
        if full {
            spare.clear();
            spare.extend_from_slice(slot);
        }
        if self.open(index, position, slot) {
            return Verdict::Good;
        }
        if full && self.open(index, position.other(), spare) {
            slot.copy_from_slice(spare);
            return Verdict::Misplaced(position);
        }
        Verdict::Bad
    }
}

impl Cipher for PayloadKey {
    const HEAD: usize = 0;
    const TAIL: usize = TAG;

    fn seal(&self, chunk: u64, position: Position, slot: &mut [u8]) {
        let (text, tag) = slot.split_at_mut(slot.len().saturating_sub(TAG));
        tag.copy_from_slice(&self.0.seal(&nonce(chunk, position), text));
    }

    fn open(&self, chunk: u64, position: Position, slot: &mut [u8]) -> bool {
        match slot.split_last_chunk_mut::<TAG>() {
            Some((text, tag)) => self.0.open(&nonce(chunk, position), text, tag),
            None => false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// Authentic, but sealed for the position that is not this one.
    Misplaced(Position),
    Bad,
}

/// The chunk's number, big-endian in eleven bytes, and whether it is the last.
fn nonce(index: u64, position: Position) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&index.to_be_bytes());
    bytes[11] = u8::from(position == Position::Last);
    bytes
}
