//! Edit lists: which bytes of the opened body belong to the content.

use super::SEGMENT;
use std::ops::Range;

/// Most lengths in an edit list: what fits a packet of [`MAX_PACKET`](super::MAX_PACKET) bytes.
pub const MAX_EDITS: usize = 16_384;

/// An edit list is out of its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadEdits {
    /// No length at all, or more than [`MAX_EDITS`].
    #[error("an edit list without lengths, or with too many")]
    Count,
    /// The lengths add up to more bytes than a file can have.
    #[error("an edit list beyond the end of any file")]
    Overflow,
}

/// Byte counts to discard and to keep, in turn; after an odd number of them the rest is kept, after an even one discarded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EditList {
    lengths: Vec<u64>,
    /// What is kept of the opened body, in ascending order, without the parts that have no bytes.
    kept: Vec<Kept>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Kept {
    range: Range<u64>,
    /// Where it begins in the content.
    at: u64,
}

/// Some bytes of the opened body that belong to the content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    /// Where they are in the piece that was asked for.
    pub(crate) range: Range<usize>,
    /// Where they belong in the content.
    pub(crate) at: u64,
}

impl EditList {
    /// Checks a list.
    ///
    /// # Errors
    /// It is empty, too long, or counts further than a file can be.
    pub fn new(lengths: Vec<u64>) -> Result<Self, BadEdits> {
        if lengths.is_empty() || lengths.len() > MAX_EDITS {
            return Err(BadEdits::Count);
        }
        let (mut kept, mut position, mut at) = (Vec::with_capacity(lengths.len() / 2 + 1), 0u64, 0);
        for pair in lengths.chunks(2) {
            let start = position.checked_add(pair[0]).ok_or(BadEdits::Overflow)?;
            let end = match pair.get(1) {
                Some(keep) => start.checked_add(*keep).ok_or(BadEdits::Overflow)?,
                None => u64::MAX,
            };
            if start < end {
                kept.push(Kept { range: start..end, at });
            }
            at += end - start;
            position = end;
        }
        Ok(Self { lengths, kept })
    }

    /// The list as it stands in the header.
    pub fn lengths(&self) -> &[u64] {
        &self.lengths
    }

    /// How many bytes are left of an opened body of this length.
    pub fn content_len(&self, body: u64) -> u64 {
        self.kept.iter().map(|kept| kept.range.end.min(body).saturating_sub(kept.range.start)).sum()
    }

    /// Whether anything of a segment is kept. What isn't needed isn't opened: its key may have been left out on purpose.
    pub(crate) fn needs(&self, segment: u64) -> bool {
        let start = segment.saturating_mul(SEGMENT as u64);
        self.overlapping(start..start.saturating_add(SEGMENT as u64)).next().is_some()
    }

    /// What is kept of a piece that lies at this place in the opened body.
    pub(crate) fn parts(&self, offset: u64, len: usize) -> impl Iterator<Item = Part> {
        let piece = offset..offset.saturating_add(len as u64);
        self.overlapping(piece.clone()).map(move |kept| {
            let start = kept.range.start.max(piece.start);
            let end = kept.range.end.min(piece.end);
            Part {
                range: (start - piece.start) as usize..(end - piece.start) as usize,
                at: kept.at + (start - kept.range.start),
            }
        })
    }

    fn overlapping(&self, piece: Range<u64>) -> impl Iterator<Item = &Kept> {
        let first = self.kept.partition_point(|kept| kept.range.end <= piece.start);
        self.kept[first..].iter().take_while(move |kept| kept.range.start < piece.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The specification's own algorithm, word for word.
    fn naive(lengths: &[u64], body: &[u8]) -> Vec<u8> {
        let (mut out, mut position, mut rest) = (Vec::new(), 0usize, lengths.iter());
        let clip = |at: usize| at.min(body.len());
        while let Some(discard) = rest.next() {
            position += *discard as usize;
            match rest.next() {
                None => out.extend_from_slice(&body[clip(position)..]),
                Some(keep) => {
                    out.extend_from_slice(&body[clip(position)..clip(position + *keep as usize)]);
                    position += *keep as usize;
                }
            }
        }
        out
    }

    /// The same by pieces of any size, each written where it belongs.
    fn by_pieces(edits: &EditList, body: &[u8], piece: usize) -> Vec<u8> {
        let mut out = vec![0; edits.content_len(body.len() as u64) as usize];
        for (index, bytes) in body.chunks(piece).enumerate() {
            for part in edits.parts((index * piece) as u64, bytes.len()) {
                out[part.at as usize..][..part.range.len()].copy_from_slice(&bytes[part.range]);
            }
        }
        out
    }

    proptest! {
        #[test]
        fn edits_are_those_of_the_specification(
            lengths in prop::collection::vec(0u64..40, 1..12), len in 0usize..300, piece in 1usize..50,
        ) {
            let body: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let edits = EditList::new(lengths.clone()).unwrap();
            prop_assert_eq!(by_pieces(&edits, &body, piece), naive(&lengths, &body));
        }

        #[test]
        fn no_lengths_panic(lengths in prop::collection::vec(any::<u64>(), 0..6), offset: u64, len in 0usize..1000) {
            if let Ok(edits) = EditList::new(lengths) {
                edits.parts(offset, len).for_each(|part| assert!(part.range.end <= len));
                let _ = (edits.needs(offset), edits.content_len(offset));
            }
        }
    }

    #[test]
    fn the_example_of_the_specification_keeps_what_it_says() {
        let edits = EditList::new(vec![0, 7853, 71_721, 307_929, 51_299, 38]).unwrap();
        assert_eq!(edits.content_len(u64::MAX), 7853 + 307_929 + 38);
        // Its second segment is never needed: 71,721 bytes are discarded from byte 7,853 on.
        assert_eq!((edits.needs(0), edits.needs(1)), (true, true));
        assert!(!EditList::new(vec![0, 1, 200_000]).unwrap().needs(1));
    }

    #[test]
    fn lists_out_of_bounds_are_refused() {
        assert_eq!(EditList::new(vec![]), Err(BadEdits::Count));
        assert_eq!(EditList::new(vec![0; MAX_EDITS + 1]), Err(BadEdits::Count));
        assert_eq!(EditList::new(vec![u64::MAX, 1]), Err(BadEdits::Overflow));
        assert_eq!(EditList::new(vec![1, u64::MAX]), Err(BadEdits::Overflow));
        assert_eq!(EditList::new(vec![u64::MAX]).unwrap().content_len(u64::MAX), 0);
    }
}
