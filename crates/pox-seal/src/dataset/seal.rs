//! Sealing a dataset.

use super::b3sums::{B3Sums, BadText, DatasetCommitment, KeyCommitments, ObjectName, Sha256Sums};
use super::manifest::{Entry, Header, Item, Kind, Meta, RootBuilder, Trailer, write_item};
use super::open::Watched;
use super::pack::{Account, Data, Packing};
use super::path::{BadPath, EntryPath};
use super::plan::Plan;
use super::tree::Walk;
use super::{ObjectSink, Progress};
use crate::age::{AgeError, Sealer};
use crate::crypt4gh::Crypt4ghError;
use crate::engine::Team;
use crate::hashing::{Beside, Blake3Digest, HashWriter};
use crate::keys::{KeyCommitment, Recipient};
use crate::random::{NoRandomness, Randomness, Stream};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use tempfile::SpooledTempFile;

/// A dataset that was sealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedDataset {
    /// The SHA-256 of `B3SUMS`.
    pub commitment: DatasetCommitment,
    /// The sealed objects.
    pub objects: Vec<SealedObject>,
    /// What `B3SUMS` holds.
    pub b3sums: B3Sums,
    /// Number of entries.
    pub entries: u64,
    /// Plaintext bytes in files.
    pub bytes: u64,
}

/// One sealed object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedObject {
    /// Its name.
    pub name: ObjectName,
    /// The digest of its ciphertext.
    pub digest: Blake3Digest,
    /// The commitment to its file key.
    pub key_commitment: KeyCommitment,
    /// The SHA-256 of its ciphertext, if it was asked for.
    pub sha256: Option<[u8; 32]>,
    /// Its length in bytes.
    pub len: u64,
}

/// Which digests of the public files are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Digests {
    /// BLAKE3, which all cores compute.
    #[default]
    Blake3,
    /// SHA-256 too, in a file `SHA256SUMS`, for who has to name or check them by that. One core computes it.
    Sha256Beside,
}

/// A dataset can't be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No input was named, or one without a name (such as `/`).
    #[error("nothing to seal")]
    Nothing,
    /// Two inputs have the same last name.
    #[error("{} is there twice", path.display())]
    Twice {
        /// The name.
        path: PathBuf,
    },
    /// A path or link can't be part of a dataset.
    #[error("{}: {reason}", path.display())]
    Path {
        /// The entry.
        path: PathBuf,
        /// What is wrong with it.
        reason: BadPath,
    },
    /// A device, pipe or socket.
    #[error("{} is neither file, folder nor link", path.display())]
    Special {
        /// The entry.
        path: PathBuf,
    },
    /// A file changed while it was read.
    #[error("{} changed while it was sealed", path.display())]
    Changed {
        /// The entry.
        path: PathBuf,
    },
    /// An input can't be read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The input or entry.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// What would be sealed isn't what was sealed before an interruption; see [`seal_resumable`](super::seal_resumable),
    /// which then begins anew.
    #[error("the inputs changed while sealing was interrupted")]
    Diverged,
    /// The sink doesn't take what is sealed.
    #[error("writing the sealed dataset: {0}")]
    Sink(#[source] io::Error),
    /// The recipients or the randomness can't be used.
    #[error(transparent)]
    Age(AgeError),
    /// A Crypt4GH file can't be made or taken.
    #[error("{}: {error}", path.display())]
    Crypt4gh {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: Crypt4ghError,
    },
    /// A name that a Crypt4GH file of a dataset can't have.
    #[error("{}: {reason}, of which a dataset's Crypt4GH file has at most 64, `.c4gh` among them", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: BadText,
    },
    /// A file that is to be taken and isn't called as Crypt4GH files are.
    #[error("{} does not end in .c4gh", path.display())]
    Suffix {
        /// The file.
        path: PathBuf,
    },
    /// A folder, where only files can be sealed.
    #[error("{} is no file, and Crypt4GH has no folders", path.display())]
    Folder {
        /// The input.
        path: PathBuf,
    },
    /// More Crypt4GH files, or longer edit lists, than one dataset has.
    #[error("too many files, data keys or edits for one dataset of Crypt4GH files")]
    TooMany,
    /// No randomness for salts.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// Seals one file as it is, or one folder's content, or several files and folders by their last names.
///
/// Writes `data.age`, `manifest.age`, `KEYS`, `ROOT` and last `B3SUMS`, one after the other, and then finishes the sink.
/// On an error the sink isn't finished. Works on all cores; holds a few segments, and the names of one folder per level.
pub fn seal(
    inputs: &[&Path],
    recipients: &[Recipient],
    sink: &mut dyn ObjectSink,
    random: &mut dyn Randomness,
    progress: Progress<'_>,
) -> Result<SealedDataset, SealError> {
    let team = suited(Team::of_machine(), inputs);
    let data = Data::new(recipients, team.chunks(), random)?;
    let plan = Plan::new(inputs, data.span())?;
    let manifest = Manifest::start(plan.kind(), recipients, random)?;
    seal_planned((team, &data, plan), manifest, sink, random, progress)
}

