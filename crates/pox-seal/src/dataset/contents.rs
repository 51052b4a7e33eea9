//! A dataset that stays where it is: its manifest is read and checked, and of its data only what is asked for.

use super::directory::Staging;
use super::joined::Joined;
use super::layout::at_end_of;
use super::manifest::{Entry, Header, Item, Kind, PathsBuilder, RootBuilder, Trailer};
use super::open::{
    Invalid, Limits, MAX_PAYLOAD, ObjectKeys, OpenError, Public, next_item, read_head, read_index,
};
use super::path::EntryPath;
use super::{DatasetCommitment, ObjectName, ObjectSource, Progress};
use crate::age::{AgeError, CHUNK, Locked, Opener, chunks_of};
use crate::hashing::{Blake3Digest, HashReader};
use crate::keys::FileKey;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, Write};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use tempfile::SpooledTempFile;

/// Most entries that are disclosed at a time.
pub const MAX_DISCLOSED: usize = 64;

/// A dataset of which the public texts and the whole manifest are what its commitment says.
///
/// What the manifest says of a file is therefore as certain as after opening everything: its digest is the committed one.
pub struct Contents {
    public: Public,
    /// The sealed manifest.
    manifest: SpooledTempFile,
    manifest_key: FileKey,
    data: Data,
    kind: Kind,
    trailer: Trailer,
}

/// Which bytes of a file are wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// All: they are compared with the digest in the manifest.
    Whole,
    /// Some: each chunk is authenticated at its place, under the key that is committed to. That shows that somebody who had
    /// the dataset's key sealed them for this place; only the whole file's digest shows that they are the committed ones.
    Range(Range<u64>),
}

/// An entry with what shows that it belongs to the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DisclosedEntry {
    /// The entry's encoding, which is the leaf's content.
    pub entry: Vec<u8>,
    /// The siblings on the way to the root, the leaf's first.
    pub path: Vec<PathStep>,
}

/// One sibling on the way to the root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathStep {
    /// It stands on the left.
    Left([u8; 32]),
    /// It stands on the right.
    Right([u8; 32]),
}

impl Contents {
    /// Fetches and checks everything but the data: `B3SUMS` against the commitment, the texts and the manifest against
    /// `B3SUMS`, both keys against `KEYS`, the manifest's entries against each other, its trailer and `ROOT`.
    pub fn read(
        source: &mut dyn ObjectSource,
        commitment: &DatasetCommitment,
        keys: &ObjectKeys,
        limits: Limits,
    ) -> Result<Self, OpenError> {
        let b3sums = read_index(source, commitment)?;
        let public = Public::read(source, b3sums)?;
        let name = ObjectName::data();
        let (locked, data_key) = public.checked_key(&name, Cursor::new(read_head(source, &name)?), keys)?;
        let data = Data { locked, key: data_key.again() };
        let name = ObjectName::manifest();
        let mut manifest = public.spool_manifest(source, &std::env::temp_dir(), limits)?;
        let (_, manifest_key) = public.checked_key(&name, BufReader::new(&mut manifest), keys)?;
        let manifest_key = manifest_key.again();
        let (kind, trailer) = (Kind::Tree, Trailer { entries: 0, bytes: 0, root: public.root });
        let mut contents = Self { public, manifest, manifest_key, data, kind, trailer };
        contents.check(limits)?;
        Ok(contents)
    }

    /// What the dataset is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What all entries come to.
    pub fn trailer(&self) -> Trailer {
        self.trailer
    }

    /// The public `B3SUMS`, from which the commitment is taken.
    pub fn b3sums(&self) -> String {
        self.public.b3sums.to_string()
    }

