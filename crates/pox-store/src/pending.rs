//! Objects that are written one by one and appear together.

use std::collections::BTreeSet;
use std::path::Path;

use crate::directory::{Directory, Written};
use crate::{Access, Result};

/// Objects in directories that are written and have no names yet; see [`Store::put_pending`](crate::Store::put_pending).
///
/// They cost no sync of their own: a machine that fails before they are published loses them, and nothing that was there before.
/// What is dropped unpublished is removed.
#[derive(Debug)]
pub struct Pending {
    access: Access,
    written: Vec<Written>,
}

impl Pending {
    /// None yet; they may be where the policy lets them, then and now.
    pub fn new(access: &Access) -> Self {
        Self { access: access.clone(), written: Vec::new() }
    }

    pub(crate) fn push(&mut self, written: Written) {
        self.written.push(written);
    }

    /// Gives all of them their names. When this returns, all of them are on disk.
    ///
    /// # Errors
    /// The file system fails, or a directory isn't there any more; some may have their names then.
    pub fn publish(&mut self) -> Result<()> {
        // No name may come to the disk before its content.
        self.sync()?;
        for objects in self.by_directory() {
            let directory = self.open(&objects[0].path)?;
            objects.iter().try_for_each(|written| directory.publish(written))?;
        }
        self.sync()?;
        self.written.clear();
        Ok(())
    }

    fn by_directory(&self) -> impl Iterator<Item = &[Written]> {
        self.written.chunk_by(|one, next| one.path == next.path)
    }

    fn open(&self, path: &Path) -> Result<Directory> {
        Directory::open(path, &self.access, false)
    }

    /// Syncs each file system once.
    fn sync(&self) -> Result<()> {
        let mut synced = BTreeSet::new();
        for objects in self.by_directory() {
            let directory = self.open(&objects[0].path)?;
            if synced.insert(directory.device()?) {
                directory.sync_all()?;
            }
        }
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        for objects in self.by_directory() {
            if let Ok(directory) = self.open(&objects[0].path) {
                objects.iter().for_each(|written| directory.forget(written));
            }
        }
    }
}
