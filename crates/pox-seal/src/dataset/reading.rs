//! Reading the files of a segment: all of them are asked for before the first is waited for.
//!
//! A disk answers a hundred small requests that it knows of in about the time that it takes for one. A ring of requests
//! (io_uring) was no faster than this advice, neither from a cold disk nor from memory: `benches/README.md`.

use super::seal::SealError;
use super::tree::FoundFile;
use crate::engine::{Team, read_at};
use rustix::fs::{Advice, fadvise};
use rustix::process::{Resource, getrlimit};
use std::fs::File;
use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::ops::Range;

/// How many files one worker may hold open, so that all together take no more than half of what the process may.
pub(crate) fn most_open(team: Team) -> usize {
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / 2 / team.workers() as u64;
    most.clamp(1, MAX_OPEN) as usize
}

/// More at once gain nothing.
const MAX_OPEN: u64 = 256;

/// Some of a file that was asked for.
pub(crate) struct Asked<'a> {
    file: &'a FoundFile,
    source: File,
    pub(crate) content: Range<u64>,
}

impl<'a> Asked<'a> {
    /// Opens the file and asks for some of it.
    pub(crate) fn new(file: &'a FoundFile, content: Range<u64>) -> Result<Self, SealError> {
        let source = file.open()?;
        if let Some(len) = NonZeroU64::new(content.end - content.start) {
            // No more than advice: where it isn't taken, reading waits.
            let _ = fadvise(&source, content.start, Some(len), Advice::WillNeed);
        }
        Ok(Self { file, source, content })
    }

    /// Whether it is the whole file.
    pub(crate) fn is_whole(&self) -> bool {
        self.content == (0..self.file.stamp.size)
    }

    /// Reads it into its places, and makes sure that the file is the one that was found.
    pub(crate) fn read(self, places: &mut [IoSliceMut<'_>]) -> Result<(), SealError> {
        let path = || self.file.path.as_path().into();
        let got = read_at(&self.source, places, self.content.start)
            .map_err(|error| SealError::Io { path: path(), error })?;
        if got != self.content.end - self.content.start {
            return Err(SealError::Changed { path: path() });
        }
        self.file.check(&self.source)
    }
}
