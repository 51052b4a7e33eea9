//! The body: segments, each with its own nonce in front, that any core opens in any order.

use super::{BodyError, ContentKeys, Crypt4ghError, EditList};
use crate::cipher::AeadKey;
pub use crate::engine::CHUNK as SEGMENT;
use crate::engine::{Cipher, Position, read_full};
use rayon::prelude::*;
use std::io::Read;
use zeroize::Zeroize;

/// Bytes of a whole segment with its nonce and tag.
pub const MAX_SEALED_SEGMENT: usize = Body::STRIDE;
/// Bytes of a segment's nonce.
pub(super) const NONCE: usize = 12;
const TAG: usize = 16;
/// Bytes that sealing adds to a segment.
const ADDED: usize = NONCE + TAG;

/// Length of a body with so many bytes of content.
pub fn sealed_body_len(content: u64) -> u64 {
    content.saturating_add(content.div_ceil(SEGMENT as u64).saturating_mul(ADDED as u64))
}

/// How many bytes a body of this length opens to, before edits.
fn opened_body_len(body: u64) -> Result<u64, BodyError> {
    let (whole, rest) = (body / Body::STRIDE as u64, body % Body::STRIDE as u64);
    match rest {
        0 => Ok(whole * SEGMENT as u64),
        // Some writers end in a segment without text; it is authentic like any other.
        rest => rest
            .checked_sub(ADDED as u64)
            .map(|rest| whole * SEGMENT as u64 + rest)
            .ok_or(BodyError::Truncated),
    }
}

/// The cipher of one body.
pub(crate) struct Body<'a> {
    keys: Vec<AeadKey>,
    edits: Option<&'a EditList>,
}

impl<'a> Body<'a> {
    pub(crate) fn new(content: &'a ContentKeys) -> Self {
        let keys = content.keys().iter().map(|key| AeadKey::new(&key.0)).collect();
        Self { keys, edits: content.edits() }
    }

    /// How many bytes of content a body of this length has.
    pub(crate) fn content_len(&self, body: u64) -> Result<u64, BodyError> {
        let opened = opened_body_len(body)?;
        Ok(self.edits.map_or(opened, |edits| edits.content_len(opened)))
    }

    /// The edits.
    pub(super) fn edits(&self) -> Option<&EditList> {
        self.edits
    }

    /// Tries the keys in the header's order, always: which of two keys opens a segment must not depend on what came before.
    fn open_segment(&self, slot: &mut [u8]) -> bool {
        let [keys @ .., last] = self.keys.as_slice() else { return false };
        if !keys.is_empty() {
            // What can't be authenticated is lost, so each but the last key gets a copy.
            let mut copy = Vec::with_capacity(slot.len());
            for key in keys {
                copy.clear();
                copy.extend_from_slice(slot);
                if open(key, &mut copy) {
                    slot.copy_from_slice(&copy);
                    copy.zeroize();
                    return true;
                }
            }
        }
        open(last, slot)
    }
}

impl Cipher for Body<'_> {
    const HEAD: usize = NONCE;
    const TAIL: usize = TAG;

    /// Seals under the first key, with the nonce that lies in the slot already.
    fn seal(&self, _: u64, _: Position, slot: &mut [u8]) {
        let Some((nonce, rest)) = slot.split_first_chunk_mut() else { return };
        let Some((text, tag)) = rest.split_last_chunk_mut() else { return };
        if let Some(key) = self.keys.first() {
            *tag = key.seal(nonce, text);
        }
    }

    /// Segments of which the edits keep nothing stay as they are.
    fn open(&self, segment: u64, _: Position, slot: &mut [u8]) -> bool {
        self.edits.is_some_and(|edits| !edits.needs(segment)) || self.open_segment(slot)
    }
}

fn open(key: &AeadKey, slot: &mut [u8]) -> bool {
    match slot.split_first_chunk_mut().map(|(nonce, rest)| (nonce, rest.split_last_chunk_mut())) {
        Some((nonce, Some((text, tag)))) => key.open(nonce, text, tag),
        _ => false,
    }
}

/// Reads the content of a body that streams by, a batch of segments at a time, opened on all cores.
///
/// Every segment is authenticated before its bytes are given, and nothing tells whether it is the right one.
pub(crate) struct BodyStream<'a, R> {
    body: Body<'a>,
    reader: R,
    batch: Box<[u8]>,
    used: usize,
    /// Number of the batch's first segment.
    first: u64,
    is_over: bool,
}

impl<'a, R: Read> BodyStream<'a, R> {
    pub(crate) fn new(content: &'a ContentKeys, reader: R) -> Self {
        let batch = vec![0; BATCH * Body::STRIDE].into();
        Self { body: Body::new(content), reader, batch, used: 0, first: 0, is_over: false }
    }

    /// Opens the next batch; false after the last.
    pub(crate) fn advance(&mut self) -> Result<bool, Crypt4ghError> {
        if self.is_over {
            return Ok(false);
        }
        self.first += self.used.div_ceil(Body::STRIDE) as u64;
        self.used = read_full(&mut self.reader, &mut self.batch).map_err(Crypt4ghError::Io)?;
        self.is_over = self.used < self.batch.len();
        let (body, first) = (&self.body, self.first);
        let bad = self.batch[..self.used].par_chunks_mut(Body::STRIDE).enumerate().find_map_first(
            |(index, slot)| {
                let segment = first + index as u64;
                if slot.len() < ADDED {
                    return Some(BodyError::Truncated);
                }
                (!body.open(segment, Position::Inner, slot)).then_some(BodyError::Segment(segment))
            },
        );
        match bad {
            Some(error) => Err(error.into()),
            None => Ok(self.used > 0),
        }
    }

    /// The content that is in this batch, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.batch[..self.used].chunks(Body::STRIDE).enumerate().flat_map(|(index, slot)| {
            let text = &slot[NONCE..slot.len() - TAG];
            let at = (self.first + index as u64).saturating_mul(SEGMENT as u64);
            kept(self.body.edits, at, text).map(|(part, _)| part)
        })
    }
}

impl<R> Drop for BodyStream<'_, R> {
    fn drop(&mut self) {
        self.batch.zeroize();
    }
}

/// What the edits keep of an opened segment at this place, each part with where it belongs in the content.
pub(super) fn kept<'t>(
    edits: Option<&EditList>,
    at: u64,
    text: &'t [u8],
) -> impl Iterator<Item = (&'t [u8], u64)> {
    let whole = edits.is_none().then_some((text, at));
    let parts = edits.into_iter().flat_map(move |edits| edits.parts(at, text.len()));
    whole.into_iter().chain(parts.map(move |part| (&text[part.range], part.at)))
}

/// Segments that are opened at a time: 4 MiB keep several cores busy and stay a constant.
const BATCH: usize = 64;

const _: () = assert!(Body::STRIDE == 65_564);
