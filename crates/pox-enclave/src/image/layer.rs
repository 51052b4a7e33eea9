use std::fs::File;
use std::io::{self, Read, Write};

use rustix::fs::{Mode, Timespec, Timestamps, fchmod, futimens};

use super::path::RootPath;
use super::tar::{Archive, Entry, Kind};
use super::tree::{DIR_MODE, Failure, Links, Parent, Tree};
use super::{EntryFault, Error, Invalid, Limits};

/// What a layer, or a whole image, came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayerStats {
    /// Archive entries, whiteouts included.
    pub entries: u64,
    /// Content of files written, in bytes.
    pub bytes: u64,
    /// Device nodes that were skipped: the sandbox has its own `/dev`.
    pub devices: u64,
    /// Named pipes that were skipped.
    pub fifos: u64,
}

/// Applies one uncompressed layer to a tree. `stats` counts on, so that limits hold over all layers.
///
/// A later entry replaces an earlier one of the same name. Whiteouts hide only what lower layers have, wherever in
/// the archive they stand.
///
/// **Mode rule.** The task runs as one unprivileged user, which may own the files or may not, while an image's program
/// expects to be root or the file's owner; and an image holds no secrets. So every file becomes readable by all
/// (`0644`), executable by all if it is by anyone (`0755`), and writable by all if the image says so (`0666`,
/// `0777`); every directory becomes `0755`, or `1777` if the image lets all write to it. Setuid, setgid and extended attributes are
/// dropped, ownership is [`Limits::owner`], and modification times of files are kept.
///
/// # Errors
/// [`Error::Invalid`] for what the archive does wrong, [`Error::Local`] if the file system fails. The tree is then in
/// between, for the caller to wipe.
pub fn unpack_layer(
    archive: &mut dyn Read,
    tree: &mut Tree,
    limits: &Limits,
    stats: &mut LayerStats,
) -> Result<(), Error> {
    let mut archive = Archive::new(archive);
    tree.begin_layer();
    while let Some(entry) = archive.next_entry(limits)? {
        stats.entries += 1;
        if stats.entries > limits.entries {
            return Err(Invalid::TooBig { what: "number of entries", limit: limits.entries }.into());
        }
        let path = RootPath::parse(&entry.path, limits)?;
        apply(&mut archive, &entry, &path, tree, limits, stats).map_err(|stop| stop.at(&entry.path))?;
    }
    drain(archive.into_inner())
}

fn apply(
    archive: &mut Archive<&mut dyn Read>,
    entry: &Entry,
    path: &RootPath,
    tree: &mut Tree,
    limits: &Limits,
    stats: &mut LayerStats,
) -> Result<(), Stop> {
    let Some((parent, name)) = path.split() else {
        // The root itself; its mode is ours.
        return if entry.kind == Kind::Directory { Ok(()) } else { Err(EntryFault::Malformed.into()) };
    };
    if parent.iter().any(|part| part.starts_with(WHITEOUT)) {
        return Err(EntryFault::Whiteout.into());
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        let plain = matches!(entry.kind, Kind::File { .. });
        return if plain { white_out(tree, parent, hidden) } else { Err(EntryFault::Whiteout.into()) };
    }
    match &entry.kind {
        Kind::Directory => {
            let parent = tree.make_parent(parent)?;
            tree.make_dir(&parent, name, directory_mode(entry.mode))?;
        }
        Kind::File { size } => {
            if *size > limits.file_bytes {
                return Err(EntryFault::TooBig.into());
            }
            let parent = tree.make_parent(parent)?;
            write_file(archive, entry, &parent, name, tree)?;
            stats.bytes += size;
        }
        Kind::Symlink { target } => {
            let parent = tree.make_parent(parent)?;
            tree.make_symlink(&parent, name, target)?;
        }
        Kind::HardLink { target } => {
            let target = RootPath::parse(target, limits).map_err(|_| EntryFault::LinkTarget)?;
            let (target_dir, target_name) = target.split().ok_or(EntryFault::LinkTarget)?;
            let target_dir = tree.open_dir(target_dir, Links::Follow)?;
            let parent = tree.make_parent(parent)?;
            tree.make_hard_link(&parent, name, &target_dir, target_name)?;
        }
        Kind::Device => {
            stats.devices += 1;
            remove(tree, parent, name)?;
        }
        Kind::Fifo => {
            stats.fifos += 1;
            remove(tree, parent, name)?;
        }
    }
    Ok(())
}

