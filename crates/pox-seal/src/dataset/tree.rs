//! Walking a tree, in the order of its paths, without ever following a link.

use super::manifest::Meta;
use super::names::Names;
use super::path::EntryPath;
use super::seal::SealError;
#[cfg(target_os = "linux")]
use rustix::fs::ResolveFlags;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use std::ffi::OsStr;
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

/// Where a file is opened.
#[derive(Debug)]
enum Origin {
    /// At an absolute path without links.
    Named(PathBuf),
    /// Below a folder that is held open, at what follows so many bytes of its path in the dataset.
    Below(Arc<OwnedFd>, usize),
}

impl FoundFile {
    /// Opens the file that has its place by now: only [`check`](Self::check), after reading, tells whether it is this one.
    pub(crate) fn open(&self) -> Result<File, SealError> {
        let opened = match &self.origin {
            Origin::Named(at) => open_file(CWD, at),
            Origin::Below(root, skip) => {
                open_file(root.as_fd(), Path::new(OsStr::from_bytes(&self.path.as_bytes()[*skip..])))
            }
        };
        opened.map_err(|error| self.io(error))
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
    /// The topmost folder above it, and how many bytes of a path in the dataset lead there.
    root: Option<(Arc<OwnedFd>, usize)>,
    /// Its path in the dataset, empty at the top.
    prefix: Vec<u8>,
    /// What is still to visit.
    rest: Rest,
}

enum Rest {
    /// What the user named, last first.
    Named(Vec<Name>),
    /// What the folder holds.
    Listed(Names),
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
                Level::read(&folder, (folder.clone(), 0), Vec::new(), one)?
            }
            several => {
                Level::top(several.iter().map(|path| Name::of_input(path)).collect::<Result<_, _>>()?)?
            }
        };
        Ok(Self { levels: vec![top] })
    }

    /// Walks an open folder by a name of its own, and files and folders by their last names.
    pub(crate) fn beside((name, folder): (&str, OwnedFd), inputs: &[&Path]) -> Result<Self, SealError> {
        let mut names = inputs.iter().map(|path| Name::of_input(path)).collect::<Result<Vec<_>, _>>()?;
        names.push(Name { name: name.into(), at: PathBuf::new(), opened: Some(Arc::new(folder)) });
        Ok(Self { levels: vec![Level::top(names)?] })
    }

    /// The next entry, each folder before what it holds.
    pub(crate) fn next(&mut self) -> Result<Option<Found>, SealError> {
        let (level, next) = loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            match level.rest.pop() {
                Some(next) => break (level, next),
                None => drop(self.levels.pop()),
            }
        };
        let mut full = level.prefix.clone();
        if !full.is_empty() {
            full.push(b'/');
        }
        full.extend_from_slice(&next.name);
        let path = EntryPath::new(full.clone())
            .map_err(|reason| SealError::Path { path: OsStr::from_bytes(&full).into(), reason })?;
        let failed = |error| io(path.as_path(), error);
        let folder = level.folder.as_ref().map_or(CWD, |folder| folder.as_fd());

        let stat = match &next.opened {
            Some(opened) => fstat(opened),
            None => statat(folder, &next.at, AtFlags::SYMLINK_NOFOLLOW),
        };
        let stat = stat.map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let target = readlinkat(folder, &next.at, Vec::new()).map_err(failed)?.into_bytes();
                path.check_target(&target)
                    .map_err(|reason| SealError::Path { path: path.as_path().into(), reason })?;
                Ok(Some(Found::Link { path, target }))
            }
            FileType::Directory => {
                let opened = match next.opened {
                    Some(opened) => opened,
                    None => Arc::new(open_folder(folder, &next.at).map_err(failed)?),
                };
                let meta = meta(&fstat(&opened).map_err(failed)?);
                let root = level.root.clone().unwrap_or_else(|| (opened.clone(), full.len() + 1));
                let level = Level::read(&opened, root, full, path.as_path())?;
                self.levels.push(level);
                Ok(Some(Found::Folder { path, meta }))
            }
            FileType::RegularFile => {
                let origin = match &level.root {
                    Some((root, skip)) => Origin::Below(root.clone(), *skip),
                    None => Origin::Named(next.at),
                };
                let (meta, stamp) = (meta(&stat), Stamp::of(&stat));
                Ok(Some(Found::File(Arc::new(FoundFile { path, meta, stamp, origin }))))
            }
            _ => Err(SealError::Special { path: path.as_path().into() }),
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
    let origin = Origin::Named(name.at);
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

impl Rest {
    fn pop(&mut self) -> Option<Name> {
        match self {
            Self::Named(names) => names.pop(),
            Self::Listed(names) => names.pop().map(|name| Name {
                name: name.to_vec(),
                at: OsStr::from_bytes(name).into(),
                opened: None,
            }),
        }
    }
}

impl Level {
    /// Holds what was named, from anywhere.
    fn top(mut names: Vec<Name>) -> Result<Self, SealError> {
        names.sort_by(|one, other| other.name.cmp(&one.name));
        if let Some(pair) = names.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(SealError::Twice { path: OsStr::from_bytes(&pair[0].name).into() });
        }
        let rest = Rest::Named(names);
        Ok(Self { folder: None, root: None, prefix: Vec::new(), rest })
    }

    fn read(
        folder: &Arc<OwnedFd>,
        root: (Arc<OwnedFd>, usize),
        prefix: Vec<u8>,
        shown: &Path,
    ) -> Result<Self, SealError> {
        let mut names = Names::default();
        for entry in Dir::read_from(folder).map_err(|error| io(shown, error))? {
            let entry = entry.map_err(|error| io(shown, error))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        if let Some(twice) = names.sort() {
            return Err(SealError::Twice { path: shown.join(OsStr::from_bytes(twice)) });
        }
        Ok(Self { folder: Some(folder.clone()), root: Some(root), prefix, rest: Rest::Listed(names) })
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
