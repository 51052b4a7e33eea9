//! A dataset in a directory.

use super::{ObjectName, ObjectSink, ObjectSource};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, openat, renameat_with};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
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

    fn file(&mut self, name: &ObjectName) -> io::Result<Option<File>> {
        File::open(self.path.join(name.as_str())).map(Some)
    }
}

/// Writes the public files of a dataset into a new directory, which appears under its name only when it is whole.
///
/// Everything is synced before that. Until then it is `.<name>.pox-partial`, beside; one process at a time has it. A sink
/// that is dropped unfinished removes what it wrote; what one leaves that was killed is removed by the next for the same
/// name, or gone on with (see [`seal_resumable`](super::seal_resumable)).
#[derive(Debug)]
pub struct DirectorySink {
    staging: Staging,
    open: Option<File>,
    /// A file beside the objects that goes before the directory gets its name.
    scrap: Option<ObjectName>,
}

impl DirectorySink {
    /// Starts a directory that must not exist yet; its parent must.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { staging: Staging::beside(path.as_ref(), 0o755)?, open: None, scrap: None })
    }

    /// The same, but keeps what an earlier process left.
    pub(crate) fn claim(path: &Path) -> io::Result<Self> {
        Ok(Self { staging: Staging::claim(path, 0o755)?, open: None, scrap: None })
    }

    /// Forgets what was written, here or by an earlier process.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.open = None;
        self.staging.clear()?;
        self.staging.is_kept = true;
        Ok(())
    }

    /// From now on an unfinished sink stays where it is when it is dropped.
    pub(crate) fn keep(&mut self, keep: bool) {
        self.staging.is_kept = keep;
    }

    /// Opens a file beside the objects, or an object that was begun, for reading and writing.
    pub(crate) fn open(&mut self, name: &ObjectName) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.staging.path().join(name.as_str()))
    }

    /// Goes on with an object that was begun, and forgets everything else but the scrap.
    pub(crate) fn reopen(&mut self, name: &ObjectName, scrap: &ObjectName) -> io::Result<()> {
        for entry in fs::read_dir(self.staging.path())? {
            let entry = entry?;
            if ![name, scrap].iter().any(|kept| entry.file_name() == kept.as_str()) {
                fs::remove_file(entry.path())?;
            }
        }
        self.open = Some(self.open(name)?);
        Ok(())
    }

    /// Makes a file beside the objects that only this user may read.
    pub(crate) fn create_beside(&mut self, name: &ObjectName) -> io::Result<File> {
        let path = self.staging.path().join(name.as_str());
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
    }

    pub(crate) fn remove_on_finish(&mut self, name: ObjectName) {
        self.scrap = Some(name);
    }

    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        Ok(fs::read_dir(self.staging.path())?.next().is_none())
    }
}

impl ObjectSink for DirectorySink {
    fn create(&mut self, name: &ObjectName) -> io::Result<()> {
        let path = self.staging.path().join(name.as_str());
        self.open = Some(OpenOptions::new().read(true).write(true).create_new(true).mode(0o644).open(path)?);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.open.as_mut().ok_or(io::ErrorKind::InvalidInput)?.write_all(bytes)
    }

    fn close(&mut self) -> io::Result<()> {
        self.open.take().ok_or(io::ErrorKind::InvalidInput)?.sync_all()
    }

    fn finish(&mut self) -> io::Result<()> {
        if let Some(name) = self.scrap.take() {
            fs::remove_file(self.staging.path().join(name.as_str()))?;
        }
        File::open(self.staging.path())?.sync_all()?;
        self.staging.publish()
    }

    fn file(&mut self) -> Option<&File> {
        self.open.as_ref()
    }

    /// As a second name of the same file where the system lets it, as a copy otherwise.
    fn take(&mut self, name: &ObjectName, from: &Path) -> io::Result<()> {
        let (from, to) = (from.canonicalize()?, self.staging.path().join(name.as_str()));
        match fs::hard_link(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            Err(_) => fs::copy(&from, &to).and_then(|_| File::open(&to)?.sync_all()),
            Ok(()) => Ok(()),
        }
    }
}

/// A directory that isn't visible under its name before it is whole, and is removed unless it gets there.
///
/// Its name is known, and its owner holds a lock on it that ends with the process: so the next process knows what a
/// killed one left, and takes it over, instead of leaving plaintext about for ever.
#[derive(Debug)]
pub(crate) struct Staging {
    path: PathBuf,
    target: PathBuf,
    /// Holds the lock.
    folder: File,
    mode: u32,
    is_published: bool,
    is_kept: bool,
}

impl Staging {
    /// Begins with an empty directory.
    pub(crate) fn beside(target: &Path, mode: u32) -> io::Result<Self> {
        let mut staging = Self::claim(target, mode)?;
        staging.clear()?;
        Ok(staging)
    }

    /// Begins with what an earlier process left, if it left anything.
    pub(crate) fn claim(target: &Path, mode: u32) -> io::Result<Self> {
        let exists = || {
            let text = format!("{} exists already", target.display());
            io::Error::new(io::ErrorKind::AlreadyExists, text)
        };
        if target.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut partial = std::ffi::OsString::from(".");
        partial.push(name);
        partial.push(".pox-partial");
        let path = target.with_file_name(partial);
        let folder = Self::lock(&path, mode, target)?;
        let staging = Self { path, target: target.into(), folder, mode, is_published: false, is_kept: false };
        // Whoever had the lock until now may have finished.
        if target.symlink_metadata().is_ok() {
            return Err(exists());
        }
        Ok(staging)
    }

    fn lock(path: &Path, mode: u32, target: &Path) -> io::Result<File> {
        loop {
            match DirBuilder::new().mode(mode).create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            // A link that somebody put there would lead elsewhere.
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = match openat(CWD, path, flags, Mode::empty()) {
                Ok(folder) => File::from(folder),
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    let text = format!("another process is making {}", target.display());
                    return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
                }
                Err(error) => return Err(error.into()),
            }
            // Between opening and locking, its owner may have given it its final name or removed it.
            let here = path.symlink_metadata().map(|meta| (meta.dev(), meta.ino())).ok();
            let locked = folder.metadata()?;
            if here == Some((locked.dev(), locked.ino())) {
                return Ok(folder);
            }
        }
    }

    /// Removes everything in it.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        empty(&self.path)?;
        self.folder.set_permissions(Permissions::from_mode(self.mode))
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
        if !self.is_published && !self.is_kept {
            // Nothing better can be done with a failure here; the name tells what it is.
            let _ = remove(&self.path);
        }
    }
}

/// Removes a tree whose folders may have lost their owner's permissions already.
fn remove(folder: &Path) -> io::Result<()> {
    empty(folder)?;
    fs::remove_dir(folder)
}

fn empty(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => remove(&entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}
