//! Writing a dataset's entries below a staging directory, checking each against the manifest.

use super::archive::{self, Member};
use super::manifest::{Entry, Item, Kind, Meta, RootBuilder, Trailer};
use super::open::{Invalid, Limits, Modes, OpenError, Opened, manifest_error, next_item};
use super::path::EntryPath;
use super::{ObjectName, Progress};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, BufRead, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Puts entries below a directory that nobody else uses.
///
/// Every folder on the way to an entry was made here, never a link, and every entry is created anew, so that a
/// collision (twice the same name, or two that the file system takes for one) is an error and nothing is written
/// through anything.
pub(crate) struct Extract<'a> {
    base: &'a Path,
    modes: Modes,
    limits: Limits,
    progress: Progress<'a>,
    root: RootBuilder,
    entries: u64,
    bytes: u64,
    last: Option<EntryPath>,
    /// The folders that hold the last entry. They get their permissions and times when they are left.
    folders: Vec<(EntryPath, Meta)>,
}

impl<'a> Extract<'a> {
    pub(crate) fn new(base: &'a Path, modes: Modes, limits: Limits, progress: Progress<'a>) -> Self {
        let (root, folders) = (RootBuilder::default(), Vec::new());
        Self { base, modes, limits, progress, root, entries: 0, bytes: 0, last: None, folders }
    }

    /// Reads the manifest's entries and trailer, and the data beside them.
    pub(crate) fn run<R: BufRead>(
        mut self,
        kind: Kind,
        manifest: &mut impl BufRead,
        mut data: DataReader<R>,
    ) -> Result<Opened, OpenError> {
        let trailer = loop {
            let (item, bytes) = next_item(manifest)?;
            match item {
                Item::Entry(entry) => {
                    self.root.push(&bytes);
                    self.entry(kind, entry, &mut data)?;
                }
                Item::Trailer(trailer) => break trailer,
                Item::Header(_) => return Err(wrong_manifest()),
            }
        };
        if kind == Kind::Tree {
            data.expect(&archive::END)?;
        }
        data.expect_end()?;
        let is_end = at_end_of(manifest)?;
        let root = std::mem::take(&mut self.root).finish();
        let counted = Trailer { entries: self.entries, bytes: self.bytes, root };
        if trailer != counted || !is_end || (kind == Kind::File && self.entries != 1) {
            return Err(wrong_manifest());
        }
        self.leave(None)?;
        finish_base(self.base, self.modes)?;
        Ok(Opened { kind, entries: self.entries, bytes: self.bytes, root: Some(root) })
    }

    fn entry<R: BufRead>(
        &mut self,
        kind: Kind,
        entry: Entry,
        data: &mut DataReader<R>,
    ) -> Result<(), OpenError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(OpenError::Invalid { object: ObjectName::manifest(), reason: Invalid::TooLarge });
        }
        self.place(entry.path())?;
        match entry {
            Entry::File { path, meta, size, offset, digest, .. } => {
                if kind == Kind::Tree {
                    data.expect(&archive::header(&path, Member::File { meta: &meta, size }))?;
                }
                if data.at != offset {
                    return Err(wrong_manifest());
                }
                self.file(&path, &meta, size, digest, data)?;
                if kind == Kind::Tree {
                    data.expect(&archive::END[..archive::padding(size)])?;
                }
            }
            Entry::Folder { path, meta, .. } if kind == Kind::Tree => {
                data.expect(&archive::header(&path, Member::Folder { meta: &meta }))?;
                DirBuilder::new().mode(0o700).create(self.at(&path)).map_err(collision)?;
                self.folders.push((path, meta));
            }
            Entry::Link { path, target, .. } if kind == Kind::Tree => {
                data.expect(&archive::header(&path, Member::Link { target: &target }))?;
                symlink(std::ffi::OsStr::from_bytes(&target), self.at(&path)).map_err(collision)?;
            }
            Entry::Folder { .. } | Entry::Link { .. } => return Err(wrong_manifest()),
        }
        Ok(())
    }

    /// Checks that a path follows the last one, in a folder that is there, and leaves the folders that are done.
    fn place(&mut self, path: &EntryPath) -> Result<(), OpenError> {
        if self.last.as_ref().is_some_and(|last| last >= path) {
            return Err(wrong_manifest());
        }
        self.last = Some(path.clone());
        self.leave(path.parent())?;
        match self.folders.last().map(|(folder, _)| folder.as_bytes()) == path.parent() {
            true => Ok(()),
            false => Err(wrong_manifest()),
        }
    }

    /// Finishes the folders that don't hold `parent`.
    fn leave(&mut self, parent: Option<&[u8]>) -> Result<(), OpenError> {
        let holds = |folder: &EntryPath| {
            let rest = parent.and_then(|parent| parent.strip_prefix(folder.as_bytes()));
            rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        while let Some((folder, meta)) = self.folders.pop_if(|(folder, _)| !holds(folder)) {
            let path = self.at(&folder);
            let handle = File::open(&path).map_err(OpenError::Io)?;
            set_meta(&handle, &meta, self.modes, 0o111)?;
        }
        Ok(())
    }

    fn file<R: BufRead>(
        &mut self,
        path: &EntryPath,
        meta: &Meta,
        size: u64,
        digest: crate::Blake3Digest,
        data: &mut DataReader<R>,
    ) -> Result<(), OpenError> {
        if size > self.limits.bytes.saturating_sub(self.bytes) {
            return Err(OpenError::Invalid { object: ObjectName::manifest(), reason: Invalid::TooLarge });
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.at(path))
            .map_err(collision)?;
        let mut hasher = blake3::Hasher::new();
        let mut left = size;
        while left > 0 {
            let ready = data.ready(left)?;
            hasher.update(ready);
            file.write_all(ready).map_err(OpenError::Io)?;
            let count = ready.len();
            left -= count as u64;
            data.consume(count);
            self.bytes += count as u64;
            (self.progress)(self.bytes);
        }
        if crate::Blake3Digest::from(*hasher.finalize().as_bytes()) != digest {
            return Err(wrong_data(Invalid::File));
        }
        finish_file(&file, meta, self.modes)
    }

    fn at(&self, path: &EntryPath) -> PathBuf {
        self.base.join(path.as_path())
    }
}

