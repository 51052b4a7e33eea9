//! Opening a dataset: everything is checked before anything is visible.

use super::b3sums::{B3Sums, BadText, DatasetCommitment, KeyCommitments, MAX_TEXT, ObjectName, parse_hex};
use super::base::{Base, finish_base};
use super::directory::Staging;
use super::extract::{Feed, Sealed};
use super::layout::Layout;
use super::manifest::{Header, Item, Kind, Root, read_item};
use super::{ObjectSource, Progress, crypt4gh};
use crate::age::{AgeError, HeaderError, Locked, Opener, PayloadKey};
use crate::crypt4gh::ContentKeys;
use crate::engine::{Team, TreeHash, read_at, read_full};
use crate::hashing::{Blake3Digest, HashReader};
use crate::keys::{FileKey, Identity};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, IoSliceMut, Read, Seek, Write};
use std::path::Path;
use tempfile::{SpooledTempFile, spooled_tempfile_in};

/// The keys of a dataset's objects: what the secret gives an enclave.
#[derive(Debug, Default)]
pub struct ObjectKeys {
    files: BTreeMap<ObjectName, FileKey>,
    /// Those of Crypt4GH files.
    contents: BTreeMap<ObjectName, ContentKeys>,
}

impl ObjectKeys {
    /// Adds a key.
    pub fn insert(&mut self, name: ObjectName, key: FileKey) {
        self.files.insert(name, key);
    }

    /// The key of an object.
    pub fn key(&self, name: &ObjectName) -> Option<&FileKey> {
        self.files.get(name)
    }

    /// The keys, sorted by their objects' names.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectName, &FileKey)> {
        self.files.iter()
    }

    /// Adds what opens a Crypt4GH file.
    pub fn insert_content(&mut self, name: ObjectName, content: ContentKeys) {
        self.contents.insert(name, content);
    }

    /// What opens a Crypt4GH file.
    pub fn content(&self, name: &ObjectName) -> Option<&ContentKeys> {
        self.contents.get(name)
    }

    /// What opens the Crypt4GH files, sorted by their names.
    pub fn contents(&self) -> impl Iterator<Item = (&ObjectName, &ContentKeys)> {
        self.contents.iter()
    }
}

impl FromIterator<(ObjectName, FileKey)> for ObjectKeys {
    fn from_iter<I: IntoIterator<Item = (ObjectName, FileKey)>>(keys: I) -> Self {
        Self { files: keys.into_iter().collect(), contents: BTreeMap::new() }
    }
}

/// What a dataset may cost to open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most plaintext bytes of `data.age`, the archive's own included.
    pub bytes: u64,
    /// Most entries.
    pub entries: u64,
}

impl Limits {
    /// For one's own data on one's own machine.
    pub const NONE: Self = Self { bytes: u64::MAX, entries: u64::MAX };
}

/// Which permissions opened files get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Modes {
    /// Those that were sealed.
    AsSealed,
    /// Everybody may read and nobody write; what was executable stays so. For a task's inputs.
    ReadOnly,
}

/// What was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// What the dataset is.
    pub kind: Kind,
    /// Number of entries written.
    pub entries: u64,
    /// Bytes in files.
    pub bytes: u64,
    /// The public root over the entries; none for Crypt4GH files, which have no manifest.
    pub root: Option<Root>,
}

