//! Walking a tree, in the order of its paths, without ever following a link.

use super::manifest::Meta;
use super::path::EntryPath;
use super::seal::SealError;
#[cfg(target_os = "linux")]
use rustix::fs::ResolveFlags;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the walk came to.
pub(crate) enum Found {
    File(Arc<FoundFile>),
    Folder { path: EntryPath, meta: Meta },
    Link { path: EntryPath, target: Vec<u8> },
}

/// A regular file. It is opened by whoever reads it, as often as it takes, and must be this very one each time.
#[derive(Debug)]
pub(crate) struct FoundFile {
    pub(crate) path: EntryPath,
    pub(crate) meta: Meta,
    pub(crate) stamp: Stamp,
    origin: Origin,
}

/// What tells one state of one file from any other that the system knows of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) modified: (i64, u32),
    pub(crate) changed: (i64, u32),
}

/// Where a file is opened: below a folder that is held open, or by an absolute path without links.
#[derive(Debug)]
struct Origin {
    root: Option<Arc<OwnedFd>>,
    at: PathBuf,
}

impl FoundFile {
    /// Opens the file that has its place by now: only [`check`](Self::check), after reading, tells whether it is this one.
    pub(crate) fn open(&self) -> Result<File, SealError> {
        let root = self.origin.root.as_ref().map_or(CWD, |root| root.as_fd());
        open_file(root, &self.origin.at).map_err(|error| self.io(error))
    }

    /// Whether an open file is the one that was found, in the state in which it was found: asked after reading, so that
    /// what was read is of that state.
    pub(crate) fn check(&self, file: &File) -> Result<(), SealError> {
        let stat = fstat(file).map_err(|error| self.io(error))?;
        let is_same =
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && Stamp::of(&stat) == self.stamp;
        if is_same { Ok(()) } else { Err(SealError::Changed { path: self.path.as_path().into() }) }
    }

    fn io(&self, error: Errno) -> SealError {
        match error {
            // A folder on the way is a link now.
            Errno::LOOP | Errno::XDEV => SealError::Changed { path: self.path.as_path().into() },
            error => io(self.path.as_path(), error),
        }
    }
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime, stat.st_mtime_nsec as u32),
            changed: (stat.st_ctime, stat.st_ctime_nsec as u32),
        }
    }
}

/// A walk. Holds one open folder per level, so that nobody can turn a folder into a link under its feet.
pub(crate) struct Walk {
    levels: Vec<Level>,
}

struct Level {
    /// The folder; none for the paths that the user named.
    folder: Option<Arc<OwnedFd>>,
    /// The topmost folder above it, and the way from there.
    root: Option<Arc<OwnedFd>>,
    below: PathBuf,
    /// Its path in the dataset, empty at the top.
    prefix: Vec<u8>,
    /// What is still to visit, last first.
    names: Vec<Name>,
}

struct Name {
    /// The name in the dataset.
    name: Vec<u8>,
    /// The path that opens it, relative to the level's folder.
    at: PathBuf,
    /// The folder itself, if whoever named it has it open.
    opened: Option<Arc<OwnedFd>>,
}

impl Walk {
    /// Walks one folder's content, or several files and folders by their last names.
    pub(crate) fn new(inputs: &[&Path]) -> Result<Self, SealError> {
        let top = match inputs {
            [] => return Err(SealError::Nothing),
            [one] => {
                let at = one.canonicalize().map_err(|error| SealError::Io { path: one.into(), error })?;
                let folder = Arc::new(open_folder(CWD, &at).map_err(|error| io(one, error))?);
                Level::read(&folder, &folder, PathBuf::new(), Vec::new(), one)?
            }
            several => {
                let names = several.iter().map(|path| Name::of_input(path)).collect::<Result<_, _>>()?;
                Level::top().sorted(names, Path::new(""))?
            }
        };
        Ok(Self { levels: vec![top] })
    }

    /// Walks an open folder by a name of its own, and files and folders by their last names.
    pub(crate) fn beside((name, folder): (&str, OwnedFd), inputs: &[&Path]) -> Result<Self, SealError> {
        let mut names = inputs.iter().map(|path| Name::of_input(path)).collect::<Result<Vec<_>, _>>()?;
        names.push(Name { name: name.into(), at: PathBuf::new(), opened: Some(Arc::new(folder)) });
        Ok(Self { levels: vec![Level::top().sorted(names, Path::new(""))?] })
    }

    /// The next entry, each folder before what it holds.
    pub(crate) fn next(&mut self) -> Result<Option<Found>, SealError> {
        let (level, next) = loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            match level.names.pop() {
                Some(next) => break (level, next),
                None => drop(self.levels.pop()),
            }
        };
        let mut full = level.prefix.clone();
        if !full.is_empty() {
            full.push(b'/');
        }
        full.extend_from_slice(&next.name);
        let shown = PathBuf::from(OsStr::from_bytes(&full));
        let path = EntryPath::new(full).map_err(|reason| SealError::Path { path: shown.clone(), reason })?;
        let folder = level.folder.as_ref().map_or(CWD, |folder| folder.as_fd());

