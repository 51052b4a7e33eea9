//! Sealing and opening a whole file, on all cores.

use super::header::Header;
use super::open::Locked;
use super::payload::{NONCE, PayloadKey};
use super::{AgeError, PayloadError, SealHeaderError};
use crate::engine::{Cipher, OpenFile, Piece, SealFile, Team, TreeHash, read_at, run, write_at};
use crate::hashing::Blake3Digest;
use crate::keys::{FileKey, KeyCommitment, Recipient};
use crate::random::{Randomness, draw};
use std::fs::File;
use std::io::{self, BufReader, IoSlice, IoSliceMut};

/// A file that was sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealedFile {
    /// The digest of the sealed file: what `b3sum` prints.
    pub digest: Blake3Digest,
    /// The commitment to its key.
    pub key_commitment: KeyCommitment,
    /// Its length in bytes.
    pub len: u64,
}

/// Seals all of one file into another, which must be empty, and hashes what it writes in the same pass.
///
/// Nothing is synced. After an error `to` holds a part of a file that nobody opens, and must be thrown away: its key is
/// gone, so it can't be gone on with.
pub fn seal_file(
    from: &File,
    to: &File,
    recipients: &[Recipient],
    random: &mut dyn Randomness,
    team: Team,
) -> Result<SealedFile, AgeError> {
    let file_key = FileKey::generate(random).map_err(SealHeaderError::from)?;
    let nonce = draw::<NONCE>(random).map_err(SealHeaderError::from)?;
    let mut start = Header::seal(&file_key, recipients, random)?;
    start.extend_from_slice(nonce.as_ref());
    write_at(to, &mut [IoSlice::new(&start)], 0).map_err(AgeError::Io)?;
    let mut hash = TreeHash::default();
    hash.update(&start);

    let cipher = PayloadKey::new(&file_key, &nonce);
    let sealing =
        SealFile { cipher: &cipher, start: start.len() as u64, chunks: team.chunks(), is_hashed: true };
    seal_payload(&sealing, from, to, &mut hash, None, team)?;
    Ok(SealedFile { digest: hash.digest(), key_commitment: file_key.commitment(&nonce), len: hash.len() })
}