/// Seals an open folder under a name of its own, together with files and folders by their last names.
///
/// As [`seal`], otherwise; a manifest that is large waits, sealed, in the folder `spool`.
pub fn seal_open_folder(
    (name, folder): (&str, OwnedFd),
    beside: &[&Path],
    spool: &Path,
    recipients: &[Recipient],
    sink: &mut dyn ObjectSink,
    random: &mut dyn Randomness,
) -> Result<SealedDataset, SealError> {
    let team = Team::of_machine().on_trees();
    let data = Data::new(recipients, team.chunks(), random)?;
    let plan = Plan::of_walk(Walk::beside((name, folder), beside)?, data.span());
    let spool = SpooledTempFile::new_in(SPOOL_IN_MEMORY, spool);
    let manifest = Manifest::waiting_in(spool, plan.kind(), recipients, random)?;
    seal_planned((team, &data, plan), manifest, sink, random, &mut |_| ())
}

fn seal_planned(
    (team, data, plan): (Team, &Data, Plan),
    mut manifest: Manifest,
    sink: &mut dyn ObjectSink,
    random: &mut dyn Randomness,
    progress: Progress<'_>,
) -> Result<SealedDataset, SealError> {
    sink.create(&ObjectName::data()).and_then(|()| sink.write(data.head())).map_err(SealError::Sink)?;
    let to = sink.file().map(File::try_clone).transpose().map_err(SealError::Sink)?;
    let account = Account::new(data, &mut *sink, &mut manifest, random, progress)?;
    let (object, bytes) = Packing::new(data, team, to, 0).run(plan, account)?;
    sink.close().map_err(SealError::Sink)?;
    manifest.publish(bytes, object, sink)
}

/// The team for these inputs.
pub(crate) fn suited(team: Team, inputs: &[&Path]) -> Team {
    match inputs {
        [one] if one.is_file() => team,
        _ => team.on_trees(),
    }
}

/// The manifest while it grows. It is small for most datasets, and sealed from the first byte, so that it may wait on
/// disk.
pub(crate) struct Manifest {
    sealer: Sealer<HashWriter<SpooledTempFile>>,
    root: RootBuilder,
    entries: u64,
}

impl Manifest {
    pub(crate) fn start(
        kind: Kind,
        recipients: &[Recipient],
        random: &mut dyn Randomness,
    ) -> Result<Self, SealError> {
        Self::waiting_in(SpooledTempFile::new(SPOOL_IN_MEMORY), kind, recipients, random)
    }

    fn waiting_in(
        spool: SpooledTempFile,
        kind: Kind,
        recipients: &[Recipient],
        random: &mut dyn Randomness,
    ) -> Result<Self, SealError> {
        let spool = HashWriter::new(spool);
        let mut sealer = Sealer::with_randomness(recipients, spool, random).map_err(start_error)?;
        write_item(&mut sealer, &Item::Header(Header { kind }).encode()).map_err(SealError::Sink)?;
        Ok(Self { sealer, root: RootBuilder::default(), entries: 0 })
    }

    pub(crate) fn push(&mut self, entry: Entry) -> Result<(), SealError> {
        let item = Item::Entry(entry).encode();
        self.root.push(&item);
        self.entries += 1;
        write_item(&mut self.sealer, &item).map_err(SealError::Sink)
    }

    /// Writes everything that follows `data.age`.
    pub(crate) fn publish(
        self,
        bytes: u64,
        data: SealedObject,
        sink: &mut dyn ObjectSink,
    ) -> Result<SealedDataset, SealError> {
        let Self { mut sealer, root, entries } = self;
        let root = root.finish();
        write_item(&mut sealer, &Item::Trailer(Trailer { entries, bytes, root }).encode())
            .map_err(SealError::Sink)?;
        let key_commitment = sealer.key_commitment();
        let (mut spool, digest) = sealer.finish().map_err(SealError::Sink)?.finish();
        spool.rewind().map_err(SealError::Sink)?;
        let is_beside = data.sha256.is_some();
        let (len, sha256) = copy(&mut spool, &ObjectName::manifest(), is_beside, sink)?;
        let manifest = SealedObject { name: ObjectName::manifest(), digest, key_commitment, sha256, len };

        let (mut b3sums, mut keys) = (B3Sums::default(), KeyCommitments::default());
        let mut beside = Sha256Sums::default();
        for object in [&data, &manifest] {
            b3sums.insert(object.name.clone(), object.digest);
            object.sha256.into_iter().for_each(|digest| beside.insert(object.name.clone(), digest));
            keys.insert(object.name.clone(), object.key_commitment);
        }
        let root = format!("{}\n", hex::encode(root.as_bytes()));
        for (name, text) in [(ObjectName::keys(), keys.to_string()), (ObjectName::root(), root)] {
            let (_, sha256) = copy(&mut text.as_bytes(), &name, is_beside, sink)?;
            sha256.into_iter().for_each(|digest| beside.insert(name.clone(), digest));
            b3sums.insert(name, Blake3Digest::of(text.as_bytes()));
        }
        if is_beside {
            let (name, text) = (ObjectName::sha256sums(), beside.to_string());
            copy(&mut text.as_bytes(), &name, false, sink)?;
            b3sums.insert(name, Blake3Digest::of(text.as_bytes()));
        }
        let text = b3sums.to_string();
        copy(&mut text.as_bytes(), &ObjectName::b3sums(), false, sink)?;
        sink.finish().map_err(SealError::Sink)?;
        let commitment = DatasetCommitment::of(text.as_bytes());
        Ok(SealedDataset { commitment, objects: vec![data, manifest], b3sums, entries, bytes })
    }
}

