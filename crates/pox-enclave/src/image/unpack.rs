use std::os::fd::BorrowedFd;

use super::blob::{self, Checked};
use super::decode::{self, Budgeted};
use super::{
    Blobs, Digest, Error, ImageConfig, Invalid, Layer, LayerStats, Limits, Manifest, RunConfig, Tree,
    unpack_layer,
};

/// An image whose every digest was checked, and whose tree is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// What the image runs by default.
    pub config: RunConfig,
    /// SHA-256 of the image config: it survives recompression of the layers, as `diff_ids` do.
    pub config_digest: Digest,
    /// SHA-256 of each layer's uncompressed archive, lowest first.
    pub diff_ids: Vec<Digest>,
    /// Entries, bytes written, and what was skipped, over all layers.
    pub stats: LayerStats,
}

/// Fetches, checks and unpacks the image with this manifest digest into an empty directory.
///
/// Only this process may write to `dir` meanwhile; nothing in it may be used before this has returned `Ok`.
/// Reads no more than each blob and [`Limits::blob_bytes`] allow, in memory bounded by the limits. Sets no deadline:
/// a host that stalls only delays its own task.
///
/// # Errors
/// See [`Error`]. `dir` is emptied, as far as the file system lets us.
pub fn unpack(
    manifest: &Digest,
    blobs: &mut dyn Blobs,
    limits: &Limits,
    dir: BorrowedFd<'_>,
) -> Result<Unpacked, Error> {
    let mut tree = Tree::new(dir, limits).map_err(Error::Local)?;
    let result = unpack_into(manifest, blobs, limits, &mut tree);
    if result.is_err() {
        // The first error says more than one of cleaning up.
        let _ = tree.wipe();
    }
    result
}

fn unpack_into(
    digest: &Digest,
    blobs: &mut dyn Blobs,
    limits: &Limits,
    tree: &mut Tree,
) -> Result<Unpacked, Error> {
    let endless = limits.blob_bytes;
    let bytes = blob::read(blobs, digest, None, "size of the manifest", limits.manifest_bytes, endless)?;
    let manifest = Manifest::parse(&bytes)?;
    if manifest.layers.len() > limits.layers {
        return Err(Invalid::TooBig { what: "number of layers", limit: limits.layers as u64 }.into());
    }
    let config = manifest.config;
    let bytes = blob::read(
        blobs,
        &config.digest,
        Some(config.size),
        "size of the config",
        limits.config_bytes,
        endless,
    )?;
    let config = ImageConfig::parse(&bytes)?;
    config.check_platform()?;
    if config.diff_ids.len() != manifest.layers.len() {
        let (layers, diff_ids) = (manifest.layers.len(), config.diff_ids.len());
        return Err(Invalid::LayerCount { layers, diff_ids }.into());
    }
    let mut budget = limits.unpacked_bytes;
    let mut stats = LayerStats::default();
    for (layer, diff_id) in manifest.layers.iter().zip(&config.diff_ids) {
        budget -= fetch_layer(layer, diff_id, blobs, limits, budget, tree, &mut stats)?;
    }
    tree.seal().map_err(Error::Local)?;
    Ok(Unpacked {
        config: config.run,
        config_digest: manifest.config.digest,
        diff_ids: config.diff_ids,
        stats,
    })
}

/// Applies one layer while it streams in. Returns its uncompressed size, which is within the budget.
fn fetch_layer(
    layer: &Layer,
    diff_id: &Digest,
    blobs: &mut dyn Blobs,
    limits: &Limits,
    budget: u64,
    tree: &mut Tree,
    stats: &mut LayerStats,
) -> Result<u64, Error> {
    let (digest, declared) = (layer.blob.digest, layer.blob.size);
    if declared > limits.blob_bytes {
        return Err(Invalid::TooBig { what: "size of a layer", limit: limits.blob_bytes }.into());
    }
    let mut blob = Checked::open(blobs, &digest, declared, limits.blob_bytes)?;
    let outcome = apply_layer(&mut blob, layer, limits, budget, tree, stats);
    if let Err(Error::Local(_)) = outcome {
        return outcome.map(|(_, size)| size);
    }
    // Damaged bytes make a malformed archive too. So whose fault it is shows only once the digest is known.
    let actual = blob.finish()?;
    if actual != declared {
        return Err(Invalid::BlobSize { digest, declared, actual }.into());
    }
    let (actual, size) = outcome?;
    if actual != *diff_id {
        return Err(Invalid::DiffId { expected: *diff_id, actual }.into());
    }
    Ok(size)
}

fn apply_layer(
    blob: &mut Checked<'_>,
    layer: &Layer,
    limits: &Limits,
    budget: u64,
    tree: &mut Tree,
    stats: &mut LayerStats,
) -> Result<(Digest, u64), Error> {
    let decoder = decode::decoder(layer.compression, blob, limits.zstd_window);
    let mut archive = Budgeted::new(decoder, budget);
    unpack_layer(&mut archive, tree, limits, stats)?;
    Ok(archive.finish()?)
}
