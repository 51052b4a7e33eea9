//! What the task left in its output folder, read without trusting it.

use std::{
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fchmod, fstat, openat2},
    io::Errno,
};

/// The task's output folder. It has no name any more; its memory is freed when this is dropped.
///
/// The task wrote everything in it: names, links, sizes and kinds of files are hostile.
#[derive(Debug)]
pub struct Output {
    folder: OwnedFd,
}

/// A plain file in the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFile {
    /// Its path in the output folder: relative, plain, at most [`MAX_OUTPUT_DEPTH`] deep. Any bytes.
    pub path: PathBuf,
    /// Its length. A file with holes can be longer than the memory it takes.
    pub bytes: u64,
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
        /// Which file or folder.
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

    /// Lists all plain files, sorted by path; empty folders are not mentioned.
    ///
    /// # Errors
    /// [`OutputError`] at the first thing that is wrong: nothing is silently left out.
    pub fn files(&self, max_bytes: u64) -> Result<Vec<OutputFile>, OutputError> {
        let mut walk = Walk { files: Vec::new(), entries: 0, bytes: 0, max_bytes };
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            walk.folder(self, &folder, &mut folders)?;
        }
        walk.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(walk.files)
    }

    /// Opens a plain file for reading. Never follows a link, never leaves the folder.
    ///
    /// # Errors
    /// [`OutputError::Unusual`] for anything else than a plain file, [`OutputError::Read`] if it is not there.
    pub fn open(&self, path: &Path) -> Result<File, OutputError> {
        let read = |source: io::Error| OutputError::Read { path: path.to_owned(), source };
        // Opening a pipe would wait for its writer but for NONBLOCK, which plain files ignore.
        let file = match self.open_at(path, OFlags::NONBLOCK) {
            Err(Errno::LOOP | Errno::NXIO) => return Err(OutputError::Unusual(path.to_owned())),
            other => File::from(other.map_err(|e| read(e.into()))?),
        };
        if !file.metadata().map_err(read)?.is_file() {
            return Err(OutputError::Unusual(path.to_owned()));
        }
        Ok(file)
    }

    /// Opens a file again, to free its memory piece by piece; nothing if it has another name, under which it is still to be read,
    /// or can't be written to.
    pub fn freeing(&self, source: &File, path: &Path) -> Option<File> {
        if fstat(source).ok()?.st_nlink != 1 {
            return None;
        }
        // The task may have closed it to writers; it is gone by now.
        fchmod(source, Mode::from_raw_mode(0o600)).ok()?;
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        Some(self.open_with(path, flags).ok()?.into())
    }

    /// Bytes in use on the file system that holds the output and the scratch.
    pub(super) fn used_bytes(&self) -> u64 {
        rustix::fs::fstatvfs(&self.folder)
            .map(|fs| fs.f_blocks.saturating_sub(fs.f_bfree).saturating_mul(fs.f_frsize))
            .unwrap_or(0)
    }

    fn open_at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        self.open_with(path, flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY)
    }

    fn open_with(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
        if !plain {
            return Err(Errno::INVAL);
        }
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        openat2(&self.folder, path, flags, Mode::empty(), resolve)
    }
}

struct Walk {
    files: Vec<OutputFile>,
    entries: usize,
    bytes: u64,
    max_bytes: u64,
}

impl Walk {
    fn folder(
        &mut self,
        output: &Output,
        folder: &Path,
        folders: &mut Vec<PathBuf>,
    ) -> Result<(), OutputError> {
        let read = |path: &Path| {
            let path = path.to_owned();
            move |e: Errno| OutputError::Read { path, source: e.into() }
        };
        let handle = output.open_at(folder, OFlags::DIRECTORY).map_err(read(folder))?;
        for entry in Dir::read_from(&handle).map_err(read(folder))? {
            let entry = entry.map_err(read(folder))?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            self.entries += 1;
            if self.entries > MAX_OUTPUT_FILES {
                return Err(OutputError::TooMany);
            }
            let path = folder.join(std::ffi::OsStr::from_bytes(name));
            match entry.file_type() {
                FileType::Directory if path.components().count() > MAX_OUTPUT_DEPTH => {
                    return Err(OutputError::TooDeep);
                }
                FileType::Directory => folders.push(path),
                FileType::RegularFile => {
                    let file = output.open_at(&path, OFlags::NONBLOCK).map_err(read(&path))?;
                    let bytes = fstat(&file).map_err(read(&path))?.st_size;
                    self.file(OutputFile { path, bytes: u64::try_from(bytes).unwrap_or(u64::MAX) })?;
                }
                _ => return Err(OutputError::Unusual(path)),
            }
        }
        Ok(())
    }

    fn file(&mut self, file: OutputFile) -> Result<(), OutputError> {
        self.bytes = self.bytes.saturating_add(file.bytes);
        if self.bytes > self.max_bytes {
            return Err(OutputError::TooLong(self.max_bytes));
        }
        self.files.push(file);
        Ok(())
    }
}

/// Files and folders in one output: a million names and lengths take the enclave some 100 MB.
pub const MAX_OUTPUT_FILES: usize = 1 << 20;
/// Folders within folders; archives and people need far less.
pub const MAX_OUTPUT_DEPTH: usize = 64;
