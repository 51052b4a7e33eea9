//! The journal of a sealing that may be interrupted: what is needed to go on, and nothing in clear.
//!
//! | frame | content |
//! |---|---|
//! | 0, length, age file | [`Start`], sealed to the dataset's own recipients; first, and once |
//! | 1, 16 random bytes | a session begins: a process that seals |
//! | 2, length, ciphertext | a [`Record`], under the session's own key and its number in the session |
//!
//! Lengths are four bytes, big-endian. A session's key is derived from the journal's secret and the session's random
//! bytes, so that a frame that was torn in one session and is written again in the next never shares a nonce with it.
//! Reading stops at the first frame that isn't whole and authentic; what follows it is thrown away.

use super::b3sums::ObjectName;
use super::manifest::{Entry, Item};
use super::tree::Stamp;
use crate::age::{NONCE, open_bytes, seal_bytes};
use crate::cipher::AeadKey;
use crate::engine::{MAX_CHUNKS, TreeHash};
use crate::kdf;
use crate::keys::{FileKey, Identity, Recipient};
use crate::random::{Randomness, draw};
use minicbor::{Decoder, Encoder};
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use zeroize::Zeroizing;

/// What a sealing began with.
pub(crate) struct Start {
    /// What was asked for: inputs, recipients and form.
    pub(crate) job: [u8; 32],
    /// The key and nonce of `data.age`.
    pub(crate) file_key: FileKey,
    pub(crate) nonce: [u8; NONCE],
    /// What session keys are derived from.
    secret: Zeroizing<[u8; 32]>,
    /// Chunks of a segment.
    pub(crate) chunks: usize,
}

/// One thing that is done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// Entries that ended in a segment.
    Entries { segment: u64, entries: Vec<DoneEntry> },
    /// Everything before a segment is written, synced and accounted for.
    Checkpoint(Checkpoint),
}

/// An entry as it is in the manifest, and what tells that its source is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DoneEntry {
    pub(crate) entry: Entry,
    /// Device, inode, change time; for files.
    pub(crate) stamp: Option<Stamp>,
}

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The first segment that isn't done.
    pub(crate) segments: u64,
    /// The ciphertext's digest so far.
    pub(crate) hash: TreeHash,
    /// The file that goes on in the next segment, and its digest so far.
    pub(crate) file: Option<(Stamp, TreeHash)>,
}

/// Writes a journal.
pub(crate) struct Writer {
    file: File,
    key: AeadKey,
    count: u64,
}

impl Writer {
    /// Begins a journal.
    pub(crate) fn create(
        mut file: File,
        job: [u8; 32],
        (file_key, nonce): (&FileKey, &[u8; NONCE]),
        chunks: usize,
        recipients: &[Recipient],
        random: &mut dyn Randomness,
    ) -> io::Result<Self> {
        let secret = draw::<32>(random).map_err(io::Error::other)?;
        let start = Start { job, file_key: file_key.again(), nonce: *nonce, secret, chunks };
        let sealed = seal_bytes(recipients, &start.encode(), random).map_err(io::Error::other)?;
        file.write_all(&frame(START, &sealed))?;
        Self::session(file, &start, random)
    }

    fn append(mut file: File, start: &Start, end: u64, random: &mut dyn Randomness) -> io::Result<Self> {
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        Self::session(file, start, random)
    }

    fn session(mut file: File, start: &Start, random: &mut dyn Randomness) -> io::Result<Self> {
        let id = *draw::<SESSION_ID>(random).map_err(io::Error::other)?;
        let mut bytes = vec![SESSION];
        bytes.extend_from_slice(&id);
        file.write_all(&bytes)?;
        Ok(Self { file, key: start.session_key(&id), count: 0 })
    }