fn write_file(
    archive: &mut Archive<&mut dyn Read>,
    entry: &Entry,
    parent: &Parent,
    name: &[u8],
    tree: &mut Tree,
) -> Result<(), Stop> {
    let mut file = File::from(tree.create_file(parent, name)?);
    let mut buffer = vec![0; BUFFER];
    loop {
        match archive.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => file.write_all(&buffer[..n]).map_err(Failure::Local)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Stop::Archive(Invalid::from_read(error))),
        }
    }
    // Beyond the year 2242 file systems differ; a time is a hint here.
    let seconds = i64::try_from(entry.mtime).unwrap_or(i64::MAX).min(LATEST_MTIME);
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    fchmod(&file, file_mode(entry.mode)).map_err(Failure::from)?;
    futimens(&file, &Timestamps { last_access: time, last_modification: time }).map_err(Failure::from)?;
    Ok(())
}

/// A skipped entry still replaces what lower layers have under its name.
fn remove(tree: &mut Tree, parent: &[Vec<u8>], name: &[u8]) -> Result<(), Stop> {
    match tree.open_dir(parent, Links::Follow) {
        Ok(parent) => Ok(tree.remove(&parent, name)?),
        Err(Failure::Missing) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

/// Applies a whiteout. Its path may not go through links: no tool writes such, and following one could hide
/// another part of the tree than the one named.
fn white_out(tree: &mut Tree, parent: &[Vec<u8>], hidden: &[u8]) -> Result<(), Stop> {
    let opaque = hidden == OPAQUE;
    if !opaque && (matches!(hidden, b"" | b"." | b"..") || hidden.starts_with(WHITEOUT)) {
        return Err(EntryFault::Whiteout.into());
    }
    let parent = match tree.open_dir(parent, Links::Refuse) {
        Ok(parent) => parent,
        Err(Failure::Missing) => return Ok(()),
        Err(Failure::Fault(_)) => return Err(EntryFault::Whiteout.into()),
        Err(other) => return Err(other.into()),
    };
    if opaque {
        tree.hide_children(&parent)?
    } else {
        tree.hide(&parent, hidden)?
    }
    Ok(())
}

/// Reads what follows the archive's end: it belongs to the layer's digest.
fn drain(rest: &mut dyn Read) -> Result<(), Error> {
    io::copy(rest, &mut io::sink()).map_err(Invalid::from_read)?;
    Ok(())
}

fn file_mode(mode: u32) -> Mode {
    let execute = if mode & 0o111 != 0 { 0o111 } else { 0 };
    let write = if mode & 0o002 != 0 { 0o022 } else { 0 };
    Mode::from_raw_mode(0o644 | execute | write)
}

fn directory_mode(mode: u32) -> Mode {
    if mode & 0o002 != 0 { Mode::from_raw_mode(0o1777) } else { DIR_MODE }
}

/// Why applying an entry stopped, before it is known which entry it was.
enum Stop {
    Fault(EntryFault),
    Archive(Invalid),
    Local(io::Error),
}

impl Stop {
    fn at(self, path: &[u8]) -> Error {
        match self {
            Self::Fault(fault) => Invalid::entry(path, fault).into(),
            Self::Archive(invalid) => invalid.into(),
            Self::Local(error) => Error::Local(error),
        }
    }
}

impl From<EntryFault> for Stop {
    fn from(fault: EntryFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Missing => Self::Fault(EntryFault::LinkTarget),
            Failure::Fault(fault) => Self::Fault(fault),
            Failure::Local(error) => Self::Local(error),
        }
    }
}

const WHITEOUT: &[u8] = b".wh.";
/// What follows [`WHITEOUT`] in the name that hides all of a directory's lower content.
const OPAQUE: &[u8] = b".wh..opq";
const BUFFER: usize = 64 << 10;
/// 2242-03-16, which all Linux file systems in use can store.
const LATEST_MTIME: i64 = 1 << 33;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_follow_the_rule() {
        for (image, ours) in [
            (0o600, 0o644),
            (0o000, 0o644),
            (0o4755, 0o755),
            (0o2711, 0o755),
            (0o666, 0o666),
            (0o777, 0o777),
            (0o700, 0o755),
        ] {
            assert_eq!(file_mode(image).as_raw_mode(), ours, "{image:o}");
        }
        for (image, ours) in [(0o700, 0o755), (0o1777, 0o1777), (0o777, 0o1777), (0o2775, 0o755)] {
            assert_eq!(directory_mode(image).as_raw_mode(), ours, "{image:o}");
        }
    }
}
