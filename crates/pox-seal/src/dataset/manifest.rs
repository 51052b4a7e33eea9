//! The manifest: what a dataset holds, entry by entry, so that it is written and read in constant memory.
//!
//! A sequence of CBOR byte strings, each of which holds one item in canonical CBOR: a header, the entries in the order
//! of their paths, a trailer.

use super::contents::PathStep;
use super::path::{BadPath, EntryPath};
use crate::hashing::Blake3Digest;
use minicbor::{Decoder, Encoder};
use std::io::{self, Read, Write};

/// Longest item: a path and a target of 4 KiB each, and 200 bytes of the rest.
pub const MAX_ITEM: usize = 9 * 1024;

/// What a dataset is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One file: `data.age` is that file, sealed.
    File,
    /// A tree: `data.age` is a tar archive, sealed.
    Tree,
}

/// The first item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What the dataset is.
    pub kind: Kind,
}

/// Permissions and time of a file or folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meta {
    /// The nine permission bits; set-user-id and its kin are never carried.
    pub mode: u16,
    /// Modification time, seconds since 1970, UTC.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
}

/// One entry. The salt is 32 random bytes that make the commitment to this one entry hiding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A regular file.
    File {
        /// Where it lies.
        path: EntryPath,
        /// Its permissions and time.
        meta: Meta,
        /// Its length in bytes.
        size: u64,
        /// Where its content starts in the opened `data.age`.
        offset: u64,
        /// The BLAKE3 digest of its content.
        digest: Blake3Digest,
        /// The entry's salt.
        salt: [u8; 32],
    },
    /// A folder.
    Folder {
        /// Where it lies.
        path: EntryPath,
        /// Its permissions and time.
        meta: Meta,
        /// The entry's salt.
        salt: [u8; 32],
    },
    /// A symbolic link that stays inside the dataset.
    Link {
        /// Where it lies.
        path: EntryPath,
        /// What it points to.
        target: Vec<u8>,
        /// The entry's salt.
        salt: [u8; 32],
    },
}

impl Entry {
    /// Where it lies.
    pub fn path(&self) -> &EntryPath {
        match self {
            Self::File { path, .. } | Self::Folder { path, .. } | Self::Link { path, .. } => path,
        }
    }
}

/// The last item: what all entries come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trailer {
    /// Number of entries.
    pub entries: u64,
    /// Sum of the files' sizes.
    pub bytes: u64,
    /// The root over all entries.
    pub root: Root,
}

/// The root of the Merkle tree over the entries' encodings, shaped as in RFC 6962.
///
/// Public (it is the content of `ROOT`): each leaf holds a secret salt, so it tells nothing, and the owner can later
/// show one entry with its path to the root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Root(pub(crate) [u8; 32]);

impl Root {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A manifest's item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    Header(Header),
    Entry(Entry),
    Trailer(Trailer),
}

/// A manifest is malformed; its owner made it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadManifest {
    #[error("an item that isn't canonical")]
    Encoding,
    #[error("a format version that is unknown here")]
    Version,
    #[error(transparent)]
    Path(#[from] BadPath),
}

impl From<minicbor::decode::Error> for BadManifest {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Encoding
    }
}

/// Decodes one item and encodes it again: the fuzz target's way in. Gives nothing for bytes that aren't an item.
pub fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    Item::decode(bytes).ok().map(|item| item.encode())
}

