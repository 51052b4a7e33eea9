//! The memory that a segment is sealed or opened in, in place.

use super::{CHUNK, Cipher};
use std::io::{IoSlice, IoSliceMut};
use std::ops::{Deref, DerefMut, Range};
use zeroize::Zeroize;

/// Most bytes of a sealed chunk in any format: Crypt4GH adds 28, age 16.
pub(crate) const MAX_STRIDE: usize = CHUNK + 32;

/// Bytes of one segment of a sealed file, at an address that lies in its page as they lie in a page of the file: the
/// kernel then copies whole cache lines. Wiped when dropped.
pub(crate) struct Segment {
    bytes: Box<[u8]>,
    used: Range<usize>,
    /// How far it was ever used, so that small datasets don't pay for wiping it all.
    touched: usize,
}

impl Segment {
    pub(crate) fn new(chunks: usize) -> Self {
        Self { bytes: vec![0; chunks * MAX_STRIDE + 2 * PAGE].into(), used: 0..0, touched: 0 }
    }

    /// Makes room for bytes that lie at `offset` in a file. What was there before stays there: callers overwrite it.
    pub(crate) fn place(&mut self, offset: u64, len: usize) {
        let start = self.bytes.as_ptr().align_offset(PAGE) + (offset % PAGE as u64) as usize;
        debug_assert!(start + len <= self.bytes.len(), "a segment holds its chunks and not more");
        self.used = start..start + len;
        self.touched = self.touched.max(self.used.end);
    }

    /// Plaintext bytes of a segment that was opened.
    pub(crate) fn text_len<C: Cipher>(&self) -> usize {
        let slots = self.len().div_ceil(C::STRIDE);
        self.len().saturating_sub(slots * (C::STRIDE - CHUNK))
    }

    /// The plaintext bytes in this range of a segment that was opened, counted without what sealing added.
    pub(crate) fn opened<C: Cipher>(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> {
        let mut at = range.start;
        std::iter::from_fn(move || {
            let from = at % CHUNK;
            let count = (CHUNK - from).min(range.end.saturating_sub(at));
            let start = at / CHUNK * C::STRIDE + C::HEAD + from;
            at += count;
            (count > 0).then(|| &self[start..start + count])
        })
    }

    /// The texts of a whole segment that was opened.
    pub(crate) fn opened_texts<C: Cipher>(&self) -> Vec<IoSlice<'_>> {
        let text = |slot: &[u8]| {
            C::HEAD.min(slot.len())..slot.len().saturating_sub(C::TAIL).max(C::HEAD.min(slot.len()))
        };
        self.chunks(C::STRIDE).map(|slot| IoSlice::new(&slot[text(slot)])).collect()
    }

    /// The places of the plaintext bytes in this range, counted without what sealing adds.
    pub(crate) fn texts<C: Cipher>(&mut self, range: Range<usize>) -> Vec<IoSliceMut<'_>> {
        let mut at = range.start;
        let first = at / CHUNK;
        let mut out = Vec::with_capacity(range.len() / CHUNK + 2);
        for slot in self.chunks_mut(C::STRIDE).skip(first) {
            let from = at % CHUNK;
            let count = (CHUNK - from).min(range.end - at);
            if count == 0 {
                break;
            }
            out.push(IoSliceMut::new(&mut slot[C::HEAD + from..C::HEAD + from + count]));
            at += count;
        }
        debug_assert_eq!(at, range.end.max(range.start), "the segment has room for the range");
        out
    }
}

impl Deref for Segment {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.used.clone()]
    }
}

impl DerefMut for Segment {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.used.clone()]
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.bytes[..self.touched].zeroize();
    }
}

const PAGE: usize = 4096;
