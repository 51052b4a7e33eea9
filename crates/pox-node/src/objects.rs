//! A store's folder as a source of a dataset's objects.

use pox_seal::dataset::{ObjectName, ObjectSource};
use pox_store::{Name, Range, Store};
use std::io::{self, Read};

/// Reads the public files of a dataset from a store; checks nothing.
pub struct StoreSource(Store);

impl StoreSource {
    /// Reads from this store.
    pub fn new(store: Store) -> Self {
        Self(store)
    }
}

impl ObjectSource for StoreSource {
    fn open(&mut self, name: &ObjectName, offset: u64) -> io::Result<Box<dyn Read + '_>> {
        let name: Name = name.as_str().parse().map_err(io::Error::other)?;
        let reader = self.0.get(&name, Range { start: offset, end: None }).map_err(io::Error::other)?;
        Ok(Box::new(reader))
    }
}
