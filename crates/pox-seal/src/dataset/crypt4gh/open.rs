//! Opening a dataset of Crypt4GH files: everything is checked before anything is visible.

use super::access::{Access, MAX_ACCESS};
use super::{files, opened_name};
use crate::age::{AgeError, open_bytes, sealed_len};
use crate::crypt4gh::{
    self, BodyStream, CheckedFile, ContentKeys, Crypt4ghError, Header, MAX_HEADER, open_file, sealed_body_len,
};
use crate::dataset::b3sums::{B3Sums, KeyCommitments, ObjectName};
use crate::dataset::base::{finish_base, finish_file};
use crate::dataset::directory::Staging;
use crate::dataset::manifest::{Kind, Meta};
use crate::dataset::open::{Watched, checked_text, sync};
use crate::dataset::{Invalid, Limits, Modes, ObjectKeys, ObjectSource, OpenError, Opened, Progress};
use crate::engine::Team;
use crate::hashing::{Blake3Digest, HashReader};
use crate::keys::Identity;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read, Seek as _, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Opens a dataset of which `B3SUMS` was compared with the commitment, into a new directory `dest`.
///
/// In this order: `KEYS` against `B3SUMS`; each file's keys against `KEYS`; each segment against its key; each file against
/// `B3SUMS`. `dest` appears, whole, after all of that, and nothing is left on failure.
#[allow(clippy::too_many_arguments)] // what `open` was asked for
pub(in crate::dataset) fn open(
    source: &mut dyn ObjectSource,
    b3sums: &B3Sums,
    keys: &ObjectKeys,
    dest: &Path,
    limits: Limits,
    modes: Modes,
    progress: Progress<'_>,
) -> Result<Opened, OpenError> {
    let commitments = checked_keys(source, b3sums)?;
    let mut staging = Staging::beside(dest, 0o700).map_err(OpenError::Io)?;
    let (mut entries, mut bytes) = (0, 0);
    for object in files(b3sums) {
        let invalid = |reason| OpenError::Invalid { object: object.clone(), reason };
        let digest = b3sums.digest(object).ok_or(invalid(Invalid::Objects))?;
        let content = keys.content(object).ok_or(invalid(Invalid::NoKey))?;
        if commitments.commitment(object) != Some(content.commitment(&digest)) {
            return Err(invalid(Invalid::Key));
        }
        entries += 1;
        if entries > limits.entries {
            return Err(invalid(Invalid::TooLarge));
        }
        let name = opened_name(object).ok_or(invalid(Invalid::Objects))?;
        let path = staging.path().join(name);
        let to = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
        let to = to.map_err(OpenError::Io)?;
        let opening = Opening { object, digest, content, room: limits.bytes - bytes, to: &to };
        bytes += opening.run(source, &mut |done| progress(bytes + done))?;
        if modes == Modes::ReadOnly {
            finish_file(&to, &META, modes)?;
        }
    }
    finish_base(staging.path(), modes)?;
    sync(staging.path()).map_err(OpenError::Io)?;
    staging.publish().map_err(OpenError::Io)?;
    Ok(Opened { kind: Kind::Tree, entries, bytes, root: None })
}

/// What opens each file of a dataset: out of `access.age`, or, for who can't open that, out of the files' own headers.
pub(in crate::dataset) fn content_keys(
    source: &mut dyn ObjectSource,
    b3sums: &B3Sums,
    identities: &[Identity],
) -> Result<ObjectKeys, OpenError> {
    let object = ObjectName::access();
    let most = sealed_len(MAX_ACCESS as u64) + (crate::age::MAX_HEADER + crate::age::NONCE) as u64;
    let mut sealed = Vec::new();
    source
        .open(&object, 0)
        .and_then(|input| input.take(most).read_to_end(&mut sealed))
        .map_err(|error| OpenError::Source { object: object.clone(), error })?;
    let mut keys = ObjectKeys::default();
    match open_bytes(identities, &sealed, MAX_ACCESS) {
        Ok(bytes) => {
            let access =
                Access::decode(&bytes).ok_or(OpenError::Invalid { object, reason: Invalid::Content })?;
            access.0.into_iter().for_each(|(name, content)| keys.insert_content(name, content));
        }
        Err(AgeError::NoMatch) => {
            let readers: Vec<_> = identities.iter().filter_map(crypt4gh::Identity::of).collect();
            for name in files(b3sums) {
                keys.insert_content(name.clone(), of_header(source, name, &readers)?);
            }
        }
        Err(_) => return Err(OpenError::Invalid { object, reason: Invalid::Age }),
    }
    Ok(keys)
}