/// A dataset can't be opened; each variant is another's doing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The bytes aren't those that were committed to: storage or whoever stands before it changed them.
    #[error("{object} isn't what the commitment says")]
    Mismatch {
        /// The public file.
        object: ObjectName,
    },
    /// The bytes are those that were committed to, and aren't a dataset for these keys: the owner's doing.
    #[error("{object}: {reason}")]
    Invalid {
        /// The public file.
        object: ObjectName,
        /// What is wrong with it.
        reason: Invalid,
    },
    /// Storage gave no bytes.
    #[error("reading {object}: {error}")]
    Source {
        /// The public file.
        object: ObjectName,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The machine that opens can't write.
    #[error("writing the opened dataset: {0}")]
    Io(#[source] io::Error),
}

/// What is wrong with an object whose bytes are as committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// A text file is malformed.
    #[error(transparent)]
    Text(#[from] BadText),
    /// The dataset hasn't the files that a dataset has.
    #[error("not the files of a dataset")]
    Objects,
    /// No key was given for the object, or no identity opens it.
    #[error("no key for it")]
    NoKey,
    /// The key given isn't the one committed to.
    #[error("the key isn't the one that was committed to")]
    Key,
    /// The sealed file is malformed or not authentic.
    #[error("not a sound age file")]
    Age,
    /// The Crypt4GH file is malformed or not authentic.
    #[error("not a sound Crypt4GH file")]
    Crypt4gh,
    /// The manifest or archive is malformed.
    #[error("the content is malformed")]
    Content,
    /// A file isn't what the manifest says.
    #[error("a file isn't what the manifest says")]
    File,
    /// The dataset is larger than the caller allows.
    #[error("larger than allowed")]
    TooLarge,
}

/// Opens a dataset into a new directory `dest`, whose parent must exist.
///
/// In this order: `B3SUMS` against the commitment; each file against `B3SUMS`; each key against `KEYS`; each chunk
/// against its key; each entry against the manifest, its bounds, and the root. `dest` appears, whole, after all of that,
/// and nothing is left on failure. A single file lands in `dest` under its own name.
pub fn open(
    source: &mut dyn ObjectSource,
    commitment: &DatasetCommitment,
    keys: &ObjectKeys,
    dest: &Path,
    limits: Limits,
    modes: Modes,
    progress: Progress<'_>,
) -> Result<Opened, OpenError> {
    let b3sums = read_index(source, commitment)?;
    if crypt4gh::is_form(&b3sums) {
        return crypt4gh::open(source, &b3sums, keys, dest, limits, modes, progress);
    }
    let public = Public::read(source, b3sums)?;
    let staging = Staging::beside(dest, 0o700).map_err(OpenError::Io)?;

    let manifest = public.spool_manifest(source, staging.path(), limits)?;
    let name = ObjectName::manifest();
    let mut manifest = public.unlock(&name, BufReader::new(manifest), keys)?;
    let kind = match next_item(&mut manifest)?.0 {
        Item::Header(Header { kind }) => kind,
        _ => return Err(OpenError::Invalid { object: name, reason: Invalid::Content }),
    };

    let team = Team::of_machine();
    let opened =
        public.extract(source, keys, kind, &mut manifest, staging.path(), limits, modes, team, progress)?;
    publish(&public, opened, staging)
}

/// Gives what was opened its name, once it is what `ROOT` says too.
fn publish(public: &Public, opened: Opened, mut staging: Staging) -> Result<Opened, OpenError> {
    if opened.root != Some(public.root) {
        return Err(OpenError::Invalid { object: ObjectName::root(), reason: Invalid::Content });
    }
    sync(staging.path()).map_err(OpenError::Io)?;
    staging.publish().map_err(OpenError::Io)?;
    Ok(opened)
}

/// Takes a dataset's file keys out of its headers, with an identity of the owner's.
///
/// Reads a few kilobytes of each object and trusts none of them: a wrong key fails later, against `KEYS`.
pub fn file_keys(source: &mut dyn ObjectSource, identities: &[Identity]) -> Result<ObjectKeys, OpenError> {
    let index = read_text(source, &ObjectName::b3sums())?;
    if let Some(b3sums) = B3Sums::parse(&index).ok().filter(crypt4gh::is_form) {
        return crypt4gh::content_keys(source, &b3sums, identities);
    }
    [ObjectName::data(), ObjectName::manifest()]
        .into_iter()
        .map(|object| {
            let head = read_head(source, &object)?;
            let key = Locked::read(&head[..]).and_then(|locked| locked.file_key(identities));
            match key {
                Ok(key) => Ok((object, key)),
                Err(AgeError::NoMatch) => Err(OpenError::Invalid { object, reason: Invalid::NoKey }),
                Err(_) => Err(OpenError::Invalid { object, reason: Invalid::Age }),
            }
        })
        .collect()
}

/// Reads `B3SUMS`, and compares it with the commitment.
pub(super) fn read_index(
    source: &mut dyn ObjectSource,
    commitment: &DatasetCommitment,
) -> Result<B3Sums, OpenError> {
    let object = ObjectName::b3sums();
    let text = read_text(source, &object)?;
    if DatasetCommitment::of(&text) != *commitment {
        return Err(OpenError::Mismatch { object });
    }
    B3Sums::parse(&text).map_err(|error| OpenError::Invalid { object, reason: error.into() })
}

/// The public text files, checked against the commitment.
pub(crate) struct Public {
    pub(crate) b3sums: B3Sums,
    keys: KeyCommitments,
    pub(crate) root: Root,
}

impl Public {
    pub(crate) fn read(source: &mut dyn ObjectSource, b3sums: B3Sums) -> Result<Self, OpenError> {
        let invalid = |object: &ObjectName, reason| OpenError::Invalid { object: object.clone(), reason };
        if !b3sums.are_of_a_dataset() {
            return Err(invalid(&ObjectName::b3sums(), Invalid::Objects));
        }

        let [keys, root] = &[ObjectName::keys(), ObjectName::root()];
        let sealed = &[ObjectName::data(), ObjectName::manifest()];
        let keys_text = checked_text(source, keys, &b3sums)?;
        let commitments = KeyCommitments::parse(&keys_text).map_err(|error| invalid(keys, error.into()))?;
        if !commitments.names().eq(sealed) {
            return Err(invalid(keys, Invalid::Objects));
        }
        let root_text = checked_text(source, root, &b3sums)?;
        let digits = std::str::from_utf8(&root_text).ok().and_then(|text| text.strip_suffix('\n'));
        let digest = digits.ok_or(BadText::Line).and_then(parse_hex);
        let digest = digest.map_err(|error| invalid(root, error.into()))?;
        Ok(Self { b3sums, keys: commitments, root: Root(digest) })
    }

    /// The digest that an object must have.
    pub(crate) fn digest(&self, name: &ObjectName) -> Blake3Digest {
        self.b3sums.digest(name).expect("the constructor checks that each object has a digest")
    }

    /// Keeps the sealed manifest where nobody else can change it, once its digest is checked.
    pub(crate) fn spool_manifest(
        &self,
        source: &mut dyn ObjectSource,
        beside: &Path,
        limits: Limits,
    ) -> Result<SpooledTempFile, OpenError> {
        let object = ObjectName::manifest();
        let input =
            source.open(&object, 0).map_err(|error| OpenError::Source { object: object.clone(), error })?;
        let most = limits.entries.saturating_mul(super::manifest::MAX_ITEM as u64 + 3).min(MAX_PAYLOAD);
        let mut hashing =
            HashReader::new(Watched { inner: input, failure: None }, crate::age::sealed_len(most) + START);
        let mut spool = spooled_tempfile_in(SPOOL_IN_MEMORY, beside);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match hashing.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => spool.write_all(&buffer[..count]).map_err(OpenError::Io)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    return Err(match hashing.inner_mut().failure.take() {
                        Some(error) => OpenError::Source { object, error },
                        None => OpenError::Invalid { object, reason: Invalid::TooLarge },
                    });
                }
            }
        }
        if hashing.digest() != self.digest(&object) {
            return Err(OpenError::Mismatch { object });
        }
        spool.rewind().map_err(OpenError::Io)?;
        Ok(spool)
    }

    /// Opens `data.age` below a folder, entry by entry, and compares what it read with its digest.
    #[allow(clippy::too_many_arguments)] // what `open` was asked for
    fn extract(
        &self,
        source: &mut dyn ObjectSource,
        keys: &ObjectKeys,
        kind: Kind,
        manifest: &mut impl BufRead,
        base: &Path,
        limits: Limits,
        modes: Modes,
        team: Team,
        progress: Progress<'_>,
    ) -> Result<Opened, OpenError> {
        let object = ObjectName::data();
        let failed = |error| OpenError::Source { object: ObjectName::data(), error };
        let mut head = vec![0; crate::age::MAX_HEADER + crate::age::NONCE];
        let local = source.file(&object).map_err(failed)?;
        let mut feed = match local {
            Some(file) => Feed::File(file),
            None => Feed::Stream(source.open(&object, 0).map_err(failed)?),
        };
        let count = match &mut feed {
            Feed::File(file) => {
                read_at(file, &mut [IoSliceMut::new(&mut head)], 0).map(|count| count as usize)
            }
            Feed::Stream(reader) => read_full(reader, &mut head),
        };
        head.truncate(count.map_err(failed)?);
        let most = crate::age::sealed_len(limits.bytes.min(MAX_PAYLOAD)) + START;
        let mut hash = TreeHash::default();
        let outcome = match self.unlock_payload(&object, &head[..], keys) {
            Err(error) => {
                hash.update(&head);
                Sealed::hash_rest(&mut feed, &mut hash, most)?;
                Err(error)
            }
            Ok((cipher, start)) => {
                let rest = head.split_off(start as usize);
                hash.update(&head);
                if let Feed::Stream(reader) = feed {
                    // A byte is read now and then, to see whether there is one: not by a request of its own.
                    feed = Feed::Stream(Box::new(BufReader::new(io::Cursor::new(rest).chain(reader))));
                }
                let below = Base::new(base, modes).map_err(OpenError::Io)?;
                let layout = Layout::new(kind, manifest, &below, limits);
                let sealed = Sealed { feed, cipher: &cipher, start, most };
                let opened = sealed.extract(layout, &below, &mut hash, team, progress)?;
                opened.and_then(|opened| finish_base(base, modes).map(|()| opened))
            }
        };
        // Bytes that aren't the committed ones are the storage's doing, whatever else they led to.
        match hash.digest() == self.digest(&object) {
            true => outcome,
            false => Err(OpenError::Mismatch { object }),
        }
    }

    /// Opens an object with its key, once the key is the one committed to.
    fn unlock<R: io::BufRead>(
        &self,
        object: &ObjectName,
        reader: R,
        keys: &ObjectKeys,
    ) -> Result<Opener<R>, OpenError> {
        let (locked, key) = self.checked_key(object, reader, keys)?;
        locked.open(key).map_err(|_| OpenError::Invalid { object: object.clone(), reason: Invalid::Age })
    }

    /// The same, for who reads the payload by themselves: its key, and where it starts.
    pub(crate) fn unlock_payload<R: io::BufRead>(
        &self,
        object: &ObjectName,
        reader: R,
        keys: &ObjectKeys,
    ) -> Result<(PayloadKey, u64), OpenError> {
        let (locked, key) = self.checked_key(object, reader, keys)?;
        let payload = locked.payload_key(key);
        let payload =
            payload.map_err(|_| OpenError::Invalid { object: object.clone(), reason: Invalid::Age })?;
        Ok((payload, locked.chunk_offset(0)))
    }

    pub(crate) fn checked_key<'k, R: io::BufRead>(
        &self,
        object: &ObjectName,
        reader: R,
        keys: &'k ObjectKeys,
    ) -> Result<(Locked<R>, &'k FileKey), OpenError> {
        let invalid = |reason| OpenError::Invalid { object: object.clone(), reason };
        let locked = Locked::read(reader).map_err(|error| match error {
            AgeError::Io(error) => OpenError::Io(error),
            _ => invalid(Invalid::Age),
        })?;
        let key = keys.key(object).ok_or(invalid(Invalid::NoKey))?;
        match self.keys.commitment(object) == Some(locked.key_commitment(key)) {
            true => Ok((locked, key)),
            false => Err(invalid(Invalid::Key)),
        }
    }
}