    pub(crate) fn write(&mut self, record: &Record) -> io::Result<()> {
        let mut text = record.encode();
        let tag = self.key.seal(&number(self.count), &mut text);
        self.count += 1;
        text.extend_from_slice(&tag);
        self.file.write_all(&frame(RECORD, &text))
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// A journal that was read.
pub(crate) struct Journal {
    pub(crate) start: Start,
    pub(crate) checkpoint: Checkpoint,
    /// How much of the file is whole.
    end: u64,
    file: File,
    /// The records of entries that count: each segment's once, in order.
    entries: Vec<Place>,
}

/// Where a record lies, and what opens it.
#[derive(Clone, Copy)]
struct Place {
    segment: u64,
    offset: u64,
    session: [u8; SESSION_ID],
    count: u64,
}

impl Journal {
    /// Reads a journal; `None` if it has no checkpoint, or isn't for these identities.
    pub(crate) fn read(file: File, identities: &[Identity]) -> io::Result<Option<Self>> {
        let mut reader = BufReader::with_capacity(1 << 20, file.try_clone()?);
        reader.seek(SeekFrom::Start(0))?;
        let Some((START, sealed)) = read_frame(&mut reader)? else { return Ok(None) };
        let Ok(text) = open_bytes(identities, &sealed, MAX_START) else { return Ok(None) };
        let Some(start) = Start::decode(&text) else { return Ok(None) };
        let mut end = 5 + sealed.len() as u64;
        let (mut session, mut checkpoint) = (None, None);
        let mut entries = Vec::<Place>::new();
        while let Some((kind, mut body)) = read_frame(&mut reader)? {
            let offset = end;
            match kind {
                SESSION => {
                    let mut id = [0; SESSION_ID];
                    id.copy_from_slice(&body);
                    session = Some((id, start.session_key(&id), 0));
                    // It went on at the last checkpoint; what was done after that, it did again.
                    let first = checkpoint.as_ref().map_or(0, |checkpoint: &Checkpoint| checkpoint.segments);
                    entries.retain(|place| place.segment < first);
                    end += 1 + SESSION_ID as u64;
                }
                RECORD => {
                    let Some((id, key, count)) = &mut session else { break };
                    let len = body.len() as u64;
                    let Some(record) = open_record(key, *count, &mut body) else { break };
                    match record {
                        Record::Entries { segment, .. } => {
                            entries.push(Place { segment, offset, session: *id, count: *count });
                        }
                        Record::Checkpoint(new) => checkpoint = Some(new),
                    }
                    *count += 1;
                    end += 5 + len;
                }
                _ => break,
            }
        }
        let Some(checkpoint) = checkpoint else { return Ok(None) };
        entries.retain(|place| place.segment < checkpoint.segments);
        Ok(Some(Self { start, checkpoint, end, file, entries }))
    }

    /// Reads the entries that are done, a segment at a time and in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = io::Result<Vec<DoneEntry>>> {
        self.entries.iter().map(|place| {
            let mut file = &self.file;
            file.seek(SeekFrom::Start(place.offset))?;
            let frame = read_frame(&mut BufReader::new(file))?;
            let key = self.start.session_key(&place.session);
            match frame.and_then(|(_, mut body)| open_record(&key, place.count, &mut body)) {
                Some(Record::Entries { entries, .. }) => Ok(entries),
                _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the journal changed while it was read")),
            }
        })
    }

    /// Goes on writing, behind what is whole.
    pub(crate) fn go_on(self, random: &mut dyn Randomness) -> io::Result<Writer> {
        Writer::append(self.file, &self.start, self.end, random)
    }
}

impl Start {
    fn session_key(&self, id: &[u8; SESSION_ID]) -> AeadKey {
        AeadKey::new(&kdf::hkdf(self.secret.as_ref(), id, b"pox-seal-journal-v1"))
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut e = Encoder::new(Vec::with_capacity(256));
        let write = |e: &mut Encoder<Vec<u8>>| -> Result<(), minicbor::encode::Error<Infallible>> {
            e.array(6)?.u8(VERSION)?.bytes(&self.job)?.bytes(self.file_key.dangerous_bytes())?;
            e.bytes(&self.nonce)?.bytes(self.secret.as_ref())?.u64(self.chunks as u64)?;
            Ok(())
        };
        write(&mut e).expect("writing to memory can't fail");
        Zeroizing::new(e.into_writer())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut d = Decoder::new(bytes);
        if d.array().ok()? != Some(6) || d.u8().ok()? != VERSION {
            return None;
        }
        let job = d.bytes().ok()?.try_into().ok()?;
        let file_key = FileKey::from_bytes(d.bytes().ok()?).ok()?;
        let nonce = d.bytes().ok()?.try_into().ok()?;
        let secret = Zeroizing::new(<[u8; 32]>::try_from(d.bytes().ok()?).ok()?);
        let chunks = usize::try_from(d.u64().ok()?).ok()?;
        let start = Self { job, file_key, nonce, secret, chunks };
        ((1..=MAX_CHUNKS).contains(&chunks) && *start.encode() == bytes).then_some(start)
    }
}

impl Record {
    fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::with_capacity(1024));
        self.write(&mut e).expect("writing to memory can't fail");
        e.into_writer()
    }

    fn write(&self, e: &mut Encoder<Vec<u8>>) -> Result<(), minicbor::encode::Error<Infallible>> {
        match self {
            Self::Entries { segment, entries } => {
                e.array(3)?.u8(ENTRIES)?.u64(*segment)?.array(entries.len() as u64)?;
                for DoneEntry { entry, stamp } in entries {
                    e.array(2)?.bytes(&Item::Entry(entry.clone()).encode())?;
                    write_stamp(e, stamp.as_ref())?;
                }
            }
            Self::Checkpoint(Checkpoint { segments, hash, file }) => {
                e.array(5)?.u8(CHECKPOINT)?.u64(*segments)?;
                write_hash(e, hash)?;
                write_stamp(e, file.as_ref().map(|(stamp, _)| stamp))?;
                write_hash(e, file.as_ref().map_or(&TreeHash::default(), |(_, hash)| hash))?;
            }
        }
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut d = Decoder::new(bytes);
        d.array().ok()?;
        let record = match d.u8().ok()? {
            ENTRIES => {
                let (segment, count) = (d.u64().ok()?, d.array().ok()??);
                // Each entry takes more than one byte.
                let mut entries = Vec::with_capacity(usize::try_from(count).ok()?.min(bytes.len() / 64));
                for _ in 0..count {
                    d.array().ok()?;
                    let Item::Entry(entry) = Item::decode(d.bytes().ok()?).ok()? else { return None };
                    entries.push(DoneEntry { entry, stamp: read_stamp(&mut d)? });
                }
                Self::Entries { segment, entries }
            }
            CHECKPOINT => {
                let segments = d.u64().ok()?;
                let hash = read_hash(&mut d)?;
                let stamp = read_stamp(&mut d)?;
                let file_hash = read_hash(&mut d)?;
                if stamp.is_none() && file_hash.len() > 0 {
                    return None;
                }
                let file = stamp.map(|stamp| (stamp, file_hash));
                Self::Checkpoint(Checkpoint { segments, hash, file })
            }
            _ => return None,
        };
        (record.encode() == bytes).then_some(record)
    }
}

