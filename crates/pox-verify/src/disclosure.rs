//! Disclosures (spec §12.7): some files of a sealed dataset, shown to belong to it without showing the others.
//!
//! [`Disclosure::verify`] goes from the entries up to the root that the dataset's public `ROOT` has, and from there to the
//! dataset's commitment, which a proof of a task can name. What it shows is that whoever sealed the dataset put a file of this
//! path, size and digest into it. Whether that file's content is what the digest says is for who holds the content to compare
//! ([`ContentHasher`]); and that the sealed data holds it too shows only to who opens the dataset.

use crate::facts::Facts;
use alloy_primitives::B256;
use pox_core::{CodecError, DatasetCommitment, from_canonical, to_canonical};
use sha2::{Digest as _, Sha256};

/// First bytes of a disclosure.
pub const MAGIC: &[u8; 18] = b"pox-disclosure-v1\n";
/// Largest disclosure.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Most files in one.
pub const MAX_FILES: usize = 64;
/// Longest path to a root: no tree of entries is as deep.
pub const MAX_STEPS: usize = 64;
/// Longest entry.
pub const MAX_ENTRY: usize = 9 * 1024;
/// Longest `B3SUMS`.
pub const MAX_INDEX: usize = 64 * (64 + 2 + 64 + 1);

/// A disclosure that is parsed, and of which nothing is believed yet.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Disclosure {
    /// The dataset's `B3SUMS`: its SHA-256 is the commitment.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub index: Vec<u8>,
    /// The entries that are shown, in ascending order of their paths.
    #[n(1)]
    pub entries: Vec<Entry>,
}

/// An entry and its way to the root.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct Entry {
    /// The entry as it is in the manifest, salt and all.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub entry: Vec<u8>,
    /// The siblings from the leaf's to the root's child.
    #[n(1)]
    pub path: Vec<Step>,
}

/// One sibling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct Step {
    /// Where it stands.
    #[n(0)]
    pub side: Side,
    /// Its hash.
    #[cbor(n(1), with = "pox_core::bytes::word")]
    pub hash: B256,
}

/// Where a sibling stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Side {
    /// On the left.
    #[n(0)]
    Left,
    /// On the right.
    #[n(1)]
    Right,
}

/// What a disclosure shows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Shown {
    /// The dataset that the files belong to; whether it is the right one is the caller's to compare.
    pub commitment: DatasetCommitment,
    /// The files, in ascending order of their paths.
    pub files: Vec<ShownFile>,
}

/// A file that belongs to a dataset.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ShownFile {
    /// Its path's bytes: relative, within the dataset, not necessarily text.
    #[serde(serialize_with = "escaped")]
    pub path: Vec<u8>,
    /// Its length in bytes.
    pub size: u64,
    /// BLAKE3 of its content.
    pub blake3: B256,
    /// Its permissions.
    pub mode: u16,
    /// When it was last changed, seconds since 1970, as its owner's machine had it.
    pub modified: i64,
}

/// What a dataset was to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It came out.
    Result,
    /// It went in, at this position.
    Input(usize),
}

/// A disclosure shows nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDisclosure {
    /// It doesn't begin as one.
    #[error("this is no disclosure")]
    NotADisclosure,
    /// It is longer, or has more parts, than any.
    #[error("larger than a disclosure can be")]
    TooLarge,
    /// It isn't in its one form.
    #[error("malformed: {0}")]
    Malformed(#[from] CodecError),
    /// Its `B3SUMS` isn't a dataset's, or has no root.
    #[error("its B3SUMS is not that of a dataset with a root")]
    Index,
    /// It shows no file, or some twice or out of order.
    #[error("it shows no file, or files twice or out of order")]
    Order,
    /// An entry isn't that of a file in its one form.
    #[error("file {0} of it is not an entry of a manifest")]
    Entry(usize),
    /// An entry doesn't lead to the dataset's root: salt, path, size, digest, position or dataset is another.
    #[error("file {0} of it does not belong to the dataset")]
    OtherRoot(usize),
}

/// Content that isn't a shown file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OtherContent {
    /// Another length.
    #[error("the content has {0} bytes, not {1}")]
    Size(u64, u64),
    /// The same length, and other bytes.
    #[error("the content has another BLAKE3 digest")]
    Digest,
}

impl Disclosure {
    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        [MAGIC.as_slice(), &to_canonical(self)].concat()
    }

    /// Parses a file, within its bounds.
    ///
    /// # Errors
    /// It is no disclosure, too large, or not in its one form.
    pub fn parse(file: &[u8]) -> Result<Self, BadDisclosure> {
        let body = file.strip_prefix(MAGIC).ok_or(BadDisclosure::NotADisclosure)?;
        if file.len() > MAX_BYTES {
            return Err(BadDisclosure::TooLarge);
        }
        let disclosure: Self = from_canonical(body, MAX_BYTES)?;
        let is_bounded = |entry: &Entry| entry.entry.len() <= MAX_ENTRY && entry.path.len() <= MAX_STEPS;
        let entries = &disclosure.entries;
        let fits = disclosure.index.len() <= MAX_INDEX && entries.len() <= MAX_FILES;
        if fits && entries.iter().all(is_bounded) { Ok(disclosure) } else { Err(BadDisclosure::TooLarge) }
    }

    /// Follows each entry to the root, and the root to the commitment.
    ///
    /// # Errors
    /// An entry is malformed, out of order, or doesn't lead there.
    pub fn verify(&self) -> Result<Shown, BadDisclosure> {
        let root_file = digest_of(&self.index, "ROOT").ok_or(BadDisclosure::Index)?;
        let mut files = Vec::with_capacity(self.entries.len());
        for (number, entry) in self.entries.iter().enumerate() {
            let file = ShownFile::parse(&entry.entry).ok_or(BadDisclosure::Entry(number))?;
            // `ROOT` is public and has one form, so its digest in `B3SUMS` stands for the root.
            let text = format!("{}\n", hex::encode(entry.root()));
            if B256::from(*blake3::hash(text.as_bytes()).as_bytes()) != root_file {
                return Err(BadDisclosure::OtherRoot(number));
            }
            files.push(file);
        }
        let ascends = |pair: &[ShownFile]| components(&pair[0].path).lt(components(&pair[1].path));
        if files.is_empty() || !files.windows(2).all(ascends) {
            return Err(BadDisclosure::Order);
        }
        let commitment = DatasetCommitment::from(<[u8; 32]>::from(Sha256::digest(&self.index)));
        Ok(Shown { commitment, files })
    }
}

