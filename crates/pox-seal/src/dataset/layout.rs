//! What the manifest says that each segment of `data.age` holds, before any of it is opened.
//!
//! Headers, sizes and order follow from the manifest, so that segments can be opened, compared and written by any worker in any
//! order. Folders are made here, since they come before what they hold.

use super::ObjectName;
use super::archive::{self, Member};
use super::base::Base;
use super::manifest::{Entry, Item, Kind, Meta, RootBuilder, Trailer};
use super::open::{Invalid, Limits, OpenError, Opened, manifest_error, next_item};
use super::path::EntryPath;
use crate::hashing::Blake3Digest;
use std::fs::File;
use std::io::BufRead;
use std::ops::Range;
use std::sync::Arc;

/// What one segment has to hold.
#[derive(Default)]
pub(crate) struct Expected {
    /// Plaintext bytes.
    pub(crate) text: usize,
    /// In order, without gaps.
    pub(crate) parts: Vec<Part>,
    /// The archive's own bytes, to which parts refer.
    pub(crate) literals: Vec<u8>,
}

pub(crate) enum Part {
    /// Bytes that are known beforehand: a range of the literals.
    Literal(Range<usize>),
    Link {
        path: EntryPath,
        target: Vec<u8>,
    },
    /// Some of a file's content; all of it for most.
    File {
        file: Arc<Target>,
        content: Range<u64>,
    },
    /// Everything that a folder holds came before.
    Leave {
        path: EntryPath,
        meta: Meta,
    },
}

/// A file that is to be written.
pub(crate) struct Target {
    pub(crate) path: EntryPath,
    pub(crate) meta: Meta,
    pub(crate) size: u64,
    pub(crate) digest: Blake3Digest,
    /// The file itself, if it lies in several segments.
    pub(crate) file: Option<File>,
}

/// Reads a manifest, and the totals at its end.
pub(crate) struct Layout<'a, M> {
    manifest: &'a mut M,
    kind: Kind,
    base: &'a Base,
    limits: Limits,
    /// Plaintext bytes laid out so far.
    at: u64,
    /// Bytes of the archive that come next, from a place on; then the member; then padding.
    head: Vec<u8>,
    head_at: usize,
    member: Option<Waiting>,
    padding: usize,
    root: RootBuilder,
    entries: u64,
    bytes: u64,
    last: Option<EntryPath>,
    /// The folders that hold the last entry. They get their permissions and times when they are left.
    folders: Vec<(EntryPath, Meta)>,
    opened: Option<Opened>,
}

enum Waiting {
    Link {
        path: EntryPath,
        target: Vec<u8>,
    },
    /// Content from a place in the file to its end.
    File(Arc<Target>, u64),
}

impl<'a, M: BufRead> Layout<'a, M> {
    pub(crate) fn new(kind: Kind, manifest: &'a mut M, base: &'a Base, limits: Limits) -> Self {
        Self {
            manifest,
            kind,
            base,
            limits,
            at: 0,
            head: Vec::new(),
            head_at: 0,
            member: None,
            padding: 0,
            root: RootBuilder::default(),
            entries: 0,
            bytes: 0,
            last: None,
            folders: Vec::new(),
            opened: None,
        }
    }

    /// Lays out the next so many bytes; fewer at the end.
    pub(crate) fn next(&mut self, span: u64) -> Result<Expected, OpenError> {
        let (mut out, mut room) = (Expected::default(), span);
        loop {
            if self.head_at < self.head.len() || (self.member.is_none() && self.padding > 0) {
                if room == 0 {
                    break;
                }
                room -= self.literal(room, &mut out);
            } else if let Some(member) = self.member.take() {
                match member {
                    Waiting::Link { path, target } => out.parts.push(Part::Link { path, target }),
                    Waiting::File(file, from) => {
                        if room == 0 && from < file.size {
                            self.member = Some(Waiting::File(file, from));
                            break;
                        }
                        room -= self.content(file, from, room, &mut out)?;
                    }
                }
            } else if self.opened.is_some() {
                break;
            } else {
                self.entry(span - room, &mut out.parts)?;
            }
        }
        out.text = (span - room) as usize;
        self.at += out.text as u64;
        Ok(out)
    }

    /// What the manifest comes to, if everything in it was laid out.
    pub(crate) fn finish(mut self) -> Result<Opened, OpenError> {
        let rest = self.next(0)?;
        let is_over = self.head_at == self.head.len() && self.member.is_none() && self.padding == 0;
        match self.opened {
            Some(opened) if is_over && rest.parts.is_empty() => Ok(opened),
            _ => Err(OpenError::Invalid { object: ObjectName::data(), reason: Invalid::File }),
        }
    }

    fn literal(&mut self, room: u64, out: &mut Expected) -> u64 {
        let start = out.literals.len();
        let rest = &self.head[self.head_at..];
        if rest.is_empty() {
            let count = self.padding.min(room as usize);
            out.literals.resize(start + count, 0);
            self.padding -= count;
        } else {
            let count = rest.len().min(room as usize);
            out.literals.extend_from_slice(&rest[..count]);
            self.head_at += count;
        }
        out.parts.push(Part::Literal(start..out.literals.len()));
        (out.literals.len() - start) as u64
    }

