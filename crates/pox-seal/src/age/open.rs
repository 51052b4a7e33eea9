//! Opening a stream.

use super::header::Header;
use super::payload::{BATCH, NONCE, PayloadKey, SEALED_CHUNK, Slots, TAG};
use super::{AgeError, HeaderError, PayloadError};
use crate::engine::Position;
use crate::keys::{FileKey, Identity, KeyCommitment};
use std::io::{self, BufRead, Read};
use zeroize::Zeroizing;

/// A sealed file of which header and payload nonce are read, and nothing else yet.
pub struct Locked<R> {
    header: Header,
    nonce: [u8; NONCE],
    start: u64,
    reader: R,
}

impl<R: BufRead> Locked<R> {
    /// Reads the header and the nonce behind it.
    pub fn read(mut reader: R) -> Result<Self, AgeError> {
        let (header, len) = Header::read(&mut reader)?;
        let mut nonce = [0; NONCE];
        reader.read_exact(&mut nonce).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => HeaderError::Truncated.into(),
            _ => AgeError::Io(error),
        })?;
        Ok(Self { header, nonce, start: len + NONCE as u64, reader })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Unwraps the file key with the first identity that can, and checks the header with it.
    pub fn file_key(&self, identities: &[Identity]) -> Result<FileKey, AgeError> {
        self.header.unlock(identities)
    }

    /// The public commitment that this key would have for this file.
    pub fn key_commitment(&self, key: &FileKey) -> KeyCommitment {
        key.commitment(&self.nonce)
    }

    /// Checks the header with the key, and gives the payload's key.
    pub(crate) fn payload_key(&self, key: &FileKey) -> Result<PayloadKey, AgeError> {
        self.header.check(key)?;
        Ok(PayloadKey::new(key, &self.nonce))
    }

    /// Where a chunk starts, in bytes from the file's first.
    pub fn chunk_offset(&self, chunk: u64) -> u64 {
        self.start + chunk * SEALED_CHUNK as u64
    }

    /// Checks the header with the key, and goes on to the payload.
    pub fn open(self, key: &FileKey) -> Result<Opener<R>, AgeError> {
        self.header.check(key)?;
        Ok(Opener::new(PayloadKey::new(key, &self.nonce), 0, self.reader))
    }

    /// Checks the header with the key, and opens from the middle: `reader` starts at [`chunk_offset`] of `first`.
    ///
    /// The reader may end at the end of any chunk. What comes before that end is authentic; an error follows it, unless
    /// it was the file's own end.
    ///
    /// [`chunk_offset`]: Self::chunk_offset
    pub fn open_at<S: Read>(&self, key: &FileKey, first: u64, reader: S) -> Result<Opener<S>, AgeError> {
        self.header.check(key)?;
        Ok(Opener::new(PayloadKey::new(key, &self.nonce), first, reader))
    }
}

/// Reads the plaintext of a sealed file.
///
/// No byte is released before its chunk is authenticated, but chunks are released before the file's end is seen:
/// whoever can't bear a truncated file must read to the end before using anything. Errors of the format arrive as
/// [`AgeError`] inside [`io::Error`]; see [`AgeError::from`].
pub struct Opener<R> {
    key: PayloadKey,
    reader: R,
    /// One batch, and the byte that tells whether more follows.
    slots: Slots,
    /// Bytes in the slots that aren't opened yet: none, or the byte that followed the last batch.
    ahead: usize,
    /// Plaintext in the slots, one length for each good chunk.
    good: Vec<usize>,
    /// The next chunk to release, and how much of it is released.
    at: (usize, usize),
    /// Number of the next batch's first chunk.
    next: u64,
    state: State,
}

enum State {
    More,
    Failed(PayloadError),
    End,
}

impl<R: Read> Opener<R> {
    fn new(key: PayloadKey, first: u64, reader: R) -> Self {
        Self {
            key,
            reader,
            slots: Slots::new(),
            ahead: 0,
            good: Vec::new(),
            at: (0, 0),
            next: first,
            state: State::More,
        }
    }

    /// The reader under it; after a failure, what the opener hasn't consumed is still there.
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// Opens the next batch.
    fn refill(&mut self) -> io::Result<()> {
        let mut filled = self.ahead;
        while filled < self.slots.len() {
            match self.reader.read(&mut self.slots[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // What was read stays, so that a caller may try again.
                    self.ahead = filled;
                    return Err(error);
                }
            }
        }
        let is_end = filled < self.slots.len();
        let used = filled - usize::from(!is_end);
        let last = if is_end { Position::Last } else { Position::Inner };
        self.slots.touch(filled);

        let first = self.next;
        let (mut good, mut error) = match used {
            0 => (0, Some(PayloadError::Truncated)),
            _ => self.key.open_all(first, last, &mut self.slots[..used]),
        };
        let lengths = self.slots[..used].chunks(SEALED_CHUNK).map(|slot| slot.len().saturating_sub(TAG));
        self.good.clear();
        self.good.extend(lengths.take(good));
        if let Some(0) = self.good.last()
            && first + good as u64 > 1
        {
            good -= 1;
            self.good.truncate(good);
            error = Some(PayloadError::EmptyChunk);
        }
        self.at = (0, 0);
        self.next += good as u64;
        self.state = match error {
            Some(error) => State::Failed(error),
            None if is_end => State::End,
            None => State::More,
        };
        self.ahead = usize::from(!is_end);
        Ok(())
    }
}

impl<R: Read> BufRead for Opener<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        loop {
            while let Some(&len) = self.good.get(self.at.0) {
                if self.at.1 < len {
                    let start = self.at.0 * SEALED_CHUNK;
                    return Ok(&self.slots[start + self.at.1..start + len]);
                }
                self.at = (self.at.0 + 1, 0);
            }
            match self.state {
                State::End => return Ok(&[]),
                State::Failed(error) => return Err(AgeError::Payload(error).into()),
                State::More => {}
            }
            if !self.good.is_empty() {
                // All is released: the byte that was read ahead moves to the front.
                self.slots[0] = self.slots[BATCH * SEALED_CHUNK];
                self.good.clear();
            }
            self.refill()?;
        }
    }

    fn consume(&mut self, count: usize) {
        self.at.1 += count;
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(out.len());
        out[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// Opens a small message of at most `max` plaintext bytes.
pub fn open_bytes(
    identities: &[Identity],
    sealed: &[u8],
    max: usize,
) -> Result<Zeroizing<Vec<u8>>, AgeError> {
    let locked = Locked::read(sealed)?;
    let key = locked.file_key(identities)?;
    let mut opener = locked.open(&key)?;
    let mut out = Zeroizing::new(Vec::new());
    loop {
        let ready = opener.fill_buf().map_err(AgeError::from)?;
        if ready.is_empty() {
            return Ok(out);
        }
        if ready.len() > max - out.len() {
            return Err(AgeError::TooLarge);
        }
        out.extend_from_slice(ready);
        let count = ready.len();
        opener.consume(count);
    }
}
