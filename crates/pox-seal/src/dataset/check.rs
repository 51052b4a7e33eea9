//! Checking what anybody can check: a dataset's public files against its commitment, without a key.

use super::b3sums::{B3Sums, BadText, DatasetCommitment, ObjectName, Sha256Sums};
use super::crypt4gh::is_form;
use super::open::{OpenError, read_text};
use super::{ObjectSource, Progress};
use crate::engine::{CHUNK, PieceHasher, Team, TreeHash, read_at, read_full, run};
use crate::hashing::{self, Beside, Blake3Digest};
use std::fs::File;
use std::io::{self, IoSliceMut, Read};

/// What a dataset's public files are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    /// The SHA-256 of the `B3SUMS` that is there.
    pub commitment: DatasetCommitment,
    /// Whether `B3SUMS` names the files that a dataset has.
    pub is_dataset: bool,
    /// Each file that `B3SUMS` names.
    pub objects: Vec<CheckedObject>,
}

/// One public file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckedObject {
    /// Its name.
    pub name: ObjectName,
    /// What `B3SUMS` says.
    pub expected: Blake3Digest,
    /// What it is.
    pub comparison: Comparison,
    /// Its length in bytes; zero if it is missing.
    pub len: u64,
}

/// How a public file compares with what is said of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// It is what `B3SUMS` says, and what `SHA256SUMS` says, if there is one.
    Same,
    /// Its BLAKE3 digest is another.
    Blake3Differs(Blake3Digest),
    /// Its BLAKE3 digest is right, and its SHA-256 isn't what `SHA256SUMS` says: whoever sealed it wrote it so.
    Sha256Differs([u8; 32]),
    /// There is no such file.
    Missing,
}

/// Compares each public file of a dataset with `B3SUMS`, and with `SHA256SUMS` if the dataset has one.
///
/// On all cores where the files lie on this machine; in constant memory. Whether the commitment is the right one is the
/// caller's to compare, and nothing is worth anything before it did.
pub fn check(source: &mut dyn ObjectSource, progress: Progress<'_>) -> Result<Checked, OpenError> {
    let index = ObjectName::b3sums();
    let text = read_text(source, &index)?;
    let commitment = DatasetCommitment::of(&text);
    let Ok(sums) = B3Sums::parse(&text) else {
        return Ok(Checked { commitment, is_dataset: false, objects: Vec::new() });
    };
    let (sha256, is_covered) = match read_sha256sums(source, &sums)? {
        Ok(sha256) => (sha256.clone(), sha256.is_none_or(|sha256| covers(&sha256, &sums))),
        Err(_) => (None, false),
    };

    let (mut objects, mut before) = (Vec::new(), 0);
    for name in sums.names() {
        let expected = sums.digest(name).expect("each name has a digest");
        let wanted = sha256.as_ref().and_then(|sums| sums.digest(name));
        let hashed = hash(source, name, wanted.is_some(), &mut |bytes| progress(before + bytes));
        let (comparison, len) = match hashed {
            Ok(found) if found.blake3 != expected => (Comparison::Blake3Differs(found.blake3), found.len),
            Ok(Hashed { sha256: Some(digest), len, .. }) if Some(digest) != wanted => {
                (Comparison::Sha256Differs(digest), len)
            }
            Ok(found) => (Comparison::Same, found.len),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Comparison::Missing, 0),
            Err(error) => return Err(OpenError::Source { object: name.clone(), error }),
        };
        before += len;
        objects.push(CheckedObject { name: name.clone(), expected, comparison, len });
    }
    Ok(Checked { commitment, is_dataset: (sums.are_of_a_dataset() || is_form(&sums)) && is_covered, objects })
}

/// The SHA-256 digests, if the dataset has any; a file of them that isn't the committed one is found with the others.
fn read_sha256sums(
    source: &mut dyn ObjectSource,
    sums: &B3Sums,
) -> Result<Result<Option<Sha256Sums>, BadText>, OpenError> {
    let object = ObjectName::sha256sums();
    let Some(expected) = sums.digest(&object) else { return Ok(Ok(None)) };
    let text = match read_text(source, &object) {
        Err(OpenError::Source { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Ok(None));
        }
        other => other?,
    };
    if Blake3Digest::of(&text) != expected {
        return Ok(Ok(None));
    }
    Ok(Sha256Sums::parse(&text).map(Some))
}

/// Whether there is a SHA-256 digest of every other file.
fn covers(sha256: &Sha256Sums, sums: &B3Sums) -> bool {
    let itself = ObjectName::sha256sums();
    sha256.names().eq(sums.names().filter(|name| **name != itself))
}

/// A file's digests.
struct Hashed {
    blake3: Blake3Digest,
    sha256: Option<[u8; 32]>,
    len: u64,
}

fn hash(
    source: &mut dyn ObjectSource,
    name: &ObjectName,
    is_sha256: bool,
    progress: Progress<'_>,
) -> io::Result<Hashed> {
    match source.file(name)? {
        Some(file) => hash_file(&file, is_sha256, progress),
        None => hash_stream(&mut source.open(name, 0)?, is_sha256, progress),
    }
}

/// Each core reads and hashes at its own offset.
fn hash_file(file: &File, is_sha256: bool, progress: Progress<'_>) -> io::Result<Hashed> {
    let len = file.metadata()?.len();
    let team = Team::of_machine();
    let (span, mut next) = ((team.chunks() * CHUNK) as u64, 0);
    let (mut hash, mut beside) = (TreeHash::default(), Beside::new(is_sha256));
    run(
        team,
        |_| {
            let start = next;
            next += span;
            Ok::<_, io::Error>((start < len).then_some(start))
        },
        |start, segment| {
            let count = span.min(len - start);
            segment.place(start, count as usize);
            if read_at(file, &mut [IoSliceMut::new(segment)], start)? != count {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it became shorter while it was read",
                ));
            }
            let mut hasher = PieceHasher::new(start);
            hasher.advance(segment);
            Ok(hasher.finish())
        },
        |piece, segment| {
            hash.append(&piece, piece.edges(segment));
            beside.update(segment);
            progress(hash.len());
            Ok(())
        },
    )?;
    Ok(Hashed { blake3: hash.digest(), sha256: beside.finish(), len })
}

/// What comes through one connection is hashed a piece at a time, each on all cores.
fn hash_stream(reader: &mut dyn Read, is_sha256: bool, progress: Progress<'_>) -> io::Result<Hashed> {
    let (mut hasher, mut beside) = (blake3::Hasher::new(), Beside::new(is_sha256));
    let (mut buffer, mut len) = (vec![0; STREAM_BUFFER], 0);
    loop {
        let filled = read_full(reader, &mut buffer)?;
        if filled == 0 {
            let blake3 = Blake3Digest::from(*hasher.finalize().as_bytes());
            return Ok(Hashed { blake3, sha256: beside.finish(), len });
        }
        hashing::update(&mut hasher, &buffer[..filled]);
        beside.update(&buffer[..filled]);
        len += filled as u64;
        progress(len);
    }
}

/// Enough for all cores of a large machine.
const STREAM_BUFFER: usize = 4 << 20;
