//! Whole files that lie on this machine: on all cores, each reading and writing at its own offset.

use super::body::{NONCE, kept};
use super::{Body, BodyError, ContentKeys, Crypt4ghError, Header, Recipient, SEGMENT};
use crate::engine::{Cipher, OpenFile, SealFile, Segment, Team, TreeHash, read_at, run, write_at};
use crate::hashing::Blake3Digest;
use crate::keys::KeyCommitment;
use crate::random::{NoRandomness, Randomness};
use std::fs::File;
use std::io::{self, BufReader, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// A file that was sealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedFile {
    /// The digest of the sealed file: what `b3sum` prints.
    pub digest: Blake3Digest,
    /// The commitment to its keys.
    pub key_commitment: KeyCommitment,
    /// What opens it.
    pub content: ContentKeys,
    /// Its length in bytes.
    pub len: u64,
    /// Bytes before sealing.
    pub content_len: u64,
}

/// A sealed file that was read to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckedFile {
    /// The digest of the sealed file: what `b3sum` prints.
    pub digest: Blake3Digest,
    /// Its length in bytes.
    pub len: u64,
    /// Bytes of its content.
    pub content_len: u64,
}

/// Seals all of one file into another, which must be empty, under a new data key, and hashes what it writes in the same pass.
///
/// Every segment's nonce is drawn anew, here and for this file only: after an error `to` must be thrown away, and nothing goes
/// on with it. Nothing is synced.
///
/// # Errors
/// A file can't be read or written, or there is no randomness.
pub fn seal_file(
    from: &File,
    to: &File,
    recipients: &[Recipient],
    random: &mut dyn Randomness,
    team: Team,
    progress: &mut dyn FnMut(u64),
) -> Result<SealedFile, Crypt4ghError> {
    let content = ContentKeys::generate(random)?;
    let header = Header::seal(&content, recipients, random)?.to_bytes();
    write_at(to, &mut [IoSlice::new(&header)], 0).map_err(Crypt4ghError::Write)?;
    let mut hash = TreeHash::default();
    hash.update(&header);

    let cipher = Body::new(&content);
    let sealing =
        SealFile { cipher: &cipher, start: header.len() as u64, chunks: team.chunks(), is_hashed: true };
    let content_len = from.metadata().map_err(Crypt4ghError::Io)?.len();
    let (span, mut next, mut done) = (sealing.span(), 0, 0);
    let count = content_len.div_ceil(span);
    run(
        team,
        |_| {
            if next == count {
                return Ok(None);
            }
            let text = span.min(content_len - next * span) as usize;
            let nonces = nonces(text.div_ceil(SEGMENT), random)?;
            next += 1;
            Ok(Some((next - 1, text, nonces)))
        },
        |(index, text, nonces): (u64, usize, Vec<u8>), segment: &mut Segment| {
            sealing.place(index, text, segment);
            let mut places = segment.texts::<Body<'_>>(0..text);
            if read_at(from, &mut places, index * span).map_err(Crypt4ghError::Io)? != text as u64 {
                return Err(Crypt4ghError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            for (slot, nonce) in segment.chunks_mut(Body::STRIDE).zip(nonces.chunks(NONCE)) {
                slot[..NONCE].copy_from_slice(nonce);
            }
            let sealed = sealing.seal(index, index + 1 == count, segment);
            write_at(to, &mut [IoSlice::new(segment)], sealed.offset).map_err(Crypt4ghError::Write)?;
            Ok((sealed, text))
        },
        |(sealed, text), segment| {
            hash.append(&sealed.piece, sealed.piece.edges(segment));
            done += text as u64;
            progress(done);
            Ok(())
        },
    )?;
    let digest = hash.digest();
    Ok(SealedFile {
        digest,
        key_commitment: content.commitment(&digest),
        content,
        len: hash.len(),
        content_len,
    })
}

/// Opens a file's content into another file, which must be empty, and gives the digest of the sealed file.
///
/// Until it returns, and the caller has compared the digest with one that was committed to, what is in `to` may be anything
/// that somebody put together of the file's segments. Nothing is synced.
///
/// # Errors
/// A segment isn't authentic, the content has more than `most` bytes, or a file can't be read or written.
pub fn open_file(
    from: &File,
    to: &File,
    content: &ContentKeys,
    most: u64,
    team: Team,
    progress: &mut dyn FnMut(u64),
) -> Result<CheckedFile, Crypt4ghError> {
    walk(from, Some(to), content, most, team, progress)
}

/// Hashes a sealed file, and opens every segment without keeping what is in it.
///
/// # Errors
/// A segment isn't authentic, or the file can't be read.
pub fn check_file(
    from: &File,
    content: &ContentKeys,
    team: Team,
    progress: &mut dyn FnMut(u64),
) -> Result<CheckedFile, Crypt4ghError> {
    walk(from, None, content, u64::MAX, team, progress)
}

/// Writes a sealed file again for other readers, into a file that must be empty: another header, and the body as it is.
///
/// The body is neither opened nor checked. What the header says to readers that `content` is not of is lost.
///
/// # Errors
/// There are no recipients, or too many, or a file can't be read or written.
pub fn rekey_file(
    from: &File,
    to: &File,
    content: &ContentKeys,
    recipients: &[Recipient],
    random: &mut dyn Randomness,
) -> Result<u64, Crypt4ghError> {
    let start = Header::read(&mut BufReader::new(FromStart { file: from, at: 0 }))?.size();
    let header = Header::seal(content, recipients, random)?.to_bytes();
    let (mut body, mut to) = (from, to);
    body.seek(SeekFrom::Start(start)).map_err(Crypt4ghError::Io)?;
    to.write_all(&header).map_err(Crypt4ghError::Write)?;
    // The system copies it by itself, and where it can, copies nothing.
    let copied = io::copy(&mut body, &mut to).map_err(Crypt4ghError::Write)?;
    Ok(header.len() as u64 + copied)
}

fn walk(
    from: &File,
    to: Option<&File>,
    content: &ContentKeys,
    most: u64,
    team: Team,
    progress: &mut dyn FnMut(u64),
) -> Result<CheckedFile, Crypt4ghError> {
    let len = from.metadata().map_err(Crypt4ghError::Io)?.len();
    let start = Header::read(&mut BufReader::new(FromStart { file: from, at: 0 }))?.size();
    let mut head = vec![0; start as usize];
    read_all(from, &mut head, 0)?;
    let mut hash = TreeHash::default();
    hash.update(&head);

    let cipher = Body::new(content);
    let content_len = cipher.content_len(len.saturating_sub(start))?;
    if content_len > most {
        return Err(Crypt4ghError::TooLarge);
    }
    let opening = OpenFile { cipher: &cipher, start, len, chunks: team.chunks(), is_hashed: true };
    // A file without a body has no segment, which other formats always have.
    let mut segments = 0..if len == start { 0 } else { opening.segments() };
    run(
        team,
        |_| Ok::<_, Crypt4ghError>(segments.next()),
        |index, segment: &mut Segment| {
            let range = opening.range(index);
            segment.place(range.start, (range.end - range.start) as usize);
            read_all(from, segment, range.start)?;
            let opened = opening.open(index, segment);
            if let Some(bad) = opened.bad {
                return Err(BodyError::Segment(bad).into());
            }
            if let Some(to) = to {
                write(to, &cipher, opening.text_offset(index), segment).map_err(Crypt4ghError::Write)?;
            }
            Ok(opened)
        },
        |opened, _| {
            let [before, after] = &opened.edges;
            hash.append(&opened.piece, [before, after]);
            progress(hash.len());
            Ok(())
        },
    )?;
    Ok(CheckedFile { digest: hash.digest(), len, content_len })
}

/// Writes what the edits keep of an opened piece to its place in the content.
fn write(to: &File, cipher: &Body<'_>, offset: u64, segment: &Segment) -> io::Result<()> {
    let mut texts = segment.opened_texts::<Body<'_>>();
    let Some(edits) = cipher.edits() else { return write_at(to, &mut texts, offset) };
    let mut at = offset;
    for text in texts {
        for (part, place) in kept(Some(edits), at, &text) {
            write_at(to, &mut [IoSlice::new(part)], place)?;
        }
        at += text.len() as u64;
    }
    Ok(())
}

/// Random nonces for so many segments: at 96 bits, two are the same among 2^32 of one key (256 TiB) once in 2^33 times.
fn nonces(count: usize, random: &mut dyn Randomness) -> Result<Vec<u8>, NoRandomness> {
    let mut nonces = vec![0; count * NONCE];
    random.fill(&mut nonces)?;
    Ok(nonces)
}

/// Reads a file from its start, wherever others have read it to.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(out, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn read_all(file: &File, out: &mut [u8], offset: u64) -> Result<(), Crypt4ghError> {
    let len = out.len() as u64;
    match read_at(file, &mut [IoSliceMut::new(out)], offset).map_err(Crypt4ghError::Io)? == len {
        true => Ok(()),
        false => Err(Crypt4ghError::Io(io::ErrorKind::UnexpectedEof.into())),
    }
}
