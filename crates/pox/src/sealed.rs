//! Sealed datasets where they lie: reading, opening and storing them.

use crate::context::Context;
use crate::error::{Culprit, Failure, Hint as _};
use crate::home::Home;
use crate::progress::ByteProgress;
use crate::unfinished::Unfinished;
use pox_core::DatasetCommitment;
use pox_seal::dataset::{
    self, B3Sums, Limits, MAX_TEXT, Modes, ObjectKeys, ObjectName, ObjectSource, Opened, SealedDataset,
    file_keys,
};
use pox_store::{Expected, Location, Name, PutMode, Range, Store, VerifiedRead};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops;
use std::path::{Path, PathBuf};

/// A dataset's public files in a folder or behind HTTP.
pub(crate) struct Source {
    store: Store,
    /// Where the files are, if they are on this machine.
    folder: Option<PathBuf>,
    /// Lengths, as the storage stated them with what was read.
    sizes: BTreeMap<ObjectName, u64>,
}

impl Source {
    /// Opens a place for reading; nothing is made there.
    pub(crate) fn open(context: &Context, location: &Location) -> Result<Self, Failure> {
        let access = context.access([&*location.to_string()]);
        let store =
            Store::open_existing(location, &access).map_err(|error| Failure::from(error).about(location))?;
        Ok(Self { store, folder: location.directory().map(Path::to_owned), sizes: BTreeMap::new() })
    }

    /// What the dataset there says it is.
    pub(crate) fn commitment(&mut self) -> Result<DatasetCommitment, Failure> {
        Ok(to_core(dataset::DatasetCommitment::of(&self.index()?)))
    }

    fn index(&mut self) -> Result<Vec<u8>, Failure> {
        let mut text = Vec::new();
        let name = name(&index()?)?;
        let stored = self.store.get(&name, Range::ALL)?;
        stored
            .take(MAX_TEXT as u64 + 1)
            .read_to_end(&mut text)
            .map_err(|error| Failure::from(pox_store::Error::from_read(error)))?;
        if text.len() > MAX_TEXT {
            return Err(Failure::usage(format!(
                "{name} has more than {MAX_TEXT} bytes: this is no sealed dataset"
            )));
        }
        Ok(text)
    }

    /// Copies the dataset, file by file and its index last, and compares each with the index. Files that are there already, with
    /// the right content, are left; so are the parts of one whose copy was interrupted, where the storage keeps them.
    pub(crate) fn copy(
        &mut self,
        context: &Context,
        to: &Location,
    ) -> Result<(DatasetCommitment, u64), Failure> {
        let text = self.index()?;
        let sums = B3Sums::parse(&text)
            .map_err(|error| Failure::new(Culprit::Storage, error).about("B3SUMS"))
            .hint("is that a sealed dataset?")?;
        let access = context.access([&*to.to_string()]);
        let target = Store::open(to, &access).map_err(|error| Failure::from(error).about(to))?;
        check_free(&target, to)?;
        let mut sizes = Vec::new();
        for object in sums.names() {
            sizes.push((object, self.store.size(&name(object)?)?));
        }
        let total = sizes.iter().map(|(_, size)| size).sum();
        let progress = ByteProgress::start(&context.output, "copying", total);
        let mut done = 0;
        for (object, size) in sizes {
            let digest = sums.digest(object).map(|digest| *digest.as_bytes());
            let expected = Expected { size, sha256: None, blake3: digest };
            let name = name(object)?;
            let there = target.size(&name).is_ok_and(|there| there == size);
            if !there || !is_right(&target, &name, expected) {
                let reader = VerifiedRead::new(self.store.get(&name, Range::ALL)?, expected);
                let mut reader = Counted { reader, done, progress: &progress };
                target.put_once(&name, &mut reader, size, PutMode::Replace).map_err(source_first)?;
            }
            done += size;
            progress.at(done);
        }
        let index = name(&index()?)?;
        target.put_once(&index, &mut text.as_slice(), text.len() as u64, PutMode::Create)?;
        let commitment = to_core(dataset::DatasetCommitment::of(&text));
        Ok((commitment, total + text.len() as u64))
    }

