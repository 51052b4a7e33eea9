//! Sealed datasets: a file or a directory tree as a handful of public files under one commitment.
//!
//! | file | content |
//! |---|---|
//! | `data.age` | the file as it is, or the tree as one tar archive; any age client opens it |
//! | `manifest.age` | the sealed manifest: each entry's path, mode, time, size, offset, digest and salt |
//! | `KEYS` | text, one line per sealed object: `<key commitment in hex>  <name>` |
//! | `ROOT` | text, one line: the root of the Merkle tree over the manifest's salted entries, in hex |
//! | `SHA256SUMS` | only if it was asked for: the SHA-256 digest of each file above, as `sha256sum --check` reads it |
//! | `B3SUMS` | text in the format of `b3sum --check`: the BLAKE3 digest of each file above |
//!
//! Crypt4GH files are a dataset of their own form, so that existing ones can be taken as they are:
//!
//! | file | content |
//! |---|---|
//! | `<name>.c4gh` | one file each, untouched; any Crypt4GH tool of its readers opens it |
//! | `access.age` | what opens them, sealed to the dataset's recipients |
//! | `KEYS`, `B3SUMS` | as above |
//!
//! The [`DatasetCommitment`] is the SHA-256 of `B3SUMS`, so `sha256sum B3SUMS` and `b3sum --check B3SUMS` check a
//! dataset without us. It covers ciphertext and salted or keyed commitments only: no bare hash of a plaintext. Digest
//! and key commitment of an object together fix its plaintext.

mod archive;
mod b3sums;
mod base;
mod check;
mod contents;
mod crypt4gh;
mod directory;
mod extract;
mod joined;
mod journal;
mod layout;
mod manifest;
mod names;
mod open;
mod pack;
mod path;
mod plan;
mod reading;
mod resume;
mod seal;
mod state;
mod tree;

pub use b3sums::{
    B3Sums, BadText, DatasetCommitment, KeyCommitments, MAX_OBJECTS, MAX_TEXT, ObjectName, Sha256Sums,
};
pub use check::{Checked, CheckedObject, Comparison, check};
pub use contents::{Contents, DisclosedEntry, MAX_DISCLOSED, Part, PathStep, read_manifest};
pub use crypt4gh::{
    Adoption, FolderSink, adopt, decode_access, is_form as is_crypt4gh, open_lone_file, seal_files,
};
pub use directory::{DirectorySink, DirectorySource};
pub use journal::{decode_record, read_journal};
pub use manifest::{
    Entry, Header as ManifestHeader, Kind, MAX_ITEM, Meta, Root, Trailer, decode as decode_item,
};
pub use open::{Invalid, Limits, Modes, ObjectKeys, OpenError, Opened, file_keys, open};
pub use path::{BadPath, EntryPath, MAX_COMPONENT, MAX_DEPTH, MAX_PATH};
pub use resume::{Begun, Sealing, seal_resumable};
pub use seal::{Digests, SealError, SealedDataset, SealedObject, seal, seal_open_folder, seal_stream};
pub use state::state;

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

/// Takes a dataset's public files, one after the other.
///
/// Calls come as `create`, any number of `write`s, `close`, for each object; and `finish` once all are there. A sink
/// that never saw `finish` must not present what it has as a dataset.
pub trait ObjectSink {
    /// Starts an object. A name comes once.
    fn create(&mut self, name: &ObjectName) -> io::Result<()>;
    /// Appends to the object.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Ends the object; it must be stored when this returns.
    fn close(&mut self) -> io::Result<()>;
    /// Ends the dataset: what was stored becomes visible, all at once where the storage can.
    fn finish(&mut self) -> io::Result<()>;

    /// The open object as a file, if it is one: the engine then writes into it at any offset, from all cores.
    fn file(&mut self) -> Option<&File> {
        None
    }

    /// Takes a whole object that lies in a file, without changing the file, where the sink can.
    fn take(&mut self, name: &ObjectName, from: &Path) -> io::Result<()> {
        let _ = (name, from);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Gives a dataset's public files. Nothing that it gives is believed before it is checked.
pub trait ObjectSource {
    /// Reads an object from this offset to its end.
    fn open(&mut self, name: &ObjectName, offset: u64) -> io::Result<Box<dyn Read + '_>>;

    /// Reads these bytes of an object, or fewer if it ends before; asks the storage for no others, where it can.
    fn range(&mut self, name: &ObjectName, range: Range<u64>) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.open(name, range.start)?.take(range.end.saturating_sub(range.start))))
    }

    /// The object as a file of this machine, at its beginning, if it is one: the engine then reads it at any offset, from all
    /// cores.
    fn file(&mut self, name: &ObjectName) -> io::Result<Option<File>> {
        let _ = name;
        Ok(None)
    }
}

/// Told the number of plaintext bytes sealed or opened so far.
pub type Progress<'a> = &'a mut dyn FnMut(u64);