        let stat = match &next.opened {
            Some(opened) => fstat(opened),
            None => statat(folder, &next.at, AtFlags::SYMLINK_NOFOLLOW),
        };
        let stat = stat.map_err(|error| io(&shown, error))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let target: CString =
                    readlinkat(folder, &next.at, Vec::new()).map_err(|error| io(&shown, error))?;
                let target = target.into_bytes();
                path.check_target(&target).map_err(|reason| SealError::Path { path: shown, reason })?;
                Ok(Some(Found::Link { path, target }))
            }
            FileType::Directory => {
                let opened = match next.opened {
                    Some(opened) => opened,
                    None => Arc::new(open_folder(folder, &next.at).map_err(|error| io(&shown, error))?),
                };
                let meta = meta(&fstat(&opened).map_err(|error| io(&shown, error))?);
                let (root, below) = match &level.root {
                    Some(root) => (root, level.below.join(&next.at)),
                    None => (&opened, PathBuf::new()),
                };
                let level = Level::read(&opened, root, below, path.as_bytes().to_vec(), &shown)?;
                self.levels.push(level);
                Ok(Some(Found::Folder { path, meta }))
            }
            FileType::RegularFile => {
                let origin = Origin { root: level.root.clone(), at: level.below.join(&next.at) };
                let (meta, stamp) = (meta(&stat), Stamp::of(&stat));
                Ok(Some(Found::File(Arc::new(FoundFile { path, meta, stamp, origin }))))
            }
            _ => Err(SealError::Special { path: shown }),
        }
    }
}

/// Finds a single input, if it is a regular file.
pub(crate) fn single_file(path: &Path) -> Result<Option<FoundFile>, SealError> {
    let name = Name::of_input(path)?;
    let stat = statat(CWD, &name.at, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| io(path, error))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let entry = EntryPath::new(name.name).map_err(|reason| SealError::Path { path: path.into(), reason })?;
    let origin = Origin { root: None, at: name.at };
    Ok(Some(FoundFile { path: entry, meta: meta(&stat), stamp: Stamp::of(&stat), origin }))
}

impl Name {
    /// An input goes by its last name, links in the path followed.
    fn of_input(path: &Path) -> Result<Self, SealError> {
        let at = path.canonicalize().map_err(|error| SealError::Io { path: path.into(), error })?;
        let name = path.file_name().or(at.file_name()).ok_or(SealError::Nothing)?;
        Ok(Self { name: name.as_bytes().to_vec(), at, opened: None })
    }
}

impl Level {
    /// Holds what was named, from anywhere.
    fn top() -> Self {
        Self { folder: None, root: None, below: PathBuf::new(), prefix: Vec::new(), names: Vec::new() }
    }

    fn read(
        folder: &Arc<OwnedFd>,
        root: &Arc<OwnedFd>,
        below: PathBuf,
        prefix: Vec<u8>,
        shown: &Path,
    ) -> Result<Self, SealError> {
        let mut names = Vec::new();
        for entry in Dir::read_from(folder).map_err(|error| io(shown, error))? {
            let entry = entry.map_err(|error| io(shown, error))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(Name { name: name.to_vec(), at: OsStr::from_bytes(name).into(), opened: None });
            }
        }
        let (folder, root) = (Some(folder.clone()), Some(root.clone()));
        Self { folder, root, below, prefix, names: Vec::new() }.sorted(names, shown)
    }

    fn sorted(self, mut names: Vec<Name>, shown: &Path) -> Result<Self, SealError> {
        names.sort_by(|one, other| other.name.cmp(&one.name));
        if let Some(pair) = names.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(SealError::Twice { path: shown.join(OsStr::from_bytes(&pair[0].name)) });
        }
        Ok(Self { names, ..self })
    }
}

/// Opens a folder, not a link to one; the inputs themselves are canonical already.
fn open_folder(folder: BorrowedFd<'_>, at: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, at, flags, Mode::empty())
}

/// Doesn't block on a pipe that took a file's place, and follows no link, at the end of the way or on it.
fn open_file(folder: BorrowedFd<'_>, at: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    #[cfg(target_os = "linux")]
    return rustix::fs::openat2(folder, at, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).map(File::from);
    #[cfg(not(target_os = "linux"))]
    openat(folder, at, flags, Mode::empty()).map(File::from)
}

fn meta(stat: &Stat) -> Meta {
    Meta {
        mode: (stat.st_mode & 0o777) as u16,
        seconds: stat.st_mtime,
        nanoseconds: stat.st_mtime_nsec as u32,
    }
}

fn io(path: &Path, error: Errno) -> SealError {
    SealError::Io { path: path.into(), error: error.into() }
}
