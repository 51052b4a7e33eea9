//! The folder that entries are put into: everything is made anew, below it, and nothing is written through a link.

use super::ObjectName;
use super::manifest::Meta;
use super::open::{Invalid, Modes, OpenError};
use super::path::EntryPath;
#[cfg(target_os = "linux")]
use rustix::fs::ResolveFlags;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat, symlinkat, unlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A directory that nobody else uses, held open. Any number of threads may put entries into it.
///
/// Every folder on the way to an entry was made here, never a link, and every entry is created anew, so that a
/// collision (twice the same name, or two that the file system takes for one) is an error.
pub(crate) struct Base {
    folder: OwnedFd,
    modes: Modes,
    /// The permissions that a file keeps of those that it is created with here.
    kept: u32,
}

impl Base {
    pub(crate) fn new(path: &Path, modes: Modes) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(CWD, path, flags, Mode::empty())?;
        // A mask of the process or of the folder may take some away: asked of a file, since only a file knows.
        let probe = create(&folder, Path::new(PROBE), 0o777)?;
        let kept = probe.metadata()?.permissions().mode() & 0o777;
        unlinkat(&folder, PROBE, rustix::fs::AtFlags::empty())?;
        Ok(Self { folder, modes, kept })
    }

    /// Makes an empty file.
    pub(crate) fn file(&self, path: &EntryPath, meta: &Meta) -> Result<File, OpenError> {
        create(&self.folder, path.as_path(), mode(meta, self.modes, 0)).map_err(collision)
    }

    /// Gives a file that was written whole its time, and its permissions if it was not created with them.
    pub(crate) fn finish_file(&self, file: &File, meta: &Meta) -> Result<(), OpenError> {
        match mode(meta, self.modes, 0) & !self.kept {
            0 => file.set_modified(modified(meta)?).map_err(OpenError::Io),
            _ => finish_file(file, meta, self.modes),
        }
    }

    /// Makes a folder, in which only this user can do anything until it is finished.
    pub(crate) fn folder(&self, path: &EntryPath) -> Result<(), OpenError> {
        mkdirat(&self.folder, path.as_path(), Mode::RWXU).map_err(collision)
    }

    /// Gives a folder its time and permissions, after everything in it is there.
    pub(crate) fn finish_folder(&self, path: &EntryPath, meta: &Meta) -> Result<(), OpenError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = open_below(&self.folder, path.as_path(), flags, Mode::empty());
        let folder = File::from(folder.map_err(|error| OpenError::Io(error.into()))?);
        folder.set_modified(modified(meta)?).map_err(OpenError::Io)?;
        let mode = Permissions::from_mode(mode(meta, self.modes, 0o111));
        folder.set_permissions(mode).map_err(OpenError::Io)
    }

    pub(crate) fn link(&self, path: &EntryPath, target: &[u8]) -> Result<(), OpenError> {
        symlinkat(OsStr::from_bytes(target), &self.folder, path.as_path()).map_err(collision)
    }
}

/// Sets a file's time and permissions.
pub(crate) fn finish_file(file: &File, meta: &Meta, modes: Modes) -> Result<(), OpenError> {
    file.set_modified(modified(meta)?).map_err(OpenError::Io)?;
    file.set_permissions(Permissions::from_mode(mode(meta, modes, 0))).map_err(OpenError::Io)
}

/// Sets the permissions of the folder that everything was put into.
pub(crate) fn finish_base(base: &Path, modes: Modes) -> Result<(), OpenError> {
    let mode = if modes == Modes::ReadOnly { 0o555 } else { 0o755 };
    fs::set_permissions(base, Permissions::from_mode(mode)).map_err(OpenError::Io)
}

fn create(folder: &OwnedFd, path: &Path, mode: u32) -> Result<File, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open_below(folder, path, flags, Mode::from_raw_mode(mode)).map(File::from)
}

/// Opens below a folder, over no link.
fn open_below(folder: &OwnedFd, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    #[cfg(target_os = "linux")]
    return rustix::fs::openat2(folder, path, flags, mode, ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH);
    #[cfg(not(target_os = "linux"))]
    openat(folder, path, flags, mode)
}

fn mode(meta: &Meta, modes: Modes, search: u32) -> u32 {
    let mode = u32::from(meta.mode);
    match modes {
        Modes::AsSealed => mode,
        Modes::ReadOnly if mode & 0o111 != 0 => 0o555,
        Modes::ReadOnly => 0o444 | search,
    }
}

fn modified(meta: &Meta) -> Result<SystemTime, OpenError> {
    let whole = Duration::from_secs(meta.seconds.unsigned_abs());
    let time = match meta.seconds >= 0 {
        true => SystemTime::UNIX_EPOCH.checked_add(whole),
        false => SystemTime::UNIX_EPOCH.checked_sub(whole),
    };
    let time = time.and_then(|time| time.checked_add(Duration::from_nanos(meta.nanoseconds.into())));
    time.ok_or(OpenError::Invalid { object: ObjectName::manifest(), reason: Invalid::Content })
}

/// Two entries that are one to this file system are the dataset's fault, anything else the machine's.
fn collision(error: Errno) -> OpenError {
    match error {
        Errno::EXIST => OpenError::Invalid { object: ObjectName::manifest(), reason: Invalid::Content },
        error => OpenError::Io(error.into()),
    }
}

/// There for a moment, before anything else is.
const PROBE: &str = ".pox-probe";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_come_out_whatever_the_mask_is() {
        let folder = tempfile::TempDir::new().unwrap();
        let base = Base::new(folder.path(), Modes::AsSealed).unwrap();
        let strict = Base { kept: 0o700, ..Base::new(folder.path(), Modes::AsSealed).unwrap() };
        for (number, mode) in [0o777, 0o600, 0o444, 0].into_iter().enumerate() {
            for (base, name) in [(&base, "a"), (&strict, "b")] {
                let path = EntryPath::new(format!("{name}{number}").into()).unwrap();
                let meta = Meta { mode, seconds: 0, nanoseconds: 0 };
                let file = base.file(&path, &meta).unwrap();
                base.finish_file(&file, &meta).unwrap();
                let found = file.metadata().unwrap().permissions();
                assert_eq!(found.mode() & 0o777, u32::from(mode));
            }
        }
    }
}
