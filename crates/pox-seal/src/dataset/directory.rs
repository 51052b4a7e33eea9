//! A dataset in a directory.

use super::{ObjectName, ObjectSink, ObjectSource};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Reads the public files of a dataset from a directory.
#[derive(Debug)]
pub struct DirectorySource {
    path: PathBuf,
}

impl DirectorySource {
    /// Reads from this directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl ObjectSource for DirectorySource {
    fn open(&mut self, name: &ObjectName, offset: u64) -> io::Result<Box<dyn Read + '_>> {
        let mut file = File::open(self.path.join(name.as_str()))?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }
}

/// Writes the public files of a dataset into a new directory, which appears under its name only when it is whole.
///
/// Everything is synced before that. A sink that is dropped unfinished removes what it wrote; one that is killed
/// leaves a directory `.<name>.pox-partial-<random>` beside.
#[derive(Debug)]
pub struct DirectorySink {
    staging: Staging,
    open: Option<File>,
}

impl DirectorySink {
    /// Starts a directory that must not exist yet; its parent must.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { staging: Staging::beside(path.as_ref(), 0o755)?, open: None })
    }
}

impl ObjectSink for DirectorySink {
    fn create(&mut self, name: &ObjectName) -> io::Result<()> {
        let path = self.staging.path().join(name.as_str());
        self.open = Some(OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.open.as_mut().ok_or(io::ErrorKind::InvalidInput)?.write_all(bytes)
    }

    fn close(&mut self) -> io::Result<()> {
        self.open.take().ok_or(io::ErrorKind::InvalidInput)?.sync_all()
    }

    fn finish(&mut self) -> io::Result<()> {
        File::open(self.staging.path())?.sync_all()?;
        self.staging.publish()
    }
}

/// A directory that isn't visible under its name before it is whole, and is removed unless it gets there.
#[derive(Debug)]
pub(crate) struct Staging {
    path: PathBuf,
    target: PathBuf,
    is_published: bool,
}

impl Staging {
    pub(crate) fn beside(target: &Path, mode: u32) -> io::Result<Self> {
        if target.symlink_metadata().is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{} exists already", target.display()),
            ));
        }
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name = format!(".{}.pox-partial-{}", name.display(), hex::encode(random));
        let path = target.with_file_name(name);
        DirBuilder::new().mode(mode).create(&path)?;
        Ok(Self { path, target: target.into(), is_published: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the directory its name, unless something else took it meanwhile.
    pub(crate) fn publish(&mut self) -> io::Result<()> {
        renameat_with(CWD, &self.path, CWD, &self.target, RenameFlags::NOREPLACE)?;
        self.is_published = true;
        let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_published {
            // Nothing better can be done with a failure here; the name tells what it is.
            let _ = remove(&self.path);
        }
    }
}

/// Removes a tree whose folders may have lost their owner's permissions already.
fn remove(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => remove(&entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    fs::remove_dir(folder)
}
