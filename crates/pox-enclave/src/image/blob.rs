use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::{Digest, Error, Invalid, Mismatch};

/// Where the bytes of an image come from: the untrusted host.
///
/// An implementation checks nothing. It may deliver wrong, short or endless streams; the caller notices.
pub trait Blobs {
    /// Opens the blob with this digest, which the caller will read up to `max` bytes of.
    ///
    /// # Errors
    /// Whatever the channel reports: the blob is then unavailable.
    fn open(&mut self, digest: &Digest, max: u64) -> io::Result<Box<dyn Read + '_>>;
}

/// Reads a whole small blob into memory, and returns it only if its digest is right.
pub(super) fn read(
    blobs: &mut dyn Blobs,
    digest: &Digest,
    declared: Option<u64>,
    what: &'static str,
    limit: u64,
    endless: u64,
) -> Result<Vec<u8>, Error> {
    let mut blob = Checked::open(blobs, digest, limit, endless)?;
    let mut bytes = Vec::new();
    // An error is kept in the reader, and reported by `finish`.
    let _ = blob.read_to_end(&mut bytes);
    let actual = blob.finish()?;
    if let Some(declared) = declared.filter(|declared| *declared != actual) {
        return Err(Invalid::BlobSize { digest: *digest, declared, actual }.into());
    }
    if actual > limit {
        return Err(Invalid::TooBig { what, limit }.into());
    }
    Ok(bytes)
}

/// A blob being read: hashes what passes, and shows its consumer no more than `visible` bytes.
pub(super) struct Checked<'a> {
    inner: Box<dyn Read + 'a>,
    digest: Digest,
    hasher: Sha256,
    seen: u64,
    visible: u64,
    endless: u64,
    failure: Option<io::Error>,
}

impl<'a> Checked<'a> {
    pub(super) fn open(
        blobs: &'a mut dyn Blobs,
        digest: &Digest,
        visible: u64,
        endless: u64,
    ) -> Result<Self, Error> {
        let inner =
            blobs.open(digest, endless).map_err(|source| Error::Unavailable { digest: *digest, source })?;
        Ok(Self { inner, digest: *digest, hasher: Sha256::new(), seen: 0, visible, endless, failure: None })
    }

    /// Reads what the consumer left, and judges the whole blob. Returns its size.
    ///
    /// A blob may be longer than the manifest says and still have the right digest: then the manifest lies, not the
    /// host. So the rest is hashed too, up to `endless`.
    pub(super) fn finish(mut self) -> Result<u64, Error> {
        let mut scratch = vec![0; SCRATCH];
        while self.failure.is_none() && self.seen <= self.endless {
            if self.advance(&mut scratch).is_ok_and(|n| n == 0) {
                break;
            }
        }
        let digest = self.digest;
        if let Some(source) = self.failure {
            return Err(Error::Unavailable { digest, source });
        }
        if self.seen > self.endless {
            return Err(Error::Mismatch { digest, why: Mismatch::Endless { limit: self.endless } });
        }
        let actual = Digest::from_bytes(self.hasher.finalize().into());
        if actual != digest {
            return Err(Error::Mismatch { digest, why: Mismatch::Digest { actual } });
        }
        Ok(self.seen)
    }

    fn advance(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buf) {
                Ok(n) => {
                    self.hasher.update(&buf[..n]);
                    self.seen += n as u64;
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let copy = io::Error::new(error.kind(), error.to_string());
                    self.failure = Some(error);
                    return Err(copy);
                }
            }
        }
    }
}

impl Read for Checked<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let left = self.visible.saturating_sub(self.seen);
        let len = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if len == 0 {
            return Ok(0);
        }
        self.advance(&mut buf[..len])
    }
}

/// Large enough that hashing, not reading, sets the pace.
const SCRATCH: usize = 64 << 10;
