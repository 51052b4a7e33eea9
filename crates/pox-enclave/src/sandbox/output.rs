//! What the task left in its output folder, read without trusting it.

use std::{
    ffi::{CStr, OsStr},
    io,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::PathBuf,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, chmodat, fchmod, fstat, openat, statat},
    io::Errno,
};

/// The task's output folder. It has no name any more; its memory is freed when this is dropped.
///
/// The task wrote everything in it: names, links, sizes and kinds of files are hostile. But it changes no more: the first process
/// of a task's namespace, without which none is run, takes all others with it.
#[derive(Debug)]
pub struct Output {
    folder: OwnedFd,
}

/// An output that was looked through to its end: plain files and folders within bounds, and all of them readable.
#[derive(Debug)]
pub struct CheckedOutput<'a> {
    folder: &'a OwnedFd,
    bytes: u64,
}

/// The output cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// More entries than anyone wants.
    #[error("the output has more than {MAX_OUTPUT_FILES} entries")]
    TooMany,
    /// Folders in folders without end.
    #[error("the output has folders more than {MAX_OUTPUT_DEPTH} deep")]
    TooDeep,
    /// The files' lengths together are above the given bound.
    #[error("the output is longer than {0} bytes")]
    TooLong(u64),
    /// Something that is neither a plain file nor a folder: a link, a pipe, a socket.
    #[error("'{}' in the output is neither a plain file nor a folder", .0.display())]
    Unusual(PathBuf),
    /// It could not be read.
    #[error("cannot read '{}' in the output", .path.display())]
    Read {
        /// The last name of the file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Output {
    pub(super) fn new(folder: OwnedFd) -> Self {
        Self { folder }
    }

    /// Looks through everything in it, and gives files and folders the permissions that results have.
    ///
    /// **Mode rule.** What the task closed to itself is opened again to its owner; nobody else may write to what somebody opens
    /// later; set-user-id and the like go. A file that the task has linked twice counts twice.
    ///
    /// # Errors
    /// [`OutputError`] at the first thing that is wrong: nothing is silently left out.
    pub fn check(&self, max_bytes: u64) -> Result<CheckedOutput<'_>, OutputError> {
        fchmod(&self.folder, FOLDER_MODE).map_err(read(c"."))?;
        let device = fstat(&self.folder).map_err(read(c"."))?.st_dev;
        let mut walk = Walk { device, entries: 0, bytes: 0, max_bytes };
        let mut levels = vec![Dir::read_from(&self.folder).map_err(read(c"."))?];
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.next() else {
                levels.pop();
                continue;
            };
            let entry = entry.map_err(read(c"."))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let folder = level.fd().map_err(read(name))?;
            if let Some(inner) = walk.entry(folder, name)? {
                if levels.len() > MAX_OUTPUT_DEPTH {
                    return Err(OutputError::TooDeep);
                }
                levels.push(inner);
            }
        }
        Ok(CheckedOutput { folder: &self.folder, bytes: walk.bytes })
    }

    /// Bytes in use on the file system that holds the output and the scratch.
    pub(super) fn used_bytes(&self) -> u64 {
        rustix::fs::fstatvfs(&self.folder)
            .map(|fs| fs.f_blocks.saturating_sub(fs.f_bfree).saturating_mul(fs.f_frsize))
            .unwrap_or(0)
    }
}

impl CheckedOutput<'_> {
    /// Length of all files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The folder, open for reading.
    ///
    /// # Errors
    /// This process has no descriptors left.
    pub fn folder(&self) -> io::Result<OwnedFd> {
        self.folder.try_clone()
    }
}

struct Walk {
    /// Nothing in the output is on another.
    device: u64,
    entries: usize,
    bytes: u64,
    max_bytes: u64,
}

impl Walk {
    /// Judges one entry; opens it, if it is a folder.
    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr) -> Result<Option<Dir>, OutputError> {
        self.entries += 1;
        if self.entries > MAX_OUTPUT_FILES {
            return Err(OutputError::TooMany);
        }
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(read(name))?;
        let unusual = || OutputError::Unusual(OsStr::from_bytes(name.to_bytes()).into());
        if stat.st_dev != self.device {
            return Err(unusual());
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                allow(folder, name, &stat, FOLDER_MODE)?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let inner = openat(folder, name, flags, Mode::empty()).map_err(read(name))?;
                Ok(Some(Dir::new(inner).map_err(read(name))?))
            }
            FileType::RegularFile => {
                allow(folder, name, &stat, FILE_MODE)?;
                self.bytes = self.bytes.saturating_add(u64::try_from(stat.st_size).unwrap_or(u64::MAX));
                if self.bytes > self.max_bytes {
                    return Err(OutputError::TooLong(self.max_bytes));
                }
                Ok(None)
            }
            _ => Err(unusual()),
        }
    }
}

/// Gives a file or folder its permissions; it is no link, and nobody is left who could make it one.
fn allow(folder: BorrowedFd<'_>, name: &CStr, stat: &Stat, at_least: Mode) -> Result<(), OutputError> {
    let now = stat.st_mode & 0o7777;
    let mode = (now & KEPT) | at_least.as_raw_mode();
    match mode == now {
        true => Ok(()),
        false => chmodat(folder, name, Mode::from_raw_mode(mode), AtFlags::empty()).map_err(read(name)),
    }
}

fn read(name: &CStr) -> impl FnOnce(Errno) -> OutputError {
    let path = PathBuf::from(OsStr::from_bytes(name.to_bytes()));
    move |errno| OutputError::Read { path, source: errno.into() }
}

/// Files and folders in one output.
pub const MAX_OUTPUT_FILES: usize = 1 << 20;
/// Folders within folders; archives and people need far less.
pub const MAX_OUTPUT_DEPTH: usize = 64;
/// What every file's owner may do.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// What every folder's owner may do.
const FOLDER_MODE: Mode = Mode::RWXU;
/// What is left of the permissions that the task gave.
const KEPT: u32 = 0o755;
