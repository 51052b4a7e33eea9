//! Objects as files below a directory that the policy allows.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use crate::{Access, Error, Listed, Name, ObjectReader, PutMode, Range, Refused, Result};

/// An open directory; nothing outside it is reached through it, whatever links it holds.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

/// An object that is written and has no name yet.
#[derive(Debug)]
pub(crate) struct Written {
    /// Of the directory.
    pub(crate) path: PathBuf,
    name: Name,
    /// The last part of its name for now.
    temporary: String,
}

impl Directory {
    /// Opens a directory below an allowed root, and creates it if need be.
    pub(crate) fn open(path: &Path, access: &Access, create: bool) -> Result<Self> {
        let (root, below) = allowed_root(path, access)?;
        let fd = fs::open(&root, READ_DIR, Mode::empty()).map_err(local)?;
        let directory = Self { fd, path: path.to_owned() };
        let parts: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).collect();
        let fd = directory.subdirectory(&parts, create, &path.display().to_string())?;
        Ok(Self { fd, ..directory })
    }

    pub(crate) fn get(&self, name: &Name, range: &Range, access: &Access) -> Result<ObjectReader> {
        let (mut file, size) = self.file(name)?;
        if size > access.max_object {
            return Err(Error::TooBig { name: name.to_string(), size, limit: access.max_object });
        }
        let end = range.end.unwrap_or(size);
        if end > size || range.start > end {
            return Err(Error::OutOfRange { name: name.to_string(), end: end.max(range.start), size });
        }
        file.seek(SeekFrom::Start(range.start)).map_err(Error::Local)?;
        Ok(ObjectReader::file(file, end - range.start, name.as_str()))
    }

    pub(crate) fn size(&self, name: &Name) -> Result<u64> {
        self.file(name).map(|(_, size)| size)
    }

    /// Writes to a temporary name, syncs, and renames: the object is there whole, or not at all.
    pub(crate) fn put(&self, name: &Name, source: &mut dyn Read, len: u64, mode: PutMode) -> Result<()> {
        let (parent, last) = self.parent(name, true)?;
        if mode == PutMode::Create && fs::statat(&parent, last, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(Error::Exists(name.to_string()));
        }
        let (temporary, file) = create_temporary(&parent, last)?;
        let written = write_file(&file, source, len)
            .and_then(|()| file.sync_all().map_err(Error::Local))
            .and_then(|()| rename(&parent, &temporary, last, mode, name));
        if written.is_err() {
            let _ = fs::unlinkat(&parent, temporary.as_str(), AtFlags::empty());
        }
        written?;
        fs::fsync(&parent).map_err(local)
    }

    /// Writes to a temporary name, and no more.
    pub(crate) fn write(&self, name: &Name, source: &mut dyn Read, len: u64) -> Result<Written> {
        let (parent, last) = self.parent(name, true)?;
        let (temporary, file) = create_temporary(&parent, last)?;
        let written = Written { path: self.path.clone(), name: name.clone(), temporary };
        let result = write_file(&file, source, len);
        if result.is_err() {
            self.forget(&written);
        }
        result.map(|()| written)
    }

    /// Gives what was written its name, in the place of what has it.
    pub(crate) fn publish(&self, written: &Written) -> Result<()> {
        let (parent, last) = self.parent(&written.name, false)?;
        rename(&parent, &written.temporary, last, PutMode::Replace, &written.name)
    }

    /// Removes what was written, as far as it can.
    pub(crate) fn forget(&self, written: &Written) {
        if let Ok((parent, _)) = self.parent(&written.name, false) {
            let _ = fs::unlinkat(&parent, written.temporary.as_str(), AtFlags::empty());
        }
    }

    /// The file system that it is on.
    pub(crate) fn device(&self) -> Result<u64> {
        fs::fstat(&self.fd).map(|stat| stat.st_dev).map_err(local)
    }

    /// Waits until everything on its file system is on disk.
    pub(crate) fn sync_all(&self) -> Result<()> {
        fs::syncfs(&self.fd).map_err(local)
    }

    /// The directory that an object is in, and the last part of its name.
    fn parent<'a>(&self, name: &'a Name, create: bool) -> Result<(OwnedFd, &'a str)> {
        let parts: Vec<&str> = name.parts().collect();
        let Some((last, parents)) = parts.split_last() else { return Err(Error::NotFound(name.to_string())) };
        Ok((self.subdirectory(parents, create, name.as_str())?, last))
    }

    /// Lists files below, sorted by name. Links, temporary files and names that no [`Name`] has are left out.
    pub(crate) fn list(&self) -> Result<Vec<Listed>> {
        let mut found = vec![];
        walk(&self.fd, "", &mut found)?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn file(&self, name: &Name) -> Result<(File, u64)> {
        // Opening a pipe would otherwise wait for its writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = beneath(&self.fd, name.as_str(), flags).map_err(|error| judge(error, name.as_str()))?;
        let stat = fs::fstat(&fd).map_err(local)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::NotFound(name.to_string()));
        }
        Ok((File::from(fd), u64::try_from(stat.st_size).unwrap_or(0)))
    }

    fn subdirectory(&self, parts: &[&str], create: bool, shown: &str) -> Result<OwnedFd> {
        let mut dir = self.fd.try_clone().map_err(Error::Local)?;
        for part in parts {
            if create {
                match fs::mkdirat(&dir, *part, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(local(error)),
                }
            }
            dir = beneath(&dir, part, READ_DIR).map_err(|error| judge(error, shown))?;
        }
        Ok(dir)
    }
}

