//! An image is unpacked while it comes in: neither a blob nor a file of it is ever held.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod image_support;

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use flate2::Compression as Level;
use flate2::read::GzEncoder;
use image_support::*;
use pox_enclave::image::{Blobs, Compression, Digest, Error, Limits, Mismatch, Unpacked, unpack};
use tempfile::TempDir;

/// Content of the one file.
const FILE: u64 = 64 << 20;
/// What all may take beside: buffers and the state of hashing and decompressing.
const BESIDE: u64 = 4 << 20;

/// Bytes that come from nowhere, so that the peak is not the test's own; hardly any can be compressed away.
struct Noise(u64);

impl Read for Noise {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        for piece in into.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            piece.copy_from_slice(&self.0.to_le_bytes()[..piece.len()]);
        }
        Ok(into.len())
    }
}

fn content() -> impl Read {
    Noise(88_172_645_463_325_252).take(FILE)
}

fn unpack_into(root: &Path, blobs: &mut Streamed, manifest: &Digest) -> Result<Unpacked, Error> {
    unpack(manifest, blobs, &Limits::default(), fs::File::open(root).unwrap().as_fd())
}

/// A layer with the one file.
fn layer() -> impl Read {
    let head = io::Cursor::new(header(b'0', b"data", b"", 0o644, FILE).to_vec());
    head.chain(content()).chain(io::repeat(0).take(1024))
}

fn blob(compression: Compression) -> Box<dyn Read> {
    match compression {
        Compression::Gzip => Box::new(GzEncoder::new(layer(), Level::none())),
        _ => Box::new(layer()),
    }
}

/// The layer comes from nowhere, with another last byte if it is to lie; all else is in memory.
struct Streamed {
    memory: Memory,
    layer: Digest,
    compression: Compression,
    len: u64,
    lies: bool,
}

impl Blobs for Streamed {
    fn open(&mut self, digest: &Digest, max: u64) -> io::Result<Box<dyn Read + '_>> {
        match *digest == self.layer {
            true if self.lies => Ok(Box::new(blob(self.compression).take(self.len - 1).chain(&b"!"[..]))),
            true => Ok(blob(self.compression)),
            false => self.memory.open(digest, max),
        }
    }
}

fn digest(mut bytes: impl Read) -> (Digest, u64) {
    use sha2::{Digest as _, Sha256};
    let mut hasher = Sha256::new();
    let len = io::copy(&mut bytes, &mut hasher).unwrap();
    (Digest::from_bytes(hasher.finalize().into()), len)
}

/// Kilobytes that the kernel counts for this process under a name.
fn kilobytes(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

#[test]
fn memory_does_not_grow_with_an_image() {
    for compression in [Compression::None, Compression::Gzip] {
        let ((layer_digest, len), (diff_id, _)) = (digest(blob(compression)), digest(layer()));
        let mut image = Image::stored(&[(Vec::new(), compression, Vec::new())]);
        image.manifest["layers"][0]["digest"] = layer_digest.to_string().into();
        image.manifest["layers"][0]["size"] = len.into();
        image.config["rootfs"]["diff_ids"][0] = diff_id.to_string().into();
        let (memory, manifest) = image.finish();
        let mut streamed = Streamed { memory, layer: layer_digest, compression, len, lies: false };
        // From here on, the peak is what comes.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = kilobytes("VmRSS:");
        let root = TempDir::new().unwrap();
        unpack_into(root.path(), &mut streamed, &manifest).unwrap();
        let peak = kilobytes("VmHWM:").saturating_sub(before) << 10;
        assert!(peak < BESIDE, "{compression:?}: {peak}");
        let written = digest(fs::File::open(root.path().join("data")).unwrap());
        assert_eq!(written, digest(content()));

        // What was written before its last byte showed it to be another leaves nothing.
        streamed.lies = true;
        let root = TempDir::new().unwrap();
        let refused = unpack_into(root.path(), &mut streamed, &manifest);
        assert!(matches!(refused, Err(Error::Mismatch { why: Mismatch::Digest { .. }, .. })), "{refused:?}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
