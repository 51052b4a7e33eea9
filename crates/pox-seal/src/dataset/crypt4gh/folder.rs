//! Existing files become a dataset in the folder in which they lie.

use crate::dataset::{ObjectName, ObjectSink};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Writes the small files of a dataset into a folder that has its large ones already.
///
/// Nothing is overwritten, and nothing is seen under its name before everything is there: `B3SUMS`, which makes the folder a
/// dataset, comes last. What is written is removed unless it gets there.
#[derive(Debug)]
pub struct FolderSink {
    folder: PathBuf,
    open: Option<(ObjectName, NamedTempFile)>,
    closed: Vec<(ObjectName, NamedTempFile)>,
}

impl FolderSink {
    /// Begins in a folder.
    ///
    /// # Errors
    /// It isn't there, or has files by the names of those that would be written.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        if !folder.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        // Before somebody's terabytes are read for nothing.
        let names = [ObjectName::b3sums(), ObjectName::keys(), ObjectName::access()];
        match names.iter().find(|name| folder.join(name.as_str()).symlink_metadata().is_ok()) {
            Some(name) => Err(exists(name)),
            None => Ok(Self { folder, open: None, closed: Vec::new() }),
        }
    }
}

impl ObjectSink for FolderSink {
    fn create(&mut self, name: &ObjectName) -> io::Result<()> {
        if self.folder.join(name.as_str()).symlink_metadata().is_ok() {
            return Err(exists(name));
        }
        let file = tempfile::Builder::new()
            .prefix(".pox-")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(&self.folder)?;
        self.open = Some((name.clone(), file));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (_, file) = self.open.as_mut().ok_or(io::ErrorKind::InvalidInput)?;
        file.write_all(bytes)
    }

    fn close(&mut self) -> io::Result<()> {
        let (name, file) = self.open.take().ok_or(io::ErrorKind::InvalidInput)?;
        file.as_file().sync_all()?;
        self.closed.push((name, file));
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let mut named: Vec<PathBuf> = Vec::new();
        for (name, file) in self.closed.drain(..) {
            let path = self.folder.join(name.as_str());
            if let Err(error) = file.persist_noclobber(&path) {
                // Nothing better can be done with a failure here: without `B3SUMS` they mean nothing.
                named.iter().for_each(|path| drop(fs::remove_file(path)));
                return Err(if error.error.kind() == io::ErrorKind::AlreadyExists {
                    exists(&name)
                } else {
                    error.error
                });
            }
            named.push(path);
        }
        File::open(&self.folder)?.sync_all()
    }

    /// The file is there already, or it can't be taken.
    fn take(&mut self, name: &ObjectName, from: &Path) -> io::Result<()> {
        let there = self.folder.join(name.as_str());
        match there.canonicalize()? == from.canonicalize()? {
            true => Ok(()),
            false => Err(exists(name)),
        }
    }
}

fn exists(name: &ObjectName) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("{name} is there already"))
}
