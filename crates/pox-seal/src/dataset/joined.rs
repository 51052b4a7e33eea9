//! Files that are fetched together, because they lie near each other.

use super::base::finish_file;
use super::contents::{Data, invalid};
use super::manifest::Entry;
use super::open::{Invalid, Modes, OpenError};
use super::{ObjectName, ObjectSource, Progress};
use crate::hashing::Blake3Digest;
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Files in the order of their places, with little between them.
#[derive(Default)]
pub(super) struct Joined {
    files: Vec<Entry>,
    /// Where the first one's content begins, and the last one's ends.
    place: std::ops::Range<u64>,
}

impl Joined {
    pub(super) fn of(file: Entry) -> Self {
        let place = place_of(&file);
        Self { files: vec![file], place }
    }

    /// Takes a file, unless it is too far away, lies before the last one, or is one too many.
    pub(super) fn join(&mut self, file: Entry) -> Result<(), Entry> {
        let place = place_of(&file);
        if self.files.is_empty() {
            *self = Self::of(file);
            return Ok(());
        }
        let is_near = (self.place.end..=self.place.end.saturating_add(MAX_GAP)).contains(&place.start);
        if !is_near || self.files.len() == MAX_FILES {
            return Err(file);
        }
        self.place.end = place.end;
        self.files.push(file);
        Ok(())
    }

    pub(super) fn len(&self) -> u64 {
        self.files.len() as u64
    }

    /// Fetches all with one request, and writes each below a folder; gives their bytes. `before` were written already.
    pub(super) fn write(
        self,
        data: &Data,
        source: &mut dyn ObjectSource,
        folder: &Path,
        before: u64,
        progress: Progress<'_>,
    ) -> Result<u64, OpenError> {
        let mut span = match self.place.is_empty() {
            true => None,
            false => Some(data.span(source, self.place)?),
        };
        let mut bytes = 0;
        for file in &self.files {
            let Entry::File { path, meta, size, digest, .. } = file else { continue };
            let target = folder.join(path.as_path());
            let parent = target.parent().unwrap_or(folder);
            DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(OpenError::Io)?;
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target);
            let mut out = made.map_err(OpenError::Io)?;
            let mut hasher = blake3::Hasher::new();
            if let Some(span) = &mut span {
                let mut seen = |bytes: &[u8]| crate::hashing::update(&mut hasher, bytes);
                let mut so_far = |done| progress(before + bytes + done);
                span.copy(place_of(file), &mut out, &mut seen, &mut so_far)?;
            }
            if Blake3Digest::from(*hasher.finalize().as_bytes()) != *digest {
                return Err(invalid(ObjectName::data(), Invalid::File));
            }
            finish_file(&out, meta, Modes::AsSealed)?;
            out.sync_all().map_err(OpenError::Io)?;
            bytes += size;
        }
        Ok(bytes)
    }
}

/// Where a file's content lies; the manifest's check has shown that its end is no overflow.
fn place_of(file: &Entry) -> std::ops::Range<u64> {
    match file {
        Entry::File { size, offset, .. } => *offset..offset.saturating_add(*size),
        _ => 0..0,
    }
}

/// What is fetched for nothing rather than asking again: a request takes a server, and a network of 100 Mbit/s, about as long.
const MAX_GAP: u64 = 256 << 10;
/// Files of one request; their entries are held in memory.
const MAX_FILES: usize = 4096;
