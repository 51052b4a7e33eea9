//! Sealed datasets where they lie: reading, opening and storing them.

use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::home::Home;
use crate::progress::ByteProgress;
use pox_core::DatasetCommitment;
use pox_seal::dataset::{
    self, Limits, MAX_TEXT, Modes, ObjectKeys, ObjectName, ObjectSource, Opened, SealedDataset, file_keys,
};
use pox_store::{Location, Name, PutMode, Range, Store};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A dataset's public files in a folder or behind HTTP.
pub(crate) struct Source {
    store: Store,
    /// Where the files are, if they are on this machine.
    folder: Option<PathBuf>,
}

impl Source {
    /// Opens a place for reading; nothing is made there.
    pub(crate) fn open(context: &Context, location: &Location) -> Result<Self, Failure> {
        let access = context.access([&*location.to_string()]);
        let store =
            Store::open_existing(location, &access).map_err(|error| Failure::from(error).about(location))?;
        Ok(Self { store, folder: location.directory().map(Path::to_owned) })
    }

    /// What the dataset there says it is.
    pub(crate) fn commitment(&mut self) -> Result<DatasetCommitment, Failure> {
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
        Ok(to_core(dataset::DatasetCommitment::of(&text)))
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
        Ok(Box::new(self.store.get(&name, range).map_err(io::Error::other)?))
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

/// Stores a dataset that was sealed into a folder. Its index comes last, so that no half of it looks like one.
pub(crate) fn upload(
    context: &Context,
    sealed: &SealedDataset,
    folder: &Path,
    store: &Store,
) -> Result<(), Failure> {
    let total = sealed.objects.iter().map(|object| object.len).sum();
    let progress = ByteProgress::start(&context.output, "storing", total);
    let index = index()?;
    let mut stored = 0;
    for object in sealed.b3sums.names().chain([&index]) {
        let local = File::open(folder.join(object.as_str()));
        let mut file = local.map_err(|error| Failure::machine(error).about(object.as_str()))?;
        let len = file.metadata().map_err(Failure::machine)?.len();
        // What an upload that broke off left has no index, and may be replaced.
        let mode = if *object == index { PutMode::Create } else { PutMode::Replace };
        store.put(&name(object)?, &mut file, len, mode)?;
        stored += len;
        progress.at(stored);
    }
    Ok(())
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
