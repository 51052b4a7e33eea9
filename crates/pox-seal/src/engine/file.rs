//! Segments of files: geometry, and the work on one segment.

use super::tree_hash::BLOCK;
use super::{CHUNK, Cipher, Piece, PieceHasher, Position, Segment};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::ops::Range;

/// A file that is being sealed: chunks from `start` on.
pub(crate) struct SealFile<'a, C> {
    pub(crate) cipher: &'a C,
    /// Where the first chunk lies in the sealed file.
    pub(crate) start: u64,
    /// Chunks of a segment.
    pub(crate) chunks: usize,
    /// Whether the sealed bytes are hashed.
    pub(crate) is_hashed: bool,
}

/// A segment after it was sealed.
pub(crate) struct SealedSegment {
    /// Where it lies in the sealed file.
    pub(crate) offset: u64,
    /// Its part in the sealed file's digest.
    pub(crate) piece: Piece,
}

impl<C: Cipher> SealFile<'_, C> {
    /// Plaintext bytes of every segment but the last.
    pub(crate) fn span(&self) -> u64 {
        (self.chunks * CHUNK) as u64
    }

    /// Makes room for a segment of so many plaintext bytes.
    pub(crate) fn place(&self, index: u64, text: usize, segment: &mut Segment) {
        let slots = text.div_ceil(CHUNK).max(1);
        segment.place(self.offset(index), text + slots * (C::STRIDE - CHUNK));
    }

    /// Seals a segment whose texts are in place, and hashes it.
    pub(crate) fn seal(&self, index: u64, is_last: bool, segment: &mut Segment) -> SealedSegment {
        let offset = self.offset(index);
        let mut hasher = PieceHasher::new(offset);
        let (first, count) = (index * self.chunks as u64, segment.len().div_ceil(C::STRIDE));
        let mut at = 0;
        for chunk in 0..count {
            let end = segment.len().min(at + C::STRIDE);
            let position = if is_last && chunk + 1 == count { Position::Last } else { Position::Inner };
            self.cipher.seal(first + chunk as u64, position, &mut segment[at..end]);
            if self.is_hashed {
                hasher.advance(&segment[..end]);
            }
            at = end;
        }
        SealedSegment { offset, piece: hasher.finish() }
    }

    fn offset(&self, index: u64) -> u64 {
        self.start + index * (self.chunks * C::STRIDE) as u64
    }
}

/// A sealed file that is being opened: chunks from `start` to the file's end.
pub(crate) struct OpenFile<'a, C> {
    pub(crate) cipher: &'a C,
    /// Where the first chunk lies in the sealed file.
    pub(crate) start: u64,
    /// The sealed file's length.
    pub(crate) len: u64,
    /// Chunks of a segment.
    pub(crate) chunks: usize,
    /// Whether the sealed bytes are hashed.
    pub(crate) is_hashed: bool,
}

impl<C: Cipher> OpenFile<'_, C> {
    /// Number of segments; at least one, since a payload has at least one chunk.
    pub(crate) fn segments(&self) -> u64 {
        self.len.saturating_sub(self.start).div_ceil(self.stride()).max(1)
    }

    /// Where a segment lies in the sealed file.
    pub(crate) fn range(&self, index: u64) -> Range<u64> {
        let start = self.start + index * self.stride();
        start..(start + self.stride()).min(self.len).max(start)
    }

    /// Where a segment's text begins in the opened file.
    pub(crate) fn text_offset(&self, index: u64) -> u64 {
        index * (self.chunks * CHUNK) as u64
    }

    /// Hashes and opens a segment that is in memory whole, in place.
    pub(crate) fn open(&self, index: u64, segment: &mut Segment) -> OpenedSegment {
        self.open_as(index, index + 1 == self.segments(), segment)
    }

    /// The same where the file's length isn't known beforehand.
    pub(crate) fn open_as(&self, index: u64, is_last: bool, segment: &mut Segment) -> OpenedSegment {
        let mut hasher = PieceHasher::new(self.start + index * self.stride());
        let edges = if self.is_hashed { hasher.edges(segment) } else { Default::default() };
        let (first, count) = (index * self.chunks as u64, segment.len().div_ceil(C::STRIDE));
        let mut bad = None;
        for chunk in 0..count {
            let at = chunk * C::STRIDE;
            let end = segment.len().min(at + C::STRIDE);
            // Opening overwrites what is hashed: every block that the chunk has a part in goes first.
            let ahead = segment.len().min(end + 2 * BLOCK);
            if self.is_hashed {
                hasher.advance(&segment[..ahead]);
            }
            let position = if is_last && chunk + 1 == count { Position::Last } else { Position::Inner };
            if bad.is_none() && !self.cipher.open(first + chunk as u64, position, &mut segment[at..end]) {
                bad = Some(first + chunk as u64);
            }
        }
        OpenedSegment { piece: hasher.finish(), edges, bad }
    }

    /// Bytes of every whole segment of the sealed file.
    pub(crate) fn stride(&self) -> u64 {
        (self.chunks * C::STRIDE) as u64
    }
}

/// A segment after it was opened, authentic or not.
pub(crate) struct OpenedSegment {
    /// Its part in the sealed file's digest, and the ciphertext at its edges.
    pub(crate) piece: Piece,
    pub(crate) edges: [Vec<u8>; 2],
    /// The first chunk that isn't authentic.
    pub(crate) bad: Option<u64>,
}

/// Reads until the buffer is full or the source ends.
pub(crate) fn read_full(reader: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads at an offset into several buffers until they are full, or the file ends; gives the number of bytes.
pub(crate) fn read_at(file: &File, mut buffers: &mut [IoSliceMut<'_>], mut offset: u64) -> io::Result<u64> {
    let start = offset;
    // Empty ones in front would look like the end.
    IoSliceMut::advance_slices(&mut buffers, 0);
    while !buffers.is_empty() {
        let most = buffers.len().min(MAX_BUFFERS);
        match rustix::io::preadv(file, &mut buffers[..most], offset) {
            Ok(0) => break,
            Ok(count) => {
                offset += count as u64;
                IoSliceMut::advance_slices(&mut buffers, count);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(offset - start)
}

/// Writes all of several buffers at an offset.
pub(crate) fn write_at(file: &File, mut buffers: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    IoSlice::advance_slices(&mut buffers, 0);
    while !buffers.is_empty() {
        let most = buffers.len().min(MAX_BUFFERS);
        match rustix::io::pwritev(file, &buffers[..most], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                offset += count as u64;
                IoSlice::advance_slices(&mut buffers, count);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Fewer than `IOV_MAX` anywhere.
const MAX_BUFFERS: usize = 512;