/// Sets a file's time and permissions.
pub(crate) fn finish_file(file: &File, meta: &Meta, modes: Modes) -> Result<(), OpenError> {
    set_meta(file, meta, modes, 0)
}

fn set_meta(file: &File, meta: &Meta, modes: Modes, search: u32) -> Result<(), OpenError> {
    let whole = Duration::from_secs(meta.seconds.unsigned_abs());
    let time = match meta.seconds >= 0 {
        true => SystemTime::UNIX_EPOCH.checked_add(whole),
        false => SystemTime::UNIX_EPOCH.checked_sub(whole),
    };
    let time = time.and_then(|time| time.checked_add(Duration::from_nanos(meta.nanoseconds.into())));
    file.set_modified(time.ok_or_else(wrong_manifest)?).map_err(OpenError::Io)?;
    let mode = u32::from(meta.mode);
    let mode = match modes {
        Modes::AsSealed => mode,
        Modes::ReadOnly if mode & 0o111 != 0 => 0o555,
        Modes::ReadOnly => 0o444 | search,
    };
    file.set_permissions(Permissions::from_mode(mode)).map_err(OpenError::Io)
}

/// Whether a manifest has nothing more.
pub(crate) fn at_end_of(manifest: &mut impl BufRead) -> Result<bool, OpenError> {
    manifest.fill_buf().map(|rest| rest.is_empty()).map_err(manifest_error)
}

/// Sets the permissions of the folder that everything was extracted into.
pub(crate) fn finish_base(base: &Path, modes: Modes) -> Result<(), OpenError> {
    let mode = if modes == Modes::ReadOnly { 0o555 } else { 0o755 };
    fs::set_permissions(base, Permissions::from_mode(mode)).map_err(OpenError::Io)
}

/// Reads the opened `data.age` and knows where it is.
pub(crate) struct DataReader<R> {
    inner: R,
    at: u64,
}

impl<R: BufRead> DataReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, at: 0 }
    }

    /// Some of the next bytes, at least one and at most `most`.
    fn ready(&mut self, most: u64) -> Result<&[u8], OpenError> {
        let ready = self.inner.fill_buf().map_err(|_| wrong_data(Invalid::Age))?;
        if ready.is_empty() {
            return Err(wrong_data(Invalid::File));
        }
        Ok(&ready[..ready.len().min(usize::try_from(most).unwrap_or(usize::MAX))])
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.at += count as u64;
    }

    /// Reads bytes that are known beforehand.
    fn expect(&mut self, wanted: &[u8]) -> Result<(), OpenError> {
        let mut got = vec![0; wanted.len()];
        self.inner.read_exact(&mut got).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => wrong_data(Invalid::Content),
            _ => wrong_data(Invalid::Age),
        })?;
        self.at += wanted.len() as u64;
        if got == wanted { Ok(()) } else { Err(wrong_data(Invalid::Content)) }
    }

    fn expect_end(&mut self) -> Result<(), OpenError> {
        match self.inner.fill_buf().map_err(|_| wrong_data(Invalid::Age))?.is_empty() {
            true => Ok(()),
            false => Err(wrong_data(Invalid::Content)),
        }
    }
}

fn wrong_manifest() -> OpenError {
    OpenError::Invalid { object: ObjectName::manifest(), reason: Invalid::Content }
}