/// Seals what a reader gives, until its end, as a dataset of one file; for what can be read only once.
///
/// As [`seal`], otherwise. What the reader gives is held nowhere but in the batch that is sealed.
pub fn seal_stream(
    input: &mut dyn Read,
    (path, meta): (EntryPath, Meta),
    recipients: &[Recipient],
    digests: Digests,
    sink: &mut dyn ObjectSink,
    random: &mut dyn Randomness,
    progress: Progress<'_>,
) -> Result<SealedDataset, SealError> {
    if path.depth() != 1 {
        return Err(SealError::Path { path: path.as_path().into(), reason: BadPath::Form });
    }
    let mut manifest = Manifest::start(Kind::File, recipients, random)?;
    sink.create(&ObjectName::data()).map_err(SealError::Sink)?;
    let writer = ObjectWriter::new(&mut *sink, digests == Digests::Sha256Beside);
    let mut sealer =
        Sealer::with_randomness(recipients, HashWriter::new(writer), random).map_err(start_error)?;
    let (mut content, mut size) = (blake3::Hasher::new(), 0);
    let mut input = Watched { inner: input, failure: None };
    loop {
        let mut seen = |bytes: &[u8]| {
            content.update(bytes);
        };
        let read = sealer.read_from(&mut input, STEP, &mut seen);
        if let Some(error) = input.failure.take() {
            return Err(SealError::Io { path: path.as_path().into(), error });
        }
        let count = read.map_err(SealError::Sink)?;
        size += count;
        progress(size);
        if count < STEP {
            break;
        }
    }
    let key_commitment = sealer.key_commitment();
    let (writer, digest) = sealer.finish().map_err(SealError::Sink)?.finish();
    let ObjectWriter { len, beside, .. } = writer;
    sink.close().map_err(SealError::Sink)?;
    let sha256 = beside.finish();
    let object = SealedObject { name: ObjectName::data(), digest, key_commitment, sha256, len };
    let digest = Blake3Digest::from(*content.finalize().as_bytes());
    let salt = Stream::seeded(random)?.salt();
    manifest.push(Entry::File { path, meta, size, offset: 0, digest, salt })?;
    manifest.publish(size, object, sink)
}

/// Writes to the object that is open in a sink.
struct ObjectWriter<'a> {
    sink: &'a mut dyn ObjectSink,
    beside: Beside,
    len: u64,
}

impl<'a> ObjectWriter<'a> {
    fn new(sink: &'a mut dyn ObjectSink, is_beside: bool) -> Self {
        Self { sink, beside: Beside::new(is_beside), len: 0 }
    }
}

impl Write for ObjectWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write(bytes)?;
        self.beside.update(bytes);
        self.len += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes an object; gives its length, and its SHA-256 if that is wanted.
pub(super) fn copy(
    from: &mut dyn Read,
    name: &ObjectName,
    is_beside: bool,
    sink: &mut dyn ObjectSink,
) -> Result<(u64, Option<[u8; 32]>), SealError> {
    let mut write = |sink: &mut dyn ObjectSink| {
        sink.create(name)?;
        let mut writer = ObjectWriter::new(&mut *sink, is_beside);
        let len = io::copy(from, &mut writer)?;
        let sha256 = writer.beside.finish();
        sink.close()?;
        Ok((len, sha256))
    };
    write(sink).map_err(SealError::Sink)
}

pub(crate) fn start_error(error: AgeError) -> SealError {
    match error {
        AgeError::Io(error) => SealError::Sink(error),
        other => SealError::Age(other),
    }
}

/// Sealed manifest bytes kept in memory before a temporary file takes over: about 25,000 entries.
const SPOOL_IN_MEMORY: usize = 4 * 1024 * 1024;
/// How often a stream's progress is told.
const STEP: u64 = 64 << 20;