/// Reads the next item of an opened manifest, and its encoding.
pub(crate) fn next_item(manifest: &mut impl Read) -> Result<(Item, Vec<u8>), OpenError> {
    let invalid = |reason| OpenError::Invalid { object: ObjectName::manifest(), reason };
    let bytes = read_item(manifest).map_err(manifest_error)?.ok_or(invalid(Invalid::Content))?;
    let item = Item::decode(&bytes).map_err(|_| invalid(Invalid::Content))?;
    Ok((item, bytes))
}

/// The sealed manifest lies on this machine by now, so that reading it can fail for reasons of its own.
pub(crate) fn manifest_error(error: io::Error) -> OpenError {
    match AgeError::from(error) {
        AgeError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => OpenError::Io(error),
        _ => OpenError::Invalid { object: ObjectName::manifest(), reason: Invalid::Age },
    }
}

pub(super) fn checked_text(
    source: &mut dyn ObjectSource,
    object: &ObjectName,
    b3sums: &B3Sums,
) -> Result<Vec<u8>, OpenError> {
    let text = read_text(source, object)?;
    match b3sums.digest(object) == Some(Blake3Digest::of(&text)) {
        true => Ok(text),
        false => Err(OpenError::Mismatch { object: object.clone() }),
    }
}

/// Reads at most one byte more than a text may have, which fails its digest.
pub(crate) fn read_text(source: &mut dyn ObjectSource, object: &ObjectName) -> Result<Vec<u8>, OpenError> {
    let mut text = Vec::new();
    source
        .open(object, 0)
        .and_then(|input| input.take(MAX_TEXT as u64 + 1).read_to_end(&mut text))
        .map_err(|error| OpenError::Source { object: object.clone(), error })?;
    Ok(text)
}