fn wrong_data(reason: Invalid) -> OpenError {
    OpenError::Invalid { object: ObjectName::data(), reason }
}

/// Two entries that are one to this file system are the dataset's fault, anything else the machine's.
fn collision(error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => wrong_manifest(),
        _ => OpenError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{Root, write_item};
    use super::*;
    use crate::Blake3Digest;

    const META: Meta = Meta { mode: 0o644, seconds: 0, nanoseconds: 0 };

    fn path(text: &str) -> EntryPath {
        EntryPath::new(text.into()).unwrap()
    }

    fn file(name: &str, content: &str) -> (Entry, Vec<u8>) {
        let (path, size, digest) = (path(name), content.len() as u64, Blake3Digest::of(content.as_bytes()));
        let mut bytes = archive::header(&path, Member::File { meta: &META, size });
        bytes.extend_from_slice(content.as_bytes());
        bytes.extend_from_slice(&archive::END[..archive::padding(size)]);
        (Entry::File { path, meta: META, size, offset: 0, digest, salt: [0; 32] }, bytes)
    }

    fn folder(name: &str) -> (Entry, Vec<u8>) {
        let bytes = archive::header(&path(name), Member::Folder { meta: &META });
        (Entry::Folder { path: path(name), meta: META, salt: [0; 32] }, bytes)
    }

    fn link(name: &str, target: &str) -> (Entry, Vec<u8>) {
        let target = target.as_bytes();
        let bytes = archive::header(&path(name), Member::Link { target });
        (Entry::Link { path: path(name), target: target.to_vec(), salt: [0; 32] }, bytes)
    }

    /// Extracts what an owner may have put together by hand.
    fn extract(
        entries: Vec<(Entry, Vec<u8>)>,
        change: impl Fn(&mut Trailer, &mut Vec<u8>),
    ) -> Result<Opened, OpenError> {
        let (mut manifest, mut data, mut root) = (Vec::new(), Vec::new(), RootBuilder::default());
        let mut trailer = Trailer { entries: 0, bytes: 0, root: Root([0; 32]) };
        for (mut entry, bytes) in entries {
            if let Entry::File { offset, path, meta, size, .. } = &mut entry {
                *offset =
                    (data.len() + archive::header(path, Member::File { meta, size: *size }).len()) as u64;
                trailer.bytes += *size;
            }
            let item = Item::Entry(entry).encode();
            write_item(&mut manifest, &item).unwrap();
            root.push(&item);
            trailer.entries += 1;
            data.extend_from_slice(&bytes);
        }
        trailer.root = root.finish();
        data.extend_from_slice(&archive::END);
        change(&mut trailer, &mut data);
        write_item(&mut manifest, &Item::Trailer(trailer).encode()).unwrap();
        let base = tempfile::TempDir::new().unwrap();
        let mut progress = |_| ();
        let extract = Extract::new(base.path(), Modes::AsSealed, Limits::NONE, &mut progress);
        extract.run(Kind::Tree, &mut &manifest[..], DataReader::new(&data[..]))
    }

    #[test]
    fn a_tree_put_together_well_is_taken() {
        let entries = vec![folder("a"), file("a/x", "x"), link("a/y", "../b"), file("b", "b")];
        assert_eq!(extract(entries, |_, _| ()).unwrap().entries, 4);
    }

    #[test]
    fn tricks_with_entries_are_refused() {
        let cases = [
            vec![file("b", "b"), file("a", "a")],
            vec![file("a", "a"), file("a", "b")],
            vec![folder("a"), file("a", "a")],
            vec![file("a/x", "x")],
            vec![file("a", "a"), file("a/x", "x")],
            vec![link("a", "."), file("a/x", "x")],
            vec![folder("a"), file("b", "b"), file("a/x", "x")],
            vec![folder("a"), file("ab/x", "x")],
        ];
        for (index, entries) in cases.into_iter().enumerate() {
            assert!(matches!(extract(entries, |_, _| ()), Err(OpenError::Invalid { .. })), "case {index}");
        }
    }

    #[test]
    fn totals_and_archive_must_agree() {
        let entries = || vec![folder("a"), file("a/x", "content")];
        let changes: [fn(&mut Trailer, &mut Vec<u8>); 7] = [
            |trailer, _| trailer.entries += 1,
            |trailer, _| trailer.bytes -= 1,
            |trailer, _| trailer.root.0[0] ^= 1,
            |_, data| data.push(0),
            |_, data| data.truncate(data.len() - 1),
            |_, data| data[0] ^= 1,
            |_, data| data[2 * 512] ^= 1,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert!(matches!(extract(entries(), change), Err(OpenError::Invalid { .. })), "change {index}");
        }
        assert!(extract(entries(), |_, _| ()).is_ok());
    }
}
