//! Digests of what streams by.

use ring::digest::{Context, SHA256};
use std::fmt;
use std::io::{self, Read, Write};

/// Below this many bytes one core hashes faster than several (the library's own advice).
const PARALLEL_FROM: usize = 128 * 1024;

/// A BLAKE3 digest: the 32 bytes that `b3sum` prints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blake3Digest(pub(crate) [u8; 32]);

impl Blake3Digest {
    /// Hashes bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Blake3Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Blake3Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Blake3Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blake3Digest({self})")
    }
}

/// Hashes with all cores once there is enough to share.
pub(crate) fn update(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    if bytes.len() >= PARALLEL_FROM {
        hasher.update_rayon(bytes);
    } else {
        hasher.update(bytes);
    }
}

/// SHA-256 beside BLAKE3, if it is wanted: it goes through one core.
#[derive(Clone)]
pub(crate) struct Beside(Option<Context>);

impl Beside {
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self(is_wanted.then(|| Context::new(&SHA256)))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if let Some(context) = &mut self.0 {
            context.update(bytes);
        }
    }

    pub(crate) fn finish(self) -> Option<[u8; 32]> {
        self.0.map(|context| {
            let mut digest = [0; 32];
            digest.copy_from_slice(context.finish().as_ref());
            digest
        })
    }
}

/// Passes bytes on and hashes them.
pub(crate) struct HashWriter<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W: Write> HashWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: blake3::Hasher::new() }
    }

    pub(crate) fn finish(self) -> (W, Blake3Digest) {
        (self.inner, Blake3Digest(*self.hasher.finalize().as_bytes()))
    }
}

impl<W: Write> Write for HashWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        update(&mut self.hasher, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Hashes and counts the bytes read, and refuses to read more than a limit.
pub(crate) struct HashReader<R> {
    inner: R,
    hasher: blake3::Hasher,
    read: u64,
    limit: u64,
}

impl<R: Read> HashReader<R> {
    pub(crate) fn new(inner: R, limit: u64) -> Self {
        Self { inner, hasher: blake3::Hasher::new(), read: 0, limit }
    }

    /// The digest of everything read so far.
    pub(crate) fn digest(&self) -> Blake3Digest {
        Blake3Digest(*self.hasher.finalize().as_bytes())
    }

    /// What is read from.
    pub(crate) fn inner_mut(&mut self) -> &mut R {
        &mut self.inner
    }
}

impl<R: Read> Read for HashReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read > self.limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the object is longer than allowed"));
        }
        let count = self.inner.read(out)?;
        update(&mut self.hasher, &out[..count]);
        self.read += count as u64;
        Ok(count)
    }
}
