use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::{Compression, GzBuilder};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::document::{Manifest, OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP};
use super::{Architecture, Descriptor, Digest, Image, ImageError, Parts, malformed};
use crate::{Error, Result};

/// Makes an image of one layer out of files. The same files and settings make the same bytes.
///
/// Entries are sorted; times, owners and extended attributes are left out; modes become 0755 for directories and
/// executables, 0644 for other files, 1777 for directories that all may write to. Symbolic links are kept, hard links
/// become files, devices, pipes and sockets are left out. Compressed bytes also depend on the version of the compressor.
#[derive(Debug, Clone)]
pub struct Pack {
    /// Processor architecture of the programs.
    pub architecture: Architecture,
    /// First arguments of the command.
    pub entrypoint: Vec<String>,
    /// Further arguments, which a request may replace.
    pub cmd: Vec<String>,
    /// Environment, as `NAME=value`.
    pub env: Vec<String>,
    /// Absolute working directory; empty for `/`.
    pub working_dir: String,
    /// User; empty for none.
    pub user: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// How the layer is stored.
    pub compression: LayerCompression,
    entries: BTreeMap<Vec<u8>, Entry>,
}

/// How a packed layer is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerCompression {
    /// As it is.
    None,
    /// gzip, at the default level.
    Gzip,
}

#[derive(Debug, Clone)]
enum Entry {
    Directory { shared: bool },
    Symlink(Vec<u8>),
    File { from: From, executable: bool },
}

#[derive(Debug, Clone)]
enum From {
    Path(PathBuf),
    Bytes(Arc<[u8]>),
}

impl Pack {
    /// Starts an empty image.
    pub fn new(architecture: Architecture) -> Self {
        Self {
            architecture,
            entrypoint: vec![],
            cmd: vec![],
            env: vec![],
            working_dir: String::new(),
            user: String::new(),
            labels: BTreeMap::new(),
            compression: LayerCompression::Gzip,
            entries: BTreeMap::new(),
        }
    }

    /// Adds a file from this machine under an absolute path in the image.
    ///
    /// # Errors
    /// [`ImageError::Pack`] if it isn't a file, or the path can't be used.
    pub fn add_file(&mut self, from: &Path, to: &str) -> Result<()> {
        let meta = fs::metadata(from).map_err(|error| bad(from, error))?;
        if !meta.is_file() {
            return Err(bad(from, "it isn't a file"));
        }
        let executable = meta.permissions().mode() & 0o111 != 0;
        self.add(to.as_bytes(), Entry::File { from: From::Path(from.into()), executable })
    }

    /// Adds a file with this content under an absolute path in the image.
    ///
    /// # Errors
    /// [`ImageError::Pack`] if the path can't be used.
    pub fn add_bytes(&mut self, bytes: &[u8], to: &str, executable: bool) -> Result<()> {
        self.add(to.as_bytes(), Entry::File { from: From::Bytes(bytes.into()), executable })
    }

    /// Adds an empty directory that all may write to.
    ///
    /// # Errors
    /// [`ImageError::Pack`] if the path can't be used.
    pub fn add_shared_directory(&mut self, to: &str) -> Result<()> {
        self.add(to.as_bytes(), Entry::Directory { shared: true })
    }

    /// Adds all that is in a directory of this machine under an absolute path in the image.
    ///
    /// # Errors
    /// [`ImageError::Pack`] if something can't be read.
    pub fn add_tree(&mut self, from: &Path, to: &str) -> Result<()> {
        for entry in fs::read_dir(from).map_err(|error| bad(from, error))? {
            let entry = entry.map_err(|error| bad(from, error))?;
            let path = entry.path();
            let inside = [to.trim_end_matches('/').as_bytes(), b"/", entry.file_name().as_bytes()].concat();
            let meta = fs::symlink_metadata(&path).map_err(|error| bad(&path, error))?;
            let mode = meta.permissions().mode();
            if meta.is_dir() {
                self.add(&inside, Entry::Directory { shared: mode & 0o002 != 0 })?;
                let inside = String::from_utf8(inside).map_err(|_| bad(&path, "its name isn't UTF-8"))?;
                self.add_tree(&path, &inside)?;
            } else if meta.is_symlink() {
                let target = fs::read_link(&path).map_err(|error| bad(&path, error))?;
                self.add(&inside, Entry::Symlink(target.as_os_str().as_bytes().to_vec()))?;
            } else if meta.is_file() {
                self.add(&inside, Entry::File { from: From::Path(path), executable: mode & 0o111 != 0 })?;
            }
        }
        Ok(())
    }

