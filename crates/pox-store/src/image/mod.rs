//! Container images, wherever they are: registries, OCI layouts and archives, `docker save` archives.
//!
//! An [`Image`] is named by the digest of its manifest for one platform. Blobs are checked against their digests on
//! the way, so a storage can withhold bytes, but not alter them. Nothing is unpacked here: only the enclave does that.

mod archive;
mod auth;
mod copy;
mod docker;
mod document;
mod layout;
mod pack;
mod registry;
mod source;

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

pub use copy::copy;
pub use document::{Architecture, Descriptor};
pub use pack::{LayerCompression, Pack};
pub use pox_core::oci::{Digest, DigestError};
pub use source::{ImageSource, Reference};

use crate::{Error, Expected, Result, VerifiedRead};
use archive::Section;
use document::{Document, Manifest};

/// Why an image, or a reference to one, is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The text isn't an image reference.
    #[error("not an image reference: {0}")]
    Reference(String),
    /// A document of the image is malformed.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// Which document.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// No image has that tag, or there is none at all.
    #[error("there is no image {0}")]
    NoTag(String),
    /// Several images fit, and the reference names none of them.
    #[error("there are several images; name one of: {}", .0.join(", "))]
    Ambiguous(Vec<String>),
    /// The image isn't made for the platform.
    #[error("image has no variant for linux/{0}")]
    NoPlatform(Architecture),
    /// The image isn't the one expected.
    #[error("image has digest {actual}, not {expected}")]
    OtherImage {
        /// The digest asked for.
        expected: Digest,
        /// The digest found.
        actual: Digest,
    },
    /// The blob is no part of the image.
    #[error("{0} is no part of this image")]
    NotAPart(Digest),
    /// A file that goes into an image can't.
    #[error("can't pack {path}: {why}")]
    Pack {
        /// The file.
        path: String,
        /// Why not.
        why: String,
    },
}

/// One image for one platform.
pub struct Image {
    digest: Digest,
    manifest_bytes: Vec<u8>,
    manifest: Manifest,
    blobs: Arc<dyn BlobSource>,
}

/// Where an image's blobs are. Implementations check nothing.
pub(crate) trait BlobSource: Send + Sync {
    /// Returns a manifest or index, of at most [`MAX_DOCUMENT`] bytes.
    fn document(&self, digest: &Digest) -> Result<Vec<u8>>;
    /// Opens a config or layer.
    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>>;
}

impl Image {
    /// Returns the digest of the manifest, which names the image.
    pub fn manifest_digest(&self) -> Digest {
        self.digest
    }

    /// Returns the manifest as it is hashed.
    pub fn manifest(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// Returns the media type of the manifest.
    pub fn media_type(&self) -> &str {
        self.manifest.media_type()
    }

    /// Returns the config and the layers, in this order.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.manifest.config).chain(&self.manifest.layers)
    }

    /// Opens the manifest, the config or a layer. The last read fails if size or digest are wrong.
    ///
    /// # Errors
    /// [`ImageError::NotAPart`] for any other digest, or what the storage does.
    pub fn blob(&self, digest: &Digest) -> Result<Box<dyn Read + Send>> {
        if *digest == self.digest {
            return Ok(Box::new(std::io::Cursor::new(self.manifest_bytes.clone())));
        }
        let blob = self.blobs().find(|blob| blob.digest == *digest).ok_or(ImageError::NotAPart(*digest))?;
        let expected = Expected { size: blob.size, sha256: Some(*digest.as_bytes()), blake3: None };
        Ok(Box::new(VerifiedRead::new(self.blobs.open(blob)?, expected)))
    }

    /// Opens the image with exactly this manifest digest.
    pub(crate) fn exact(blobs: Arc<dyn BlobSource>, digest: &Digest) -> Result<Self> {
        match load(blobs.as_ref(), digest)? {
            (manifest_bytes, Document::Manifest(manifest)) => {
                Ok(Self { digest: *digest, manifest_bytes, manifest, blobs })
            }
            (_, Document::Index(_)) => Err(malformed("manifest", "it is an index of several platforms")),
        }
    }

    /// Opens the image for a platform, from the digest of a manifest or of an index.
    pub(crate) fn for_platform(
        blobs: Arc<dyn BlobSource>,
        digest: &Digest,
        platform: Architecture,
    ) -> Result<Self> {
        match load(blobs.as_ref(), digest)? {
            (manifest_bytes, Document::Manifest(manifest)) => {
                Ok(Self { digest: *digest, manifest_bytes, manifest, blobs })
            }
            (_, Document::Index(index)) => Self::exact(blobs, &index.select(platform)?.digest),
        }
    }
}

fn load(blobs: &dyn BlobSource, digest: &Digest) -> Result<(Vec<u8>, Document)> {
    let bytes = blobs.document(digest)?;
    if Digest::of(&bytes) != *digest {
        return Err(Error::Corrupt("its digest is another"));
    }
    let document = Document::parse(&bytes)?;
    Ok((bytes, document))
}

/// Blobs that this process has made or found in one file.
#[derive(Default)]
pub(crate) struct Parts {
    documents: Vec<(Digest, Vec<u8>)>,
    files: Vec<(Digest, Arc<File>, u64, u64)>,
}

impl Parts {
    /// Adds a small blob, and returns its digest.
    pub(crate) fn document(&mut self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.documents.push((digest, bytes));
        digest
    }

    pub(crate) fn file(&mut self, digest: Digest, file: Arc<File>, offset: u64, size: u64) {
        self.files.push((digest, file, offset, size));
    }
}

impl BlobSource for Parts {
    fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let found = self.documents.iter().find(|(known, _)| known == digest);
        found.map(|(_, bytes)| bytes.clone()).ok_or_else(|| ImageError::NotAPart(*digest).into())
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        if let Some((_, file, offset, size)) = self.files.iter().find(|(known, ..)| *known == blob.digest) {
            return Ok(Box::new(Section::new(file.clone(), *offset, *size)));
        }
        Ok(Box::new(std::io::Cursor::new(self.document(&blob.digest)?)))
    }
}

pub(crate) fn malformed(what: &'static str, why: impl ToString) -> Error {
    ImageError::Malformed { what, why: why.to_string() }.into()
}

/// Reads a whole document.
pub(crate) fn read_document(reader: impl Read, what: &'static str) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    reader.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).map_err(Error::from_read)?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(malformed(what, format!("longer than {MAX_DOCUMENT} bytes")));
    }
    Ok(bytes)
}

/// Longest manifest, index or config in bytes: registries refuse longer manifests.
pub(crate) const MAX_DOCUMENT: u64 = 4 << 20;