    /// Bytes of all public files, as the storage states them; for showing progress only.
    pub(crate) fn sizes(&mut self) -> Option<u64> {
        let sums = B3Sums::parse(&self.index().ok()?).ok()?;
        sums.names().map(|name| self.size(name).ok()).sum()
    }

    /// The size of a file, as the storage states it.
    pub(crate) fn size(&self, object: &ObjectName) -> Result<u64, Failure> {
        Ok(self.store.size(&name(object)?)?)
    }

    /// The keys of its objects, which only their recipients have.
    pub(crate) fn keys(&mut self, home: &Home) -> Result<ObjectKeys, Failure> {
        Ok(file_keys(self, &[home.identity()?])?)
    }
}

impl ObjectSource for Source {
    fn open(&mut self, name: &ObjectName, offset: u64) -> io::Result<Box<dyn Read + '_>> {
        let name = name.as_str().parse::<Name>().map_err(io::Error::other)?;
        let range = Range { start: offset, end: None };
        Ok(Box::new(self.store.get(&name, range).map_err(for_reading)?))
    }

    fn range(&mut self, name: &ObjectName, wanted: ops::Range<u64>) -> io::Result<Box<dyn Read + '_>> {
        let object = name.as_str().parse::<Name>().map_err(io::Error::other)?;
        let upto = |end| self.store.get(&object, Range { start: wanted.start, end: Some(end) });
        // Who asks knows the end of the last chunk only roughly; a length that was stated saves a request.
        let end = self.sizes.get(name).map_or(wanted.end, |size| wanted.end.min(*size).max(wanted.start));
        let reader = match upto(end) {
            Err(pox_store::Error::OutOfRange { size, .. }) if size >= wanted.start => upto(size),
            other => other,
        };
        let reader = reader.map_err(for_reading)?;
        reader.object_size().map(|size| self.sizes.insert(name.clone(), size));
        Ok(Box::new(reader))
    }

    /// Read by all cores, each at its own offset; whatever it is, it is checked as what comes over a network is.
    fn file(&mut self, name: &ObjectName) -> io::Result<Option<File>> {
        self.folder.as_ref().map(|folder| File::open(folder.join(name.as_str()))).transpose()
    }
}

/// Opens the dataset at a place into a new folder, if it is the one of this commitment, with the home's identity.
pub(crate) fn open(
    context: &Context,
    location: &Location,
    commitment: DatasetCommitment,
    to: &Path,
) -> Result<Opened, Failure> {
    let mut source = Source::open(context, location)?;
    let keys = source.keys(context.home()?).map_err(|failure| failure.about(location))?;
    let wanted = dataset::DatasetCommitment::from(commitment.0.0);
    let progress = ByteProgress::start(&context.output, "opening", 0);
    let opened =
        dataset::open(&mut source, &wanted, &keys, to, Limits::NONE, Modes::AsSealed, &mut |bytes| {
            progress.at(bytes);
        });
    opened.map_err(|error| Failure::from(error).about(location))
}

/// Refuses a place that has a whole dataset already.
pub(crate) fn check_free(store: &Store, location: &Location) -> Result<(), Failure> {
    if store.contains(&name(&index()?)?).map_err(|error| Failure::from(error).about(location))? {
        return Err(Failure::usage(format!("there is a dataset at {location} already")))
            .hint("nothing is overwritten: name another place");
    }
    Ok(())
}

