use std::fmt;
use std::io;

use super::Digest;

/// Why an image wasn't unpacked, by culprit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host or its storage didn't deliver a blob. The image may be fine.
    #[error("image blob {digest} is unavailable: {source}")]
    Unavailable {
        /// The blob that was asked for.
        digest: Digest,
        /// What the channel reported.
        source: io::Error,
    },
    /// The host or its storage delivered other bytes than the digest names.
    #[error("image blob {digest} was not delivered intact: {why}")]
    Mismatch {
        /// The blob that was asked for.
        digest: Digest,
        /// How the bytes differ.
        why: Mismatch,
    },
    /// The bytes are the ones that the owner committed to, but they aren't an image that this runtime accepts.
    #[error("image is invalid: {0}")]
    Invalid(#[from] Invalid),
    /// The enclave's own file system failed: no space, no permission, an I/O error.
    #[error("can't write the image tree: {0}")]
    Local(#[source] io::Error),
}

/// How delivered bytes differ from the ones that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The bytes hash to something else.
    #[error("its bytes hash to {actual}")]
    Digest {
        /// What they hash to.
        actual: Digest,
    },
    /// The stream went on past any size that an image may have.
    #[error("it is longer than {limit} bytes")]
    Endless {
        /// Where reading stopped, in bytes.
        limit: u64,
    },
}

/// What is wrong with an image whose bytes are the committed ones: the owner's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Something exceeds a limit.
    #[error("{what} exceeds {limit}")]
    TooBig {
        /// What was counted.
        what: &'static str,
        /// The limit that it exceeds.
        limit: u64,
    },
    /// The manifest states another size than the blob has.
    #[error("blob {digest} has {actual} bytes, the manifest says {declared}")]
    BlobSize {
        /// The blob.
        digest: Digest,
        /// What the manifest says.
        declared: u64,
        /// What the blob has.
        actual: u64,
    },
    /// The manifest isn't an image manifest of schema version 2.
    #[error("malformed manifest: {0}")]
    Manifest(String),
    /// A media type isn't accepted.
    #[error("{what} has media type {found:?}, which isn't accepted")]
    MediaType {
        /// Which document or layer.
        what: &'static str,
        /// The media type found.
        found: String,
    },
    /// The config isn't an image config.
    #[error("malformed image config: {0}")]
    Config(String),
    /// The image is for another platform.
    #[error("image is for {os}/{architecture}, this enclave runs {native}")]
    Platform {
        /// Operating system in the config.
        os: String,
        /// Architecture in the config.
        architecture: String,
        /// What this enclave runs.
        native: String,
    },
    /// Manifest and config disagree on the number of layers.
    #[error("manifest has {layers} layers, config has {diff_ids}")]
    LayerCount {
        /// Layers in the manifest.
        layers: usize,
        /// Uncompressed digests in the config.
        diff_ids: usize,
    },
    /// A layer's uncompressed bytes don't hash to what the config says.
    #[error("layer decompresses to {actual}, the config says {expected}")]
    DiffId {
        /// What the config says.
        expected: Digest,
        /// What the layer decompresses to.
        actual: Digest,
    },
    /// A layer isn't a valid gzip or zstd stream.
    #[error("layer can't be decompressed: {0}")]
    Compression(String),
    /// A layer isn't a valid tar archive.
    #[error("layer is not a valid tar archive: {0}")]
    Archive(&'static str),
    /// An entry of a layer can't be applied safely.
    #[error("layer entry {path:?}: {fault}")]
    Entry {
        /// The entry's path as the archive has it, lossily decoded and cut.
        path: String,
        /// What is wrong with it.
        fault: EntryFault,
    },
}

/// What is wrong with one entry of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryFault {
    /// The path or hard link target has a `..` component.
    Escapes,
    /// The path is empty, or has a NUL byte.
    Malformed,
    /// The path, one of its components, or its depth exceeds a limit.
    TooLong,
    /// The file is bigger than a single file may be.
    TooBig,
    /// A part of the path isn't a directory, or resolves in a loop.
    NotADirectory,
    /// The hard link's target is missing, or isn't a file or symbolic link.
    LinkTarget,
    /// The symbolic link's target is empty, too long, or has a NUL byte.
    SymlinkTarget,
    /// The whiteout names nothing, `.`, `..` or another whiteout, goes through a link, or isn't a plain file.
    Whiteout,
    /// The entry is of a kind that images don't have.
    Kind,
}

impl fmt::Display for EntryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Escapes => "leaves the root",
            Self::Malformed => "has no usable name",
            Self::TooLong => "is longer or deeper than allowed",
            Self::TooBig => "is bigger than a file may be",
            Self::NotADirectory => "goes through something that isn't a directory",
            Self::LinkTarget => "links to nothing that can be linked",
            Self::SymlinkTarget => "has no usable link target",
            Self::Whiteout => "is not a valid whiteout",
            Self::Kind => "is of an unknown kind",
        })
    }
}

impl Invalid {
    pub(super) fn entry(path: &[u8], fault: EntryFault) -> Self {
        let shown = &path[..path.len().min(SHOWN_PATH)];
        Self::Entry { path: String::from_utf8_lossy(shown).into_owned(), fault }
    }

    /// Wraps itself for a passage through `std::io::Read`.
    pub(super) fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self)
    }

    /// Recovers what [`Self::into_io`] wrapped; anything else came from a decompressor.
    pub(super) fn from_read(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(invalid) => invalid,
            Err(other) => Self::Compression(other.to_string()),
        }
    }
}

/// Bytes of a path shown in an error: enough to find the entry, too few to flood a log.
const SHOWN_PATH: usize = 256;
