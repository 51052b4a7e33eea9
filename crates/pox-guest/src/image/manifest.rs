//! What a guest's files are, for machines.

use pox_core::B256;
use pox_core::evidence::sha256;
use serde::{Deserialize, Serialize};

/// What a guest consists of, and what each kind of TEE measures of it. Holds no time and no place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of this document: 1.
    pub version: u32,
    /// The kernel.
    pub kernel: FileEntry,
    /// The kernel's name of itself.
    pub kernel_release: String,
    /// The initramfs.
    pub initramfs: FileEntry,
    /// The command line.
    pub command_line: FileEntry,
    /// The runtime inside the initramfs.
    pub runtime: FileEntry,
    /// The modules inside the initramfs, in the order in which they are loaded.
    pub modules: Vec<ModuleEntry>,
    /// What TEEs measure.
    pub measurements: Measurements,
}

/// One file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: B256,
}

/// One module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleEntry {
    /// The kernel's name for it.
    pub name: String,
    /// SHA-256 of it, uncompressed.
    pub sha256: B256,
}

/// The guest's measurements by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Measurements {
    /// Under plain emulation.
    pub vm_sim: B256,
}

impl Manifest {
    /// The document; the same for the same guest.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a manifest has nothing that JSON lacks");
        text.push('\n');
        text
    }

    /// Reads the document.
    ///
    /// # Errors
    /// It is none, of another form, or has fields that this version does not know.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let manifest: Self = serde_json::from_slice(json)?;
        if manifest.version != VERSION {
            return Err(serde::de::Error::custom(format!("version {}", manifest.version)));
        }
        Ok(manifest)
    }
}

impl FileEntry {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, sha256: sha256(bytes) }
    }
}

impl ModuleEntry {
    pub(super) fn of(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.to_owned(), sha256: sha256(bytes) }
    }
}

/// The form of the document that this version writes and reads.
pub(super) const VERSION: u32 = 1;
