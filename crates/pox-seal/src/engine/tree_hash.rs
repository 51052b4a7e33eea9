//! BLAKE3 of bytes that several cores hash piece by piece, with the root that `b3sum` prints.
//!
//! Workers reduce the blocks that lie whole within their piece to chaining values ([`Piece`]); the pieces are then put
//! together in order ([`TreeHash`]). What a `TreeHash` holds is small and can be kept, so that hashing goes on after an
//! interruption without reading anything twice.

use crate::hashing::Blake3Digest;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Bytes of a block, a power of two: large enough that the compression functions run side by side, and small enough
/// that a block is still in a core's cache after it was sealed.
pub(crate) const BLOCK: usize = 64 * 1024;

/// Some of the bytes of a longer sequence, as a worker leaves them: blocks reduced to chaining values, and the bytes
/// before and after them, which share their blocks with the neighbours.
///
/// The last block is never reduced: it may turn out to be the sequence's last, which is hashed in another way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Bytes before the first whole block.
    head: usize,
    values: Vec<ChainingValue>,
}

/// Reduces the blocks of one piece while it is produced.
#[derive(Debug)]
pub(crate) struct PieceHasher {
    /// Where the piece begins in the sequence.
    offset: u64,
    piece: Piece,
}

impl PieceHasher {
    pub(crate) fn new(offset: u64) -> Self {
        let head = (offset.next_multiple_of(BLOCK as u64) - offset) as usize;
        Self { offset, piece: Piece { head, values: Vec::new() } }
    }

    /// Hashes what is complete of the piece so far; `done` is everything from the piece's first byte.
    pub(crate) fn advance(&mut self, done: &[u8]) {
        loop {
            let start = self.piece.head + self.piece.values.len() * BLOCK;
            // One byte more, so that the last block stays.
            if done.len() <= start + BLOCK {
                return;
            }
            let block = &done[start..start + BLOCK];
            self.piece.values.push(value(self.offset + start as u64, block));
        }
    }

    /// Copies the edges of the whole piece, for who overwrites it meanwhile.
    pub(crate) fn edges(&self, bytes: &[u8]) -> [Vec<u8>; 2] {
        let head = self.piece.head.min(bytes.len());
        let blocks = (bytes.len() - head).saturating_sub(1) / BLOCK;
        [bytes[..head].to_vec(), bytes[head + blocks * BLOCK..].to_vec()]
    }

    pub(crate) fn finish(self) -> Piece {
        self.piece
    }
}

impl Piece {
    /// Reduces a piece that lies in memory whole.
    #[cfg(test)]
    fn of(offset: u64, bytes: &[u8]) -> Self {
        let mut hasher = PieceHasher::new(offset);
        hasher.advance(bytes);
        hasher.finish()
    }

    /// Reduces a piece that lies in memory in slices; gives its edges too.
    pub(crate) fn of_slices(offset: u64, slices: &[&[u8]]) -> (Self, [Vec<u8>; 2]) {
        let Self { head, mut values } = PieceHasher::new(offset).piece;
        let mut left = slices.iter().map(|slice| slice.len()).sum::<usize>();
        let mut slices = slices.iter().copied();
        let mut slice: &[u8] = &[];
        let mut take = |mut count: usize, each: &mut dyn FnMut(&[u8])| {
            while count > 0 {
                while slice.is_empty() {
                    slice = slices.next().expect("as many bytes are taken as there are");
                }
                let (now, later) = slice.split_at(slice.len().min(count));
                each(now);
                count -= now.len();
                slice = later;
            }
        };
        let (mut before, mut after) = (Vec::new(), Vec::new());
        take(head.min(left), &mut |bytes| before.extend_from_slice(bytes));
        left -= before.len();
        let mut at = offset + head as u64;
        while left > BLOCK {
            let mut hasher = blake3::Hasher::new();
            hasher.set_input_offset(at);
            take(BLOCK, &mut |bytes| {
                hasher.update(bytes);
            });
            values.push(hasher.finalize_non_root());
            (at, left) = (at + BLOCK as u64, left - BLOCK);
        }
        take(left, &mut |bytes| after.extend_from_slice(bytes));
        (Self { head, values }, [before, after])
    }

    /// The bytes of the whole piece that aren't reduced: before and after the blocks.
    pub(crate) fn edges<'a>(&self, bytes: &'a [u8]) -> [&'a [u8]; 2] {
        let head = self.head.min(bytes.len());
        [&bytes[..head], &bytes[head + self.values.len() * BLOCK..]]
    }
}

/// Hashes a sequence of which the pieces come in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TreeHash {
    /// Roots of whole subtrees from left to right, each with its number of blocks, a power of two; each smaller than
    /// the one before.
    subtrees: Vec<(u64, ChainingValue)>,
    /// The bytes after them: at least one unless nothing was hashed, and at most a block.
    rest: Vec<u8>,
}

impl TreeHash {
    /// Number of bytes hashed so far.
    pub(crate) fn len(&self) -> u64 {
        self.subtrees.iter().map(|(blocks, _)| blocks).sum::<u64>() * BLOCK as u64 + self.rest.len() as u64
    }