impl Item {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::with_capacity(256));
        self.write(&mut encoder).expect("writing to memory can't fail");
        encoder.into_writer()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadManifest> {
        let mut decoder = Decoder::new(bytes);
        let item = Self::read(&mut decoder)?;
        // There is one encoding for each item: otherwise one dataset had many roots.
        if item.encode() == bytes { Ok(item) } else { Err(BadManifest::Encoding) }
    }

    fn write(
        &self,
        e: &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        match self {
            Self::Header(Header { kind }) => {
                e.array(4)?.u8(HEADER)?.str(MAGIC)?.u8(VERSION)?.u8(u8::from(*kind == Kind::Tree))?;
            }
            Self::Entry(Entry::File { path, meta, size, offset, digest, salt }) => {
                e.array(9)?.u8(FILE)?.bytes(path.as_bytes())?;
                meta.write(e)?;
                e.u64(*size)?.u64(*offset)?.bytes(digest.as_bytes())?.bytes(salt)?;
            }
            Self::Entry(Entry::Folder { path, meta, salt }) => {
                e.array(6)?.u8(FOLDER)?.bytes(path.as_bytes())?;
                meta.write(e)?;
                e.bytes(salt)?;
            }
            Self::Entry(Entry::Link { path, target, salt }) => {
                e.array(4)?.u8(LINK)?.bytes(path.as_bytes())?.bytes(target)?.bytes(salt)?;
            }
            Self::Trailer(Trailer { entries, bytes, root }) => {
                e.array(4)?.u8(TRAILER)?.u64(*entries)?.u64(*bytes)?.bytes(&root.0)?;
            }
        }
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, BadManifest> {
        d.array()?;
        Ok(match d.u8()? {
            HEADER => {
                if d.str()? != MAGIC || d.u8()? != VERSION {
                    return Err(BadManifest::Version);
                }
                let kind = if d.u8()? == 0 { Kind::File } else { Kind::Tree };
                Self::Header(Header { kind })
            }
            FILE => Self::Entry(Entry::File {
                path: read_path(d)?,
                meta: Meta::read(d)?,
                size: d.u64()?,
                offset: d.u64()?,
                digest: array(d)?.into(),
                salt: array(d)?,
            }),
            FOLDER => {
                Self::Entry(Entry::Folder { path: read_path(d)?, meta: Meta::read(d)?, salt: array(d)? })
            }
            LINK => {
                let path = read_path(d)?;
                let target = d.bytes()?.to_vec();
                path.check_target(&target)?;
                Self::Entry(Entry::Link { path, target, salt: array(d)? })
            }
            TRAILER => Self::Trailer(Trailer { entries: d.u64()?, bytes: d.u64()?, root: Root(array(d)?) }),
            _ => return Err(BadManifest::Encoding),
        })
    }
}

impl Meta {
    fn write(
        &self,
        e: &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        e.u16(self.mode)?.i64(self.seconds)?.u32(self.nanoseconds)?;
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, BadManifest> {
        let meta = Self { mode: d.u16()?, seconds: d.i64()?, nanoseconds: d.u32()? };
        match meta.mode <= 0o777 && meta.nanoseconds < 1_000_000_000 {
            true => Ok(meta),
            false => Err(BadManifest::Encoding),
        }
    }
}

fn read_path(d: &mut Decoder<'_>) -> Result<EntryPath, BadManifest> {
    Ok(EntryPath::new(d.bytes()?.to_vec())?)
}

fn array(d: &mut Decoder<'_>) -> Result<[u8; 32], BadManifest> {
    d.bytes()?.try_into().map_err(|_| BadManifest::Encoding)
}

/// Writes one item behind its length.
pub(crate) fn write_item(sink: &mut impl Write, item: &[u8]) -> io::Result<()> {
    let mut head = Encoder::new(Vec::with_capacity(5));
    head.bytes_len(item.len() as u64).expect("writing to memory can't fail");
    sink.write_all(&head.into_writer())?;
    sink.write_all(item)
}

/// Reads one item's bytes; `None` if its length isn't canonical or over [`MAX_ITEM`].
pub(crate) fn read_item(source: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; 3];
    source.read_exact(&mut head[..1])?;
    let more = match head[0] {
        0x40..=0x57 => 0,
        0x58 => 1,
        0x59 => 2,
        _ => return Ok(None),
    };
    source.read_exact(&mut head[1..1 + more])?;
    let len = match more {
        0 => usize::from(head[0] - 0x40),
        1 => usize::from(head[1]),
        _ => usize::from(u16::from_be_bytes([head[1], head[2]])),
    };
    let shortest = [0, 24, 256][more];
    if len < shortest || len > MAX_ITEM {
        return Ok(None);
    }
    let mut item = vec![0; len];
    source.read_exact(&mut item)?;
    Ok(Some(item))
}

/// Computes a [`Root`] from entries as they come, holding one digest per level.
#[derive(Default)]
pub(crate) struct RootBuilder {
    /// Complete subtrees from left to right, each with its number of leaves.
    subtrees: Vec<(u64, [u8; 32])>,
}

impl RootBuilder {
    /// Adds an entry's encoding.
    pub(crate) fn push(&mut self, item: &[u8]) {
        let mut node = (1, leaf(item));
        while let Some(&(size, left)) = self.subtrees.last()
            && size == node.0
        {
            self.subtrees.pop();
            node = (size * 2, join(&left, &node.1));
        }
        self.subtrees.push(node);
    }

    pub(crate) fn finish(self) -> Root {
        let mut subtrees = self.subtrees.into_iter().rev().map(|(_, digest)| digest);
        let last = subtrees.next().unwrap_or_else(|| leaf(b""));
        Root(subtrees.fold(last, |right, left| join(&left, &right)))
    }
}

/// Computes a [`Root`], and the way to it from each leaf that is chosen when it comes.
#[derive(Default)]
pub(crate) struct PathsBuilder {
    /// As in [`RootBuilder`], with the chosen leaves that a subtree holds.
    subtrees: Vec<(u64, [u8; 32], Vec<usize>)>,
    paths: Vec<Vec<PathStep>>,
}

