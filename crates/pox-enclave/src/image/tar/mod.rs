//! A strict, bounded reader of tar streams: ustar, pax and GNU long names; no sparse files.
//!
//! It holds one header and its extensions in memory, never a file's content.

mod header;
mod pax;

use std::io::{self, Read};

use super::{EntryFault, Invalid, Limits};
use header::{BLOCK, Header};

/// One entry, with all extensions applied. Paths are raw bytes, as the archive has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// Permission bits; anything above 0o7777 is dropped.
    pub(super) mode: u32,
    /// Seconds since 1970; earlier is 0.
    pub(super) mtime: u64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File { size: u64 },
    Directory,
    Symlink { target: Vec<u8> },
    HardLink { target: Vec<u8> },
    Device,
    Fifo,
}

/// Reads entries in order.
pub(super) struct Archive<R> {
    reader: R,
    /// Bytes of the current file that weren't read yet.
    content: u64,
    /// Zero bytes that follow the content.
    padding: u64,
    ended: bool,
}

impl<R: Read> Archive<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, content: 0, padding: 0, ended: false }
    }

    /// Returns the stream, with whatever follows the end of the archive.
    pub(super) fn into_inner(self) -> R {
        self.reader
    }

    /// Moves to the next entry, skipping what is left of the current one.
    pub(super) fn next_entry(&mut self, limits: &Limits) -> Result<Option<Entry>, Invalid> {
        let mut extensions = Extensions::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                return if extensions == Extensions::default() {
                    Ok(None)
                } else {
                    Err(Invalid::Archive("ends after an extension header"))
                };
            };
            match header.typeflag() {
                b'x' => pax::parse(&self.extension(&header, limits)?, &mut extensions)?,
                b'g' => pax::check_global(&self.extension(&header, limits)?)?,
                b'L' => set_once(&mut extensions.long_name, trim_nul(self.extension(&header, limits)?))?,
                b'K' => set_once(&mut extensions.long_link, trim_nul(self.extension(&header, limits)?))?,
                _ => return self.entry(&header, extensions).map(Some),
            }
        }
    }

    fn entry(&mut self, header: &Header, extensions: Extensions) -> Result<Entry, Invalid> {
        let path = extensions.path.or(extensions.long_name).unwrap_or_else(|| header.path());
        let link = extensions.link.or(extensions.long_link).unwrap_or_else(|| header.link());
        let size = match extensions.size {
            Some(size) => size,
            None => header.size()?,
        };
        let kind = match header.typeflag() {
            // Before ustar, a directory was a file with a slash at its end.
            0 if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' => Kind::File { size },
            b'1' => Kind::HardLink { target: link },
            b'2' => Kind::Symlink { target: link },
            b'3' | b'4' => Kind::Device,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            _ => return Err(Invalid::entry(&path, EntryFault::Kind)),
        };
        match kind {
            Kind::File { size } => self.expect(size),
            // Readers disagree on whether content follows, so one that hides content from us could show it to others.
            _ if size != 0 => return Err(Invalid::Archive("has an entry with content that isn't a file")),
            _ => {}
        }
        let mtime = extensions.mtime.unwrap_or_else(|| header.mtime());
        Ok(Entry { path, kind, mode: header.mode() & 0o7777, mtime })
    }

    fn extension(&mut self, header: &Header, limits: &Limits) -> Result<Vec<u8>, Invalid> {
        let size = header.size()?;
        if size > limits.extension_bytes {
            return Err(Invalid::TooBig {
                what: "size of a tar extension header",
                limit: limits.extension_bytes,
            });
        }
        self.expect(size);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(Invalid::from_read)?;
        Ok(bytes)
    }

    fn expect(&mut self, size: u64) {
        self.content = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn skip(&mut self) -> Result<(), Invalid> {
        io::copy(self, &mut io::sink()).map_err(Invalid::from_read)?;
        let padding = std::mem::take(&mut self.padding);
        let got =
            io::copy(&mut (&mut self.reader).take(padding), &mut io::sink()).map_err(Invalid::from_read)?;
        if got < padding { Err(TRUNCATED) } else { Ok(()) }
    }

    /// Reads a header block; nothing at the end, which is two zero blocks or the end of the stream.
    fn header(&mut self) -> Result<Option<Header>, Invalid> {
        if self.ended {
            return Ok(None);
        }
        if let Some(block) = self.block()? {
            if block != [0; BLOCK] {
                return Header::parse(block).map(Some);
            }
            if self.block()?.is_some_and(|second| second != [0; BLOCK]) {
                return Err(Invalid::Archive("goes on after a zero block"));
            }
        }
        self.ended = true;
        Ok(None)
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Invalid> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(TRUNCATED),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Invalid::from_read(error)),
            }
        }
        Ok(Some(block))
    }
}

/// Reads the current file's content; an early end of the archive is an error, not an end of the file.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(usize::try_from(self.content).unwrap_or(usize::MAX));
        if len == 0 {
            return Ok(0);
        }
        let n = self.reader.read(&mut buf[..len])?;
        if n == 0 {
            return Err(TRUNCATED.into_io());
        }
        self.content -= n as u64;
        Ok(n)
    }
}

/// What extension headers say about the entry that follows them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    mtime: Option<u64>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    /// A pax header was seen, even if it said nothing of use.
    pax: bool,
}

fn set_once(slot: &mut Option<Vec<u8>>, value: Vec<u8>) -> Result<(), Invalid> {
    if slot.replace(value).is_some() {
        return Err(Invalid::Archive("repeats an extension header"));
    }
    Ok(())
}

/// GNU tar ends long names with one NUL; any other stays, and is refused with the path.
fn trim_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

const TRUNCATED: Invalid = Invalid::Archive("is truncated");

#[cfg(test)]
mod tests;