    /// Writes the layer, and returns the image, to be given to [`super::copy`].
    ///
    /// # Errors
    /// [`ImageError::Pack`] if a file can't be read; [`Error::Local`] if the temporary file can't be written.
    pub fn build(&self) -> Result<Image> {
        let mut file = tempfile::tempfile().map_err(Error::Local)?;
        let (stored, diff_id) = match self.compression {
            LayerCompression::None => self.write(Hashing::new(&mut file), |inner| Ok(inner.digest()))?,
            LayerCompression::Gzip => {
                let encoder = GzBuilder::new().write(Hashing::new(&mut file), Compression::default());
                self.write(encoder, |encoder| Ok(encoder.finish()?.digest()))?
            }
        };
        let size = file.seek(SeekFrom::End(0)).map_err(Error::Local)?;
        let media_type = match self.compression {
            LayerCompression::None => OCI_LAYER,
            LayerCompression::Gzip => OCI_LAYER_GZIP,
        };
        let mut parts = Parts::default();
        parts.file(stored, Arc::new(file), 0, size);
        let config = self.config(&diff_id).to_string().into_bytes();
        let config_size = config.len() as u64;
        let config = Descriptor::new(OCI_CONFIG, parts.document(config), config_size);
        let manifest = Manifest::new(config, vec![Descriptor::new(media_type, stored, size)]);
        let manifest = serde_json::to_vec(&manifest).map_err(|error| malformed("manifest", error))?;
        let digest = parts.document(manifest);
        Image::exact(Arc::new(parts), &digest)
    }

    /// Adds an entry, and the directories above it.
    fn add(&mut self, to: &[u8], entry: Entry) -> Result<()> {
        let shown = PathBuf::from(String::from_utf8_lossy(to).into_owned());
        let path =
            to.strip_prefix(b"/").ok_or_else(|| bad(&shown, "its path in the image isn't absolute"))?;
        let parts: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
        if parts
            .iter()
            .any(|part| part.is_empty() || matches!(*part, b"." | b"..") || part.starts_with(b".wh."))
        {
            return Err(bad(&shown, "its path in the image can't be used"));
        }
        for end in 1..parts.len() {
            self.entries.entry(parts[..end].join(&b'/')).or_insert(Entry::Directory { shared: false });
        }
        self.entries.insert(path.to_vec(), entry);
        Ok(())
    }

    /// Writes the archive; returns the digest of what is stored, and of the archive itself.
    fn write<W: Write>(
        &self,
        to: W,
        finish: impl FnOnce(W) -> io::Result<Digest>,
    ) -> Result<(Digest, Digest)> {
        let mut archive = tar::Builder::new(Hashing::new(to));
        for (path, entry) in &self.entries {
            let shown = PathBuf::from(String::from_utf8_lossy(path).into_owned());
            append(&mut archive, path, entry).map_err(|error| bad(&shown, error))?;
        }
        let hashing = archive.into_inner().map_err(Error::Local)?;
        let (inner, diff_id) = (hashing.inner, Digest::from_bytes(hashing.hasher.finalize().into()));
        Ok((finish(inner).map_err(Error::Local)?, diff_id))
    }

    fn config(&self, diff_id: &Digest) -> serde_json::Value {
        let working_dir = if self.working_dir.is_empty() { "/" } else { &self.working_dir };
        json!({
            "architecture": self.architecture.name(),
            "config": {
                "Cmd": self.cmd,
                "Entrypoint": self.entrypoint,
                "Env": self.env,
                "Labels": self.labels,
                "User": self.user,
                "WorkingDir": working_dir,
            },
            "created": "1970-01-01T00:00:00Z",
            "os": "linux",
            "rootfs": {"diff_ids": [diff_id], "type": "layers"},
        })
    }
}

fn append<W: Write>(archive: &mut tar::Builder<W>, path: &[u8], entry: &Entry) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    match entry {
        Entry::Directory { shared } => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(if *shared { 0o1777 } else { 0o755 });
            archive.append_data(&mut header, path, io::empty())
        }
        Entry::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            archive.append_link(&mut header, path, Path::new(std::ffi::OsStr::from_bytes(target)))
        }
        Entry::File { from, executable } => {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(if *executable { 0o755 } else { 0o644 });
            let (size, content): (u64, Box<dyn Read>) = match from {
                From::Path(path) => {
                    let file = File::open(path)?;
                    (file.metadata()?.len(), Box::new(file))
                }
                From::Bytes(bytes) => (bytes.len() as u64, Box::new(Cursor::new(bytes))),
            };
            header.set_size(size);
            // A file that changes meanwhile would corrupt the archive.
            archive.append_data(&mut header, path, Exactly { inner: content, left: size })
        }
    }
}

/// Fails unless the reader has exactly so many bytes.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        if n == 0 && !buf.is_empty() && self.left > 0 {
            return Err(io::Error::other("it became shorter"));
        }
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| io::Error::other("it became longer"))?;
        Ok(n)
    }
}

/// Hashes what is written through it.
struct Hashing<W> {
    inner: W,
    hasher: Sha256,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    fn digest(self) -> Digest {
        Digest::from_bytes(self.hasher.finalize().into())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.hasher.update(&buf[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn bad(path: &Path, why: impl ToString) -> Error {
    ImageError::Pack { path: path.display().to_string(), why: why.to_string() }.into()
}
