//! `docker save` archives. New ones hold an OCI layout; old ones get a manifest made for them, always the same.

use std::io::{Read, copy};
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::archive::{Archive, Section};
use super::document::{Manifest, OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP};
use super::layout::{INDEX, Layout, MARKER};
use super::{Architecture, Descriptor, Digest, Image, ImageError, Parts, malformed, read_document};
use crate::{Error, Result};

/// Opens the image with a tag (`name:tag`), or the only one.
pub(crate) fn open(archive: Archive, tag: Option<&str>, platform: Architecture) -> Result<Image> {
    if !is_layout(&archive) {
        let image = convert(&archive, tag)?;
        check_platform(&image, platform)?;
        return Ok(image);
    }
    // The layout's own tags lack the name.
    let digest = Layout::new(LayoutFiles(&archive)).find(tag.and_then(|tag| tag.rsplit(':').next()))?;
    Image::for_platform(Arc::new(Layout::new(archive)), &digest, platform)
}

/// Opens the image with this manifest digest.
pub(crate) fn open_exact(archive: Archive, tag: Option<&str>, digest: &Digest) -> Result<Image> {
    if is_layout(&archive) {
        return Image::exact(Arc::new(Layout::new(archive)), digest);
    }
    let image = convert(&archive, tag)?;
    if image.manifest_digest() != *digest {
        return Err(ImageError::OtherImage { expected: *digest, actual: image.manifest_digest() }.into());
    }
    Ok(image)
}

fn is_layout(archive: &Archive) -> bool {
    archive.contains(INDEX) && archive.contains(MARKER)
}

/// Describes the files of an old archive by an OCI manifest. Layers stay as they are, so that the manifest depends on
/// the image alone.
fn convert(archive: &Archive, tag: Option<&str>) -> Result<Image> {
    let saved = select(archive, tag)?;
    let config = read_document(archive.section(&saved.config)?, "image config")?;
    let mut parts = Parts::default();
    let config_size = config.len() as u64;
    let config = Descriptor::new(OCI_CONFIG, parts.document(config), config_size);
    let mut layers = vec![];
    for name in &saved.layers {
        let section = archive.section(name)?;
        let (media_type, digest) = describe(section.clone())?;
        layers.push(Descriptor::new(media_type, digest, section.size));
        parts.file(digest, section.file, section.offset, section.size);
    }
    let manifest =
        serde_json::to_vec(&Manifest::new(config, layers)).map_err(|error| malformed("manifest", error))?;
    let digest = parts.document(manifest);
    Image::exact(Arc::new(parts), &digest)
}

fn select(archive: &Archive, tag: Option<&str>) -> Result<Saved> {
    let bytes = read_document(archive.section(LIST)?, LIST)?;
    let mut all: Vec<Saved> = serde_json::from_slice(&bytes).map_err(|error| malformed(LIST, error))?;
    let names = |saved: &Saved| saved.repo_tags.clone().unwrap_or_default();
    if let Some(tag) = tag {
        // Some tools put a default registry before the name.
        let fits =
            |name: &String| name.strip_suffix(tag).is_some_and(|host| host.is_empty() || host.ends_with('/'));
        all.retain(|saved| names(saved).iter().any(fits));
    }
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(last), false) => {
            all.push(last);
            Err(ImageError::Ambiguous(all.iter().flat_map(names).collect()).into())
        }
        (None, _) => Err(ImageError::NoTag(tag.unwrap_or("in the archive").into()).into()),
    }
}

fn describe(mut section: Section) -> Result<(&'static str, Digest)> {
    let mut start = vec![];
    section.clone().take(2).read_to_end(&mut start).map_err(Error::Local)?;
    let mut hasher = Sha256::default();
    copy(&mut section, &mut hasher).map_err(Error::Local)?;
    let media_type = if start == [0x1f, 0x8b] { OCI_LAYER_GZIP } else { OCI_LAYER };
    Ok((media_type, Digest::from_bytes(hasher.finalize().into())))
}

fn check_platform(image: &Image, wanted: Architecture) -> Result<()> {
    #[derive(Deserialize)]
    struct Config {
        os: String,
        architecture: String,
    }
    let config = &image.manifest.config.digest;
    let bytes = read_document(image.blob(config)?, "image config")?;
    let config: Config = serde_json::from_slice(&bytes).map_err(|error| malformed("image config", error))?;
    if config.os != "linux" || config.architecture != wanted.name() {
        return Err(ImageError::NoPlatform(wanted).into());
    }
    Ok(())
}

/// Borrows an archive for a first look.
struct LayoutFiles<'a>(&'a Archive);

impl super::layout::Files for LayoutFiles<'_> {
    fn open(&self, name: &str) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.0.section(name)?))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

const LIST: &str = "manifest.json";