impl PathsBuilder {
    /// Adds an entry's encoding.
    pub(crate) fn push(&mut self, item: &[u8], is_chosen: bool) {
        let mut node = (1, leaf(item), Vec::new());
        if is_chosen {
            node.2.push(self.paths.len());
            self.paths.push(Vec::new());
        }
        while let Some(left) = self.subtrees.pop_if(|(size, ..)| *size == node.0) {
            node = self.join(left, node);
        }
        self.subtrees.push(node);
    }

    /// The root, and the paths in the order of the leaves, each from the leaf's sibling on.
    pub(crate) fn finish(mut self) -> (Root, Vec<Vec<PathStep>>) {
        let mut last = self.subtrees.pop().unwrap_or_else(|| (0, leaf(b""), Vec::new()));
        while let Some(left) = self.subtrees.pop() {
            last = self.join(left, last);
        }
        (Root(last.1), self.paths)
    }

    fn join(
        &mut self,
        (left_size, left, mut chosen): (u64, [u8; 32], Vec<usize>),
        (right_size, right, on_the_right): (u64, [u8; 32], Vec<usize>),
    ) -> (u64, [u8; 32], Vec<usize>) {
        chosen.iter().for_each(|at| self.paths[*at].push(PathStep::Right(right)));
        on_the_right.iter().for_each(|at| self.paths[*at].push(PathStep::Left(left)));
        chosen.extend(on_the_right);
        (left_size + right_size, join(&left, &right), chosen)
    }
}

fn leaf(item: &[u8]) -> [u8; 32] {
    blake3::derive_key("pox dataset entry v1", item)
}

fn join(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("pox dataset node v1", [*left, *right].as_flattened())
}

const MAGIC: &str = "pox-manifest";
const VERSION: u8 = 1;
const FILE: u8 = 0;
const FOLDER: u8 = 1;
const LINK: u8 = 2;
const HEADER: u8 = 16;
const TRAILER: u8 = 17;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive_root(leaves: &[[u8; 32]]) -> [u8; 32] {
        match leaves {
            [one] => *one,
            more => {
                let (left, right) = more.split_at(more.len().next_power_of_two() / 2);
                join(&naive_root(left), &naive_root(right))
            }
        }
    }

    #[test]
    fn the_root_is_that_of_rfc_6962() {
        for count in 1..70u8 {
            let mut builder = RootBuilder::default();
            let leaves: Vec<_> = (0..count).map(|at| leaf(&[at])).collect();
            (0..count).for_each(|at| builder.push(&[at]));
            assert_eq!(builder.finish().0, naive_root(&leaves), "{count}");
        }
    }

    #[test]
    fn every_leaf_has_its_path_to_the_root() {
        for count in 1..40u8 {
            let (mut builder, mut paths) = (RootBuilder::default(), PathsBuilder::default());
            (0..count).for_each(|at| builder.push(&[at]));
            (0..count).for_each(|at| paths.push(&[at], at % 3 != 1));
            let (root, paths) = paths.finish();
            assert_eq!(root, builder.finish());
            for (at, path) in (0..count).filter(|at| at % 3 != 1).zip(paths) {
                let reached = path.iter().fold(leaf(&[at]), |node, step| match step {
                    PathStep::Left(left) => join(left, &node),
                    PathStep::Right(right) => join(&node, right),
                });
                assert_eq!(reached, root.0, "{at} of {count}");
            }
        }
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let path = "[a-z ]{1,20}(/[a-z.]{4,20}){0,3}"
            .prop_map(|path| EntryPath::new(path.into_bytes()).expect("the pattern gives plain paths"));
        let meta = (0..=0o777u16, any::<i64>(), 0..1_000_000_000u32)
            .prop_map(|(mode, seconds, nanoseconds)| Meta { mode, seconds, nanoseconds });
        (path, meta, any::<(u64, u64, [u8; 32], [u8; 32])>(), 0..3).prop_map(
            |(path, meta, (size, offset, digest, salt), kind)| match kind {
                0 => Entry::File { path, meta, size, offset, digest: digest.into(), salt },
                1 => Entry::Folder { path, meta, salt },
                _ => Entry::Link { path, target: b"some/where".to_vec(), salt },
            },
        )
    }

    proptest! {
        #[test]
        fn items_round_trip(entry in entry()) {
            let item = Item::Entry(entry);
            prop_assert_eq!(Item::decode(&item.encode()), Ok(item));
        }

        #[test]
        fn what_decodes_is_canonical(entry in entry(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = Item::Entry(entry).encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(item) = Item::decode(&bytes) {
                prop_assert_eq!(item.encode(), bytes);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Item::decode(&bytes);
            let _ = read_item(&mut &bytes[..]);
        }
    }
}