/// Finds the allowed root that a path is in. Both are resolved first, so that a link can't lead out.
fn allowed_root(path: &Path, access: &Access) -> Result<(PathBuf, String)> {
    let refused = || Error::Refused(Refused::Path(path.display().to_string()));
    let resolved = resolve(path).map_err(Error::Local)?;
    for root in &access.roots {
        let Ok(root) = root.canonicalize() else { continue };
        if let Ok(below) = resolved.strip_prefix(&root) {
            // A link can lead to a folder whose name is no text.
            let below = below.to_str().ok_or_else(refused)?.to_owned();
            return Ok((root, below));
        }
    }
    Err(refused())
}

/// Resolves links in the part of a path that exists.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Err(error), Some(parent), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
            Ok(resolve(parent)?.join(name))
        }
        (result, ..) => result,
    }
}

/// Makes a file that nobody else has; one that stands there was left by a process of the same number that was killed.
fn create_temporary(parent: &OwnedFd, last: &str) -> Result<(String, File)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMPORARY}{last}.{}.{count}", std::process::id());
        match fs::openat(parent, name.as_str(), flags, Mode::from_raw_mode(0o644)) {
            Err(Errno::EXIST) => {}
            other => return Ok((name, File::from(other.map_err(local)?))),
        }
    }
}

fn write_file(mut file: &File, source: &mut dyn Read, len: u64) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut left = len;
    loop {
        match source.read(&mut buffer) {
            Ok(0) if left == 0 => return Ok(()),
            Ok(0) => return Err(Error::Source(io::ErrorKind::UnexpectedEof.into())),
            Ok(n) if n as u64 > left => {
                return Err(Error::Source(io::Error::other("it is longer than announced")));
            }
            Ok(n) => {
                file.write_all(&buffer[..n]).map_err(Error::Local)?;
                left -= n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Source(error)),
        }
    }
}

fn rename(parent: &OwnedFd, from: &str, to: &str, mode: PutMode, name: &Name) -> Result<()> {
    let exists = |error| match error {
        Errno::EXIST => Error::Exists(name.to_string()),
        other => local(other),
    };
    if mode == PutMode::Replace {
        return fs::renameat(parent, from, parent, to).map_err(local);
    }
    match fs::renameat_with(parent, from, parent, to, RenameFlags::NOREPLACE) {
        // Network file systems may lack that flag, but a hard link doesn't replace either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::linkat(parent, from, parent, to, AtFlags::empty()).map_err(exists)?;
            fs::unlinkat(parent, from, AtFlags::empty()).map_err(local)
        }
        result => result.map_err(exists),
    }
}

fn walk(dir: &OwnedFd, prefix: &str, found: &mut Vec<Listed>) -> Result<()> {
    for entry in Dir::read_from(dir).map_err(local)? {
        let entry = entry.map_err(local)?;
        let Ok(part) = entry.file_name().to_str() else { continue };
        let Ok(name) = format!("{prefix}{part}").parse::<Name>() else { continue };
        if part.starts_with(TEMPORARY) {
            continue;
        }
        let stat = match fs::statat(dir, part, AtFlags::SYMLINK_NOFOLLOW) {
            // Gone since.
            Err(Errno::NOENT) => continue,
            other => other.map_err(local)?,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let below = beneath(dir, part, READ_DIR).map_err(local)?;
                walk(&below, &format!("{name}/"), found)?;
            }
            FileType::RegularFile => {
                found.push(Listed { name, size: u64::try_from(stat.st_size).unwrap_or(0) });
            }
            _ => {}
        }
        if found.len() > MAX_LISTED {
            return Err(Error::Unsupported("list so many objects"));
        }
    }
    Ok(())
}

fn beneath(dir: &OwnedFd, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    fs::openat2(dir, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)
}

fn judge(error: Errno, name: &str) -> Error {
    match error {
        Errno::NOENT | Errno::NOTDIR => Error::NotFound(name.into()),
        Errno::XDEV | Errno::LOOP => Error::Refused(Refused::Path(name.into())),
        other => local(other),
    }
}

fn local(error: Errno) -> Error {
    Error::Local(error.into())
}

const READ_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// What unfinished files start with.
const TEMPORARY: &str = ".pox-tmp.";
/// Large writes keep the disk busy.
const BUFFER: usize = 256 << 10;
/// Bounds memory; a set of objects has a manifest and some files, an image some hundred blobs.
const MAX_LISTED: usize = 100_000;