fn of_header(
    source: &mut dyn ObjectSource,
    object: &ObjectName,
    readers: &[crypt4gh::Identity],
) -> Result<ContentKeys, OpenError> {
    let failed = |error| OpenError::Source { object: object.clone(), error };
    let input = source.open(object, 0).map_err(failed)?;
    let header = Header::read(&mut BufReader::new(input));
    header.and_then(|header| header.unlock(readers)).map_err(|error| match error {
        Crypt4ghError::Io(error) => failed(error),
        Crypt4ghError::NoMatch => OpenError::Invalid { object: object.clone(), reason: Invalid::NoKey },
        _ => OpenError::Invalid { object: object.clone(), reason: Invalid::Crypt4gh },
    })
}

/// `KEYS`, with a commitment for each sealed file and nothing else.
fn checked_keys(source: &mut dyn ObjectSource, b3sums: &B3Sums) -> Result<KeyCommitments, OpenError> {
    let object = ObjectName::keys();
    let text = checked_text(source, &object, b3sums)?;
    let keys = KeyCommitments::parse(&text);
    let keys = keys.map_err(|error| OpenError::Invalid { object: object.clone(), reason: error.into() })?;
    match keys.names().eq(b3sums.names().filter(|name| **name != object)) {
        true => Ok(keys),
        false => Err(OpenError::Invalid { object, reason: Invalid::Objects }),
    }
}

/// One file on its way into another.
struct Opening<'a> {
    object: &'a ObjectName,
    digest: Blake3Digest,
    content: &'a ContentKeys,
    /// Most bytes of content.
    room: u64,
    to: &'a File,
}

