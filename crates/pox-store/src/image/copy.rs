use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};

use super::document::Index;
use super::layout::{INDEX, MARKER, MARKER_TEXT, blob_name, read_or_new_index};
use super::registry::Registry;
use super::{Descriptor, Digest, Image, ImageSource, malformed};
use crate::{Access, Error, Location, Name, PutMode, Result, Store};

/// Copies an image to a registry, a layout (also by HTTP PUT) or a new OCI archive. Returns its manifest digest.
///
/// Every blob is checked while it is copied. What the other side has isn't sent again, and the image gets its name last, so
/// an interrupted copy can be repeated.
///
/// # Errors
/// [`Error::Exists`] if the archive's file exists; [`Error::Unsupported`] for a `docker save` archive.
pub fn copy(image: &Image, to: &ImageSource, access: &Access) -> Result<Digest> {
    match to {
        ImageSource::Registry(reference) => {
            if reference.digest.is_some_and(|digest| digest != image.digest) {
                return Err(Error::Unsupported("store an image under another's digest"));
            }
            let registry = Registry::open(reference, access)?;
            for blob in image.blobs() {
                if !registry.has_blob(&blob.digest)? {
                    registry.push_blob(blob, &mut image.blob(&blob.digest)?)?;
                }
            }
            let digest = image.digest.to_string();
            let name = reference.tag.as_deref().unwrap_or(&digest);
            registry.push_manifest(name, image.media_type(), image.manifest())?;
        }
        ImageSource::Layout { location, tag } => {
            write_layout(image, &Store::open(location, access)?, tag.as_deref())?;
        }
        ImageSource::OciArchive { location, tag } => write_archive(image, location, tag.as_deref(), access)?,
        ImageSource::DockerArchive { .. } => {
            return Err(Error::Unsupported(
                "write a docker archive; use oci-archive, which docker load reads",
            ));
        }
    }
    Ok(image.digest)
}

fn write_layout(image: &Image, store: &Store, tag: Option<&str>) -> Result<()> {
    for blob in image.blobs() {
        put_new(store, blob, &mut image.blob(&blob.digest)?)?;
    }
    let manifest = describe(image, tag);
    put_new(store, &manifest, &mut image.manifest())?;
    replace(store, MARKER, MARKER_TEXT.as_bytes())?;
    let mut index = read_or_new_index(store)?;
    // A tag names one image; an image without tag is listed once.
    index.manifests.retain(|entry| match tag {
        Some(tag) => entry.tag() != Some(tag),
        None => entry.digest != manifest.digest || entry.tag().is_some(),
    });
    index.manifests.push(manifest);
    replace(store, INDEX, &to_json(&index)?)
}

fn write_archive(image: &Image, location: &Location, tag: Option<&str>, access: &Access) -> Result<()> {
    let (parent, name) = location.split()?;
    let store = Store::open(&parent, access)?;
    let mut file = tempfile::tempfile().map_err(Error::Local)?;
    let mut archive = tar::Builder::new(&mut file);
    let index = to_json(&Index::new(vec![describe(image, tag)]))?;
    append(&mut archive, MARKER, MARKER_TEXT.len() as u64, &mut MARKER_TEXT.as_bytes())?;
    append(&mut archive, INDEX, index.len() as u64, &mut index.as_slice())?;
    let manifest = describe(image, None);
    let mut blobs: Vec<_> = image.blobs().chain([&manifest]).collect();
    blobs.sort_by_key(|blob| blob.digest);
    // One image may use a layer twice.
    blobs.dedup_by_key(|blob| blob.digest);
    for blob in blobs {
        append(&mut archive, &blob_name(&blob.digest), blob.size, &mut image.blob(&blob.digest)?)?;
    }
    archive.finish().map_err(Error::Local)?;
    drop(archive);
    let len = file.seek(SeekFrom::End(0)).map_err(Error::Local)?;
    file.rewind().map_err(Error::Local)?;
    store.put(&name, &mut file, len, PutMode::Create)
}

fn append(archive: &mut tar::Builder<&mut File>, name: &str, size: u64, from: &mut dyn Read) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).map_err(Error::Local)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_cksum();
    // The reader fails if it doesn't have exactly that size.
    archive.append(&header, from).map_err(Error::from_read)
}

fn describe(image: &Image, tag: Option<&str>) -> Descriptor {
    let mut entry = Descriptor::new(image.media_type(), image.digest, image.manifest().len() as u64);
    if let Some(tag) = tag {
        entry.set_tag(tag);
    }
    entry
}

/// Stores a blob unless it is there in its full size; its name says what it holds.
fn put_new(store: &Store, blob: &Descriptor, from: &mut dyn Read) -> Result<()> {
    let name: Name = blob_name(&blob.digest).parse()?;
    match store.size(&name) {
        Ok(size) if size == blob.size => return Ok(()),
        Ok(_) | Err(Error::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    store.put_once(&name, from, blob.size, PutMode::Replace)
}

fn replace(store: &Store, name: &str, bytes: &[u8]) -> Result<()> {
    store.put(&name.parse()?, &mut Cursor::new(bytes), bytes.len() as u64, PutMode::Replace)
}

fn to_json(index: &Index) -> Result<Vec<u8>> {
    serde_json::to_vec(index).map_err(|error| malformed("index", error))
}
