//! Sealing the segments of a plan: what workers do, and what is kept account of in order.

use super::journal::{Checkpoint, DoneEntry, Record, Writer};
use super::manifest::Entry;
use super::plan::{Job, Part, Plan};
use super::reading::{Asked, most_open};
use super::seal::{Manifest, SealError, SealedObject};
use super::tree::FoundFile;
use super::{ObjectName, ObjectSink, Progress};
use crate::age::{AgeError, Header, NONCE, PayloadKey};
use crate::engine::{CHUNK, Piece, SealFile, SealedSegment, Segment, Team, TreeHash, read_at, run, write_at};
use crate::hashing::{Beside, Blake3Digest};
use crate::keys::{FileKey, KeyCommitment, Recipient};
use crate::random::{Randomness, Stream, draw};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

/// The keys of one `data.age`, and its first bytes.
pub(crate) struct Data {
    pub(crate) file_key: FileKey,
    pub(crate) nonce: [u8; NONCE],
    key: PayloadKey,
    /// Header and nonce.
    head: Vec<u8>,
    /// Chunks of a segment.
    chunks: usize,
}

impl Data {
    /// New keys, for a new file.
    pub(crate) fn new(
        recipients: &[Recipient],
        chunks: usize,
        random: &mut dyn Randomness,
    ) -> Result<Self, SealError> {
        let file_key = FileKey::generate(random)?;
        let nonce = *draw::<NONCE>(random)?;
        let mut head =
            Header::seal(&file_key, recipients, random).map_err(|error| SealError::Age(error.into()))?;
        head.extend_from_slice(&nonce);
        Ok(Self::of(file_key, nonce, head, chunks))
    }

    /// The keys of a file that was begun, if its first bytes are these keys'.
    pub(crate) fn taken_up(
        file_key: FileKey,
        nonce: [u8; NONCE],
        head: Vec<u8>,
        chunks: usize,
    ) -> Result<Option<Self>, AgeError> {
        let Some((header, found)) = head.split_last_chunk::<NONCE>() else { return Ok(None) };
        if Header::parse(header)?.check(&file_key).is_err() || *found != nonce {
            return Ok(None);
        }
        Ok(Some(Self::of(file_key, nonce, head, chunks)))
    }

    fn of(file_key: FileKey, nonce: [u8; NONCE], head: Vec<u8>, chunks: usize) -> Self {
        Self { key: PayloadKey::new(&file_key, &nonce), file_key, nonce, head, chunks }
    }

    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Plaintext bytes of a segment.
    pub(crate) fn span(&self) -> u64 {
        (self.chunks * CHUNK) as u64
    }

    fn commitment(&self) -> KeyCommitment {
        self.file_key.commitment(&self.nonce)
    }
}

/// What every worker needs.
pub(crate) struct Packing<'a> {
    data: &'a Data,
    sealing: SealFile<'a, PayloadKey>,
    team: Team,
    /// How many files a worker may hold open.
    most_open: usize,
    /// Where segments go, if they go to a file.
    to: Option<File>,
    /// How long that file was when an interrupted sealing was taken up.
    written: u64,
}

/// Jobs that wait for a worker.
const AHEAD: usize = 1;

/// A job when it is done.
struct Packed {
    job: Job,
    sealed: SealedSegment,
    /// For each part of a file, in order.
    files: Vec<FileHash>,
}

/// What is known of a file's digest after one of its parts.
enum FileHash {
    Whole(Blake3Digest),
    Part(Piece, [Vec<u8>; 2]),
}

impl<'a> Packing<'a> {
    pub(crate) fn new(data: &'a Data, team: Team, to: Option<File>, written: u64) -> Self {
        let (start, chunks) = (data.head.len() as u64, data.chunks);
        let sealing = SealFile { cipher: &data.key, start, chunks, is_hashed: true };
        Self { data, sealing, team: team.on_segments_of(chunks), most_open: most_open(team), to, written }
    }

    /// Seals all that is left of a plan; gives the object and the number of content bytes.
    pub(crate) fn run(
        &self,
        mut plan: Plan,
        mut account: Account<'_>,
    ) -> Result<(SealedObject, u64), SealError> {
        account.is_file = self.to.is_some();
        // The walk waits for the disk and goes ahead of the workers. Once nobody takes jobs any more, it ends.
        let (planned, jobs) = sync_channel(AHEAD);
        thread::scope(|scope| {
            scope.spawn(move || {
                while let Some(job) = plan.next().transpose() {
                    let is_over = job.is_err();
                    if planned.send(job).is_err() || is_over {
                        return;
                    }
                }
            });
            run(
                self.team,
                move |_| jobs.recv().ok().transpose(),
                |job, segment| self.pack(job, segment),
                |packed, segment| account.commit(packed, segment),
            )
        })?;
        let (digest, len) = (account.hash.digest(), account.hash.len());
        let key_commitment = self.data.commitment();
        let sha256 = account.beside.finish();
        Ok((SealedObject { name: ObjectName::data(), digest, key_commitment, sha256, len }, account.bytes))
    }