/// Decodes one record and encodes it again: the fuzz target's way in. Gives nothing for bytes that aren't a record.
pub fn decode_record(bytes: &[u8]) -> Option<Vec<u8>> {
    Record::decode(bytes).map(|record| record.encode())
}

/// Reads a whole journal, and gives the records that count: the fuzz target's way in.
pub fn read_journal(file: File, identities: &[Identity]) -> io::Result<Option<Vec<Vec<u8>>>> {
    let Some(journal) = Journal::read(file, identities)? else { return Ok(None) };
    let mut records = vec![Record::Checkpoint(journal.checkpoint.clone()).encode()];
    for entries in journal.entries() {
        records.push(Record::Entries { segment: 0, entries: entries? }.encode());
    }
    Ok(Some(records))
}

fn write_stamp(
    e: &mut Encoder<Vec<u8>>,
    stamp: Option<&Stamp>,
) -> Result<(), minicbor::encode::Error<Infallible>> {
    let Some(Stamp { device, inode, size, modified, changed }) = stamp else {
        e.array(0)?;
        return Ok(());
    };
    e.array(7)?.u64(*device)?.u64(*inode)?.u64(*size)?;
    e.i64(modified.0)?.u32(modified.1)?.i64(changed.0)?.u32(changed.1)?;
    Ok(())
}

