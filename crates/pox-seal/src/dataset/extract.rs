//! Opening `data.age` on all cores, and putting what the manifest says below a staging directory.

use super::base::Base;
use super::layout::{Expected, Layout, Part, Target};
use super::manifest::Meta;
use super::open::{Invalid, OpenError, Opened};
use super::path::EntryPath;
use super::{ObjectName, Progress};
use crate::age::PayloadKey;
use crate::engine::{
    CHUNK, Cipher, OpenFile, OpenedSegment, Piece, Segment, Team, TreeHash, read_at, read_full, run, write_at,
};
use crate::hashing::Blake3Digest;
use std::fs::File;
use std::io::{self, BufRead, IoSlice, IoSliceMut, Read, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the sealed bytes come from.
pub(crate) enum Feed<'a> {
    /// A file of this machine, which workers read, each at its own offset.
    File(File),
    /// Anything else, which is read in order while workers open what was read before.
    Stream(Box<dyn Read + 'a>),
}

/// What is opened, and with what.
pub(crate) struct Sealed<'a> {
    pub(crate) feed: Feed<'a>,
    pub(crate) cipher: &'a PayloadKey,
    /// Where the payload begins.
    pub(crate) start: u64,
    /// Most bytes of the sealed file that are read.
    pub(crate) most: u64,
}

impl Sealed<'_> {
    /// Opens everything that a manifest says, on a team, and hashes every sealed byte behind those hashed already.
    ///
    /// The outer error is the machine's or the source's. The inner one is for the owner, if the digest turns out to be the one
    /// committed to: once something is wrong, the rest is hashed only.
    pub(crate) fn extract<M: BufRead>(
        mut self,
        mut layout: Layout<'_, M>,
        base: &Base,
        hash: &mut TreeHash,
        team: Team,
        progress: Progress<'_>,
    ) -> Result<Result<Opened, OpenError>, OpenError> {
        let mut feeding = Feeding::new(&mut self.feed, self.most)?;
        let opening = OpenFile {
            cipher: self.cipher,
            start: self.start,
            len: feeding.len,
            chunks: team.chunks(),
            is_hashed: true,
        };
        // The first segment known to be wrong: those before it are still gone through, so that it is the one that is told of.
        let wrong = AtomicU64::new(u64::MAX);
        let file = feeding.file;
        let mut account =
            Account { base, progress, wrong: &wrong, segments: 0, bytes: 0, open: None, failure: None };
        let mut plan = Some(&mut layout);
        run(
            team,
            |segment| {
                let Some(mut job) = feeding.next(&opening, segment)? else { return Ok(None) };
                if wrong.load(Ordering::Relaxed) < job.index {
                    plan = None;
                }
                job.plan = match plan.as_mut().map(|layout| layout.next((opening.chunks * CHUNK) as u64)) {
                    None => Planned::Nothing,
                    Some(Ok(expected)) => Planned::Expected(expected),
                    Some(Err(error @ OpenError::Io(_))) => return Err(error),
                    Some(Err(error)) => {
                        plan = None;
                        Planned::Wrong(error)
                    }
                };
                Ok(Some(job))
            },
            |job, segment| {
                if let Some(file) = file {
                    let range = opening.range(job.index);
                    segment.place(range.start, (range.end - range.start) as usize);
                    fill(file, segment, range.start)?;
                }
                let opened = opening.open_as(job.index, job.is_last, segment);
                let outcome = match (job.plan, opened.bad) {
                    _ if wrong.load(Ordering::Relaxed) < job.index => Ok(Vec::new()),
                    (Planned::Nothing, _) => Ok(Vec::new()),
                    (_, Some(_)) => Err(invalid(Invalid::Age)),
                    (Planned::Wrong(error), None) => Err(error),
                    (Planned::Expected(expected), None) => place(job.index, expected, segment, base),
                };
                if let Err(error @ OpenError::Io(_)) = outcome {
                    return Err(error);
                }
                if outcome.is_err() {
                    wrong.fetch_min(job.index, Ordering::Relaxed);
                }
                Ok((opened, outcome))
            },
            |(opened, outcome): (OpenedSegment, _), _| {
                let [before, after] = &opened.edges;
                hash.append(&opened.piece, [before, after]);
                account.take(outcome)
            },
        )?;
        Ok(match account.failure {
            Some(error) => Err(error),
            None => layout.finish(),
        })
    }

    /// Hashes everything behind what is hashed, where there is nothing to open.
    pub(crate) fn hash_rest(feed: &mut Feed<'_>, hash: &mut TreeHash, most: u64) -> Result<(), OpenError> {
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = match feed {
                Feed::File(file) => {
                    read_at(file, &mut [IoSliceMut::new(&mut buffer)], hash.len()).map(|count| count as usize)
                }
                Feed::Stream(reader) => read_full(reader, &mut buffer),
            };
            match count.map_err(source)? {
                0 => return Ok(()),
                count => hash.update(&buffer[..count]),
            }
            if hash.len() > most {
                return Err(invalid(Invalid::TooLarge));
            }
        }
    }
}

