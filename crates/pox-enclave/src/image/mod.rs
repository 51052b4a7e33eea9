//! Turns the blobs of a container image into a directory tree, and believes none of them.
//!
//! The task id commits to one manifest digest. From that digest everything else follows: the manifest names the
//! config and the layers by digest and size, the config names each layer's uncompressed digest. [`unpack`] checks
//! all of them, and writes the layers into an empty directory on the way.
//!
//! What it never does: reach the network (bytes come through [`Blobs`]), follow a link out of the directory, create
//! a device, keep a setuid bit or an extended attribute, or return `Ok` before every digest was checked. Layers are
//! written while they stream, before their digest is known: **nothing in the directory may be run or read until
//! [`unpack`] has returned `Ok`**. On failure the directory is emptied.
//!
//! Symbolic links are kept as the image has them, so they are only safe to follow with the tree as root
//! (`pivot_root`, or `openat2` with `RESOLVE_IN_ROOT`).
//!
//! Errors are split by culprit, because the receipt's outcome, and so who pays, depends on it: see [`Error`].

mod blob;
mod config;
mod decode;
mod error;
mod layer;
mod limits;
mod manifest;
mod path;
mod tar;
mod tree;
mod unpack;

pub use blob::Blobs;
pub use config::{ImageConfig, RunConfig, native_architecture};
pub use decode::Compression;
pub use error::{EntryFault, Error, Invalid, Mismatch};
pub use layer::{LayerStats, unpack_layer};
pub use limits::{Limits, Owner};
pub use manifest::{Descriptor, Layer, Manifest};
pub use pox_core::oci::{Digest, DigestError};
pub use tree::Tree;
pub use unpack::{Unpacked, unpack};