fn read_stamp(d: &mut Decoder<'_>) -> Option<Option<Stamp>> {
    if d.array().ok()?? == 0 {
        return Some(None);
    }
    let (device, inode, size) = (d.u64().ok()?, d.u64().ok()?, d.u64().ok()?);
    let modified = (d.i64().ok()?, d.u32().ok()?);
    let changed = (d.i64().ok()?, d.u32().ok()?);
    Some(Some(Stamp { device, inode, size, modified, changed }))
}

fn write_hash(e: &mut Encoder<Vec<u8>>, hash: &TreeHash) -> Result<(), minicbor::encode::Error<Infallible>> {
    let (subtrees, rest) = hash.parts();
    e.array(subtrees.len() as u64 + 1)?.bytes(rest)?;
    for (blocks, value) in subtrees {
        e.array(2)?.u64(*blocks)?.bytes(value)?;
    }
    Ok(())
}

fn read_hash(d: &mut Decoder<'_>) -> Option<TreeHash> {
    let count = d.array().ok()??.checked_sub(1)?;
    let rest = d.bytes().ok()?.to_vec();
    let mut subtrees = Vec::new();
    for _ in 0..count {
        d.array().ok()?;
        subtrees.push((d.u64().ok()?, d.bytes().ok()?.try_into().ok()?));
    }
    TreeHash::from_parts(subtrees, rest)
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).expect("records are bounded by what ends in one segment");
    let mut out = Vec::with_capacity(5 + body.len());
    out.push(kind);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// Reads one frame; `None` at the end and for anything that isn't a whole frame.
fn read_frame(reader: &mut impl Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut exact = |out: &mut [u8]| match reader.read_exact(out) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    };
    let mut kind = [0];
    if !exact(&mut kind)? {
        return Ok(None);
    }
    if kind == [SESSION] {
        let mut id = vec![0; SESSION_ID];
        return Ok(exact(&mut id)?.then_some((SESSION, id)));
    }
    let mut len = [0; 4];
    if !exact(&mut len)? {
        return Ok(None);
    }
    let len = u32::from_be_bytes(len);
    if len > MAX_FRAME {
        return Ok(None);
    }
    let mut body = Vec::new();
    reader.take(len.into()).read_to_end(&mut body)?;
    Ok((body.len() == len as usize).then_some((kind[0], body)))
}

fn open_record(key: &AeadKey, count: u64, body: &mut [u8]) -> Option<Record> {
    let (text, tag) = body.split_last_chunk_mut::<16>()?;
    if !key.open(&number(count), text, tag) {
        return None;
    }
    Record::decode(text)
}

fn number(count: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&count.to_be_bytes());
    nonce
}

/// The journal's name beside the objects; never one of a public file.
pub(crate) fn name() -> ObjectName {
    ObjectName::journal()
}

const VERSION: u8 = 1;
const START: u8 = 0;
const SESSION: u8 = 1;
const RECORD: u8 = 2;
const ENTRIES: u8 = 0;
const CHECKPOINT: u8 = 1;
const SESSION_ID: usize = 16;
/// Longest start, opened.
const MAX_START: usize = 1024;
/// Longest frame: an archive's segment of 4 MiB holds at most 8,192 entries, each of at most 9 KiB in the manifest, and
/// long names take room in the archive too.
const MAX_FRAME: u32 = 32 << 20;