/// One segment on its way to a worker.
struct Job {
    index: u64,
    is_last: bool,
    plan: Planned,
}

enum Planned {
    Expected(Expected),
    /// The manifest is wrong there.
    Wrong(OpenError),
    /// Something was wrong before.
    Nothing,
}

/// Gives segments, one after the other.
struct Feeding<'f, 's> {
    file: Option<&'f File>,
    stream: Option<&'f mut Box<dyn Read + 's>>,
    /// The file's length; that of a stream isn't known.
    len: u64,
    most: u64,
    index: u64,
    /// The byte that was read to see whether another segment follows.
    ahead: Option<u8>,
    is_over: bool,
}

impl<'f, 's> Feeding<'f, 's> {
    fn new(feed: &'f mut Feed<'s>, most: u64) -> Result<Self, OpenError> {
        let (file, stream, len) = match feed {
            Feed::File(file) => {
                let len = file.metadata().map_err(source)?.len();
                (Some(&*file), None, len)
            }
            Feed::Stream(reader) => (None, Some(reader), u64::MAX),
        };
        Ok(Self { file, stream, len, most, index: 0, ahead: None, is_over: false })
    }

    fn next(
        &mut self,
        opening: &OpenFile<'_, PayloadKey>,
        segment: &mut Segment,
    ) -> Result<Option<Job>, OpenError> {
        if self.is_over {
            return Ok(None);
        }
        let index = self.index;
        let start = opening.range(index).start;
        let end = match &mut self.stream {
            None => {
                self.is_over = index + 1 == opening.segments();
                opening.range(index).end
            }
            Some(stream) => {
                segment.place(start, opening.stride() as usize);
                let known = usize::from(self.ahead.is_some());
                if let Some(byte) = self.ahead.take() {
                    segment[0] = byte;
                }
                let filled = known + read_full(stream, &mut segment[known..]).map_err(source)?;
                let mut next = [0];
                let is_full = filled == segment.len();
                if is_full && read_full(stream, &mut next).map_err(source)? == 1 {
                    self.ahead = Some(next[0]);
                }
                self.is_over = self.ahead.is_none();
                segment.place(start, filled);
                start + filled as u64
            }
        };
        if end > self.most {
            return Err(invalid(Invalid::TooLarge));
        }
        self.index += 1;
        Ok(Some(Job { index, is_last: self.is_over, plan: Planned::Nothing }))
    }
}

/// What is left to do in order, after a segment's parts were put in their places.
enum Done {
    /// So much of the content.
    Bytes(u64),
    /// Some of a file that lies in several segments.
    Some {
        file: Arc<Target>,
        end: u64,
        piece: Piece,
        edges: [Vec<u8>; 2],
    },
    Leave {
        path: EntryPath,
        meta: Meta,
    },
}

/// Compares an opened segment with what it has to be, and writes the entries in it.
fn place(index: u64, expected: Expected, segment: &Segment, base: &Base) -> Result<Vec<Done>, OpenError> {
    // An empty chunk says nothing, so that no two files open to the same.
    let last = segment.len() - segment.len().saturating_sub(1) / PayloadKey::STRIDE * PayloadKey::STRIDE;
    let is_alone = index == 0 && segment.len() == PayloadKey::STRIDE - CHUNK;
    if last <= PayloadKey::STRIDE - CHUNK && !is_alone {
        return Err(invalid(Invalid::Age));
    }
    let text = segment.text_len::<PayloadKey>();
    if text != expected.text {
        return Err(invalid(if text < expected.text { Invalid::File } else { Invalid::Content }));
    }
    let (mut at, mut done) = (0, Vec::new());
    let mut bytes = 0;
    for part in expected.parts {
        match part {
            Part::Literal(literal) => {
                let mut wanted = &expected.literals[literal];
                for found in segment.opened::<PayloadKey>(at..at + wanted.len()) {
                    let (now, later) = wanted.split_at(found.len());
                    if now != found {
                        return Err(invalid(Invalid::Content));
                    }
                    at += now.len();
                    wanted = later;
                }
            }
            Part::File { file, content } => {
                let range = at..at + (content.end - content.start) as usize;
                at = range.end;
                bytes += range.len() as u64;
                if content == (0..file.size) {
                    whole(&file, segment, range, base)?;
                } else {
                    done.push(some(file, content, segment, range)?);
                }
            }
            Part::Link { path, target } => base.link(&path, &target)?,
            Part::Leave { path, meta } => done.push(Done::Leave { path, meta }),
        }
    }
    done.push(Done::Bytes(bytes));
    Ok(done)
}

