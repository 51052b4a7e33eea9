use std::io::Read;

use super::document::{Document, Index};
use super::{BlobSource, Descriptor, Digest, ImageError, malformed, read_document};
use crate::{Error, Name, Range, Result, Store};

/// The files of a layout, however they are kept.
pub(crate) trait Files: Send + Sync {
    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>>;
}

impl Files for Store {
    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>> {
        let name: Name = name.parse()?;
        Ok(Box::new(self.get(&name, Range::ALL)?))
    }
}

/// An OCI image layout.
pub(crate) struct Layout<F>(F);

impl<F: Files> Layout<F> {
    pub(crate) fn new(files: F) -> Self {
        Self(files)
    }

    /// Finds the image with a tag, or the only one.
    pub(crate) fn find(&self, tag: Option<&str>) -> Result<Digest> {
        let index = read_index(&self.0)?;
        let fits = |entry: &&Descriptor| tag.is_none_or(|tag| entry.tag() == Some(tag));
        let found: Vec<_> = index.manifests.iter().filter(fits).collect();
        match found.as_slice() {
            [] => Err(ImageError::NoTag(tag.unwrap_or("in the layout").into()).into()),
            [one] => Ok(one.digest),
            several => {
                let names = several.iter().map(|entry| entry.tag().unwrap_or("(no tag)").to_owned());
                Err(ImageError::Ambiguous(names.take(SHOWN).collect()).into())
            }
        }
    }
}

impl<F: Files> BlobSource for Layout<F> {
    fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        read_document(self.0.open(&blob_name(digest))?, "manifest")
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        self.0.open(&blob_name(&blob.digest))
    }
}

/// Reads `index.json`.
pub(crate) fn read_index(files: &dyn Files) -> Result<Index> {
    let bytes = read_document(files.open(INDEX)?, "index")?;
    match Document::parse(&bytes)? {
        Document::Index(index) => Ok(index),
        Document::Manifest(_) => Err(malformed("index", "it is a manifest")),
    }
}

/// Reads `index.json`, or makes one if there is none.
pub(crate) fn read_or_new_index(files: &dyn Files) -> Result<Index> {
    match read_index(files) {
        Err(Error::NotFound(_)) => Ok(Index::new(vec![])),
        other => other,
    }
}

pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

pub(crate) const INDEX: &str = "index.json";
pub(crate) const MARKER: &str = "oci-layout";
pub(crate) const MARKER_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// Tags listed in an error.
const SHOWN: usize = 20;
