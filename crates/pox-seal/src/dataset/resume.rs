//! Sealing that goes on after it was interrupted. Spec §12.5 has the argument why no nonce is used for two texts.

use super::directory::DirectorySink;
use super::journal::{self, DoneEntry, Journal, Writer};
use super::manifest::Entry;
use super::pack::{Account, Data, Journaling, Packing};
use super::plan::{Part, Plan};
use super::seal::{Digests, Manifest, SealError, SealedDataset, suited};
use super::{ObjectName, ObjectSink, Progress};
use crate::engine::{Team, read_at};
use crate::hashing::Beside;
use crate::keys::{Identity, Recipient};
use crate::random::Randomness;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How a sealing that may be interrupted begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begun {
    /// From the start.
    Anew,
    /// Behind so many content bytes, which an earlier process sealed, and which aren't read again.
    Resumed {
        /// Content bytes that are done.
        bytes: u64,
    },
    /// From the start, and with new keys: an earlier process was interrupted, but it hadn't come far enough, or was asked
    /// for something else, or something changed since.
    Restarted,
}

/// What is asked for.
pub struct Sealing<'a> {
    /// One file, or one folder, or several of them.
    pub inputs: &'a [&'a Path],
    /// Who can open it, and the journal.
    pub recipients: &'a [Recipient],
    /// One of them has to open the journal. Without, nothing is gone on with.
    pub identities: &'a [Identity],
    /// The new directory.
    pub directory: &'a Path,
    /// Which digests of the public files are kept.
    pub digests: Digests,
    /// How often it is noted how far the work is. Each time waits for the disk.
    pub every: Duration,
    /// Who does the work.
    pub team: Team,
}

/// Seals into a new directory, and goes on where an earlier process for the same directory was interrupted.
///
/// A resumed sealing keeps its file key. So it goes on only if what is done was made of these inputs for these recipients,
/// each file that is done or begun is the same in device, inode, size and times, and every byte that was written without
/// being noted as done comes out the same again. Otherwise it forgets everything and begins anew, with new keys.
///
/// Calls `begun` before anything is sealed, and again if it begins anew.
pub fn seal_resumable(
    sealing: &Sealing<'_>,
    random: &mut dyn Randomness,
    begun: &mut dyn FnMut(Begun),
    progress: Progress<'_>,
) -> Result<SealedDataset, SealError> {
    let mut sink = DirectorySink::claim(sealing.directory).map_err(SealError::Sink)?;
    let found = sealing.take_up(&mut sink).map_err(SealError::Sink)?;
    let mut is_resumed = false;
    let mut result = match found {
        Found::Nothing => {
            begun(Begun::Anew);
            sealing.begin(&mut sink, random, progress)
        }
        Found::Useless => {
            begun(Begun::Restarted);
            sealing.begin(&mut sink, random, progress)
        }
        Found::Journal(journal) => {
            is_resumed = true;
            sealing.go_on(&mut sink, *journal, random, begun, progress)
        }
    };
    if is_resumed && matches!(result, Err(SealError::Diverged)) {
        begun(Begun::Restarted);
        result = sealing.begin(&mut sink, random, progress);
    }
    // What can be gone on with stays. What was sealed of a source that changed must not.
    let is_interrupted = matches!(result, Err(SealError::Sink(_) | SealError::Io { .. }));
    sink.keep(is_interrupted && !sink.is_empty().unwrap_or(false));
    result
}

/// What an earlier process left.
enum Found {
    Nothing,
    Useless,
    Journal(Box<Journal>),
}