/// Writes a file that lies in one segment.
fn whole(file: &Target, segment: &Segment, range: Range<usize>, base: &Base) -> Result<(), OpenError> {
    let mut slices = segment.opened::<PayloadKey>(range.clone());
    let (first, second) = (slices.next().unwrap_or_default(), slices.next());
    let to = base.file(&file.path, &file.meta)?;
    let digest = match second {
        None => {
            (&to).write_all(first).map_err(OpenError::Io)?;
            Blake3Digest::of(first)
        }
        Some(_) => {
            let mut hasher = blake3::Hasher::new();
            segment.opened::<PayloadKey>(range.clone()).for_each(|slice| {
                hasher.update(slice);
            });
            let mut slices: Vec<_> = segment.opened::<PayloadKey>(range).map(IoSlice::new).collect();
            write_at(&to, &mut slices, 0).map_err(OpenError::Io)?;
            Blake3Digest::from(*hasher.finalize().as_bytes())
        }
    };
    if digest != file.digest {
        return Err(invalid(Invalid::File));
    }
    base.finish_file(&to, &file.meta)
}

/// Writes and hashes some of a file.
fn some(
    file: Arc<Target>,
    content: Range<u64>,
    segment: &Segment,
    range: Range<usize>,
) -> Result<Done, OpenError> {
    let slices: Vec<&[u8]> = segment.opened::<PayloadKey>(range).collect();
    let (piece, edges) = Piece::of_slices(content.start, &slices);
    let mut slices: Vec<_> = slices.into_iter().map(IoSlice::new).collect();
    let to = file.file.as_ref().ok_or_else(|| OpenError::Io(io::ErrorKind::NotFound.into()))?;
    write_at(to, &mut slices, content.start).map_err(OpenError::Io)?;
    Ok(Done::Some { file, end: content.end, piece, edges })
}

/// What is kept account of, segment after segment.
struct Account<'a> {
    base: &'a Base,
    progress: Progress<'a>,
    wrong: &'a AtomicU64,
    /// Segments so far.
    segments: u64,
    bytes: u64,
    /// The digest so far of the file that lies in several segments.
    open: Option<TreeHash>,
    failure: Option<OpenError>,
}

impl Account<'_> {
    fn take(&mut self, outcome: Result<Vec<Done>, OpenError>) -> Result<(), OpenError> {
        self.segments += 1;
        if self.failure.is_some() {
            return Ok(());
        }
        match outcome.and_then(|done| done.into_iter().try_for_each(|done| self.settle(done))) {
            Ok(()) => {
                (self.progress)(self.bytes);
                Ok(())
            }
            Err(error @ OpenError::Io(_)) => Err(error),
            Err(error) => {
                self.wrong.fetch_min(self.segments - 1, Ordering::Relaxed);
                self.failure = Some(error);
                Ok(())
            }
        }
    }

    fn settle(&mut self, done: Done) -> Result<(), OpenError> {
        match done {
            Done::Bytes(count) => self.bytes += count,
            Done::Some { file, end, piece, edges: [before, after] } => {
                let hash = self.open.get_or_insert_default();
                hash.append(&piece, [&before, &after]);
                if end < file.size {
                    return Ok(());
                }
                if self.open.take().map(|hash| hash.digest()) != Some(file.digest) {
                    return Err(invalid(Invalid::File));
                }
                if let Some(to) = &file.file {
                    self.base.finish_file(to, &file.meta)?;
                }
            }
            Done::Leave { path, meta } => self.base.finish_folder(&path, &meta)?,
        }
        Ok(())
    }
}

fn fill(file: &File, out: &mut [u8], offset: u64) -> Result<(), OpenError> {
    let len = out.len() as u64;
    match read_at(file, &mut [IoSliceMut::new(out)], offset).map_err(source)? == len {
        true => Ok(()),
        false => Err(source(io::ErrorKind::UnexpectedEof.into())),
    }
}

pub(crate) fn source(error: io::Error) -> OpenError {
    OpenError::Source { object: ObjectName::data(), error }
}

fn invalid(reason: Invalid) -> OpenError {
    OpenError::Invalid { object: ObjectName::data(), reason }
}

#[cfg(test)]
mod tests;