/// Whether a place has the whole dataset of a folder already: its index comes last.
pub(crate) fn is_stored(store: &Store, folder: &Path) -> Result<bool, Failure> {
    let ours = std::fs::read(folder.join(index()?.as_str())).map_err(Failure::machine)?;
    let there = match store.get(&name(&index()?)?, Range::ALL) {
        Ok(there) => there,
        Err(pox_store::Error::NotFound(_)) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let mut theirs = Vec::new();
    let read = there.take(MAX_TEXT as u64 + 1).read_to_end(&mut theirs);
    read.map_err(|error| Failure::from(pox_store::Error::from_read(error)))?;
    Ok(ours == theirs)
}

/// Stores a dataset that was sealed and waits for it; what was stored before an interruption isn't sent again. Its index comes last,
/// so that no half of it looks like one.
pub(crate) fn upload(
    context: &Context,
    sealed: &SealedDataset,
    unfinished: &mut Unfinished,
    store: &Store,
) -> Result<(), Failure> {
    let total = sealed.objects.iter().map(|object| object.len).sum();
    let progress = ByteProgress::start(&context.output, "storing", total);
    let index = index()?;
    let mut stored = 0;
    for object in sealed.b3sums.names().chain([&index]) {
        let local = File::open(unfinished.dataset().join(object.as_str()));
        let mut file = local.map_err(|error| Failure::machine(error).about(object.as_str()))?;
        let len = file.metadata().map_err(Failure::machine)?.len();
        // What an upload that broke off left has no index, and may be replaced.
        let mode = if *object == index { PutMode::Create } else { PutMode::Replace };
        let to = name(object)?;
        if !unfinished.is_stored(object) || !store.size(&to).is_ok_and(|there| there == len) {
            store.put(&to, &mut file, len, mode)?;
            unfinished.note_stored(object)?;
        }
        stored += len;
        progress.at(stored);
    }
    Ok(())
}

/// Adds a dataset that was sealed into a folder to the IPFS node of the options.
pub(crate) fn add(context: &Context, folder: &Path) -> Result<Location, Failure> {
    let mut objects = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Failure::machine)? {
        let path = entry.map_err(Failure::machine)?.path();
        let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        objects.push((
            file_name.parse().map_err(Failure::machine)?,
            File::open(&path).map_err(Failure::machine)?,
        ));
    }
    Ok(pox_store::ipfs::add(&objects, &context.access([]))?)
}

/// Whether somebody wants a dataset added to a node: then it is only known afterwards where it is.
pub(crate) fn is_node(to: &str) -> bool {
    to.trim_end_matches('/') == "ipfs:"
}

/// An error of the storage on its way through a reader; who looks at kinds can tell what isn't there from what failed.
fn for_reading(error: pox_store::Error) -> io::Error {
    match error {
        missing @ pox_store::Error::NotFound(_) => io::Error::new(io::ErrorKind::NotFound, missing),
        other => io::Error::other(other),
    }
}

/// The bytes at a place, read back, are the expected ones.
fn is_right(store: &Store, name: &Name, expected: Expected) -> bool {
    let read = |reader| io::copy(&mut VerifiedRead::new(reader, expected), &mut io::sink());
    store.get(name, Range::ALL).is_ok_and(|reader| read(reader).is_ok())
}

/// What went wrong while reading is the source's fault, under its own name.
fn source_first(error: pox_store::Error) -> Failure {
    match error {
        pox_store::Error::Source(error) => pox_store::Error::from_read(error).into(),
        other => other.into(),
    }
}

/// Shows how far a copy has come.
struct Counted<'a, R> {
    reader: R,
    done: u64,
    progress: &'a ByteProgress,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(out)?;
        self.done += count as u64;
        self.progress.at(self.done);
        Ok(count)
    }
}

/// The same commitment in the type of the records.
pub(crate) fn to_core(commitment: dataset::DatasetCommitment) -> DatasetCommitment {
    DatasetCommitment::from(<[u8; 32]>::from(commitment))
}

fn name(object: &ObjectName) -> Result<Name, Failure> {
    object.as_str().parse().map_err(Failure::machine)
}

/// The file that the commitment is taken over.
fn index() -> Result<ObjectName, Failure> {
    ObjectName::new("B3SUMS").map_err(Failure::machine)
}

pub(crate) const SCRATCH_HINT: &str = "TMPDIR names a folder with room for the sealed data";
