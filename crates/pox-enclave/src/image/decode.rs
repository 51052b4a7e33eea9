use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use sha2::{Digest as _, Sha256};

use super::{Digest, Invalid};

/// How a layer's tar archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// One or more gzip members.
    Gzip,
    /// One or more Zstandard frames.
    Zstd,
}

/// Opens a compressed layer for reading. Nothing may follow its last member or frame.
pub(super) fn decoder<'a, R: Read + 'a>(
    compression: Compression,
    source: R,
    zstd_window: u64,
) -> Box<dyn Read + 'a> {
    let source = BufReader::with_capacity(BUFFER, source);
    match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(MultiGzDecoder::new(source)),
        Compression::Zstd => {
            let mut frame = FrameDecoder::new();
            frame.set_max_window_size(zstd_window);
            Box::new(Zstd { source, frame, within: false })
        }
    }
}

/// Hashes the uncompressed bytes of a layer, and stops a bomb.
pub(super) struct Budgeted<R> {
    inner: R,
    hasher: Sha256,
    seen: u64,
    budget: u64,
}

impl<R: Read> Budgeted<R> {
    /// Lets `budget` bytes pass.
    pub(super) fn new(inner: R, budget: u64) -> Self {
        Self { inner, hasher: Sha256::new(), seen: 0, budget }
    }

    /// Reads to the end, and returns the digest of everything and its length in bytes.
    pub(super) fn finish(mut self) -> Result<(Digest, u64), Invalid> {
        io::copy(&mut self, &mut io::sink()).map_err(Invalid::from_read)?;
        Ok((Digest::from_bytes(self.hasher.finalize().into()), self.seen))
    }
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.seen += n as u64;
        if self.seen > self.budget {
            return Err(Invalid::TooBig { what: "size of the unpacked layers", limit: self.budget }.into_io());
        }
        self.hasher.update(&buf[..n]);
        Ok(n)
    }
}

/// Decodes a sequence of Zstandard frames; the library's own reader stops after one.
struct Zstd<R> {
    source: R,
    frame: FrameDecoder,
    within: bool,
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if buf.is_empty() || (!self.within && !self.next_frame()?) {
                return Ok(0);
            }
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                self.frame
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(malformed)?;
            }
            match self.frame.read(buf)? {
                0 if self.frame.is_finished() => self.end_frame()?,
                n => return Ok(n),
            }
        }
    }
}

impl<R: BufRead> Zstd<R> {
    /// Moves to the next frame; false at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.frame.init(&mut self.source) {
                Ok(()) => {
                    self.within = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.source.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(malformed(error)),
            }
        }
        Ok(false)
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.within = false;
        match (self.frame.get_checksum_from_data(), self.frame.get_calculated_checksum()) {
            (Some(stated), Some(actual)) if stated != actual => Err(malformed("checksum differs")),
            _ => Ok(()),
        }
    }
}

fn malformed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// One read of the host's channel; larger reads gained nothing.
const BUFFER: usize = 64 << 10;