fn seal_payload<C: Cipher>(
    sealing: &SealFile<'_, C>,
    from: &File,
    to: &File,
    hash: &mut TreeHash,
    mut content: Option<&mut TreeHash>,
    team: Team,
) -> Result<(), AgeError> {
    let len = from.metadata().map_err(AgeError::Io)?.len();
    let is_read = content.is_some();
    let span = sealing.span();
    let count = len.div_ceil(span).max(1);
    let mut segments = 0..count;
    run(
        team,
        |_| Ok::<_, AgeError>(segments.next()),
        |index, segment| {
            let text = span.min(len - index * span) as usize;
            sealing.place(index, text, segment);
            let mut places = segment.texts::<C>(0..text);
            if read_at(from, &mut places, index * span).map_err(AgeError::Io)? != text as u64 {
                return Err(AgeError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            let content = is_read.then(|| {
                let places = segment.texts::<C>(0..text);
                let slices: Vec<&[u8]> = places.iter().map(|place| &**place).collect();
                Piece::of_slices(index * span, &slices)
            });
            let sealed = sealing.seal(index, index + 1 == count, segment);
            write_at(to, &mut [IoSlice::new(segment)], sealed.offset).map_err(AgeError::Io)?;
            Ok((sealed, content))
        },
        |(sealed, read), segment| {
            if let (Some(content), Some((piece, [before, after]))) = (&mut content, read) {
                content.append(&piece, [&before, &after]);
            }
            if sealing.is_hashed {
                hash.append(&sealed.piece, sealed.piece.edges(segment));
            }
            Ok(())
        },
    )
}

/// Opens all of one file into another, which must be empty, and gives the digest of the sealed file.
///
/// Until it returns, and the caller has compared the digest with the one committed to, what is in `to` may be anybody's:
/// it must not be seen under a name before. Nothing is synced.
pub fn open_file(
    from: &File,
    to: &File,
    key: &FileKey,
    commitment: &KeyCommitment,
    team: Team,
) -> Result<Blake3Digest, AgeError> {
    let len = from.metadata().map_err(AgeError::Io)?.len();
    let locked = Locked::read(BufReader::new(from))?;
    if locked.key_commitment(key) != *commitment {
        return Err(AgeError::Mac);
    }
    let start = locked.chunk_offset(0);
    let cipher = locked.payload_key(key)?;
    let mut hash = TreeHash::default();
    let mut head = vec![0; start as usize];
    read_all(from, &mut head, 0)?;
    hash.update(&head);

    let opening = OpenFile { cipher: &cipher, start, len, chunks: team.chunks(), is_hashed: true };
    open_payload(&opening, from, to, &mut hash, team)?;
    Ok(hash.digest())
}

fn open_payload<C: Cipher>(
    opening: &OpenFile<'_, C>,
    from: &File,
    to: &File,
    hash: &mut TreeHash,
    team: Team,
) -> Result<(), AgeError> {
    let mut segments = 0..opening.segments();
    run(
        team,
        |_| Ok::<_, AgeError>(segments.next()),
        |index, segment| {
            let range = opening.range(index);
            segment.place(range.start, (range.end - range.start) as usize);
            read_all(from, segment, range.start)?;
            let opened = opening.open(index, segment);
            if let Some(chunk) = opened.bad {
                return Err(PayloadError::Chunk(chunk).into());
            }
            if segment.is_empty() {
                return Err(PayloadError::Truncated.into());
            }
            let mut texts = segment.opened_texts::<C>();
            if texts.last().is_some_and(|text| text.is_empty()) && (index > 0 || texts.len() > 1) {
                return Err(PayloadError::EmptyChunk.into());
            }
            write_at(to, &mut texts, opening.text_offset(index)).map_err(AgeError::Io)?;
            Ok(opened)
        },
        |opened, _| {
            if opening.is_hashed {
                let [before, after] = &opened.edges;
                hash.append(&opened.piece, [before, after]);
            }
            Ok(())
        },
    )
}

fn read_all(file: &File, out: &mut [u8], offset: u64) -> Result<(), AgeError> {
    let len = out.len() as u64;
    match read_at(file, &mut [IoSliceMut::new(out)], offset).map_err(AgeError::Io)? == len {
        true => Ok(()),
        false => Err(AgeError::Io(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// The engine without one part of its work, for measurements: everything else is the same code.
#[doc(hidden)]
pub mod measure {
    use super::{AgeError, Cipher, File, NONCE, OpenFile, PayloadKey, SealFile, Team, TreeHash};
    use crate::keys::FileKey;

    /// What is done between reading and writing.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Work {
        /// Nothing.
        Copy,
        /// The digest of what is sealed.
        Hash,
        /// The cipher.
        Cipher,
        /// Both.
        Both,
        /// Both, and the digest of what is read, when sealing.
        BothSides,
    }

    /// Seals under a key that anybody knows, with room for a header of this length before it.
    pub fn seal(from: &File, to: &File, work: Work, team: Team, start: u64) -> Result<(), AgeError> {
        let (chunks, is_hashed, mut hash) = (team.chunks(), work.hashes(), work.header(start));
        match work.key() {
            Some(cipher) => {
                let sealing = SealFile { cipher: &cipher, start, chunks, is_hashed };
                let mut content = TreeHash::default();
                let content = (work == Work::BothSides).then_some(&mut content);
                super::seal_payload(&sealing, from, to, &mut hash, content, team)
            }
            None => {
                let sealing = SealFile { cipher: &Nothing, start, chunks, is_hashed };
                super::seal_payload(&sealing, from, to, &mut hash, None, team)
            }
        }
    }

    /// Opens what [`seal`] made.
    pub fn open(from: &File, to: &File, work: Work, team: Team, start: u64) -> Result<(), AgeError> {
        let (chunks, is_hashed, mut hash) = (team.chunks(), work.hashes(), work.header(start));
        let len = from.metadata().map_err(AgeError::Io)?.len();
        match work.key() {
            Some(cipher) => {
                let opening = OpenFile { cipher: &cipher, start, len, chunks, is_hashed };
                super::open_payload(&opening, from, to, &mut hash, team)
            }
            None => {
                let opening = OpenFile { cipher: &Nothing, start, len, chunks, is_hashed };
                super::open_payload(&opening, from, to, &mut hash, team)
            }
        }
    }

    impl Work {
        fn hashes(self) -> bool {
            matches!(self, Self::Hash | Self::Both | Self::BothSides)
        }

        fn key(self) -> Option<PayloadKey> {
            let key = || FileKey::from_bytes(&[7; 16]).ok().map(|key| PayloadKey::new(&key, &[7; NONCE]));
            matches!(self, Self::Cipher | Self::Both | Self::BothSides).then(key).flatten()
        }

        fn header(self, len: u64) -> TreeHash {
            let mut hash = TreeHash::default();
            if self.hashes() {
                hash.update(&vec![0; len as usize]);
            }
            hash
        }
    }

    struct Nothing;

    impl Cipher for Nothing {
        const HEAD: usize = 0;
        const TAIL: usize = PayloadKey::TAIL;

        fn seal(&self, _: u64, _: crate::engine::Position, _: &mut [u8]) {}

        fn open(&self, _: u64, _: crate::engine::Position, _: &mut [u8]) -> bool {
            true
        }
    }
}