/// Reads an age file's header and nonce, and little more: most are short, and whatever is asked for is sent.
pub(crate) fn read_head(source: &mut dyn ObjectSource, object: &ObjectName) -> Result<Vec<u8>, OpenError> {
    let mut head = Vec::new();
    for most in [SHORT_HEAD, START] {
        head.clear();
        source
            .range(object, 0..most)
            .and_then(|input| input.take(most).read_to_end(&mut head))
            .map_err(|error| OpenError::Source { object: object.clone(), error })?;
        let is_cut = matches!(Locked::read(&head[..]), Err(AgeError::Header(HeaderError::Truncated)));
        if !is_cut || (head.len() as u64) < most {
            break;
        }
    }
    Ok(head)
}

/// Keeps the source's own error, so that it isn't taken for a damaged file. After one, nothing more is read.
pub(crate) struct Watched<R> {
    pub(crate) inner: R,
    pub(crate) failure: Option<io::Error>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Some(failure) = &self.failure {
            return Err(failure.kind().into());
        }
        self.inner.read(out).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => {
                self.failure = Some(error);
                kind.into()
            }
        })
    }
}

/// Makes what was written last, in one go: a sync per file would cost more than the file.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    let folder = std::fs::File::open(path)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&folder)?;
    folder.sync_all()
}

/// Longest payload that a limit is computed for; keeps the sums below from wrapping.
pub(crate) const MAX_PAYLOAD: u64 = 1 << 62;
/// Room for header and nonce in a limit.
const START: u64 = (crate::age::MAX_HEADER + crate::age::NONCE) as u64;
/// Room for the headers of most files: four recipients, post-quantum ones too.
const SHORT_HEAD: u64 = 8 * 1024;
/// Sealed manifest bytes kept in memory before a temporary file in the destination takes over.
const SPOOL_IN_MEMORY: usize = 4 * 1024 * 1024;