    /// Hashes the next bytes.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.rest.len() == BLOCK {
                self.reduce();
            }
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.rest.len()));
            self.rest.extend_from_slice(now);
            bytes = later;
        }
    }

    /// Takes the next piece with its edges; it must begin where the last one ended.
    pub(crate) fn append(&mut self, piece: &Piece, [before, after]: [&[u8]; 2]) {
        self.update(before);
        if !piece.values.is_empty() {
            if !self.rest.is_empty() {
                self.reduce();
            }
            piece.values.iter().for_each(|value| self.push(*value));
        }
        self.update(after);
    }

    /// The digest of everything so far.
    pub(crate) fn digest(&self) -> Blake3Digest {
        let Some(((_, first), more)) = self.subtrees.split_first() else {
            return Blake3Digest::of(&self.rest);
        };
        let start = self.len() - self.rest.len() as u64;
        let mut right = value(start, &self.rest);
        for (_, left) in more.iter().rev() {
            right = merge_subtrees_non_root(left, &right, Mode::Hash);
        }
        Blake3Digest(merge_subtrees_root(first, &right, Mode::Hash).into())
    }

    /// What has to be kept to go on later.
    pub(crate) fn parts(&self) -> (&[(u64, ChainingValue)], &[u8]) {
        (&self.subtrees, &self.rest)
    }

    /// Goes on from what was kept; `None` if no sequence of bytes leads there.
    pub(crate) fn from_parts(subtrees: Vec<(u64, ChainingValue)>, rest: Vec<u8>) -> Option<Self> {
        let shrinks = subtrees.windows(2).all(|pair| pair[0].0 > pair[1].0);
        let powers = subtrees.iter().all(|(blocks, _)| blocks.is_power_of_two() && *blocks <= MAX_SUBTREE);
        let filled = rest.len() <= BLOCK && (subtrees.is_empty() || !rest.is_empty());
        (shrinks && powers && filled).then_some(Self { subtrees, rest })
    }

    /// Turns the full block in `rest` into a chaining value: more bytes follow, so it isn't the last.
    fn reduce(&mut self) {
        debug_assert_eq!(self.rest.len(), BLOCK);
        let start = self.len() - BLOCK as u64;
        let value = value(start, &self.rest);
        self.rest.clear();
        self.push(value);
    }

    /// Adds a block's value and joins what is whole. That is right before the sequence's end is known, since bytes
    /// follow: BLAKE3's left subtrees are whole and as large as they can be.
    fn push(&mut self, value: ChainingValue) {
        let mut node = (1, value);
        while let Some((blocks, left)) = self.subtrees.pop_if(|(blocks, _)| *blocks == node.0) {
            node = (blocks * 2, merge_subtrees_non_root(&left, &node.1, Mode::Hash));
        }
        self.subtrees.push(node);
    }
}

/// The chaining value of a subtree of at most one block, which starts at a whole number of blocks.
fn value(offset: u64, block: &[u8]) -> ChainingValue {
    debug_assert!(offset.is_multiple_of(BLOCK as u64) && !block.is_empty() && block.len() <= BLOCK);
    blake3::Hasher::new().set_input_offset(offset).update(block).finalize_non_root()
}

/// More blocks than the longest sequence has: 2^64 bytes.
const MAX_SUBTREE: u64 = u64::MAX / BLOCK as u64;

const _: () = assert!(BLOCK.is_power_of_two() && BLOCK.is_multiple_of(blake3::CHUNK_LEN));

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at ^ (at >> 7) ^ (at >> 13)) as u8).collect()
    }

    #[test]
    fn the_root_is_that_of_b3sum_at_every_boundary() {
        let all = bytes(9 * BLOCK + 2);
        for near in (0..=9).map(|blocks| blocks * BLOCK) {
            for len in near.saturating_sub(1)..=near + 1 {
                let mut at_once = TreeHash::default();
                let piece = Piece::of(0, &all[..len]);
                at_once.append(&piece, piece.edges(&all[..len]));
                assert_eq!(at_once.digest(), Blake3Digest::of(&all[..len]), "{len}");
                assert_eq!(at_once.len(), len as u64);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn pieces_of_any_size_come_to_the_same(cuts in prop::collection::vec((0usize..400_000, any::<bool>()), 0..12)) {
            let all = bytes(cuts.iter().map(|(len, _)| len).sum());
            let (mut hash, mut at) = (TreeHash::default(), 0);
            for (len, whole) in cuts {
                let bytes = &all[at..at + len];
                if whole {
                    let piece = Piece::of(at as u64, bytes);
                    hash.append(&piece, piece.edges(bytes));
                    let middle = len / 3;
                    let (same, edges) = Piece::of_slices(at as u64, &[&bytes[..middle], &[], &bytes[middle..]]);
                    prop_assert_eq!(same.edges(bytes), [&edges[0][..], &edges[1][..]]);
                    prop_assert_eq!(same, piece);
                } else {
                    hash.update(bytes);
                }
                at += len;
                let (subtrees, rest) = hash.parts();
                hash = TreeHash::from_parts(subtrees.to_vec(), rest.to_vec()).expect("a state that was reached");
                prop_assert_eq!(hash.len(), at as u64);
            }
            prop_assert_eq!(hash.digest(), Blake3Digest::of(&all));
        }
    }

    #[test]
    fn states_that_no_bytes_lead_to_are_refused() {
        let value = [0; 32];
        assert!(TreeHash::from_parts(vec![(2, value), (1, value)], vec![0]).is_some());
        for (subtrees, rest) in [
            (vec![(1, value), (2, value)], vec![0]),
            (vec![(2, value), (2, value)], vec![0]),
            (vec![(3, value)], vec![0]),
            (vec![(2, value)], vec![]),
            (vec![], vec![0; BLOCK + 1]),
        ] {
            assert_eq!(TreeHash::from_parts(subtrees, rest), None);
        }
    }
}
