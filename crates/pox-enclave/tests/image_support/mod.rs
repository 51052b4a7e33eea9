//! Builds images, honest and hostile, and looks at what became of them.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pox_enclave::image::{
    Blobs, Compression, Digest, Error, Invalid, Limits, Unpacked, native_architecture, unpack,
};
use serde_json::{Value, json};

/// Writes tar archives, also ones that no honest tool writes.
#[derive(Default, Clone)]
pub struct Tar(pub Vec<u8>);

impl Tar {
    pub fn raw(mut self, typeflag: u8, name: &str, link: &str, mode: u32, content: &[u8]) -> Self {
        if name.len() > 100 || link.len() > 100 {
            let pax = [record("path", name), record("linkpath", link)].concat();
            self = self.raw(b'x', "pax", "", 0o644, &pax);
        }
        self.0.extend(header(typeflag, name.as_bytes(), link.as_bytes(), mode, content.len() as u64));
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, name: &str, content: &str) -> Self {
        self.raw(b'0', name, "", 0o644, content.as_bytes())
    }

    pub fn dir(self, name: &str) -> Self {
        self.raw(b'5', name, "", 0o755, b"")
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(b'2', name, target, 0o777, b"")
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.raw(b'1', name, target, 0o644, b"")
    }

    pub fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

pub fn header(typeflag: u8, name: &[u8], link: &[u8], mode: u32, size: u64) -> [u8; 512] {
    let mut block = [0; 512];
    let name = &name[..name.len().min(100)];
    let link = &link[..link.len().min(100)];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
    block[124..136].copy_from_slice(&[[0x80, 0, 0, 0].as_slice(), &size.to_be_bytes()].concat());
    block[136..147].copy_from_slice(b"00000001000");
    block[156] = typeflag;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

pub fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length += 1;
    }
    format!("{length}{rest}").into_bytes()
}

/// A storage in memory that can be made to lie.
#[derive(Default, Clone)]
pub struct Memory {
    pub blobs: HashMap<Digest, Vec<u8>>,
    pub fail_after: Option<(Digest, usize)>,
}

impl Blobs for Memory {
    fn open(&mut self, digest: &Digest, _max: u64) -> io::Result<Box<dyn Read + '_>> {
        let bytes = self.blobs.get(digest).ok_or(io::ErrorKind::NotFound)?;
        match self.fail_after {
            Some((failing, at)) if failing == *digest => Ok(Box::new(bytes[..at].chain(Broken))),
            _ => Ok(Box::new(bytes.as_slice())),
        }
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

/// An image under construction; the documents can be changed before it is finished.
pub struct Image {
    pub memory: Memory,
    pub config: Value,
    pub manifest: Value,
}

impl Image {
    /// Uncompressed layers, lowest first.
    pub fn new(layers: &[Vec<u8>]) -> Self {
        let stored: Vec<_> = layers.iter().map(|tar| (tar.clone(), Compression::None, tar.clone())).collect();
        Self::stored(&stored)
    }

    /// Layers as (uncompressed archive, compression, stored bytes).
    pub fn stored(layers: &[(Vec<u8>, Compression, Vec<u8>)]) -> Self {
        let mut memory = Memory::default();
        let mut descriptors = vec![];
        for (_, compression, bytes) in layers {
            let suffix = match compression {
                Compression::None => "",
                Compression::Gzip => "+gzip",
                Compression::Zstd => "+zstd",
            };
            descriptors.push(json!({
                "mediaType": format!("application/vnd.oci.image.layer.v1.tar{suffix}"),
                "digest": Digest::of(bytes).to_string(),
                "size": bytes.len(),
            }));
            memory.blobs.insert(Digest::of(bytes), bytes.clone());
        }
        let diff_ids: Vec<_> = layers.iter().map(|(tar, ..)| Digest::of(tar).to_string()).collect();
        let config = json!({
            "os": "linux", "architecture": native_architecture(),
            "config": {"Entrypoint": ["/task"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "layers": descriptors,
        });
        Self { memory, config, manifest }
    }

    pub fn finish(&self) -> (Memory, Digest) {
        let mut memory = self.memory.clone();
        let config = self.config.to_string().into_bytes();
        let mut manifest = self.manifest.clone();
        if manifest.get("config").is_none() {
            manifest["config"] = json!({
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": Digest::of(&config).to_string(), "size": config.len(),
            });
        }
        let manifest = manifest.to_string().into_bytes();
        let digest = Digest::of(&manifest);
        memory.blobs.insert(Digest::of(&config), config);
        memory.blobs.insert(digest, manifest);
        (memory, digest)
    }
}

/// A directory to unpack into, beside things that must not be touched.
pub struct Arena {
    pub dir: tempfile::TempDir,
    before: BTreeMap<PathBuf, String>,
}

impl Arena {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::create_dir_all(outside.join("deep")).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        fs::write(outside.join("deep/file"), "deep").unwrap();
        fs::write(dir.path().join("passwd"), "canary").unwrap();
        let before = snapshot(dir.path());
        Self { dir, before }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub fn unpack(&self, image: &Image) -> Result<Unpacked, Error> {
        self.unpack_with(image, &Limits::default())
    }

    pub fn unpack_with(&self, image: &Image, limits: &Limits) -> Result<Unpacked, Error> {
        let (mut memory, digest) = image.finish();
        self.unpack_blobs(&mut memory, &digest, limits)
    }

    pub fn unpack_blobs(
        &self,
        memory: &mut Memory,
        digest: &Digest,
        limits: &Limits,
    ) -> Result<Unpacked, Error> {
        let root = fs::File::open(self.root()).unwrap();
        let result = unpack(digest, memory, limits, root.as_fd());
        self.check_outside();
        if result.is_err() {
            assert_eq!(fs::read_dir(self.root()).unwrap().count(), 0, "a failure leaves nothing");
        }
        result
    }

    pub fn check_outside(&self) {
        let mut after = snapshot(self.dir.path());
        after.retain(|path, _| !path.starts_with(self.root()) || *path == self.root());
        let mut before = self.before.clone();
        // Its own mode is the unpacker's business.
        after.remove(&self.root());
        before.remove(&self.root());
        assert_eq!(after, before, "something outside the root changed");
    }

    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    pub fn mode(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.root().join(path)).unwrap().permissions().mode() & 0o7777
    }

    pub fn exists(&self, path: &str) -> bool {
        self.root().join(path).symlink_metadata().is_ok()
    }
}

/// Every path below, with its kind, mode, link count and content.
pub fn snapshot(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let mut text = format!("{:o} ", meta.mode());
        if meta.is_symlink() {
            text += &format!("{:?}", fs::read_link(&path).unwrap());
        } else if meta.is_file() {
            text += &format!("{} {:?}", meta.nlink(), fs::read(&path).unwrap());
        } else if meta.is_dir() {
            all.extend(snapshot(&path));
        }
        all.insert(path, text);
    }
    all
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

pub fn invalid(result: Result<Unpacked, Error>) -> Invalid {
    match result {
        Err(Error::Invalid(invalid)) => invalid,
        other => panic!("expected the image to be invalid, got {other:?}"),
    }
}
