//! Walking a tree, in the order of its paths, without ever following a link.

use super::manifest::Meta;
use super::path::EntryPath;
use super::seal::SealError;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What the walk came to.
pub(crate) enum Found {
    File { path: EntryPath, meta: Meta, size: u64, file: File },
    Folder { path: EntryPath, meta: Meta },
    Link { path: EntryPath, target: Vec<u8> },
}

/// A walk. Holds one open folder per level, so that nobody can turn a folder into a link under its feet.
pub(crate) struct Walk {
    levels: Vec<Level>,
}

struct Level {
    /// The folder; none for the paths that the user named.
    folder: Option<OwnedFd>,
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
}

impl Walk {
    /// Walks one folder's content, or several files and folders by their last names.
    pub(crate) fn new(inputs: &[&Path]) -> Result<Self, SealError> {
        let top = match inputs {
            [] => return Err(SealError::Nothing),
            [one] => {
                let at = one.canonicalize().map_err(|error| SealError::Io { path: one.into(), error })?;
                Level::read(open_folder(CWD, &at).map_err(|error| io(one, error))?, Vec::new(), one)?
            }
            several => {
                let names = several.iter().map(|path| Name::of_input(path)).collect::<Result<_, _>>()?;
                Level::sorted(None, Vec::new(), names, Path::new(""))?
            }
        };
        Ok(Self { levels: vec![top] })
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
        let folder = level.folder.as_ref().map_or(CWD, AsFd::as_fd);

        let stat = statat(folder, &next.at, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| io(&shown, error))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let target: CString =
                    readlinkat(folder, &next.at, Vec::new()).map_err(|error| io(&shown, error))?;
                let target = target.into_bytes();
                path.check_target(&target).map_err(|reason| SealError::Path { path: shown, reason })?;
                Ok(Some(Found::Link { path, target }))
            }
            FileType::Directory => {
                let opened = open_folder(folder, &next.at).map_err(|error| io(&shown, error))?;
                let meta = meta(&fstat(&opened).map_err(|error| io(&shown, error))?);
                self.levels.push(Level::read(opened, path.as_bytes().to_vec(), &shown)?);
                Ok(Some(Found::Folder { path, meta }))
            }
            FileType::RegularFile => {
                let (file, stat) = open_file(folder, &next.at).map_err(|error| io(&shown, error))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Err(SealError::Changed { path: shown });
                }
                Ok(Some(Found::File { path, meta: meta(&stat), size: size(&stat), file }))
            }
            _ => Err(SealError::Special { path: shown }),
        }
    }
}

/// Opens a single input that is a regular file.
pub(crate) fn single_file(path: &Path) -> Result<Option<(EntryPath, Meta, u64, File)>, SealError> {
    let name = Name::of_input(path)?;
    let (file, stat) = open_file(CWD, &name.at).map_err(|error| io(path, error))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let entry = EntryPath::new(name.name).map_err(|reason| SealError::Path { path: path.into(), reason })?;
    Ok(Some((entry, meta(&stat), size(&stat), file)))
}

impl Name {
    /// An input goes by its last name, links in the path followed.
    fn of_input(path: &Path) -> Result<Self, SealError> {
        let at = path.canonicalize().map_err(|error| SealError::Io { path: path.into(), error })?;
        let name = path.file_name().or(at.file_name()).ok_or(SealError::Nothing)?;
        Ok(Self { name: name.as_bytes().to_vec(), at })
    }
}

impl Level {
    fn read(folder: OwnedFd, prefix: Vec<u8>, shown: &Path) -> Result<Self, SealError> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder).map_err(|error| io(shown, error))? {
            let entry = entry.map_err(|error| io(shown, error))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(Name { name: name.to_vec(), at: OsStr::from_bytes(name).into() });
            }
        }
        Self::sorted(Some(folder), prefix, names, shown)
    }

    fn sorted(
        folder: Option<OwnedFd>,
        prefix: Vec<u8>,
        mut names: Vec<Name>,
        shown: &Path,
    ) -> Result<Self, SealError> {
        names.sort_by(|one, other| other.name.cmp(&one.name));
        if let Some(pair) = names.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(SealError::Twice { path: shown.join(OsStr::from_bytes(&pair[0].name)) });
        }
        Ok(Self { folder, prefix, names })
    }
}

/// Opens a folder, not a link to one; the inputs themselves are canonical already.
fn open_folder(folder: BorrowedFd<'_>, at: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, at, flags, Mode::empty())
}

/// Doesn't block on a pipe that took a file's place.
fn open_file(folder: BorrowedFd<'_>, at: &Path) -> Result<(File, Stat), Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = openat(folder, at, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    Ok((file.into(), stat))
}

fn meta(stat: &Stat) -> Meta {
    Meta {
        mode: (stat.st_mode & 0o777) as u16,
        seconds: stat.st_mtime,
        nanoseconds: stat.st_mtime_nsec as u32,
    }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn io(path: &Path, error: Errno) -> SealError {
    SealError::Io { path: path.into(), error: error.into() }
}