    /// Reads, seals and hashes a segment, and writes it if it goes to a file.
    fn pack(&self, mut job: Job, segment: &mut Segment) -> Result<Packed, SealError> {
        self.sealing.place(job.index, job.text, segment);
        let files = self.gather(&job, segment)?;
        // They are in the segment now; the job may wait for its turn.
        job.literals = Vec::new();
        let sealed = self.sealing.seal(job.index, job.is_last, segment);
        if let Some(to) = &self.to {
            if sealed.offset < self.written && !is_what_was_written(to, sealed.offset, self.written, segment)?
            {
                return Err(SealError::Diverged);
            }
            write_at(to, &mut [IoSlice::new(segment)], sealed.offset).map_err(SealError::Sink)?;
        }
        Ok(Packed { job, sealed, files })
    }

    /// Puts a job's plaintext into its places, and hashes what is of files.
    fn gather(&self, job: &Job, segment: &mut Segment) -> Result<Vec<FileHash>, SealError> {
        let (mut at, mut asked, mut files) = (0, Vec::new(), Vec::new());
        for part in &job.parts {
            let range = at..at + part.len();
            at = range.end;
            match part {
                Part::Literal(literal) => {
                    let mut bytes = &job.literals[literal.clone()];
                    for mut place in segment.texts::<PayloadKey>(range) {
                        let (now, later) = bytes.split_at(place.len());
                        place.copy_from_slice(now);
                        bytes = later;
                    }
                }
                Part::File { file, content, .. } => {
                    asked.push((Asked::new(file, content.clone())?, range));
                    if asked.len() == self.most_open {
                        read(&mut asked, segment, &mut files)?;
                    }
                }
                Part::Folder { .. } | Part::Link { .. } => {}
            }
        }
        read(&mut asked, segment, &mut files)?;
        Ok(files)
    }
}

/// Reads what was asked for into its places, and hashes it.
fn read(
    asked: &mut Vec<(Asked<'_>, Range<usize>)>,
    segment: &mut Segment,
    files: &mut Vec<FileHash>,
) -> Result<(), SealError> {
    for (asked, range) in asked.drain(..) {
        let (from, is_whole) = (asked.content.start, asked.is_whole());
        asked.read(&mut segment.texts::<PayloadKey>(range.clone()))?;
        files.push(FileHash::of(segment.opened::<PayloadKey>(range), from, is_whole));
    }
    Ok(())
}

/// Compares a segment that is sealed again, after an interruption, with what had been written of it.
///
/// A chunk sealed twice under one key and number must be the same chunk: otherwise whoever saw both files learns how the
/// two texts differ. So whatever is in the file must be equal to what would be written, or not written yet (zeros, since
/// pages reach a file in any order).
fn is_what_was_written(file: &File, offset: u64, end: u64, segment: &[u8]) -> Result<bool, SealError> {
    let mut page = [0; 4096];
    let mut rest = &segment[..segment.len().min((end - offset) as usize)];
    let mut at = offset;
    while !rest.is_empty() {
        // To the end of a page of the file.
        let count = rest.len().min(page.len() - (at % page.len() as u64) as usize);
        let found = &mut page[..count];
        if read_at(file, &mut [IoSliceMut::new(found)], at).map_err(SealError::Sink)? != count as u64 {
            return Ok(false);
        }
        let same = found.iter().zip(rest).take_while(|(found, wanted)| found == wanted).count();
        if found[same..].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        rest = &rest[count..];
        at += count as u64;
    }
    Ok(true)
}

impl FileHash {
    fn of<'a>(text: impl Iterator<Item = &'a [u8]>, from: u64, is_whole: bool) -> Self {
        if is_whole {
            let mut hasher = blake3::Hasher::new();
            text.for_each(|slice| {
                hasher.update(slice);
            });
            return Self::Whole(Blake3Digest::from(*hasher.finalize().as_bytes()));
        }
        let (piece, edges) = Piece::of_slices(from, &text.collect::<Vec<_>>());
        Self::Part(piece, edges)
    }
}

