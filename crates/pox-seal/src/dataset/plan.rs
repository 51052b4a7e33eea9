//! The plan of `data.age`: which bytes of which files go into which segment, before any of them is read.
//!
//! Headers and sizes are known from the walk, so that segments can be read, sealed and hashed by any worker in any order.

use super::archive::{self, Member};
use super::manifest::{Kind, Meta};
use super::path::EntryPath;
use super::seal::SealError;
use super::tree::{Found, FoundFile, Walk, single_file};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// One segment of plaintext.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) index: u64,
    /// Plaintext bytes.
    pub(crate) text: usize,
    pub(crate) is_last: bool,
    /// What it consists of, in order, without gaps.
    pub(crate) parts: Vec<Part>,
    /// The archive's own bytes, to which parts refer.
    pub(crate) literals: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Part {
    /// Bytes of the archive: a range of the job's literals.
    Literal(Range<usize>),
    /// A folder begins; its header is a literal.
    Folder { path: EntryPath, meta: Meta },
    /// A link; its header is a literal.
    Link { path: EntryPath, target: Vec<u8> },
    /// Some of a file's content; all of it for most.
    File {
        file: Arc<FoundFile>,
        /// Where the file's content begins in the plaintext.
        offset: u64,
        content: Range<u64>,
    },
}

impl Part {
    /// Plaintext bytes of the part.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Literal(range) => range.len(),
            Self::File { content, .. } => (content.end - content.start) as usize,
            Self::Folder { .. } | Self::Link { .. } => 0,
        }
    }
}

/// Makes jobs, one after the other.
pub(crate) struct Plan {
    source: Source,
    kind: Kind,
    /// Plaintext bytes of a segment.
    span: u64,
    index: u64,
    /// Plaintext bytes planned so far.
    at: u64,
    /// What is next, last first.
    ahead: Vec<Step>,
}

enum Source {
    Walk(Walk),
    Over,
}

enum Step {
    Bytes(Vec<u8>),
    Folder {
        path: EntryPath,
        meta: Meta,
    },
    Link {
        path: EntryPath,
        target: Vec<u8>,
    },
    /// Content from a place in the file to its end; and where the content begins in the plaintext, once it began.
    Content(Arc<FoundFile>, u64, Option<u64>),
}

impl Plan {
    /// Plans one file as it is, or one folder's content, or several files and folders by their last names.
    pub(crate) fn new(inputs: &[&Path], span: u64) -> Result<Self, SealError> {
        let single = match inputs {
            [one] => single_file(one)?,
            _ => None,
        };
        Ok(match single {
            Some(file) => Self {
                source: Source::Over,
                kind: Kind::File,
                span,
                index: 0,
                at: 0,
                ahead: vec![Step::Content(Arc::new(file), 0, None)],
            },
            None => Self::of_walk(Walk::new(inputs)?, span),
        })
    }

    /// Plans what a walk finds.
    pub(crate) fn of_walk(walk: Walk, span: u64) -> Self {
        let source = Source::Walk(walk);
        Self { source, kind: Kind::Tree, span, index: 0, at: 0, ahead: Vec::new() }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The next segment; none after the last. There is at least one.
    pub(crate) fn next(&mut self) -> Result<Option<Job>, SealError> {
        self.look_ahead()?;
        if self.ahead.is_empty() {
            return Ok(None);
        }
        // At most a segment; growing would take twice that.
        let mut literals = Vec::with_capacity(self.span as usize);
        let (mut parts, start) = (Vec::new(), self.at);
        while let Some(step) = self.ahead.pop() {
            let room = self.span - (self.at - start);
            match step {
                Step::Bytes(mut bytes) => {
                    let rest = bytes.split_off(bytes.len().min(room as usize));
                    self.at += bytes.len() as u64;
                    parts.push(Part::Literal(literals.len()..literals.len() + bytes.len()));
                    literals.append(&mut bytes);
                    if !rest.is_empty() {
                        self.ahead.push(Step::Bytes(rest));
                        break;
                    }
                }
                Step::Folder { path, meta } => parts.push(Part::Folder { path, meta }),
                Step::Link { path, target } => parts.push(Part::Link { path, target }),
                Step::Content(file, from, offset) => {
                    let offset = offset.unwrap_or(self.at);
                    let end = file.stamp.size.min(from.saturating_add(room));
                    self.at += end - from;
                    let is_whole = end == file.stamp.size;
                    parts.push(Part::File { file: file.clone(), offset, content: from..end });
                    if !is_whole {
                        self.ahead.push(Step::Content(file, end, Some(offset)));
                        break;
                    }
                }
            }
            self.look_ahead()?;
            if self.at - start == self.span {
                break;
            }
        }
        let index = self.index;
        self.index += 1;
        let text = (self.at - start) as usize;
        Ok(Some(Job { index, text, is_last: self.ahead.is_empty(), parts, literals }))
    }

    /// Makes sure that the next step is known, if there is one.
    fn look_ahead(&mut self) -> Result<(), SealError> {
        let Source::Walk(walk) = &mut self.source else { return Ok(()) };
        if !self.ahead.is_empty() {
            return Ok(());
        }
        match walk.next()? {
            None => {
                self.source = Source::Over;
                self.ahead.push(Step::Bytes(archive::END.to_vec()));
            }
            Some(Found::File(file)) => {
                let size = file.stamp.size;
                let head = header(&file.path, Member::File { meta: &file.meta, size });
                let padding = archive::padding(size);
                if padding > 0 {
                    self.ahead.push(Step::Bytes(vec![0; padding]));
                }
                self.ahead.push(Step::Content(file, 0, None));
                self.ahead.push(Step::Bytes(head));
            }
            Some(Found::Folder { path, meta }) => {
                let head = header(&path, Member::Folder { meta: &meta });
                self.ahead.push(Step::Folder { path, meta });
                self.ahead.push(Step::Bytes(head));
            }
            Some(Found::Link { path, target }) => {
                let head = header(&path, Member::Link { target: &target });
                self.ahead.push(Step::Link { path, target });
                self.ahead.push(Step::Bytes(head));
            }
        }
        Ok(())
    }
}

fn header(path: &EntryPath, member: Member<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    archive::write_header(path, member, &mut out);
    out
}