impl Sealing<'_> {
    /// Looks at what an earlier process left.
    fn take_up(&self, sink: &mut DirectorySink) -> io::Result<Found> {
        let file = match sink.open(&journal::name()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(if sink.is_empty()? { Found::Nothing } else { Found::Useless });
            }
            Err(error) => return Err(error),
        };
        Ok(match Journal::read(file, self.identities)? {
            Some(journal) if Some(journal.start.job) == self.job().ok() => Found::Journal(Box::new(journal)),
            _ => Found::Useless,
        })
    }

    /// A digest of what is asked for.
    fn job(&self) -> io::Result<[u8; 32]> {
        let mut hasher = blake3::Hasher::new_derive_key("pox-seal journal job v1");
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_be_bytes()).update(bytes);
        };
        for input in self.inputs {
            part(input.file_name().unwrap_or_default().as_bytes());
            part(input.canonicalize()?.as_os_str().as_bytes());
        }
        part(b"for");
        self.recipients.iter().for_each(|recipient| part(recipient.to_string().as_bytes()));
        Ok(hasher.finalize().into())
    }

    fn begin(
        &self,
        sink: &mut DirectorySink,
        random: &mut dyn Randomness,
        progress: Progress<'_>,
    ) -> Result<SealedDataset, SealError> {
        sink.clear().map_err(SealError::Sink)?;
        let team = suited(self.team, self.inputs);
        let data = Data::new(self.recipients, team.chunks(), random)?;
        let plan = Plan::new(self.inputs, data.span())?;
        let mut manifest = Manifest::start(plan.kind(), self.recipients, random)?;
        let writer = (|| {
            let job = self.job()?;
            let file = sink.create_beside(&journal::name())?;
            sink.create(&ObjectName::data())?;
            sink.write(data.head())?;
            let keys = (&data.file_key, &data.nonce);
            Writer::create(file, job, keys, team.chunks(), self.recipients, random)
        })()
        .map_err(SealError::Sink)?;
        let (to, journal) = self.journaling(sink, writer).map_err(SealError::Sink)?;
        let mut account = Account::new(&data, &mut *sink, &mut manifest, random, progress)?;
        account.journal = Some(journal);
        account.beside = Beside::new(self.digests == Digests::Sha256Beside);
        account.beside.update(data.head());
        let (object, bytes) = Packing::new(&data, team, Some(to), 0).run(plan, account)?;
        conclude(manifest, bytes, object, sink)
    }

    fn go_on(
        &self,
        sink: &mut DirectorySink,
        journal: Journal,
        random: &mut dyn Randomness,
        begun: &mut dyn FnMut(Begun),
        progress: Progress<'_>,
    ) -> Result<SealedDataset, SealError> {
        let name = ObjectName::data();
        let (start, checkpoint) = (&journal.start, journal.checkpoint.clone());
        let file = sink.open(&name).map_err(|_| SealError::Diverged)?;
        let written = file.metadata().map_err(SealError::Sink)?.len();
        if written < checkpoint.hash.len() {
            return Err(SealError::Diverged);
        }
        let key = start.file_key.again();
        let head = read_head(&file).map_err(SealError::Sink)?;
        let data = Data::taken_up(key, start.nonce, head, start.chunks).map_err(|_| SealError::Diverged)?;
        let data = data.ok_or(SealError::Diverged)?;

        // The walk is walked again, but nothing is read of what is done.
        let mut plan = Plan::new(self.inputs, data.span())?;
        let mut manifest = Manifest::start(plan.kind(), self.recipients, random)?;
        let (mut bytes, mut open) = (0, None);
        {
            let mut done = journal.entries();
            let mut ready = Vec::new().into_iter();
            let mut next_done = || loop {
                if let Some(entry) = ready.next() {
                    return Ok(entry);
                }
                match done.next() {
                    Some(Ok(entries)) => ready = entries.into_iter(),
                    Some(Err(error)) => return Err(SealError::Sink(error)),
                    None => return Err(SealError::Diverged),
                }
            };
            for _ in 0..checkpoint.segments {
                let job = plan.next()?.ok_or(SealError::Diverged)?;
                for part in job.parts {
                    if let Part::File { content, file, .. } = &part {
                        bytes += content.end - content.start;
                        open = (content.end < file.stamp.size).then(|| file.clone());
                    }
                    if ends(&part) {
                        let entry = next_done()?;
                        if !is_same(&part, &entry) {
                            return Err(SealError::Diverged);
                        }
                        manifest.push(entry.entry)?;
                    }
                }
            }
            if ready.next().is_some() || done.next().is_some() {
                return Err(SealError::Diverged);
            }
        }
        let open = match (open, checkpoint.file) {
            (None, None) => None,
            (Some(file), Some((stamp, hash))) if file.stamp == stamp => Some((file, hash)),
            _ => return Err(SealError::Diverged),
        };
        begun(Begun::Resumed { bytes });

        sink.reopen(&name, &journal::name()).map_err(SealError::Sink)?;
        let writer = journal.go_on(random).map_err(SealError::Sink)?;
        let (to, journaling) = self.journaling(sink, writer).map_err(SealError::Sink)?;
        let mut account = Account::new(&data, &mut *sink, &mut manifest, random, progress)?;
        (account.hash, account.open, account.bytes) = (checkpoint.hash, open, bytes);
        account.journal = Some(journaling);
        account.beside = self.beside_so_far(&to, account.hash.len()).map_err(SealError::Sink)?;
        let (object, bytes) = Packing::new(&data, self.team, Some(to), written).run(plan, account)?;
        conclude(manifest, bytes, object, sink)
    }

    /// The SHA-256 of what is done, which has to be read again for it: its state can't be kept.
    fn beside_so_far(&self, file: &File, end: u64) -> io::Result<Beside> {
        let mut beside = Beside::new(self.digests == Digests::Sha256Beside);
        let (mut buffer, mut at) = (vec![0; 1 << 20], 0);
        while self.digests == Digests::Sha256Beside && at < end {
            let wanted = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let count = read_at(file, &mut [IoSliceMut::new(&mut buffer[..wanted])], at)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            beside.update(&buffer[..count as usize]);
            at += count;
        }
        Ok(beside)
    }

    fn journaling(&self, sink: &mut DirectorySink, writer: Writer) -> io::Result<(File, Journaling)> {
        let file = sink.file().ok_or(io::ErrorKind::InvalidInput)?;
        let (to, data) = (file.try_clone()?, file.try_clone()?);
        Ok((to, Journaling { writer, data, every: self.every, last: Instant::now() }))
    }
}