    /// Shows each entry, in order, until there are no more or enough was seen.
    pub fn walk(&mut self, mut visit: impl FnMut(&Entry) -> ControlFlow<()>) -> Result<(), OpenError> {
        let mut items = Items::start(&mut self.manifest, &self.manifest_key)?;
        while let Some((entry, _)) = items.next()? {
            if visit(&entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The first entry that is a file and is wanted.
    pub fn find(&mut self, mut wanted: impl FnMut(&EntryPath) -> bool) -> Result<Option<Entry>, OpenError> {
        let mut found = None;
        self.walk(|entry| {
            if !matches!(entry, Entry::File { .. }) || !wanted(entry.path()) {
                return ControlFlow::Continue(());
            }
            found = Some(entry.clone());
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Fetches the chunks that hold a file, and writes its bytes; gives how many.
    ///
    /// Each chunk is authenticated at its place before a byte of it is written. The digest of a whole file is compared at its
    /// end: until this returns, what was written must not pass for the file.
    pub fn copy_file(
        &self,
        source: &mut dyn ObjectSource,
        entry: &Entry,
        part: &Part,
        out: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<u64, OpenError> {
        self.data.copy_file(source, entry, part, out, progress)
    }

    /// Opens the wanted files into a new directory, each at its own path; gives their number and bytes. It appears whole, or
    /// not at all. Links are left out: what they lead to may not be among them. Files that lie near each other are fetched
    /// with one request.
    pub fn extract(
        &mut self,
        source: &mut dyn ObjectSource,
        mut wanted: impl FnMut(&EntryPath) -> bool,
        dest: &Path,
        progress: Progress<'_>,
    ) -> Result<(u64, u64), OpenError> {
        let mut staging = Staging::beside(dest, 0o755).map_err(OpenError::Io)?;
        let Self { manifest, manifest_key, data, .. } = self;
        let mut items = Items::start(manifest, manifest_key)?;
        let (mut count, mut bytes, mut joined) = (0, 0, Joined::default());
        while let Some((entry, _)) = items.next()? {
            if !matches!(entry, Entry::File { .. }) || !wanted(entry.path()) {
                continue;
            }
            let Err(apart) = joined.join(entry) else { continue };
            let full = std::mem::replace(&mut joined, Joined::of(apart));
            count += full.len();
            bytes += full.write(data, source, staging.path(), bytes, progress)?;
        }
        count += joined.len();
        bytes += joined.write(data, source, staging.path(), bytes, progress)?;
        staging.publish().map_err(OpenError::Io)?;
        Ok((count, bytes))
    }

    /// Writes everything that `data.age` opens to: the file, or the tree as a tar archive; gives the number of bytes.
    ///
    /// Chunks are authenticated before they are written, and the whole is compared with `B3SUMS` at its end, and a file with
    /// the manifest: until this returns, what was written must not pass for the data. An archive's members aren't compared
    /// with the manifest, as [`open`](super::open) does.
    pub fn copy_all(
        &mut self,
        source: &mut dyn ObjectSource,
        out: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<u64, OpenError> {
        let object = ObjectName::data();
        let expected = match (self.kind, self.find(|_| true)?) {
            (Kind::File, Some(Entry::File { digest, .. })) => Some(digest),
            (Kind::File, _) => return Err(invalid(ObjectName::manifest(), Invalid::Content)),
            (Kind::Tree, _) => None,
        };
        let failed = |error| OpenError::Source { object: object.clone(), error };
        let mut input = source.open(&object, 0).map_err(failed)?;
        let mut hashing = HashReader::new(&mut input, u64::MAX);
        let start = self.data.locked.chunk_offset(0);
        io::copy(&mut (&mut hashing).take(start), &mut io::sink()).map_err(failed)?;
        let opener = self.data.locked.open_at(&self.data.key, 0, &mut hashing);
        let mut opener = opener.map_err(|_| invalid(object.clone(), Invalid::Age))?;
        let (mut content, mut done) = (blake3::Hasher::new(), 0);
        loop {
            let ready = opener.fill_buf().map_err(|error| self.data.blame(error))?;
            if ready.is_empty() {
                break;
            }
            crate::hashing::update(&mut content, ready);
            out.write_all(ready).map_err(OpenError::Io)?;
            let count = ready.len();
            opener.consume(count);
            done += count as u64;
            progress(done);
        }
        drop(opener);
        if hashing.digest() != self.public.digest(&object) {
            return Err(OpenError::Mismatch { object });
        }
        let found = Blake3Digest::from(*content.finalize().as_bytes());
        match expected.is_none_or(|expected| expected == found) {
            true => Ok(done),
            false => Err(invalid(object, Invalid::File)),
        }
    }

    /// The wanted files' entries, at most [`MAX_DISCLOSED`], each with its path to the root. Nothing if there are more.
    pub fn disclose(
        &mut self,
        mut wanted: impl FnMut(&EntryPath) -> bool,
    ) -> Result<Option<Vec<DisclosedEntry>>, OpenError> {
        let (mut tree, mut entries) = (PathsBuilder::default(), Vec::new());
        let mut items = Items::start(&mut self.manifest, &self.manifest_key)?;
        while let Some((entry, bytes)) = items.next()? {
            let is_wanted = matches!(entry, Entry::File { .. }) && wanted(entry.path());
            tree.push(&bytes, is_wanted);
            if is_wanted {
                entries.push(bytes);
            }
            if entries.len() > MAX_DISCLOSED {
                return Ok(None);
            }
        }
        let (root, paths) = tree.finish();
        debug_assert_eq!(root, self.public.root, "the manifest is what was checked");
        let both = entries.into_iter().zip(paths);
        Ok(Some(both.map(|(entry, path)| DisclosedEntry { entry, path }).collect()))
    }

    /// Reads all of the manifest once.
    fn check(&mut self, limits: Limits) -> Result<(), OpenError> {
        let wrong = || invalid(ObjectName::manifest(), Invalid::Content);
        let mut items = Items::start(&mut self.manifest, &self.manifest_key)?;
        let (mut counted, mut root) =
            (Trailer { entries: 0, bytes: 0, root: self.public.root }, RootBuilder::default());
        let mut last: Option<EntryPath> = None;
        while let Some((entry, bytes)) = items.next()? {
            if last.as_ref().is_some_and(|last| last >= entry.path()) {
                return Err(wrong());
            }
            if let Entry::File { size, offset, .. } = &entry {
                counted.bytes = counted.bytes.checked_add(*size).ok_or_else(wrong)?;
                // So that no sum over places can overflow.
                offset.checked_add(*size).filter(|end| *end <= MAX_PAYLOAD).ok_or_else(wrong)?;
            }
            counted.entries += 1;
            if counted.entries > limits.entries {
                return Err(invalid(ObjectName::manifest(), Invalid::TooLarge));
            }
            root.push(&bytes);
            last = Some(entry.path().clone());
        }
        self.kind = items.kind;
        let found = items.trailer;
        if found != Some(counted) || root.finish() != self.public.root {
            return Err(wrong());
        }
        if self.kind == Kind::File && counted.entries != 1 {
            return Err(wrong());
        }
        self.trailer = counted;
        Ok(())
    }
}

/// The data, of which header and key are checked.
pub(super) struct Data {
    locked: Locked<Cursor<Vec<u8>>>,
    key: FileKey,
}

impl Data {
    fn copy_file(
        &self,
        source: &mut dyn ObjectSource,
        entry: &Entry,
        part: &Part,
        out: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<u64, OpenError> {
        let Entry::File { size, offset, digest, .. } = entry else {
            return Err(invalid(ObjectName::data(), Invalid::File));
        };
        let wanted = match part {
            Part::Whole => 0..*size,
            Part::Range(range) => range.start.min(*size)..range.end.min(*size),
        };
        let mut hasher = blake3::Hasher::new();
        if !wanted.is_empty() {
            let place = offset + wanted.start..offset + wanted.end;
            let mut seen = |bytes: &[u8]| crate::hashing::update(&mut hasher, bytes);
            self.span(source, place.clone())?.copy(place, out, &mut seen, progress)?;
        }
        let found = Blake3Digest::from(*hasher.finalize().as_bytes());
        if *part == Part::Whole && found != *digest {
            return Err(invalid(ObjectName::data(), Invalid::File));
        }
        Ok(wanted.end.saturating_sub(wanted.start))
    }

    /// Fetches what holds a range of the opened data, which isn't empty.
    pub(super) fn span<'a>(
        &'a self,
        source: &'a mut dyn ObjectSource,
        place: Range<u64>,
    ) -> Result<Span<'a>, OpenError> {
        let object = ObjectName::data();
        let chunks = chunks_of(place);
        let sealed = self.locked.chunk_offset(chunks.start)..self.locked.chunk_offset(chunks.end);
        let failed = |error| OpenError::Source { object: object.clone(), error };
        let reader = source.range(&object, sealed).map_err(failed)?;
        let opener = self.locked.open_at(&self.key, chunks.start, reader);
        let opener = opener.map_err(|_| invalid(object.clone(), Invalid::Age))?;
        Ok(Span { data: self, opener, at: chunks.start * CHUNK as u64 })
    }

    /// Why the data can't be read on.
    fn blame(&self, error: io::Error) -> OpenError {
        let object = ObjectName::data();
        match AgeError::from(error) {
            AgeError::Io(error) => OpenError::Source { object, error },
            // Either the storage changed it, or whoever sealed it; nobody can tell without reading all of it.
            _ => OpenError::Mismatch { object },
        }
    }
}

/// Opened data from a place on.
pub(super) struct Span<'a> {
    data: &'a Data,
    opener: Opener<Box<dyn Read + 'a>>,
    /// Of the next byte.
    at: u64,
}

impl Span<'_> {
    /// Writes a range that doesn't begin before the last one's end; what is between them is passed over.
    pub(super) fn copy(
        &mut self,
        place: Range<u64>,
        out: &mut dyn Write,
        seen: &mut dyn FnMut(&[u8]),
        progress: Progress<'_>,
    ) -> Result<(), OpenError> {
        while self.at < place.end {
            let ready = self.opener.fill_buf().map_err(|error| self.data.blame(error))?;
            if ready.is_empty() {
                return Err(OpenError::Mismatch { object: ObjectName::data() });
            }
            let end = place.end.min(self.at + ready.len() as u64);
            // Within what is ready.
            let wanted = place.start.clamp(self.at, end)..end;
            let bytes = &ready[(wanted.start - self.at) as usize..(wanted.end - self.at) as usize];
            seen(bytes);
            out.write_all(bytes).map_err(OpenError::Io)?;
            self.opener.consume((end - self.at) as usize);
            self.at = end;
            progress(end.saturating_sub(place.start));
        }
        Ok(())
    }
}

/// Shows each entry of a manifest that somebody opened, and says what it is of and what it comes to.
///
/// Compares nothing: whoever has it in clear may have made it.
pub fn read_manifest(
    manifest: &mut dyn BufRead,
    mut visit: impl FnMut(&Entry),
) -> Result<(Kind, Trailer), OpenError> {
    let mut items = Items::of(manifest)?;
    while let Some((entry, _)) = items.next()? {
        visit(&entry);
    }
    let wrong = invalid(ObjectName::manifest(), Invalid::Content);
    items.trailer.map(|trailer| (items.kind, trailer)).ok_or(wrong)
}

/// The entries of an opened manifest, one after the other.
struct Items<R> {
    reader: R,
    kind: Kind,
    trailer: Option<Trailer>,
}

impl<'a> Items<crate::age::Opener<BufReader<&'a mut SpooledTempFile>>> {
    fn start(manifest: &'a mut SpooledTempFile, key: &FileKey) -> Result<Self, OpenError> {
        manifest.rewind().map_err(OpenError::Io)?;
        let opened = Locked::read(BufReader::new(manifest)).and_then(|locked| locked.open(key));
        Self::of(opened.map_err(|_| invalid(ObjectName::manifest(), Invalid::Age))?)
    }
}

impl<R: BufRead> Items<R> {
    fn of(mut reader: R) -> Result<Self, OpenError> {
        match next_item(&mut reader)?.0 {
            Item::Header(Header { kind }) => Ok(Self { reader, kind, trailer: None }),
            _ => Err(invalid(ObjectName::manifest(), Invalid::Content)),
        }
    }

    /// The next entry and its encoding; none at the end, of which nothing may follow.
    fn next(&mut self) -> Result<Option<(Entry, Vec<u8>)>, OpenError> {
        let (item, bytes) = next_item(&mut self.reader)?;
        match item {
            Item::Entry(entry) => Ok(Some((entry, bytes))),
            Item::Trailer(trailer) if at_end_of(&mut self.reader)? => {
                self.trailer = Some(trailer);
                Ok(None)
            }
            Item::Trailer(_) | Item::Header(_) => Err(invalid(ObjectName::manifest(), Invalid::Content)),
        }
    }
}

pub(super) fn invalid(object: ObjectName, reason: Invalid) -> OpenError {
    OpenError::Invalid { object, reason }
}