    fn content(
        &mut self,
        mut file: Arc<Target>,
        from: u64,
        room: u64,
        out: &mut Expected,
    ) -> Result<u64, OpenError> {
        let end = file.size.min(from.saturating_add(room));
        if end < file.size && from == 0 {
            let made = self.base.file(&file.path, &file.meta)?;
            // Nobody else has it yet.
            if let Some(target) = Arc::get_mut(&mut file) {
                target.file = Some(made);
            }
        }
        if end < file.size {
            self.member = Some(Waiting::File(file.clone(), end));
        }
        out.parts.push(Part::File { file, content: from..end });
        Ok(end - from)
    }

    /// Reads the next item, when `ahead` bytes of the segment are laid out.
    fn entry(&mut self, ahead: u64, parts: &mut Vec<Part>) -> Result<(), OpenError> {
        let (item, bytes) = next_item(self.manifest)?;
        let entry = match item {
            Item::Entry(entry) => entry,
            Item::Trailer(trailer) => return self.end(&trailer, parts),
            Item::Header(_) => return Err(wrong()),
        };
        self.root.push(&bytes);
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(too_large());
        }
        self.place(entry.path(), parts)?;
        self.head.clear();
        self.head_at = 0;
        let is_tree = self.kind == Kind::Tree;
        match entry {
            Entry::File { path, meta, size, offset, digest, .. } => {
                if is_tree {
                    archive::write_header(&path, Member::File { meta: &meta, size }, &mut self.head);
                    self.padding = archive::padding(size);
                }
                if self.at + ahead + self.head.len() as u64 != offset {
                    return Err(wrong());
                }
                if size > self.limits.bytes.saturating_sub(self.bytes) {
                    return Err(too_large());
                }
                self.bytes += size;
                let target = Target { path, meta, size, digest, file: None };
                self.member = Some(Waiting::File(Arc::new(target), 0));
            }
            Entry::Folder { path, meta, .. } if is_tree => {
                archive::write_header(&path, Member::Folder { meta: &meta }, &mut self.head);
                self.base.folder(&path)?;
                self.folders.push((path, meta));
            }
            Entry::Link { path, target, .. } if is_tree => {
                archive::write_header(&path, Member::Link { target: &target }, &mut self.head);
                self.member = Some(Waiting::Link { path, target });
            }
            Entry::Folder { .. } | Entry::Link { .. } => return Err(wrong()),
        }
        Ok(())
    }

    fn end(&mut self, trailer: &Trailer, parts: &mut Vec<Part>) -> Result<(), OpenError> {
        let root = std::mem::take(&mut self.root).finish();
        let counted = Trailer { entries: self.entries, bytes: self.bytes, root };
        let is_one = self.entries == 1 && self.last.as_ref().is_some_and(|path| path.depth() == 1);
        let is_end = at_end_of(self.manifest)?;
        if *trailer != counted || !is_end || (self.kind == Kind::File && !is_one) {
            return Err(wrong());
        }
        self.leave(None, parts);
        self.head.clear();
        self.head_at = 0;
        if self.kind == Kind::Tree {
            self.head.extend_from_slice(&archive::END);
        }
        self.opened =
            Some(Opened { kind: self.kind, entries: self.entries, bytes: self.bytes, root: Some(root) });
        Ok(())
    }

    /// Checks that a path follows the last one, in a folder that is there, and leaves the folders that are done.
    fn place(&mut self, path: &EntryPath, parts: &mut Vec<Part>) -> Result<(), OpenError> {
        if self.last.as_ref().is_some_and(|last| last >= path) {
            return Err(wrong());
        }
        self.last = Some(path.clone());
        self.leave(path.parent(), parts);
        match self.folders.last().map(|(folder, _)| folder.as_bytes()) == path.parent() {
            true => Ok(()),
            false => Err(wrong()),
        }
    }

    /// Leaves the folders that don't hold `parent`.
    fn leave(&mut self, parent: Option<&[u8]>, parts: &mut Vec<Part>) {
        let holds = |folder: &EntryPath| {
            let rest = parent.and_then(|parent| parent.strip_prefix(folder.as_bytes()));
            rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        while let Some((path, meta)) = self.folders.pop_if(|(folder, _)| !holds(folder)) {
            parts.push(Part::Leave { path, meta });
        }
    }
}

/// Whether a manifest has nothing more.
pub(crate) fn at_end_of(manifest: &mut impl BufRead) -> Result<bool, OpenError> {
    manifest.fill_buf().map(|rest| rest.is_empty()).map_err(manifest_error)
}

fn wrong() -> OpenError {
    OpenError::Invalid { object: ObjectName::manifest(), reason: Invalid::Content }
}

fn too_large() -> OpenError {
    OpenError::Invalid { object: ObjectName::manifest(), reason: Invalid::TooLarge }
}