/// Writes the rest. The journal goes before the directory gets its name.
fn conclude(
    manifest: Manifest,
    bytes: u64,
    object: super::SealedObject,
    sink: &mut DirectorySink,
) -> Result<SealedDataset, SealError> {
    sink.close().map_err(SealError::Sink)?;
    sink.remove_on_finish(journal::name());
    manifest.publish(bytes, object, sink)
}

/// Whether an entry is complete with this part.
fn ends(part: &Part) -> bool {
    match part {
        Part::Literal(_) => false,
        Part::Folder { .. } | Part::Link { .. } => true,
        Part::File { file, content, .. } => content.end == file.stamp.size,
    }
}

/// Whether the walk came to what the journal says that is done.
fn is_same(part: &Part, done: &DoneEntry) -> bool {
    match (part, &done.entry) {
        (Part::Folder { path, meta }, Entry::Folder { path: old_path, meta: old_meta, .. }) => {
            (path, meta) == (old_path, old_meta)
        }
        (Part::Link { path, target }, Entry::Link { path: old_path, target: old_target, .. }) => {
            (path, target) == (old_path, old_target)
        }
        (Part::File { file, offset, .. }, Entry::File { path, meta, size, offset: old_offset, .. }) => {
            (&file.path, &file.meta, file.stamp.size, offset) == (path, meta, *size, old_offset)
                && done.stamp == Some(file.stamp)
        }
        _ => false,
    }
}

/// The header and nonce of a file that was begun.
fn read_head(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; crate::age::MAX_HEADER + crate::age::NONCE];
    let count = read_at(file, &mut [IoSliceMut::new(&mut bytes)], 0)?;
    bytes.truncate(count as usize);
    let header = crate::age::Header::read(&mut &bytes[..]);
    let len = header.map(|(_, len)| len as usize + crate::age::NONCE).unwrap_or(0);
    bytes.truncate(len);
    Ok(bytes)
}