/// What is kept account of, segment after segment.
pub(crate) struct Account<'a> {
    sink: &'a mut dyn ObjectSink,
    pub(crate) manifest: &'a mut Manifest,
    salts: Stream,
    progress: Progress<'a>,
    is_file: bool,
    /// The ciphertext's digest so far.
    pub(crate) hash: TreeHash,
    /// Its SHA-256 so far, if it is wanted.
    pub(crate) beside: Beside,
    /// The file that isn't at its end, and its digest so far.
    pub(crate) open: Option<(Arc<FoundFile>, TreeHash)>,
    /// Content bytes so far.
    pub(crate) bytes: u64,
    pub(crate) journal: Option<Journaling>,
}

/// When and where the journal is written.
pub(crate) struct Journaling {
    pub(crate) writer: Writer,
    /// The file that is synced before a checkpoint.
    pub(crate) data: File,
    pub(crate) every: Duration,
    pub(crate) last: Instant,
}

impl<'a> Account<'a> {
    /// Begins behind the head of the file.
    pub(crate) fn new(
        data: &Data,
        sink: &'a mut dyn ObjectSink,
        manifest: &'a mut Manifest,
        random: &mut dyn Randomness,
        progress: Progress<'a>,
    ) -> Result<Self, SealError> {
        let mut hash = TreeHash::default();
        hash.update(&data.head);
        // Millions of salts from one seed: the system's generator is asked once.
        let salts = Stream::seeded(random)?;
        Ok(Self {
            sink,
            manifest,
            salts,
            progress,
            is_file: false,
            hash,
            beside: Beside::new(false),
            open: None,
            bytes: 0,
            journal: None,
        })
    }

    /// Takes the next segment.
    fn commit(&mut self, packed: Packed, segment: &[u8]) -> Result<(), SealError> {
        let Packed { job, sealed, files } = packed;
        if !self.is_file {
            self.sink.write(segment).map_err(SealError::Sink)?;
        }
        self.hash.append(&sealed.piece, sealed.piece.edges(segment));
        self.beside.update(segment);
        let (mut files, mut done) = (files.into_iter(), Vec::new());
        for part in job.parts {
            let ended = match part {
                Part::Literal(_) => continue,
                Part::Folder { path, meta } => {
                    let salt = self.salts.salt();
                    DoneEntry { entry: Entry::Folder { path, meta, salt }, stamp: None }
                }
                Part::Link { path, target } => {
                    let salt = self.salts.salt();
                    DoneEntry { entry: Entry::Link { path, target, salt }, stamp: None }
                }
                Part::File { file, offset, content } => {
                    self.bytes += content.end - content.start;
                    let hash = files.next().expect("a worker hashes each part of a file");
                    let Some(digest) = self.digest(&file, content.end, hash) else { continue };
                    let (path, meta, stamp) = (file.path.clone(), file.meta, file.stamp);
                    let (size, salt) = (stamp.size, self.salts.salt());
                    let entry = Entry::File { path, meta, size, offset, digest, salt };
                    DoneEntry { entry, stamp: Some(stamp) }
                }
            };
            if self.journal.is_some() {
                done.push(ended.clone());
            }
            self.manifest.push(ended.entry)?;
        }
        (self.progress)(self.bytes);
        self.note(job.index, done).map_err(SealError::Sink)
    }

    /// The file's digest, if the part is its last.
    fn digest(&mut self, file: &Arc<FoundFile>, end: u64, hash: FileHash) -> Option<Blake3Digest> {
        match hash {
            FileHash::Whole(digest) => Some(digest),
            FileHash::Part(piece, [before, after]) => {
                let (_, so_far) = self.open.get_or_insert_with(|| (file.clone(), TreeHash::default()));
                so_far.append(&piece, [&before, &after]);
                if end < file.stamp.size {
                    return None;
                }
                self.open.take().map(|(_, hash)| hash.digest())
            }
        }
    }

    fn note(&mut self, segment: u64, entries: Vec<DoneEntry>) -> io::Result<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        if !entries.is_empty() {
            journal.writer.write(&Record::Entries { segment, entries })?;
        }
        if journal.last.elapsed() < journal.every {
            return Ok(());
        }
        // What the checkpoint speaks of is on the disk before the checkpoint is.
        journal.data.sync_data()?;
        let file = self.open.as_ref().map(|(file, hash)| (file.stamp, hash.clone()));
        let checkpoint = Checkpoint { segments: segment + 1, hash: self.hash.clone(), file };
        journal.writer.write(&Record::Checkpoint(checkpoint))?;
        journal.writer.sync()?;
        journal.last = Instant::now();
        Ok(())
    }
}