impl Entry {
    fn root(&self) -> B256 {
        let leaf = blake3::derive_key("pox dataset entry v1", &self.entry);
        let node = |left: [u8; 32], right: [u8; 32]| {
            blake3::derive_key("pox dataset node v1", [left, right].as_flattened())
        };
        B256::from(self.path.iter().fold(leaf, |reached, step| match step.side {
            Side::Left => node(step.hash.0, reached),
            Side::Right => node(reached, step.hash.0),
        }))
    }
}

impl Shown {
    /// What this dataset was to a proven task.
    pub fn role(&self, facts: &Facts) -> Option<Role> {
        let results = !facts.results.is_zero() && facts.results.as_bytes() == self.commitment.as_bytes();
        let input = || facts.inputs.iter().position(|input| *input == self.commitment).map(Role::Input);
        if results { Some(Role::Result) } else { input() }
    }
}

/// An entry as the manifest has it: `[0, path, mode, seconds, nanoseconds, size, offset, BLAKE3, salt]`.
#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct FileEntry {
    #[n(0)]
    kind: u8,
    #[cbor(n(1), with = "minicbor::bytes")]
    path: Vec<u8>,
    #[n(2)]
    mode: u16,
    #[n(3)]
    seconds: i64,
    #[n(4)]
    nanoseconds: u32,
    #[n(5)]
    size: u64,
    #[n(6)]
    offset: u64,
    #[cbor(n(7), with = "pox_core::bytes::word")]
    digest: B256,
    #[cbor(n(8), with = "pox_core::bytes::word")]
    salt: B256,
}

impl ShownFile {
    fn parse(entry: &[u8]) -> Option<Self> {
        let FileEntry { kind, path, mode, seconds, nanoseconds, size, digest, .. } =
            from_canonical(entry, MAX_ENTRY).ok()?;
        let is_sound = kind == 0 && mode <= 0o777 && nanoseconds < 1_000_000_000 && is_plain(&path);
        is_sound.then_some(Self { path, size, blake3: digest, mode, modified: seconds })
    }

    /// The path as text; what a terminal could take for a command, and what isn't text, is escaped.
    pub fn shown_path(&self) -> String {
        match std::str::from_utf8(&self.path) {
            Ok(text) if !text.contains(char::is_control) => text.to_owned(),
            _ => self.path.escape_ascii().to_string(),
        }
    }
}

/// Compares content with a shown file, piece by piece.
#[derive(Debug, Clone, Default)]
pub struct ContentHasher {
    hasher: blake3::Hasher,
    len: u64,
}

impl ContentHasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.len = self.len.saturating_add(bytes.len() as u64);
    }

    /// Whether all that was taken is the file's content.
    ///
    /// # Errors
    /// It isn't.
    pub fn compare(&self, file: &ShownFile) -> Result<(), OtherContent> {
        if self.len != file.size {
            return Err(OtherContent::Size(self.len, file.size));
        }
        let found = B256::from(*self.hasher.finalize().as_bytes());
        if found == file.blake3 { Ok(()) } else { Err(OtherContent::Digest) }
    }
}

/// The digest that a `B3SUMS` in its one form has of a file: lines `<64 hexadecimal digits>  <name>`, ascending by name.
fn digest_of(index: &[u8], name: &str) -> Option<B256> {
    let text = std::str::from_utf8(index).ok().filter(|text| text.ends_with('\n'))?;
    let (mut last, mut found) = ("", None);
    for line in text.split_terminator('\n') {
        let (digits, this) = line.split_once("  ")?;
        if digits.bytes().any(|byte| byte.is_ascii_uppercase()) || this <= last {
            return None;
        }
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest).ok()?;
        if this == name {
            found = Some(B256::from(digest));
        }
        last = this;
    }
    found
}

/// A path that stays within its dataset, whatever system it is used on.
fn is_plain(path: &[u8]) -> bool {
    let is_name =
        |name: &[u8]| !matches!(name, b"" | b"." | b"..") && name.len() <= 255 && !name.contains(&0);
    path.len() <= 4096 && components(path).count() <= 128 && components(path).all(is_name)
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
}

fn escaped<S: serde::Serializer>(path: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(path) {
        Ok(text) => serializer.serialize_str(text),
        Err(_) => serializer.collect_str(&path.escape_ascii()),
    }
}
