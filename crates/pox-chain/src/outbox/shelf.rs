//! Where an outbox keeps its journal: bytes that change whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Most bytes of a journal that are read: a hundred of the largest transactions.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Is shown the bytes that are kept, and gives those that replace them, if any do.
pub type Edit<'a> = dyn FnMut(&[u8]) -> io::Result<Option<Vec<u8>>> + 'a;

/// Keeps the bytes of one journal.
pub trait Shelf: Send + Sync + std::fmt::Debug {
    /// Shows the bytes that are kept, none at first, and replaces them by what `edit` gives, if it gives any. Nobody else sees
    /// or replaces them in between. When this returns without an error, they stay whatever happens to the machine.
    ///
    /// # Errors
    /// They can't be read or written; then the old ones stay.
    fn edit(&self, edit: &mut Edit<'_>) -> io::Result<()>;
}

/// A file, which several programs can share: each holds a lock on the file beside it while it edits.
#[derive(Debug)]
pub struct FileShelf {
    path: PathBuf,
}

/// Keeps nothing beyond this program's life.
#[derive(Debug, Default)]
pub(super) struct MemoryShelf(Mutex<Vec<u8>>);

impl FileShelf {
    /// A journal in a file, which is made with the first edit. Its folder has to be there.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    fn beside(&self, extension: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(extension);
        name.into()
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Ok(file) => file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(bytes),
            Err(error) => return Err(error),
        };
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than any journal"));
        }
        Ok(bytes)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let new = self.beside(".new");
        let mut file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Shelf for FileShelf {
    fn edit(&self, edit: &mut Edit<'_>) -> io::Result<()> {
        let lock = private(OpenOptions::new().write(true).create(true).truncate(false))
            .open(self.beside(".lock"))?;
        // Ends with the file's handle, also when the program is killed.
        lock.lock()?;
        match edit(&self.read()?)? {
            Some(bytes) => self.write(&bytes),
            None => Ok(()),
        }
    }
}

impl Shelf for MemoryShelf {
    fn edit(&self, edit: &mut Edit<'_>) -> io::Result<()> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = edit(&kept)? {
            *kept = bytes;
        }
        Ok(())
    }
}

/// Signed transactions are nobody else's business before they are public.
fn private(options: &mut OpenOptions) -> &OpenOptions {
    options.mode(0o600)
}