impl Opening<'_> {
    /// Gives the number of bytes. An error is the owner's making only if the bytes are those that were committed to.
    fn run(&self, source: &mut dyn ObjectSource, progress: Progress<'_>) -> Result<u64, OpenError> {
        match source.file(self.object).map_err(|error| self.source(error))? {
            Some(file) => self.file(&file, progress),
            None => self.stream(source, progress),
        }
    }

    /// A file of this machine: on all cores, each at its own offset.
    fn file(&self, from: &File, progress: Progress<'_>) -> Result<u64, OpenError> {
        let outcome = open_file(from, self.to, self.content, self.room, Team::of_machine(), progress);
        let digest = match &outcome {
            Ok(checked) => checked.digest,
            Err(Crypt4ghError::Io(_) | Crypt4ghError::Write(_)) => {
                return outcome.map(|_| 0).map_err(|error| self.error(error));
            }
            Err(_) => {
                let mut from = from;
                let mut hashing = HashReader::new(from, u64::MAX);
                let read = from.rewind().and_then(|()| io::copy(&mut hashing, &mut io::sink()));
                read.map_err(|error| self.source(error))?;
                hashing.digest()
            }
        };
        if digest != self.digest {
            return Err(OpenError::Mismatch { object: self.object.clone() });
        }
        outcome.map(|checked| checked.content_len).map_err(|error| self.error(error))
    }

    /// A stream: batch by batch, each opened on all cores.
    fn stream(&self, source: &mut dyn ObjectSource, progress: Progress<'_>) -> Result<u64, OpenError> {
        let input = source.open(self.object, 0).map_err(|error| self.source(error))?;
        // What edits discard is read too, and costs no room.
        let most = match self.content.edits() {
            None => sealed_body_len(self.room).saturating_add(MAX_HEADER as u64),
            Some(_) => u64::MAX - 1,
        };
        let mut hashing = HashReader::new(Watched { inner: input, failure: None }, most);
        let outcome = self.pass(&mut hashing, progress);
        if let Some(error) = hashing.inner_mut().failure.take() {
            return Err(self.source(error));
        }
        if let Err(Crypt4ghError::Write(_)) = outcome {
            return outcome.map_err(|error| self.error(error));
        }
        // Bytes that aren't the committed ones are the storage's doing, whatever else they led to.
        let drained = io::copy(&mut hashing, &mut io::sink());
        match (drained, hashing.inner_mut().failure.take()) {
            (Err(_), Some(error)) => Err(self.source(error)),
            (Err(_), None) => Err(self.error(Crypt4ghError::TooLarge)),
            (Ok(_), _) if hashing.digest() != self.digest => {
                Err(OpenError::Mismatch { object: self.object.clone() })
            }
            (Ok(_), _) => outcome.map_err(|error| self.error(error)),
        }
    }

    fn pass(&self, reader: &mut impl Read, progress: Progress<'_>) -> Result<u64, Crypt4ghError> {
        // The buffer serves the header only: a read of a whole batch goes past it.
        let mut reader = BufReader::new(reader);
        Header::read(&mut reader)?;
        let mut body = BodyStream::new(self.content, reader);
        let (mut done, mut to) = (0, self.to);
        while body.advance()? {
            for part in body.parts() {
                done += part.len() as u64;
                if done > self.room {
                    return Err(Crypt4ghError::TooLarge);
                }
                to.write_all(part).map_err(Crypt4ghError::Write)?;
            }
            progress(done);
        }
        Ok(done)
    }

    fn source(&self, error: io::Error) -> OpenError {
        OpenError::Source { object: self.object.clone(), error }
    }

    fn error(&self, error: Crypt4ghError) -> OpenError {
        let reason = match error {
            Crypt4ghError::Write(error) => return OpenError::Io(error),
            Crypt4ghError::Io(error) => return self.source(error),
            Crypt4ghError::TooLarge => Invalid::TooLarge,
            _ => Invalid::Crypt4gh,
        };
        OpenError::Invalid { object: self.object.clone(), reason }
    }
}

/// Opens one Crypt4GH file that belongs to no dataset into a new directory `dest`, under its name without `.c4gh`, and gives the
/// file's digest.
///
/// Every segment is authentic when this returns, and nothing shows whether all of them are there and in their order: the format
/// doesn't, and there is no commitment.
///
/// # Errors
/// The file isn't sound or for other readers, or can't be read or written; nothing is left then.
pub fn open_lone_file(
    path: &Path,
    identities: &[crypt4gh::Identity],
    dest: &Path,
    progress: Progress<'_>,
) -> Result<CheckedFile, Crypt4ghError> {
    let from = File::open(path).map_err(Crypt4ghError::Io)?;
    let content = Header::read(&mut BufReader::new(&from))?.unlock(identities)?;
    let mut staging = Staging::beside(dest, 0o700).map_err(Crypt4ghError::Write)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(super::SUFFIX).filter(|stem| !stem.is_empty()).unwrap_or(&name);
    let to = staging.path().join(name);
    let to = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(to);
    let to = to.map_err(Crypt4ghError::Write)?;
    let checked = open_file(&from, &to, &content, u64::MAX, Team::of_machine(), progress)?;
    fs::set_permissions(staging.path(), Permissions::from_mode(0o755)).map_err(Crypt4ghError::Write)?;
    sync(staging.path()).map_err(Crypt4ghError::Write)?;
    staging.publish().map_err(Crypt4ghError::Write)?;
    Ok(checked)
}

/// The format keeps neither permissions nor times: a user's files are the user's alone and new, a task's are always the same.
const META: Meta = Meta { mode: 0o600, seconds: 0, nanoseconds: 0 };
