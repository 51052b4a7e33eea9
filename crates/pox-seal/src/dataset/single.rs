//! Opening a single file that lies on this machine: on all cores, each reading and writing at its own offset.

use super::b3sums::ObjectName;
use super::extract::{at_end_of, finish_file};
use super::manifest::{Entry, Item, Kind, RootBuilder, Trailer};
use super::open::{Invalid, Limits, Modes, OpenError, Opened, Public, next_item};
use super::{ObjectKeys, Progress};
use crate::age::{PayloadKey, sealed_len};
use crate::engine::{OpenFile, Piece, Team, TreeHash, read_at, run, write_at};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, IoSliceMut};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens `data` into a file below `base`, as the one entry of a manifest of which the header is read says.
///
/// Gives an error of the owner's making only if the bytes are those that were committed to.
#[allow(clippy::too_many_arguments)] // what `open` was asked for
pub(crate) fn open(
    public: &Public,
    data: &File,
    keys: &ObjectKeys,
    manifest: &mut impl BufRead,
    base: &Path,
    modes: Modes,
    limits: Limits,
    progress: Progress<'_>,
) -> Result<Opened, OpenError> {
    let mut hash = TreeHash::default();
    let outcome = extract(public, data, keys, manifest, base, modes, limits, progress, &mut hash);
    if let Err(OpenError::Io(_) | OpenError::Source { .. }) = outcome {
        return outcome;
    }
    // Bytes that aren't the committed ones are the storage's doing, whatever else they led to.
    hash_rest(data, &mut hash).map_err(source)?;
    if hash.digest() != public.digest(&ObjectName::data()) {
        return Err(OpenError::Mismatch { object: ObjectName::data() });
    }
    outcome
}

#[allow(clippy::too_many_arguments)]
fn extract(
    public: &Public,
    data: &File,
    keys: &ObjectKeys,
    manifest: &mut impl BufRead,
    base: &Path,
    modes: Modes,
    limits: Limits,
    progress: Progress<'_>,
    hash: &mut TreeHash,
) -> Result<Opened, OpenError> {
    let wrong = || OpenError::Invalid { object: ObjectName::manifest(), reason: Invalid::Content };
    let (item, bytes) = next_item(manifest)?;
    let Item::Entry(Entry::File { path, meta, size, offset: 0, digest, .. }) = item else {
        return Err(wrong());
    };
    let mut root = RootBuilder::default();
    root.push(&bytes);
    let root = root.finish();
    if next_item(manifest)?.0 != Item::Trailer(Trailer { entries: 1, bytes: size, root })
        || !at_end_of(manifest)?
        || path.depth() != 1
    {
        return Err(wrong());
    }
    if size > limits.bytes || limits.entries == 0 {
        return Err(OpenError::Invalid { object: ObjectName::manifest(), reason: Invalid::TooLarge });
    }

    let invalid = |reason| OpenError::Invalid { object: ObjectName::data(), reason };
    let len = data.metadata().map_err(source)?.len();
    let (cipher, start) = public.unlock_payload(&ObjectName::data(), BufReader::new(data), keys)?;
    if start.checked_add(sealed_len(size)) != Some(len) {
        return Err(invalid(Invalid::File));
    }
    let mut head = vec![0; start as usize];
    fill(data, &mut head, 0)?;
    hash.update(&head);

    let target = base.join(path.as_path());
    let to = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&target);
    let to = to.map_err(OpenError::Io)?;
    let team = Team::of_machine();
    let opening = OpenFile { cipher: &cipher, start, len, chunks: team.chunks(), is_hashed: true };
    let (count, mut next) = (opening.segments(), 0);
    let (mut content, mut is_authentic) = (TreeHash::default(), true);
    run(
        team,
        || {
            let index = next;
            next += 1;
            Ok((index < count).then_some(index))
        },
        |index, segment| {
            let range = opening.range(index);
            segment.place(range.start, (range.end - range.start) as usize);
            fill(data, segment, range.start)?;
            let opened = opening.open(index, segment);
            if opened.bad.is_some() {
                return Ok((opened, Piece::default(), Default::default()));
            }
            let mut texts = segment.opened_texts::<PayloadKey>();
            let slices: Vec<&[u8]> = texts.iter().map(|text| &**text).collect();
            let (piece, edges) = Piece::of_slices(opening.text_offset(index), &slices);
            write_at(&to, &mut texts, opening.text_offset(index)).map_err(OpenError::Io)?;
            Ok((opened, piece, edges))
        },
        |(opened, piece, [before, after]), _| {
            let [sealed_before, sealed_after] = &opened.edges;
            hash.append(&opened.piece, [sealed_before, sealed_after]);
            is_authentic &= opened.bad.is_none();
            if is_authentic {
                content.append(&piece, [&before, &after]);
                progress(content.len());
            }
            Ok::<_, OpenError>(())
        },
    )?;
    if !is_authentic {
        return Err(invalid(Invalid::Age));
    }
    if content.len() != size || content.digest() != digest {
        return Err(invalid(Invalid::File));
    }
    finish_file(&to, &meta, modes)?;
    Ok(Opened { kind: Kind::File, entries: 1, bytes: size, root: Some(root) })
}

/// Hashes what an extraction that broke off left.
pub(super) fn hash_rest(data: &File, hash: &mut TreeHash) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = read_at(data, &mut [IoSliceMut::new(&mut buffer)], hash.len())?;
        if count == 0 {
            return Ok(());
        }
        hash.update(&buffer[..count as usize]);
    }
}

fn fill(file: &File, out: &mut [u8], offset: u64) -> Result<(), OpenError> {
    let len = out.len() as u64;
    match read_at(file, &mut [IoSliceMut::new(out)], offset).map_err(source)? == len {
        true => Ok(()),
        false => Err(source(io::ErrorKind::UnexpectedEof.into())),
    }
}

fn source(error: io::Error) -> OpenError {
    OpenError::Source { object: ObjectName::data(), error }
}
