//! Sealing a stream.

use super::header::Header;
use super::payload::{BATCH, CHUNK, NONCE, PayloadKey, SEALED_CHUNK, Slots, TAG};
use super::{AgeError, SealHeaderError};
use crate::engine::Position;
use crate::keys::{FileKey, KeyCommitment, Recipient};
use crate::random::{OsRandom, Randomness, draw};
use std::io::{self, IoSliceMut, Read, Write};

/// Seals what is written to it as one age v1 file.
///
/// Holds 4 MiB and writes in pieces of that size. The file is whole only after [`finish`](Self::finish); one that is
/// dropped before is a truncated file, which nobody opens. After the sink failed once, every further call fails.
pub struct Sealer<W: Write> {
    sink: W,
    key: PayloadKey,
    commitment: KeyCommitment,
    /// Slots of [`SEALED_CHUNK`] bytes.
    slots: Slots,
    /// Plaintext bytes in the slots.
    filled: usize,
    /// Number of the first chunk in the slots.
    next: u64,
    /// Whether the slots hold what was sealed and not written. Sealing it again would reuse its nonces, and give the
    /// plaintext back.
    is_broken: bool,
}

impl<W: Write> Sealer<W> {
    /// Starts a file for these recipients, and writes its header.
    pub fn new(recipients: &[Recipient], sink: W) -> Result<Self, AgeError> {
        Self::with_randomness(recipients, sink, &mut OsRandom)
    }

    /// Starts a file with keys from this source.
    pub fn with_randomness(
        recipients: &[Recipient],
        mut sink: W,
        random: &mut dyn Randomness,
    ) -> Result<Self, AgeError> {
        let file_key = FileKey::generate(random).map_err(SealHeaderError::from)?;
        let nonce = draw::<NONCE>(random).map_err(SealHeaderError::from)?;
        let mut start = Header::seal(&file_key, recipients, random)?;
        start.extend_from_slice(nonce.as_ref());
        sink.write_all(&start).map_err(AgeError::Io)?;
        Ok(Self {
            sink,
            key: PayloadKey::new(&file_key, &nonce),
            commitment: file_key.commitment(&nonce),
            slots: Slots::new(),
            filled: 0,
            next: 0,
            is_broken: false,
        })
    }

    /// The public commitment to the file's key.
    pub fn key_commitment(&self) -> KeyCommitment {
        self.commitment
    }

    /// Seals from a reader until its end or `limit` bytes, without an extra copy; `seen` is shown the plaintext.
    pub fn read_from(
        &mut self,
        reader: &mut dyn Read,
        limit: u64,
        seen: &mut dyn FnMut(&[u8]),
    ) -> io::Result<u64> {
        let mut total = 0;
        while total < limit {
            // A full batch can't be sealed before it is known whether more follows.
            if self.filled == BATCH * CHUNK {
                let mut byte = [0];
                if read_some(|| reader.read(&mut byte))? == 0 {
                    break;
                }
                seen(&byte);
                self.write_all(&byte)?;
                total += 1;
                continue;
            }
            let start = self.filled;
            let mut spare = self.spare(limit - total);
            let count = read_some(|| reader.read_vectored(&mut spare))?;
            if count == 0 {
                break;
            }
            self.filled += count;
            self.slots.touch(slot_at(self.filled));
            let mut at = start;
            while at < self.filled {
                let end = self.filled.min(at - at % CHUNK + CHUNK);
                let slot = slot_at(at);
                seen(&self.slots[slot..slot + (end - at)]);
                at = end;
            }
            total += count as u64;
        }
        Ok(total)
    }

    /// Seals the last chunk and gives the sink back.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_batch(Position::Last)?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    /// The free room in the slots, at most `limit` bytes of it.
    fn spare(&mut self, limit: u64) -> Vec<IoSliceMut<'_>> {
        let mut left = usize::try_from(limit).unwrap_or(usize::MAX);
        let (first, mut skip) = (self.filled / CHUNK, self.filled % CHUNK);
        let mut out = Vec::with_capacity(BATCH - first);
        for slot in self.slots[first * SEALED_CHUNK..BATCH * SEALED_CHUNK].chunks_mut(SEALED_CHUNK) {
            let take = left.min(CHUNK - skip);
            if take == 0 {
                break;
            }
            out.push(IoSliceMut::new(&mut slot[skip..skip + take]));
            left -= take;
            skip = 0;
        }
        out
    }

    fn write_batch(&mut self, last: Position) -> io::Result<()> {
        if std::mem::replace(&mut self.is_broken, true) {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "writing the sealed file failed before"));
        }
        let chunks = self.filled.div_ceil(CHUNK).max(1);
        let used = self.filled + chunks * TAG;
        let slots = &mut self.slots[..used];
        self.key.seal_all(self.next, last, slots).map_err(AgeError::Payload)?;
        self.sink.write_all(slots)?;
        self.next += chunks as u64;
        self.filled = 0;
        self.is_broken = false;
        Ok(())
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.filled == BATCH * CHUNK {
            self.write_batch(Position::Inner)?;
        }
        let start = slot_at(self.filled);
        let count = bytes.len().min(CHUNK - self.filled % CHUNK);
        self.slots[start..start + count].copy_from_slice(&bytes[..count]);
        self.filled += count;
        self.slots.touch(slot_at(self.filled));
        Ok(count)
    }

    /// Does nothing: a chunk is sealed once it is full or the file ends.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Seals a small message.
pub fn seal_bytes(
    recipients: &[Recipient],
    plaintext: &[u8],
    random: &mut dyn Randomness,
) -> Result<Vec<u8>, AgeError> {
    let mut sealer = Sealer::with_randomness(recipients, Vec::new(), random)?;
    sealer.write_all(plaintext).map_err(AgeError::Io)?;
    sealer.finish().map_err(AgeError::Io)
}

/// Where a plaintext offset lies in the slots.
fn slot_at(plaintext: usize) -> usize {
    plaintext / CHUNK * SEALED_CHUNK + plaintext % CHUNK
}

fn read_some(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
