//! `pox open --file`, and `pox open --to -`: some of a dataset, or all of it as a stream.

use crate::cli::Open;
use crate::context::Context;
use crate::error::{Failure, Hint as _};
use crate::progress::ByteProgress;
use crate::sealed;
use pox_core::DatasetCommitment;
use pox_seal::dataset::{self, Contents, Entry, EntryPath, Limits, OpenError, Part};
use pox_store::Location;
use serde::Serialize;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Serialize)]
struct Opened {
    commitment: DatasetCommitment,
    to: String,
    files: u64,
    bytes: u64,
    /// Whether each file was compared with its digest: not if only a range of it was read.
    whole: bool,
}

/// Opens what was asked for of a dataset.
pub(crate) fn run(
    context: &Context,
    args: &Open,
    location: &Location,
    commitment: DatasetCommitment,
) -> Result<ExitCode, Failure> {
    let (mut source, mut contents) = contents(context, location, commitment)?;
    let progress = ByteProgress::start(&context.output, "opening", 0);
    let mut at = |bytes| progress.at(bytes);
    let one = match &args.file[..] {
        [only] => contents.find(|path| path.as_path() == only).map_err(Failure::from)?,
        _ => None,
    };
    let part = args.range.clone().map_or(Part::Whole, Part::Range);
    let outcome = match (&one, is_standard_output(&args.to)) {
        (None, true) if args.file.is_empty() => {
            contents.copy_all(&mut source, &mut standard_output()?, &mut at).map(|bytes| (0, bytes))
        }
        (Some(entry), true) => {
            let copied = contents.copy_file(&mut source, entry, &part, &mut standard_output()?, &mut at);
            copied.map(|bytes| (1, bytes))
        }
        (None, true) => return Err(not_one(args)),
        (Some(entry), false) => {
            let written = write_new(&args.to, entry, |file| {
                contents.copy_file(&mut source, entry, &part, file, &mut at)
            });
            written.map(|bytes| (1, bytes))
        }
        (None, false) if args.range.is_some() => return Err(not_one(args)),
        (None, false) => {
            let mut wanted = Wanted::new(&args.file);
            // Before anything is fetched: each name has to stand for something.
            contents.walk(|entry| wanted.note(entry)).map_err(Failure::from)?;
            wanted.check()?;
            contents.extract(&mut source, |path| wanted.has(path), &args.to, &mut at)
        }
    };
    drop(progress);
    match outcome {
        // Whoever reads has enough; the exit code says that it isn't all.
        Err(OpenError::Io(error))
            if is_standard_output(&args.to) && error.kind() == io::ErrorKind::BrokenPipe =>
        {
            Ok(ExitCode::from(NOT_DONE))
        }
        Err(error) => {
            let failure = Failure::from(error).about(location);
            Err(match is_standard_output(&args.to) {
                true => failure.with_next("what was written to standard output is not to be used"),
                false => failure,
            })
        }
        Ok((files, bytes)) => {
            if !is_standard_output(&args.to) {
                let to = args.to.display().to_string();
                let opened = Opened { commitment, to, files, bytes, whole: part == Part::Whole };
                context.output.result(&opened, || {
                    format!("opened {} files, {} bytes, into {}", opened.files, opened.bytes, opened.to)
                })?;
            }
            if part != Part::Whole {
                context.output.say("a range has no digest: its chunks were authenticated with the dataset's key, at their places");
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A dataset's manifest, checked, and where its data comes from.
pub(crate) fn contents(
    context: &Context,
    location: &Location,
    commitment: DatasetCommitment,
) -> Result<(sealed::Source, Contents), Failure> {
    let mut source = sealed::Source::open(context, location)?;
    let keys = source.keys(context.home()?).map_err(|failure| failure.about(location))?;
    let wanted = dataset::DatasetCommitment::from(commitment.0.0);
    let contents = Contents::read(&mut source, &wanted, &keys, Limits::NONE);
    let contents = contents.map_err(|error| Failure::from(error).about(location))?;
    Ok((source, contents))
}

/// Files and folders that were named.
pub(crate) struct Wanted<'a> {
    names: Vec<(&'a Path, bool)>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn new(names: &'a [PathBuf]) -> Self {
        Self { names: names.iter().map(|name| (name.as_path(), false)).collect() }
    }

    /// Whether a path was named, or lies in a folder that was.
    pub(crate) fn has(&self, path: &EntryPath) -> bool {
        self.names.iter().any(|(name, _)| path.as_path().starts_with(name))
    }

    /// Notes which names stand for a file.
    pub(crate) fn note(&mut self, entry: &Entry) -> std::ops::ControlFlow<()> {
        if let Entry::File { path, .. } = entry {
            self.names.iter_mut().for_each(|(name, found)| *found |= path.as_path().starts_with(name));
        }
        std::ops::ControlFlow::Continue(())
    }

    /// Refuses names that stand for nothing.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.names.iter().find(|(_, found)| !found) {
            None => Ok(()),
            Some((name, _)) => Err(Failure::usage(format!("the dataset has no file {}", name.display())))
                .hint("`pox inspect DATASET --list` shows what it has"),
        }
    }
}

/// A path of a dataset for people and JSON; what a terminal could take for a command is escaped.
pub(crate) fn shown(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => path.escape_ascii().to_string(),
    }
}

pub(crate) fn is_standard_output(to: &Path) -> bool {
    to.as_os_str().as_bytes() == b"-"
}

/// Written to as it is: the buffer of the standard library looks for ends of lines.
fn standard_output() -> Result<File, Failure> {
    io::stdout().as_fd().try_clone_to_owned().map(File::from).map_err(Failure::machine)
}

/// Writes a new file that appears whole, with the entry's permissions, or not at all.
fn write_new(
    to: &Path,
    entry: &Entry,
    write: impl FnOnce(&mut File) -> Result<u64, OpenError>,
) -> Result<u64, OpenError> {
    let Entry::File { meta, .. } = entry else {
        return Err(OpenError::Io(io::ErrorKind::InvalidInput.into()));
    };
    let folder = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = tempfile::Builder::new().prefix(".pox-").tempfile_in(folder);
    let mut file = made.map_err(OpenError::Io)?;
    let bytes = write(file.as_file_mut())?;
    let finish = |mut file: tempfile::NamedTempFile| {
        file.flush()?;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(meta.mode.into()))?;
        file.as_file().sync_all()?;
        file.persist_noclobber(to)?;
        File::open(folder)?.sync_all()
    };
    finish(file).map_err(OpenError::Io)?;
    Ok(bytes)
}

fn not_one(args: &Open) -> Failure {
    let names: Vec<String> = args.file.iter().map(|name| name.display().to_string()).collect();
    Failure::usage(format!("{} is not one file of the dataset", names.join(", ")))
        .with_hint("`pox inspect DATASET --list` shows its files; a range or standard output takes one")
}

/// The exit code where nothing was verified to fall short.
const NOT_DONE: u8 = 2;
